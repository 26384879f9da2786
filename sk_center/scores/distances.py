"""Distances to the center of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import issparse
from scipy.spatial.distance import cdist

from sk_center._utils.compat import StrOptions
from sk_center._utils.schema import array, boolean, either
from sk_center._utils.user_warning import warn_user
from sk_center.scores.base import ScoreInSpace
from sk_center.scores.covariance import covariance_of, whitening
from sk_center.scores.parts import SPACES
from sk_center.scores.rows import (
    blocks,
    by_class,
    class_means,
    length_one,
    lengths,
    regrouped,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# With fewer classes the relative distance depends on few directions.
FEW_CLASSES = 10


class CenterDistance(ScoreInSpace, name="center_distance"):
    """Minus the Euclidean distance to the center of each class.

    Parameters
    ----------
    centers : array-like of shape (n_classes, n_columns), default=None
        The centers, in the order of the sorted classes; by default the mean of each class.
        With given centers nothing is learned.

    space : {"features", "inputs", "layers", "raw_inputs"}, default="features"
        The part in which distances are measured.

    Attributes
    ----------
    centers_ : ndarray of shape (n_classes, n_columns)
        The centers.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    Mahalanobis : Takes the shape of the clouds into account.
    sk_center.CenterLossClassifier : Trains features for which this score is suited.

    Notes
    -----
    Distances of dense samples are computed from differences, in float64. Those of sparse
    ones, ``sqrt(|x|^2 - 2 x'c + |c|^2)``, are accurate to 1e-8 times the lengths of the
    two.

    Examples
    --------
    >>> from sk_center.scores import CenterDistance
    >>> score = CenterDistance().fit([[0.0], [2.0], [10.0]], [0, 0, 1])
    >>> score.score_classes([[2.0], [7.0]])
    array([[-1., -8.],
           [-6., -3.]])
    """

    radial = True
    accepts_sparse = True
    _parameter_constraints: dict = {
        "centers": ["array-like", None],
        "space": [StrOptions({*SPACES})],
    }
    _saved_state = {"centers_": array("f", "K", "columns")}

    def __init__(
        self,
        centers: ArrayLike | None = None,
        *,
        space: Literal["features", "inputs", "layers", "raw_inputs"] = "features",
    ) -> None:
        self.centers = centers
        self.space = space

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether the centers come from the data."""
        return self.centers is None

    def _fit(self, y, **parts):
        X, n_classes = parts[self.space], len(self.classes_)
        if self.centers is None:
            self.centers_ = class_means(X, y, n_classes)
            return
        centers = np.array(self.centers, dtype=np.float64)
        if centers.shape != (n_classes, X.shape[1]):
            raise ValueError(
                f"centers must have the shape (n_classes, n_columns) = "
                f"{(n_classes, X.shape[1])}; got {centers.shape}."
            )
        # The center of a class that partial_fit has not seen is infinite.
        self.centers_ = np.where(np.isfinite(centers), centers, np.nan)

    def _regroup(self, kept, y, **parts):
        means = class_means(parts[self.space], y, len(kept))
        self.centers_ = regrouped(self.centers_, kept, means)

    def _score_classes(self, **parts):
        X = parts[self.space]
        if issparse(X):
            squares = X.multiply(X).sum(axis=1).reshape(-1, 1)
            squares = squares - 2 * (X @ self.centers_.T)
            squares = np.asarray(squares) + np.square(self.centers_).sum(axis=1)
            return -np.sqrt(np.maximum(squares, 0))
        return -distances(X, self.centers_)

    def _score_own(self, index, **parts):
        X = parts[self.space]
        if issparse(X):
            rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
            products = X.data * (X.data - 2 * self.centers_[index[rows], X.indices])
            squares = np.bincount(rows, products, minlength=X.shape[0])
            squares += np.square(self.centers_).sum(axis=1)[index]
            return -np.sqrt(np.maximum(squares, 0))
        found = [lengths(X[rows] - self.centers_[index[rows]]) for rows in blocks(*X.shape)]
        return -np.concatenate(found)

    def _to_onnx(self, **values):
        return -values[self.space].astype(np.float64).distances(self.centers_)


class Mahalanobis(ScoreInSpace, name="mahalanobis"):
    """Minus the Mahalanobis distance to the mean of each class.

    ``sqrt((x - mean_k)' S^-1 (x - mean_k))`` with one covariance S for all classes, that
    of the deviations from the class means, or with one for each class. [1]_ takes the
    square with the plain covariance for all classes.

    Parameters
    ----------
    covariance : {"tied", "class"}, default="tied"
        Whether all classes share one covariance or each has its own, which needs many more
        samples than features in every class.

    shrinkage : {"ledoit_wolf"} or None, default="ledoit_wolf"
        Shrinkage of the covariance, as that of :class:`sklearn.covariance.LedoitWolf`;
        None is the plain covariance, for many more samples than features.

    relative : bool, default=False
        Whether to score by ``d_0^2 - d_k^2``, where d_k is the distance above and d_0
        that to the mean of all samples with the covariance of all samples [2]_: distance
        along directions that do not separate classes then counts less. It is unsuitable for
        few classes; ``fit`` warns below 10.

    normalize : bool, default=False
        Whether to bring every sample to length one first [3]_, which suits wide features
        of networks that were trained without center loss.

    space : {"features", "inputs", "layers", "raw_inputs"}, default="features"
        The part in which distances are measured.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_columns)
        Mean of each class.

    covariance_ : ndarray of shape (n_columns, n_columns) or \
            (n_classes, n_columns, n_columns)
        The shrunk covariance within classes, or that of each class.

    narrow_ : bool
        Whether samples in float32 are scored in float32: on training samples that changed
        scores by 1e-5 of their size at most, as it does unless columns are nearly
        collinear. Others are scored in float64.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    CenterDistance : Weights all directions equally.
    ViM : Uses the logits, too.
    sklearn.covariance.LedoitWolf : The default shrinkage.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee, J. Shin. "A simple unified framework for detecting
       out-of-distribution samples and adversarial attacks". NeurIPS 2018.
    .. [2] J. Ren, S. Fort, J. Liu, A. G. Roy, S. Padhy, B. Lakshminarayanan. "A simple fix
       to Mahalanobis distance for improving near-OOD detection". arXiv:2106.09022, 2021.
    .. [3] M. Mueller, M. Hein. "Mahalanobis++: improving OOD detection via feature
       normalization". ICML 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import Mahalanobis
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) * [1, 10]
    >>> score = Mahalanobis().fit(X, [0, 1] * 100)
    >>> wide, high = score.score_samples([[9, 0], [0, 9]])
    >>> bool(wide < high)  # 9 is far along the narrow axis, near along the wide one
    True
    """

    _parameter_constraints: dict = {
        "covariance": [StrOptions({"tied", "class"})],
        "shrinkage": [StrOptions({"ledoit_wolf"}), None],
        "relative": ["boolean"],
        "normalize": ["boolean"],
        "space": [StrOptions({*SPACES})],
    }
    _saved_state = {
        "means_": array("f", "K", "columns"),
        "covariance_": either(
            array("f", "columns", "columns"), array("f", "K", "columns", "columns")
        ),
        "_whitening": either(
            array("f", "columns", "columns"), array("f", "K", "columns", "columns")
        ),
        "?_centers": array("f", "K", "columns"),
        "_mean": array("f", "columns"),
        "narrow_": boolean,
        "?_background": array("f", "columns", "columns"),
    }

    def __init__(
        self,
        covariance: Literal["tied", "class"] = "tied",
        *,
        shrinkage: Literal["ledoit_wolf"] | None = "ledoit_wolf",
        relative: bool = False,
        normalize: bool = False,
        space: Literal["features", "inputs", "layers", "raw_inputs"] = "features",
    ) -> None:
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.relative = relative
        self.normalize = normalize
        self.space = space

    @property
    def radial(self) -> bool:  # type: ignore[override]
        """Whether the score is minus a distance, not a difference of two."""
        return not self.relative

    def _fit(self, y, **parts):
        X, n_classes = parts[self.space], len(self.classes_)
        prepare = length_one if self.normalize else None
        self.means_ = class_means(X, y, n_classes, prepare)
        sizes = np.bincount(y, minlength=n_classes)
        self._mean = (sizes / len(y)) @ np.nan_to_num(self.means_)

        def covariance(rows, centers, index):
            return covariance_of(X, rows, centers, index, self.shrinkage, prepare)

        everything = np.arange(len(y))
        if self.covariance == "tied":
            self.covariance_ = covariance(everything, self.means_, y)
            self._whitening = whitening(self.covariance_)
            self._centers = (self.means_ - self._mean) @ self._whitening
        else:
            shape = (n_classes, X.shape[1], X.shape[1])
            self.covariance_, self._whitening = (
                np.full(shape, np.nan),
                np.full(shape, np.nan),
            )
            for k, rows in by_class(y):
                self.covariance_[k] = covariance(rows, self.means_, y)
                self._whitening[k] = whitening(self.covariance_[k])
        if self.relative:
            background = covariance(everything, self._mean[None], y * 0)
            self._background = whitening(background)
        self._decide_narrow(X)

    def _regroup(self, kept, y, **parts):
        prepare = length_one if self.normalize else None
        means = class_means(parts[self.space], y, len(kept), prepare)
        self.means_ = regrouped(self.means_, kept, means)
        if self.covariance == "tied":
            self._centers = (self.means_ - self._mean) @ self._whitening
        else:
            # A few samples give no covariance: a new class has the mean of the others.
            mean = np.nanmean(self.covariance_, axis=0)
            own = [mean] * len(kept), [whitening(mean)] * len(kept)
            self.covariance_ = regrouped(self.covariance_, kept, np.array(own[0]))
            self._whitening = regrouped(self._whitening, kept, np.array(own[1]))
        if self.narrow_ and len(y):
            self._decide_narrow(parts[self.space])

    def _warn(self):
        if self.relative and len(self.classes_) < FEW_CLASSES:
            warn_user(
                f"The relative Mahalanobis distance of {len(self.classes_)} classes sees "
                "few directions: where features vary within classes alone, it finds no "
                f"outsiders. With fewer than {FEW_CLASSES} classes relative=False is safer."
            )

    def _score_classes(self, **parts):
        found = []
        for rows in blocks(*parts[self.space].shape):
            X, (mean, means, whiten) = self._prepared(parts[self.space][rows])
            if self.covariance == "tied":
                away = cdist((X - mean) @ whiten, self._centers)
            else:
                away = [lengths((X - own) @ matrix) for own, matrix in zip(means, whiten)]
                away = np.transpose(away)
            found.append(self._score(X, away.T).T)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _score_own(self, index, **parts):
        X, found = parts[self.space], np.empty(len(index))
        if self.covariance == "tied":
            for rows in blocks(*X.shape):
                part, (_, means, whiten) = self._prepared(X[rows])
                away = lengths((part - means[index[rows]]) @ whiten)
                found[rows] = self._score(part, away)
        else:
            for k, rows in by_class(index):
                part, (_, means, whiten) = self._prepared(X[rows])
                away = lengths((part - means[k]) @ whiten[k])
                found[rows] = self._score(part, away)
        return found

    def _prepared(self, X):
        """Return rows, of length one if requested, and what is learned in their dtype."""
        dtype = self._dtype(X)
        X = X.astype(dtype, copy=False)
        learned = [self._fitted(name, dtype) for name in ("_mean", "means_", "_whitening")]
        return length_one(X) if self.normalize else X, learned

    def _score(self, X, away):
        """Return scores from distances to classes; the last axis is rows."""
        if not self.relative:
            return -away
        return lengths((X - self._mean) @ self._background) ** 2 - away**2

    def _to_onnx(self, **values):
        features = values[self.space].astype(np.float64)
        features = features.length_one() if self.normalize else features
        if self.covariance == "tied":
            away = ((features - self._mean) @ self._whitening).distances(self._centers)
        else:
            away = features.graph.each_row(
                lambda mean, matrix: ((features - mean) @ matrix).lengths(),
                self.means_,
                self._whitening,
            )
        if not self.relative:
            return -away
        background = ((features - self._mean) @ self._background).lengths(keepdims=True)
        return background * background - away * away


def distances(
    X: NDArray[np.floating[Any]], centers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Euclidean distances of shape (n_samples, n_centers), from differences."""
    found = [cdist(X[rows], centers) for rows in blocks(*X.shape)]
    return found[0] if len(found) == 1 else np.concatenate(found)

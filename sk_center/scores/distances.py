"""Distances to the middle of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf
from sklearn.utils._param_validation import StrOptions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

from sk_center._utils.schema import array, each, either
from sk_center.scores.base import BaseScore

__all__ = ["CenterDistance", "Mahalanobis"]

SHRINKAGES = {"ledoit_wolf": LedoitWolf, "oas": OAS, None: EmpiricalCovariance}


class CenterDistance(BaseScore):
    """Minus the Euclidean distance to the center of each class.

    Parameters
    ----------
    centers : array-like of shape (n_classes, n_features), default=None
        The centers, in the order of the sorted classes; by default the mean of each
        class. Given centers leave nothing to learn.

    Attributes
    ----------
    centers_ : ndarray of shape (n_classes, n_features)
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
    sk_center.CenterLossClassifier : Trains features for which this is the natural score.

    Examples
    --------
    >>> from sk_center.scores import CenterDistance
    >>> score = CenterDistance().fit([[0.0], [2.0], [10.0]], [0, 0, 1])
    >>> score.score_classes([[2.0], [7.0]])
    array([[-1., -8.],
           [-6., -3.]])
    """

    radial = True
    _saved_state = {"centers_": array("f", "K", "columns")}

    def __init__(self, centers: ArrayLike | None = None) -> None:
        self.centers = centers

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether the centers come from the data."""
        return self.centers is None

    def _fit(self, y, features):
        self.centers_ = given_or_means(self.centers, features, y, len(self.classes_))

    def _score_classes(self, features):
        return -cdist(features, self.centers_)


class Mahalanobis(BaseScore):
    """Minus the Mahalanobis distance to the mean of each class.

    ``sqrt((x - mean_k)' S^-1 (x - mean_k))`` with one covariance S for all classes, that
    of the deviations from the class means, or with one for each class. [1]_ takes the
    square with the plain covariance for all classes.

    Parameters
    ----------
    covariance : {"tied", "class"}, default="tied"
        Whether all classes share one covariance or each has its own, which takes many
        more samples than features in every class.

    shrinkage : {"ledoit_wolf", "oas"} or None, default="ledoit_wolf"
        Shrinkage of the covariance, an estimator of :mod:`sklearn.covariance`; None is
        the plain covariance, for many more samples than features.

    centers : array-like of shape (n_classes, n_features), default=None
        The centers, in the order of the sorted classes; by default the mean of each
        class.

    relative : bool, default=False
        Whether to score by ``d_0^2 - d_k^2``, where d_k is the distance above and d_0
        that to the mean of all samples with the covariance of all samples [2]_: what is
        far from everything along directions that tell no classes apart then counts less.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_features)
        Mean or given center of each class.

    covariance_ : ndarray of shape (n_features, n_features) or \
            (n_classes, n_features, n_features)
        The shrunk covariance within classes, or that of each class.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    CenterDistance : Takes all directions alike.
    ViM : Takes the logits into account, too.
    sklearn.covariance.LedoitWolf : The default covariance estimator.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee, J. Shin. "A simple unified framework for detecting
       out-of-distribution samples and adversarial attacks". NeurIPS 2018.
    .. [2] J. Ren, S. Fort, J. Liu, A. G. Roy, S. Padhy, B. Lakshminarayanan. "A simple fix
       to Mahalanobis distance for improving near-OOD detection". arXiv:2106.09022, 2021.

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
        "shrinkage": [StrOptions({"ledoit_wolf", "oas"}), None],
        "centers": ["array-like", None],
        "relative": ["boolean"],
    }
    _saved_state = {
        "means_": array("f", "K", "columns"),
        "covariance_": either(
            array("f", "columns", "columns"), array("f", "K", "columns", "columns")
        ),
        "_whitening": either(
            each(array("f", "columns", "columns"), 1),
            each(array("f", "columns", "columns"), "K"),
        ),
        "?_mean": array("f", 1, "columns"),
        "?_background": array("f", "columns", "columns"),
    }

    def __init__(
        self,
        covariance: Literal["tied", "class"] = "tied",
        *,
        shrinkage: Literal["ledoit_wolf", "oas"] | None = "ledoit_wolf",
        centers: ArrayLike | None = None,
        relative: bool = False,
    ) -> None:
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.centers = centers
        self.relative = relative

    @property
    def radial(self) -> bool:  # type: ignore[override]
        """Whether the score is minus a distance, not a difference of two."""
        return not self.relative

    def _fit(self, y, features):
        X = features.astype(np.float64, copy=False)
        self.means_ = given_or_means(self.centers, X, y, len(self.classes_))
        deviations = X - self.means_[y]
        if self.covariance == "tied":
            self.covariance_ = self._covariance(deviations)
            # Once for all classes: joblib would write it once for each.
            self._whitening = [whitening(self.covariance_)]
        else:
            unknown = np.full((X.shape[1], X.shape[1]), np.nan)
            self.covariance_ = np.repeat(unknown[None], len(self.means_), axis=0)
            self._whitening = [unknown] * len(self.means_)
            for k in np.unique(y):
                self.covariance_[k] = self._covariance(deviations[y == k])
                self._whitening[k] = whitening(self.covariance_[k])
        if self.relative:
            self._mean = X.mean(axis=0, keepdims=True)
            self._background = whitening(self._covariance(X - self._mean))

    def _covariance(self, deviations):
        estimator = SHRINKAGES[self.shrinkage](assume_centered=True)
        return estimator.fit(deviations).covariance_

    def _score_classes(self, features):
        X = features
        if self.covariance == "tied":
            away = cdist(X @ self._whitening[0], self.means_ @ self._whitening[0])
        else:
            columns = [
                cdist(X @ white, (mean @ white)[None])
                for white, mean in zip(self._whitening, self.means_)
            ]
            away = np.concatenate(columns, axis=1)
        if not self.relative:
            return -away
        background = cdist(X @ self._background, self._mean @ self._background)
        return background**2 - away**2


def whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that brings a covariance to one in all directions.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Covariance.

    Returns
    -------
    matrix : ndarray of shape (n_features, n_features)
        ``X @ matrix`` has Euclidean distances that are Mahalanobis distances of X.
    """
    variances, axes = np.linalg.eigh(covariance)
    # Features that never vary leave no variance to divide by.
    floor = np.finfo(float).eps * (variances.max() or 1.0)
    return axes / np.sqrt(np.maximum(variances, floor))


def class_means(X: NDArray[Any], y: NDArray[Any], n_classes: int) -> NDArray[np.float64]:
    """Return the mean of each class.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    y : ndarray of shape (n_samples,)
        Class indices.

    n_classes : int
        Number of classes.

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        Means; NaN for a class without samples.
    """
    ones = np.ones(len(y))
    members = csr_array((ones, (y, np.arange(len(y)))), shape=(n_classes, len(y)))
    with np.errstate(invalid="ignore"):
        return (members @ X) / np.bincount(y, minlength=n_classes)[:, None]


def given_or_means(
    centers: ArrayLike | None, X: NDArray[Any], y: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Return given centers after a check of their shape, or else the class means.

    Parameters
    ----------
    centers : array-like of shape (n_classes, n_features) or None
        The centers.

    X : ndarray of shape (n_samples, n_features)
        Samples.

    y : ndarray of shape (n_samples,)
        Class indices.

    n_classes : int
        Number of classes.

    Returns
    -------
    centers : ndarray of shape (n_classes, n_features)
        The centers, float64; NaN for a class without samples and without given center.
    """
    if centers is None:
        return class_means(X, y, n_classes)
    centers = np.asarray(centers, dtype=np.float64)
    if centers.shape != (n_classes, X.shape[1]):
        raise ValueError(
            f"centers must have the shape (n_classes, n_features) = "
            f"{(n_classes, X.shape[1])}; got {centers.shape}."
        )
    # partial_fit puts the center of a class not seen so far infinitely far away.
    return np.where(np.isfinite(centers), centers, np.nan)

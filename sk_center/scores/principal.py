"""Principal directions, and the distance that they measure."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn import config_context
from sklearn.decomposition import PCA

from sk_center._utils.compat import Interval, StrOptions
from sk_center._utils.schema import array, boolean, positive
from sk_center.scores.base import ScoreInSpace
from sk_center.scores.parts import SPACES
from sk_center.scores.rows import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The variance left in a direction is at least this share of the mean one, so that rounding
# does not count where samples fill few directions.
LEAST_SHARE = 1e-6
# So that squares of the largest numbers stay finite.
LARGEST = np.finfo(np.float64).max


class PrincipalDistance(ScoreInSpace, name="principal_distance"):
    """Minus the Mahalanobis distance to the mean of all samples, by principal directions.

    The covariance is that of probabilistic principal components [1]_: the variances of all
    training samples in their leading principal directions, and in all others their mean. A
    sample is far when it has much where training samples have little, which directions of
    rows of length one and probabilities do not tell. It is the same for every class.

    Parameters
    ----------
    n_directions : int, default=32
        Number of leading principal directions, at most half of the columns and half of the
        training samples.

    space : {"features", "inputs", "layers", "raw_inputs"}, default="inputs"
        The part in which the distance is measured.

    Attributes
    ----------
    mean_ : ndarray of shape (n_columns,)
        Mean of the training samples.

    table_ : ndarray of shape (n_columns, n_directions)
        Principal directions, times the root of the difference between the precision of all
        other directions and their own.

    rest_ : float
        Variance in each direction that is not a leading one.

    narrow_ : bool
        Whether samples in float32 are scored in float32, as by :class:`Mahalanobis`.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    Mahalanobis : With the full covariance within classes, to the mean of each class.
    InputDensity : A density for each class in principal directions alone.
    sklearn.decomposition.PCA : Its ``score_samples`` is the density of the same model.

    References
    ----------
    .. [1] M. E. Tipping, C. M. Bishop. "Probabilistic principal component analysis".
       Journal of the Royal Statistical Society B 61, 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import PrincipalDistance
    >>> X = np.random.default_rng(0).normal(size=(200, 4)) * [9, 5, 0.1, 0.1]
    >>> score = PrincipalDistance().fit(X, X[:, 0] > 0)
    >>> score.score_samples([[9.0, 5.0, 0.0, 0.0], [9.0, 5.0, 1.0, 0.0]]).round(0)
    array([ -1., -10.])
    """

    per_class = False
    _parameter_constraints: dict = {
        "n_directions": [Interval(Integral, 1, None, closed="left")],
        "space": [StrOptions({*SPACES})],
    }
    _saved_state = {
        "mean_": array("f", "columns"),
        "table_": array("f", "columns", "directions"),
        "rest_": positive,
        "narrow_": boolean,
    }

    def __init__(
        self,
        n_directions: int = 32,
        *,
        space: Literal["features", "inputs", "layers", "raw_inputs"] = "inputs",
    ) -> None:
        self.n_directions = n_directions
        self.space = space

    def _fit(self, y, **parts):
        X = parts[self.space]
        n_directions = max(min(self.n_directions, X.shape[1] // 2), 1)
        self.mean_ = X.mean(axis=0, dtype=np.float64)
        axes, variances = principal_directions(X, n_directions)
        total = X.var(axis=0, dtype=np.float64).sum() * len(X) / max(len(X) - 1, 1)
        left = max(total - variances.sum(), 0) / max(X.shape[1] - len(variances), 1)
        self.rest_ = float(max(left, LEAST_SHARE * total / X.shape[1])) or 1.0
        gain = np.maximum(1 / self.rest_ - 1 / np.maximum(variances, self.rest_), 0)
        self.table_ = axes * np.sqrt(gain)
        self._decide_narrow(X)

    def _regroup(self, kept, y, **parts):
        """Learn nothing: the directions stay."""

    def _score_classes(self, **parts):
        X = parts[self.space]
        squares, dtype = np.empty(len(X)), self._dtype(X)
        mean, table = self._fitted("mean_", dtype), self._fitted("table_", dtype)
        for rows in blocks(*X.shape):
            away = X[rows] - mean
            inside = away @ table
            squares[rows] = np.einsum("ij,ij->i", away, away) / self.rest_
            squares[rows] -= np.einsum("ij,ij->i", inside, inside)
        # Nothing is left of infinity less infinity; fmin takes it for the largest.
        squares = np.maximum(np.fmin(squares, LARGEST, out=squares), 0, out=squares)
        return -np.sqrt(squares, out=squares)

    def _to_onnx(self, **values):
        away = values[self.space].astype(np.float64) - self.mean_
        squares = away.reduce("SumSquare", 1, keepdims=True) * (1 / self.rest_)
        squares = squares - (away @ self.table_).reduce("SumSquare", 1, keepdims=True)
        squares = away.graph.where(squares.isnan(), np.full((1, 1), LARGEST), squares)
        return -squares.maximum(0.0).minimum(float(LARGEST)).sqrt()


def principal_directions(
    X: NDArray[np.floating[Any]], n_directions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the leading principal directions of samples, and their variances there.

    So many samples have no more directions; half of them leave some to judge by.
    """
    n_directions = max(min(n_directions, len(X) // 2, X.shape[1]), 1)
    X = X if len(X) > 1 else np.repeat(X, 2, axis=0)  # one sample has no variance
    solver = "randomized" if n_directions < min(X.shape) / 2 else "full"
    # These are arrays of numpy, of which array API dispatch would allow no randomness.
    # The shares of variance, which PCA makes too, are not asked for.
    with config_context(array_api_dispatch=False), np.errstate(invalid="ignore"):
        pca = PCA(n_directions, svd_solver=solver, random_state=0).fit(X)
    return (
        pca.components_.T.astype(np.float64),
        pca.explained_variance_.astype(np.float64),
    )

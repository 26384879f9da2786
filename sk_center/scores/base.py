"""What all scores share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Consumed, Seen

__all__ = ["BaseScore"]

# Beyond it sums of squares overflow.
LARGEST = 1e150


class BaseScore(BaseEstimator):
    """Base class of the scores.

    A score is fitted on what it consumes of training samples, with their labels, and
    then tells for each class how typical of it new samples look.

    A score of your own derives from it and defines ``_score_classes(X)``, which returns an
    array of shape (n_samples, n_classes), or of shape (n_samples,) for a score that is the
    same for every class; larger is more typical. If it has something to learn,
    ``_fit(X, y)`` learns it, else ``learns = False`` says so. Both get validated arrays,
    and ``y`` holds indices of ``classes_``.

    Attributes
    ----------
    consumes : {"features", "inputs", "logits", "probabilities"} or tuple of those
        What ``X`` is in the methods: features of any kind, or what the classifier makes
        them of, or class logits or class probabilities in the order of the classes; of a
        tuple, each of those side by side.

    learns : bool
        Whether ``fit`` learns from the data. What it learns it must learn from samples
        that do not calibrate.

    radial : bool
        Whether the score of a class is minus the distance to its middle, the law of which
        ``calibration="gaussian"`` knows.

    allow_nan : bool
        Whether ``X`` may hold NaN, for values that are missing.

    classes_ : ndarray of shape (n_classes,)
        Class labels, once it is fitted.

    n_features_in_ : int
        Number of columns of what the score consumes, once it is fitted.

    See Also
    --------
    FunctionScore : Makes a score of a function, which learns nothing.
    PerClass : Makes a score of a density or outlier estimator of scikit-learn.
    sk_center.OpenSetClassifier : Takes a score as ``conformity_score``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import BaseScore
    >>> class CityBlock(BaseScore):
    ...     def _fit(self, X, y):
    ...         members = [X[y == k] for k in range(len(self.classes_))]
    ...         self.middles_ = np.array([np.median(part, axis=0) for part in members])
    ...
    ...     def _score_classes(self, X):
    ...         return -np.abs(X[:, None] - self.middles_).sum(axis=2)
    >>> score = CityBlock().fit([[0.0, 0.0], [2.0, 2.0], [9.0, 0.0]], ["a", "a", "b"])
    >>> score.score_classes([[3.0, 0.0]])
    array([[-3., -6.]])
    """

    consumes: Consumed = "features"
    learns: bool = True
    radial: bool = False
    allow_nan: bool = False
    classes_: NDArray[Any]
    n_features_in_: int
    _parameter_constraints: dict = {}

    def fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn from training samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All class labels, where y may lack some; by default those in y. Of a class
            without samples a score that learns from samples knows nothing: it is minus
            infinity there, unless what the score consumes tells it.

        Returns
        -------
        self : BaseScore
            The fitted score.

        Raises
        ------
        ValueError
            If the data or a parameter is invalid, ``y`` holds a label that is not among
            ``classes``, or ``X`` has not the columns that the score consumes.
        """
        self._validate_params()
        finite = "allow-nan" if self.allow_nan else True
        X, y = check_X_y(X, y, dtype=np.float64, ensure_all_finite=finite)
        self.classes_ = np.unique(y if classes is None else np.asarray(classes))
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds the labels {unknown.tolist()}, which are not among classes, "
                f"{self.classes_.tolist()}."
            )
        y = np.searchsorted(self.classes_, y)
        self.n_features_in_ = X.shape[1]
        largest = max(np.fmax.reduce(X, axis=None), -np.fmin.reduce(X, axis=None))
        if self.learns and largest > LARGEST:
            raise ValueError(
                f"X must be at most {LARGEST:g} in size, so that squares stay finite; got "
                f"{largest:g}. Scale it (StandardScaler helps)."
            )
        one_each = self.consumes in ("logits", "probabilities")
        if one_each and X.shape[1] != len(self.classes_):
            raise ValueError(
                f"X must hold one column for each of {len(self.classes_)} classes; got "
                f"{X.shape[1]} columns."
            )
        self._fit(X, y)
        return self

    def _fit(self, X, y):
        """Learn from validated samples and class indices; many scores learn nothing.

        Indices may be missing. A score of NaN says that nothing is known of a class.
        """

    def score_classes(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return how typical of each class the samples look.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
            Scores, larger is more typical; float32 for float32 input, else float64.

        Raises
        ------
        ValueError
            If ``X`` has another number of columns than in ``fit``.
        """
        check_is_fitted(self)
        finite = "allow-nan" if self.allow_nan else True
        X = check_array(
            X, dtype=[np.float64, np.float32], ensure_all_finite=finite, input_name="X"
        )
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        # Of samples so far out that numbers overflow no number tells how far.
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self._score_classes(X)
            scores = np.where(np.isnan(scores), -np.inf, scores)
            if scores.ndim == 1:  # the same for every class
                scores = np.repeat(scores[:, None], len(self.classes_), axis=1)
            return scores.astype(X.dtype, copy=False)

    def score_samples(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return how known the samples look: the score of their most typical class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Scores; larger is more known.
        """
        return self.score_classes(X).max(axis=1)


def as_tuple(consumes: Consumed) -> tuple[Seen, ...]:
    """Return what a score consumes as a tuple, also where it is one thing.

    Parameters
    ----------
    consumes : str or tuple of str
        What a score consumes.

    Returns
    -------
    consumes : tuple of str
        The same.
    """
    return (consumes,) if isinstance(consumes, str) else consumes


def score_by_class(
    estimators: dict[int, Any], X: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Return what the estimator of each class says of samples.

    Parameters
    ----------
    estimators : dict of estimators
        The fitted estimator of each class that has one, by class index.

    X : ndarray of shape (n_samples, n_features)
        Samples.

    n_classes : int
        Number of classes.

    Returns
    -------
    scores : ndarray of shape (n_samples, n_classes)
        Scores; NaN for a class without estimator.
    """
    scores = np.full((len(X), n_classes), np.nan)
    for k, estimator in estimators.items():
        scores[:, k] = estimator.score_samples(X)
    return scores

"""Base class of scores."""

from __future__ import annotations

from copy import copy
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from sk_center._utils.compat import fit_context
from sk_center._utils.labels import check_no_label_missing
from sk_center._utils.samples import some_rows
from sk_center._utils.schema import labels, sizes_of
from sk_center._utils.state import restored_on_error
from sk_center.scores.parts import PARTS, check_columns, check_sizes, checked_parts
from sk_center.scores.rows import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

# Scores by the names that OpenSetClassifier takes.
SCORES: dict[str, type[BaseScore]] = {}
# float32 is enough if it changes scores of so many samples by no more than this share.
MEASURED, FLOAT32_ERROR = 200, 1e-5
# Numbers that are computed at once when rows are scored in blocks, 8 MB.
BLOCK = 2**20


class BaseScore(BaseEstimator):
    """Base class of the scores.

    A score is fitted to parts of training samples, with their labels, and then gives for
    each class how typical of it other samples are. The parts are the ``"features"`` of an
    estimator, or else its inputs; the ``"inputs"`` of its last step; ``"logits"`` and
    ``"probabilities"``, one column for each class. They are arrays of
    shape (n_samples, n_columns), float32 or float64.

    A score of your own derives from it and names the parts that it needs in ``needs``.
    ``_score_classes`` gets them as keyword arguments and returns an array of shape
    (n_samples, n_classes), or (n_samples,) with ``per_class = False`` for a score that is
    the same for every class; larger is more typical. A score that learns from samples does
    so in ``_fit(self, y, **parts)``, where ``y`` holds indices of ``classes_``, some of
    which may be missing; otherwise set ``learns = False``. ``_score_own(self, index,
    **parts)`` may return the same scores for one class per sample, of shape (n_samples,),
    if that is cheaper than all classes. NaN means that the score is unknown.

    Attributes
    ----------
    needs : tuple of {"features", "inputs", "logits", "probabilities"}
        The parts that the score is computed from.

    learns : bool
        Whether ``fit`` learns from samples. These must not be calibration samples.

    per_class : bool
        Whether the score differs between classes.

    radial : bool
        Whether the score of a class is minus the distance to its center, for which
        ``calibration="gaussian"`` has a distribution.

    allow_nan : bool
        Whether the parts may hold NaN, for values that are missing.

    accepts_sparse : bool
        Whether features and inputs may be sparse.

    classes_ : ndarray of shape (n_classes,)
        Class labels, once it is fitted.

    n_columns_ : dict of int
        Number of columns of each part by its name, once it is fitted.

    n_features_in_ : int
        Number of columns of all parts together, once it is fitted.

    See Also
    --------
    FunctionScore : A score from a function, which learns nothing.
    PerClass : A score from a density or outlier estimator of scikit-learn.
    sk_center.OpenSetClassifier : Takes a score as ``conformity_score``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import BaseScore
    >>> class CityBlock(BaseScore):
    ...     def _fit(self, y, features):
    ...         groups = [features[y == k] for k in range(len(self.classes_))]
    ...         self.medians_ = np.array([np.median(group, axis=0) for group in groups])
    ...
    ...     def _score_classes(self, features):
    ...         return -np.abs(features[:, None] - self.medians_).sum(axis=2)
    >>> score = CityBlock().fit([[0.0, 0.0], [2.0, 2.0], [9.0, 0.0]], ["a", "a", "b"])
    >>> score.score_classes([[3.0, 0.0]])
    array([[-3., -6.]])
    >>> score.score_labels([[3.0, 0.0]], ["b"])
    array([-6.])
    """

    needs: tuple[str, ...] = ("features",)
    learns: bool = True
    per_class: bool = True
    radial: bool = False
    allow_nan: bool = False
    accepts_sparse: bool = False
    classes_: NDArray[Any]
    n_columns_: dict[str, int]
    _parameter_constraints: dict = {}
    _saved_state: dict = {"classes_": labels, "n_columns_": sizes_of(PARTS, "columns")}

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name is not None:
            SCORES[name] = cls

    @property
    def n_features_in_(self) -> int:
        """Number of columns of all parts together."""
        return sum(self.n_columns_.values())

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike | Mapping[str, Any],
        y: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Learn from training samples.

        If it fails or is interrupted, the score stays as it was.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), or mapping of those
            The part that the score needs, or a mapping of the parts by name.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All class labels, if y may lack some; by default those in y. A score that learns
            from samples is minus infinity for a class without any, unless it follows from
            the parts.

        Returns
        -------
        self : BaseScore
            The fitted score.

        Raises
        ------
        ValueError
            If the data or a parameter is invalid, ``y`` holds a label that is not among
            ``classes`` or continuous numbers, or ``X`` lacks columns that the score needs.
        """
        with restored_on_error(self):
            check_no_label_missing(y)
            y = column_or_1d(y)
            assert_all_finite(y, input_name="y")
            check_classification_targets(y)
            parts = checked_parts(self, X)
            check_consistent_length(y, *parts.values())
            classes = np.unique(y if classes is None else np.asarray(classes))
            unknown = np.setdiff1d(y, classes)
            if len(unknown):
                raise ValueError(
                    f"y holds the labels {unknown.tolist()}, which are not among classes, "
                    f"{classes.tolist()}."
                )
            for name in {"logits", "probabilities"} & {*parts}:
                if parts[name].shape[1] != len(classes):
                    raise ValueError(
                        f"{name} must have one column for each of {len(classes)} classes; "
                        f"got {parts[name].shape[1]} columns."
                    )
            if self.learns:
                check_sizes(parts)
            self._learn(np.searchsorted(classes, y), parts, classes)
            self._warn()
        return self

    def _learn(self, y, parts, classes):
        """Learn from class indices and checked parts, and return the score."""
        vars(self).pop("_cache", None)
        self.classes_ = classes
        self.n_columns_ = {name: parts[name].shape[1] for name in self.needs}
        self._fit(y, **{name: parts[name] for name in self.needs})
        return self

    def _warn(self):
        """Warn of data for which the score is known to fail."""

    def _fit(self, y, **parts):
        """Learn from class indices and parts; many scores learn nothing."""

    def with_classes(
        self,
        classes: NDArray[Any],
        kept: NDArray[np.intp],
        X: Mapping[str, Any] | None = None,
        y: NDArray[np.intp] | None = None,
    ) -> Self:
        """Return a copy for other classes; nothing else is learned again.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,)
            The class labels of the copy, sorted.

        kept : ndarray of shape (n_classes,), int
            Index in ``classes_`` of each of them, or -1 for a class that is new.

        X : mapping of arrays of shape (n_samples, n_columns), default=None
            Parts of training samples of the new classes, by name; None if there are none.

        y : ndarray of shape (n_samples,), int, default=None
            Indices of their classes.

        Returns
        -------
        score : BaseScore
            The fitted copy.

        Raises
        ------
        ValueError
            If this kind of score cannot add classes.
        """
        if X is None:
            parts = {name: np.empty((0, n)) for name, n in self.n_columns_.items()}
            y = np.zeros(0, dtype=np.intp)
        else:
            parts = checked_parts(self, X)
        found = copy(self)  # without cached values
        found.classes_ = classes
        columns = {name: len(classes) for name in ("logits", "probabilities")}
        found.n_columns_ = {
            name: columns.get(name, n) for name, n in self.n_columns_.items()
        }
        found._regroup(kept, y, **parts)
        return found

    def _regroup(self, kept, y, **parts):
        """Keep the fitted values of kept classes, and learn those of the samples."""
        raise ValueError(
            f"conformity_score={type(self).__name__} cannot add or remove classes; fit "
            "again with all classes, or with another conformity_score, such as 'knn', "
            "'center_distance' or 'mahalanobis'."
        )

    def score_classes(self, X: ArrayLike | Mapping[str, Any]) -> NDArray[np.floating[Any]]:
        """Return how typical of each class the samples are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), or mapping of those
            The part that the score needs, or a mapping of the parts by name.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
            Scores, larger is more typical; minus infinity if unknown. float32 if all parts
            are, else float64.

        Raises
        ------
        ValueError
            If ``X`` has not the columns that it had in ``fit``.
        """
        return np.array(self.scores_of(self._parts(X)))

    def score_labels(
        self, X: ArrayLike | Mapping[str, Any], y: ArrayLike
    ) -> NDArray[np.floating[Any]]:
        """Return how typical each sample is of one class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), or mapping of those
            The part that the score needs, or a mapping of the parts by name.

        y : array-like of shape (n_samples,)
            The class label that each sample is compared with.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Scores, equal to those of ``score_classes`` in the column of the label, up to
            rounding.

        Raises
        ------
        ValueError
            If ``X`` has not the columns that it had in ``fit``, or ``y`` holds a label
            that is not among ``classes_``.
        """
        parts, y = self._parts(X), column_or_1d(y)
        check_consistent_length(y, *parts.values())
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds the labels {unknown.tolist()}, which are not among classes_, "
                f"{self.classes_.tolist()}."
            )
        return self.scores_of(parts, np.searchsorted(self.classes_, y))

    def score_samples(self, X: ArrayLike | Mapping[str, Any]) -> NDArray[np.floating[Any]]:
        """Return how typical of the known classes the samples are: the largest score.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), or mapping of those
            The part that the score needs, or a mapping of the parts by name.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The largest score of any class; larger is more typical.
        """
        return self.scores_of(self._parts(X)).max(axis=1)

    def scores_of(
        self, parts: Mapping[str, Any], index: NDArray[np.intp] | None = None
    ) -> NDArray[np.floating[Any]]:
        """Return scores of checked parts.

        It is fast, since it does not check its arguments as the other methods do.

        Parameters
        ----------
        parts : mapping of arrays of shape (n_samples, n_columns)
            At least the parts that the score needs, float32 or float64.

        index : ndarray of shape (n_samples,), default=None
            The index of one class for each sample; by default all classes.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores, minus infinity if unknown. The array must not be changed.
        """
        parts = {name: parts[name] for name in self.n_columns_}
        # Samples so far out that numbers overflow have no finite score.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            lost = self._lost_rows(parts)
            if lost is not None:
                parts = {
                    name: np.where(lost[:, None], 0, part).astype(part.dtype)
                    for name, part in parts.items()
                }
            scores = known_only(self._computed(parts, index))
        if lost is not None:
            scores = np.array(scores)
            scores[lost] = -np.inf
        if index is None and scores.ndim == 1:  # the same for every class
            return np.broadcast_to(scores[:, None], (len(scores), len(self.classes_)))
        return scores

    def _computed(self, parts, index):
        """Return scores of finite parts, NaN if unknown."""
        parts = {name: parts[name] for name in self.n_columns_}
        if index is None:
            scores = self._score_classes(**parts)
        else:
            scores = self._score_own(index, **parts)
        return scores.astype(_common_dtype(parts), copy=False)

    def _score_classes(self, *args: Any, **parts: Any) -> Any:
        """Return the scores of all classes, or one per sample."""
        raise NotImplementedError(f"{type(self).__name__} must define _score_classes.")

    def _score_own(self, index, **parts):
        """Return the score of one class per sample, from blocks of rows of all classes."""
        if not self.per_class:
            return self._score_classes(**parts)
        found = []
        for rows in blocks(len(index), len(self.classes_), BLOCK):
            scores = self._score_classes(
                **{name: part[rows] for name, part in parts.items()}
            )
            if scores.ndim == 2:
                own = index[rows]
                scores = scores[np.arange(len(own)), own]
            found.append(scores)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _lost_rows(self, parts):
        """Return which rows hold numbers that are not finite, None if none do."""
        lost = None
        for part in parts.values():
            # The sum is finite unless a number is not, or it overflows.
            if not (isfinite(part.sum()) or issparse(part)):
                bad = np.isinf(part) if self.allow_nan else ~np.isfinite(part)
                lost = bad.any(axis=1) if lost is None else lost | bad.any(axis=1)
        return lost

    def _to_onnx(self, **values):
        """Return the scores of all classes, or one column, of values of an ONNX graph."""
        raise ValueError(
            f"conformity_score={self!r} cannot be exported: only Python can compute it."
        )

    def _scores_to_onnx(self, values):
        """Return what ``scores_of`` returns for all classes, of values of an ONNX graph."""
        values = {name: values[name] for name in self.n_columns_}
        dtype = _common_dtype(values)
        values = {name: value.astype(dtype) for name, value in values.items()}
        (owner, *_) = (one for one in type(self).__mro__ if "_score_classes" in vars(one))
        if "_to_onnx" not in vars(owner):  # that of a base is of another score
            BaseScore._to_onnx(self)
        scores = self._to_onnx(**values)
        # Repeats one column for all classes.
        lowest = np.full((1, len(self.classes_)), -np.inf)
        return scores.graph.where(scores.isnan(), lowest, scores).astype(dtype)

    def _cached(self, key, make):
        """Return a value derived from the fitted state, computed at its first use."""
        cache = vars(self).setdefault("_cache", {})
        if key not in cache:
            cache[key] = make()
        return cache[key]

    def __getstate__(self):
        """Return the state of a pickle, without cached values."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_cache"}

    def _parts(self, X):
        """Return checked parts of X."""
        check_is_fitted(self)
        parts = checked_parts(self, X)
        check_columns(self, parts)
        return parts


class ScoreInSpace(BaseScore):
    """Base class of scores of one part of any width, which ``space`` names.

    Some compute in float32 where ``narrow_``: the part is in float32, and that was enough
    for training samples.
    """

    space: str
    narrow_: bool

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The part that the score is computed from."""
        return (self.space,)

    def _decide_narrow(self, X):
        """Decide whether float32 gives the scores that float64 does, of some samples."""
        some, self.narrow_ = X[some_rows(len(X), MEASURED)], True
        with np.errstate(all="ignore"):
            narrow, wide = (
                self._score_classes(**{self.space: some.astype(dtype)})
                for dtype in (np.float32, np.float64)
            )
            wrong = np.abs(narrow - wide) > FLOAT32_ERROR * np.maximum(np.abs(wide), 1)
        self.narrow_ = bool((np.isnan(narrow) == np.isnan(wide)).all() and not wrong.any())

    def _dtype(self, X):
        """Return the dtype in which the score of a part is computed."""
        narrow = getattr(self, "narrow_", False) and X.dtype == np.float32
        return np.float32 if narrow else np.float64

    def _fitted(self, name, dtype):
        """Return a fitted array in a dtype."""
        if dtype is np.float64:
            return getattr(self, name)
        return self._cached((name, dtype), lambda: getattr(self, name).astype(dtype))


def known_only(scores: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return scores, minus infinity if unknown."""
    unknown = np.isnan(scores)
    return np.where(unknown, -np.inf, scores) if unknown.any() else scores


def _common_dtype(parts):
    """Return the dtype of scores: float32 if all parts are, else float64."""
    for part in parts.values():
        if part.dtype != np.float32:
            return np.float64
    return np.float32

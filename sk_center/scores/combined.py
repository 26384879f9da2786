"""Several scores as one."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import clone

from sk_center._utils.compat import StrOptions
from sk_center._utils.schema import array, bounded, each, instance_of
from sk_center.scores.base import BaseScore
from sk_center.scores.registry import make_score
from sk_center.scores.rows import regrouped

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The 5 % quantile of so many samples is known well enough.
MOST_SCALED, N_FOLDS = 500, 3


class Combined(BaseScore):
    """Several scores as one, after each was brought to the same scale.

    A score s becomes ``(s - median) / (median - q05)``, where the median and the 5 %
    quantile are those of the scores of training samples for their own class. The least of
    them is as strict as the strictest score, their sum lets one score make good for
    another. A score that knows nothing of a class, of which there were no samples, has no
    say in it.

    The scale is measured on samples that the score did not learn from: training samples
    are dealt into three folds, and a copy of the score that learned from the others scores
    each, until 500 samples have a score. Classes of one sample have no part in it.

    Parameters
    ----------
    scores : list of score, name of a score, estimator or callable
        Scores, not fitted, or anything else that
        :class:`~sk_center.OpenSetClassifier` takes for one. Each gets the parts that it
        needs.

    how : {"min", "sum"}, default="min"
        How to combine them: ``"min"`` rejects what any score finds atypical, ``"sum"``
        what they find atypical together.

    weights : list of float, default=None
        Positive factors of the scores after they were brought to one scale; None is one
        each.

    limits : list of (low, high) or None, default=None
        Bounds between which each score is kept on the common scale, before its weight;
        None for a score, or in place of the list, bounds nothing. With ``(-2, 0)`` a score
        may count against a sample, up to twice its spread, but not for it.

    standardize : list of bool, default=None
        Whether each score is brought to the common scale, or taken as it is; None brings
        all.

    Attributes
    ----------
    scores_ : list of BaseScore
        The scores, fitted on all training samples.

    known_ : ndarray of shape (n_scores, n_classes) of bool
        Whether a score knows anything of a class.

    medians_ : ndarray of shape (n_scores,)
        Median of each score over held-out training samples.

    spreads_ : ndarray of shape (n_scores,)
        Median minus 5 % quantile of each score; where that is zero the standard deviation,
        and one where that is zero, too.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    sk_center.OpenSetClassifier : Combines the scores of a list by their ``"min"``; its
        ``"auto"`` is a ``"sum"``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_center.scores import Combined
    >>> X, y = load_iris(return_X_y=True)
    >>> score = Combined(["center_distance", "mahalanobis"]).fit(X, y)
    >>> typical, outsider = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, outsider]).round(1)
    array([ 0.5, -2.4])
    >>> score.set_params(how="sum").fit(X, y).score_samples([typical, outsider]).round(1)
    array([ 1.2, -3.4])
    """

    _parameter_constraints: dict = {
        "scores": [list],
        "how": [StrOptions({"min", "sum"})],
        "weights": [list, None],
        "limits": [list, None],
        "standardize": [list, None],
    }
    _saved_state = {
        "scores_": each(instance_of(BaseScore), "scores"),
        "known_": array("b", "scores", "K"),
        "medians_": array("f", "scores"),
        "spreads_": bounded(array("f", "scores"), np.finfo(np.float64).tiny),
    }

    def __init__(
        self,
        scores: list[Any],
        *,
        how: Literal["min", "sum"] = "min",
        weights: list[float] | None = None,
        limits: list[tuple[float, float] | None] | None = None,
        standardize: list[bool] | None = None,
    ) -> None:
        self.scores = scores
        self.how = how
        self.weights = weights
        self.limits = limits
        self.standardize = standardize

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The parts that the scores need, in alphabetical order."""
        return tuple(sorted({name for score in self._made() for name in score.needs}))

    @property
    def per_class(self) -> bool:  # type: ignore[override]
        """Whether any of the scores differs between classes."""
        return any(score.per_class for score in self._made())

    @property
    def allow_nan(self) -> bool:  # type: ignore[override]
        """Whether one of the scores takes NaN; the others refuse it in fit."""
        return any(score.allow_nan for score in self._made())

    @property
    def accepts_sparse(self) -> bool:  # type: ignore[override]
        """Whether one of the scores takes sparse parts; the others refuse them in fit."""
        return any(score.accepts_sparse for score in self._made())

    def _made(self):
        """Return the scores, not fitted and not to be fitted."""
        if not self.scores:
            raise ValueError("scores must hold at least one score; got [].")
        return [
            score if isinstance(score, BaseScore) else make_score(score)
            for score in self.scores
        ]

    def _fit(self, y, **parts):
        self._check_lists()
        made = [clone(score) for score in self._made()]
        # First on all samples: each says what is wrong with its parts.
        self.scores_ = [clone(score).fit(parts, y, self._indices()) for score in made]
        folds = held_out_folds(y, N_FOLDS)
        scales = [
            _scale(_own_scores(score, fitted, y, parts, folds)) if wanted else (0.0, 1.0)
            for score, fitted, wanted in zip(
                made, self.scores_, self.standardize or [True] * len(made)
            )
        ]
        self.medians_, self.spreads_ = np.transpose(scales)
        some = {name: part[:16] for name, part in parts.items()}
        seen = np.bincount(y, minlength=len(self.classes_)) > 0
        self.known_ = np.array(
            [
                np.isfinite(score.scores_of(some)).any(axis=0) | (seen & score.learns)
                for score in self.scores_
            ]
        )

    def _regroup(self, kept, y, **parts):
        # The scales stay, and every new class has samples.
        self.scores_ = [
            score.with_classes(self._indices(), kept, parts if len(y) else None, y)
            for score in self.scores_
        ]
        known = regrouped(self.known_.T, kept, np.ones((len(kept), 1), dtype=bool))
        self.known_ = known.T

    def _indices(self):
        """Return the labels by which the scores know the classes."""
        return np.arange(len(self.classes_))

    def _check_lists(self):
        """Raise ValueError unless the lists have an item for each score."""
        for name in ("weights", "limits", "standardize"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.scores):
                raise ValueError(
                    f"{name} must have one item for each of {len(self.scores)} scores; got "
                    f"{given!r}."
                )
        for weight in self.weights or ():
            if not isinstance(weight, Real) or not 0 < weight < np.inf:
                raise ValueError(f"weights must be positive; got {self.weights!r}.")
        for pair in self.limits or ():
            if pair is not None and not (len(pair) == 2 and pair[0] < pair[1]):
                raise ValueError(
                    f"limits must be pairs (low, high) or None; got {self.limits!r}."
                )

    def _score_classes(self, **parts):
        total = self._score_own(None, **parts)
        per_class = total.shape[1] > 1 or any(score.per_class for score in self.scores_)
        return total if per_class else total[:, 0]

    def _score_own(self, index, **parts):
        """Return the score of one class per sample; of all classes where index is None."""
        combine, neutral = (np.minimum, np.inf) if self.how == "min" else (np.add, 0.0)
        total = known = None
        if not self.known_.all():
            known = self.known_ if index is None else self.known_[:, index]
        for i, score in enumerate(self.scores_):
            scores = score._computed(parts, index)  # the sum of NaN, if unknown, is NaN
            if index is None and scores.ndim == 1:  # the same for every class
                scores = scores[:, None]
            scaled = self._scaled(i, scores)
            scaled = scaled if known is None else np.where(known[i], scaled, neutral)
            total = scaled if total is None else combine(total, scaled)
        return total if known is None else np.where(known.any(axis=0), total, -np.inf)

    def _scaled(self, i, scores):
        """Return scores of one of the scores on the common scale."""
        scores = (scores - self.medians_[i]) / self.spreads_[i]
        if self.limits and self.limits[i]:
            low, high = self.limits[i]
            scores = np.minimum(scores, high)
            if low > -np.inf:  # what nothing is known of stays minus infinity
                scores = np.where(scores == -np.inf, scores, np.maximum(scores, low))
        return scores * self.weights[i] if self.weights else scores

    def _to_onnx(self, **values):
        graph, total = next(iter(values.values())).graph, None
        neutral = np.inf if self.how == "min" else 0.0
        for i, score in enumerate(self.scores_):
            scaled = score._scores_to_onnx(values).astype(np.float64)
            scaled = (scaled - self.medians_[i]) / self.spreads_[i]
            if self.limits and self.limits[i]:
                low, high = map(float, self.limits[i])
                bounded = scaled.maximum(low).minimum(high)
                scaled = graph.where(scaled <= -np.inf, scaled, bounded)
            scaled = scaled * float(self.weights[i]) if self.weights else scaled
            known = self.known_[i]
            scaled = graph.where(known, scaled, np.full(len(known), neutral))
            if total is None:
                total = scaled
            else:
                total = total.minimum(scaled) if self.how == "min" else total + scaled
        known = self.known_.any(axis=0)
        return graph.where(known, total, np.full(len(known), -np.inf))

    def _check_loaded(self):
        """Raise ValueError if the scores know other classes."""
        for score in self.scores_:
            if len(score.classes_) != len(self.classes_):
                raise ValueError(f"a score knows {len(score.classes_)} classes")


def held_out_folds(y: NDArray[np.intp], n_folds: int) -> list[NDArray[np.intp]]:
    """Return the rows of folds in which every class of two samples or more leaves some.

    They are as many as take MOST_SCALED samples or more; a larger fold is cut to so many.
    """
    order = np.random.RandomState(0).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]  # class by class, shuffled
    sizes = np.bincount(y)
    place = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # in its class
    enough = np.repeat(sizes > 1, sizes)
    if len(y) < n_folds * MOST_SCALED:
        fold = (place + y[order]) % n_folds
        needed = range(min(-(-MOST_SCALED * n_folds // len(y)), n_folds))
        folds = [np.sort(order[enough & (fold == i)]) for i in needed]
        return [rows for rows in folds if len(rows)]
    share = np.repeat(np.ceil(sizes * MOST_SCALED / len(y)), sizes)
    return [np.sort(order[enough & (place < share)])]


def _own_scores(score, fitted, y, parts, folds):
    """Return scores of samples for their own class, which the score did not learn from.

    Those of the fitted score where it learns nothing, or no class can spare a sample.
    """
    if not folds or not score.learns:
        rows = np.sort(np.random.RandomState(0).permutation(len(y))[:MOST_SCALED])
        return fitted.scores_of(_rows(score, parts, rows), y[rows])
    found = []
    for rows in folds:
        others = np.setdiff1d(np.arange(len(y)), rows)
        other = clone(score)._learn(y[others], _rows(score, parts, others), fitted.classes_)
        found.append(other.scores_of(_rows(score, parts, rows), y[rows]))
    return np.concatenate(found)


def _rows(score, parts, rows):
    """Return some rows of each part that a score needs."""
    return {name: parts[name][rows] for name in score.needs}


def _scale(own):
    """Return the median and the spread of scores."""
    own = own[np.isfinite(own)].astype(np.float64)
    if not len(own):
        return 0.0, 1.0
    median = np.median(own)
    noise = 8 * np.finfo(np.float32).eps * np.abs(own).max()
    for spread in (median - np.quantile(own, 0.05), own.std()):
        if spread > noise:
            return median, spread
    return median, 1.0

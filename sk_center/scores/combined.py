"""Scores of functions, and several scores as one."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Consumed
from sk_center.scores.base import BaseScore, as_tuple

__all__ = ["Combined", "FunctionScore"]


class FunctionScore(BaseScore):
    """What a function of the features says.

    Parameters
    ----------
    function : callable
        Maps an array of shape (n_samples, n_features) to one of shape (n_samples,
        n_classes), or of shape (n_samples,) for a score that is the same for every class.
        Larger is more typical.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    BaseScore : For a score that learns, or consumes something else.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import FunctionScore
    >>> score = FunctionScore(lambda X: np.linalg.norm(X, axis=1))
    >>> score.fit([[3.0, 4.0], [0.0, 1.0]], [0, 1]).score_samples([[0.0, 2.0]])
    array([2.])
    """

    learns = False
    _parameter_constraints: dict = {"function": [callable]}

    def __init__(self, function: Callable[[NDArray[Any]], ArrayLike]) -> None:
        self.function = function

    def _score_classes(self, X):
        scores = np.asarray(self.function(X), dtype=np.float64)
        if scores.shape not in ((len(X), len(self.classes_)), (len(X),)):
            raise ValueError(
                f"function must give scores of shape {(len(X), len(self.classes_))} or "
                f"{(len(X),)}; got {scores.shape}."
            )
        return scores


class Combined(BaseScore):
    """Several scores as one, after each was brought to the same scale.

    A score s of a class becomes ``(s - median) / (median - q05)``, where the median and
    the 5 % quantile are those of the scores that training samples get for their own
    class. The least of them says that a sample is as typical of a class as the strictest
    score says, their sum lets one score make good for another. A score that knows nothing
    of a class, of which there were no samples, has no say in it.

    Parameters
    ----------
    scores : list of BaseScore
        Scores, not fitted. They may consume different things: ``X`` then holds those side
        by side, in the order of ``consumes``.

    how : {"min", "sum"}, default="min"
        How to combine them: ``"min"`` turns down what any score finds untypical, ``"sum"``
        what they find untypical together.

    n_inputs : int, default=None
        Number of columns of ``X`` that are inputs. Needed where scores consume both
        features and inputs; :class:`~sk_center.OpenSetClassifier` fills it in.

    Attributes
    ----------
    scores_ : list of BaseScore
        The fitted scores.

    known_ : ndarray of shape (n_scores, n_classes) of bool
        Whether a score knows anything of a class.

    medians_ : ndarray of shape (n_scores,)
        Median of each score over the training samples.

    spreads_ : ndarray of shape (n_scores,)
        Median minus 5 % quantile of each score.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    sk_center.OpenSetClassifier : Combines the scores of a list by their ``"min"``; its
        ``"auto"`` is a ``"sum"``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_center.scores import CenterDistance, Combined, Mahalanobis
    >>> X, y = load_iris(return_X_y=True)
    >>> score = Combined([CenterDistance(), Mahalanobis()]).fit(X, y)
    >>> typical, odd = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, odd]).round(1)
    array([ 0.5, -2.6])
    >>> score.set_params(how="sum").fit(X, y).score_samples([typical, odd]).round(1)
    array([ 1.2, -3.7])
    """

    _parameter_constraints: dict = {
        "scores": [list],
        "how": [StrOptions({"min", "sum"})],
        "n_inputs": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        scores: list[Any],
        *,
        how: Literal["min", "sum"] = "min",
        n_inputs: int | None = None,
    ) -> None:
        self.scores = scores
        self.how = how
        self.n_inputs = n_inputs

    @property
    def consumes(self) -> Consumed:  # type: ignore[override]
        """What the scores consume: one thing, or several in alphabetical order."""
        names = {name for score in self.scores for name in as_tuple(score.consumes)}
        return tuple(sorted(names)) if len(names) != 1 else names.pop()

    @property
    def allow_nan(self) -> bool:  # type: ignore[override]
        """Whether one of the scores takes NaN; the others refuse it."""
        return any(score.allow_nan for score in self.scores)

    def _fit(self, X, y):
        if not self.scores:
            raise ValueError("scores must hold at least one score; got [].")
        self.scores_ = [clone(score) for score in self.scores]
        own, known, classes = [], [], np.arange(len(self.classes_))
        for score in self.scores_:
            part = self._part(X, score)
            scores = score.fit(part, y, classes).score_classes(part)
            own.append(scores[np.arange(len(y)), y])
            known.append(np.isfinite(scores).any(axis=0))
        self.known_ = np.array(known)
        self.medians_ = np.median(own, axis=1)
        spreads = self.medians_ - np.quantile(own, 0.05, axis=1)
        self.spreads_ = np.where(spreads > 0, spreads, 1.0)

    def _score_classes(self, X):
        combine, neutral = (np.minimum, np.inf) if self.how == "min" else (np.add, 0.0)
        total = None
        for score, known, median, spread in zip(
            self.scores_, self.known_, self.medians_, self.spreads_
        ):
            scaled = (score.score_classes(self._part(X, score)) - median) / spread
            scaled[:, ~known] = neutral
            total = scaled if total is None else combine(total, scaled)
        total[:, ~self.known_.any(axis=0)] = -np.inf
        return total

    def _part(self, X, score):
        """Return the columns of X that a score consumes."""
        widths = self._widths(X.shape[1])
        stops = np.cumsum([*widths.values()])
        columns = {
            name: X[:, stop - width : stop]
            for (name, width), stop in zip(widths.items(), stops)
        }
        parts = [columns[name] for name in as_tuple(score.consumes)]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def _widths(self, n_columns):
        """Return the number of columns of each thing that is consumed, by its name."""
        names = as_tuple(self.consumes)
        widths = dict.fromkeys(names, len(self.classes_))
        free = [name for name in ("features", "inputs") if name in names]
        if len(free) == 2:
            if self.n_inputs is None:
                raise ValueError(
                    "n_inputs must be the number of columns that are inputs, where scores "
                    "consume both features and inputs; got None."
                )
            widths["inputs"] = self.n_inputs
        if free:  # the first has what is left
            widths[free[0]] = 0
            widths[free[0]] = n_columns - sum(widths.values())
        if min(widths.values()) < 1:
            raise ValueError(
                f"X must hold columns of each of {names}; {n_columns} columns leave "
                f"{widths}."
            )
        return widths

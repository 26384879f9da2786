"""A monitor of an open-set classifier in service, with an alarm that holds at any time."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_center._utils.compat import HasMethods, Interval, fit_context
from sk_center._utils.frames import frame_of
from sk_center._utils.nested import judge, open_set_inside, transformed
from sk_center._utils.schema import array, bounded, instance_of, integer
from sk_center.metrics.base import checked_labels, is_known
from sk_center.monitoring.martingales import (
    ODDS,
    Martingales,
    martingales,
    returns_of_outsiders,
    returns_of_p_values,
)
from sk_center.monitoring.ranks import Bag, bag_of
from sk_center.open_set import Decision
from sk_center.open_set.outputs import rows_of
from sk_center.open_set.scoring import blocks_of, score_outputs

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples
    from sk_center.calibration.base import BaseCalibration

QUESTIONS = ("stream", "known", "outsiders")
N_BETS = returns_of_p_values(np.zeros(1)).shape[1]
# The most points in the history of a question.
POINTS = 256


class RejectionMonitor(BaseEstimator):
    """Watch whether new samples still resemble the calibration samples.

    It bets against this hypothesis, sample by sample, and its capital, the statistic, grows
    only if it is false. The alarm is raised once the capital is ``1 / false_alarm_rate``
    times the first one. While nothing changes, that happens with probability at most
    ``false_alarm_rate``, however long the monitor runs and whenever it is read.

    Three questions have a capital and an alarm each:

    - ``"stream"``, of all samples, without labels: have they ceased to resemble the
      calibration samples? Either there are outsiders, or known samples have shifted, or the
      mixture of classes has changed. Without labels it cannot be known which.
    - ``"known"``, of samples whose labels came later and are known classes: have samples
      of a class shifted? Samples are compared with those of their own class, so the mixture
      of classes does not matter.
    - ``"outsiders"``, of all samples whose labels came later: are more of them outsiders
      than ``outsider_rate``?

    Samples to label must be chosen without regard to the decisions of the model: rejected
    samples alone would raise the alarm.

    Parameters
    ----------
    estimator : estimator instance
        A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or a
        search of one.

    false_alarm_rate : float, default=0.01
        Largest probability that a question ever raises a false alarm, in (0, 1). With a
        smaller rate a change is noticed later.

    outsider_rate : float, default=None
        The expected share of outsiders, in (0, 1). None does not monitor their number.

    random_state : int, RandomState instance or None, default=None
        Seed of the places of samples among those of equal score, and of the smoothed
        p-values. With an int, equal samples in equal order give equal statistics.

    Attributes
    ----------
    statistic_ : dict of float
        The capital of each question, one at first.

    alarm_ : dict of bool
        Whether the alarm of each question has been raised. It stays raised.

    history_ : ndarray of shape (n_points, 3), float64
        The statistic over time: the index of the question among "stream", "known" and
        "outsiders", the number of its samples, and the logarithm of its capital. At most
        256 points a question, evenly spaced.

    See Also
    --------
    MonitorDisplay : Draws the statistic over time.
    OpenSetClassifier.judge : The decisions that ``update`` takes.

    Notes
    -----
    A new sample has, among the k samples that came before it, calibration samples and those
    of the stream, and itself, the smoothed p-value ``(#{lower} + U #{equal}) / k``, U
    uniform in [0, 1]. If all of them are exchangeable, these p-values are independent
    and uniform [1]_. Against the calibration samples alone they would not be independent:
    all would share the sampling error of these, and a long stream would detect it. The
    stream is kept as counts between the calibration scores. Where samples share a place
    between two of them, the order of the new one among them is drawn, each equally
    probable, which leaves the p-value exactly uniform.

    The p-values are bet on by a mixture of densities: many below a bound, as outsiders
    make them, and smooth ones towards zero, one, the middle and both ends, as shifts make
    them. At step n a share of 1 / (n + 100) of the capital is redistributed, so that late
    changes are noticed too. The capital is a nonnegative martingale, and Ville's inequality
    bounds the probability that it ever exceeds ``1 / false_alarm_rate`` times the first one
    [2]_. For ``"known"`` half of the capital bets on all classes together and the rest on
    each. For ``"outsiders"`` likelihood ratios of larger rates are bet on.

    New samples join the reference for later ones. So a change is noticed soon after it
    happens, or never: with n calibration samples, a stream that has changed from its
    start is for the most part compared with itself after n samples.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer. "Algorithmic learning in a random world".
       Second edition, Springer 2022, chapter 8.
    .. [2] V. Vovk, I. Petej, I. Nouretdinov, E. Ahlberg, L. Carlsson, A. Gammerman.
       "Retrain or not retrain: conformal test martingales for change-point detection".
       COPA 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_center import OpenSetClassifier, RejectionMonitor
    >>> X, y = load_iris(return_X_y=True)
    >>> known = y < 2
    >>> model = OpenSetClassifier(LogisticRegression(), cv=0.5, random_state=0)
    >>> monitor = RejectionMonitor(model.fit(X[known], y[known]), random_state=0).fit()
    >>> monitor.update(X[~known]).alarm_["stream"]  # outsiders come
    True
    """

    _saved_state = {
        "history_": bounded(array("f", None, 3)),
        "_seed": integer,
        "_alarmed_at": bounded(array("i", None), -1),
        "_stream": instance_of(Bag),
        "?_by_class": instance_of(Bag),
        "_bets": instance_of(Martingales),
        "_outsider_bets": instance_of(Martingales),
    }
    _parameter_constraints: dict = {
        "estimator": [HasMethods(["predict"])],
        "false_alarm_rate": [Interval(Real, 0, 1, closed="neither")],
        "outsider_rate": [Interval(Real, 0, 1, closed="neither"), None],
        "random_state": ["random_state"],
    }

    _by_class: Bag

    def __init__(
        self,
        estimator: Estimator,
        *,
        false_alarm_rate: float = 0.01,
        outsider_rate: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.false_alarm_rate = false_alarm_rate
        self.outsider_rate = outsider_rate
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Samples | None = None, y: ArrayLike | None = None) -> Self:
        """Start the monitor with reference samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), default=None
            Reference samples that are new to the model, such as those of the first days.
            None uses the calibration samples, which must be held out (``cv`` a share or
            ``refit=False``) or those of a frozen estimator, without the guarantee "class".

        y : array-like of shape (n_samples,), default=None
            Their labels. With X but without y, only ``"stream"`` is monitored.

        Returns
        -------
        self : RejectionMonitor
            The monitor, without new samples.

        Raises
        ------
        TypeError
            If ``estimator`` is none of those above, or is not fitted.

        ValueError
            If y is given without X, or X is None and the calibration samples cannot be
            used.
        """
        model, _ = open_set_inside(self.estimator)
        if X is None and y is not None:
            raise ValueError("y goes with X, the samples to compare with; got X=None.")
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rng = np.random.default_rng([self._seed, 0])
        n_classes = len(model.classes_)
        if hasattr(self, "_by_class"):
            del self._by_class
        if X is None:
            check_held_out(model)
            calibration, by_class = model.calibration_, model.class_calibration_
            self._stream = bag_of_calibration(calibration, rng)
            self._by_class = bag_of_calibration(by_class, rng)
        else:
            scores = judge(self.estimator, X).scores
            one = np.zeros(len(scores), dtype=np.intp)
            self._stream = bag_of_samples(scores, one, 1, model.calibration_, rng)
            if y is not None:
                own, index, _ = self._own_scores(X, y)
                calibration = model.class_calibration_
                self._by_class = bag_of_samples(own, index, n_classes, calibration, rng)
        self._bets = martingales(2 + n_classes, N_BETS)
        self._outsider_bets = martingales(1, 1 + len(ODDS))
        self._alarmed_at = np.full(len(QUESTIONS) + n_classes, -1)
        self.history_ = np.zeros((0, 3))
        return self

    def update(self, X: Samples | Decision, y: ArrayLike | None = None) -> Self:
        """Bet on new samples, in the order in which they come.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or Decision
            Samples, or without ``y`` the decision of ``judge`` about them, which saves
            another pass through the model.

        y : array-like of shape (n_samples,), default=None
            Labels that came later; one that is none of the known classes is an outsider.
            The samples count for ``"known"`` and ``"outsiders"``. None: they count for
            ``"stream"``.

        Returns
        -------
        self : RejectionMonitor
            The monitor.

        Raises
        ------
        ValueError
            If the estimator refuses X, the numbers of labels and samples differ, or y is
            given to a monitor that was started without labels.

        sklearn.exceptions.NotFittedError
            If the monitor was not begun by :meth:`fit`.
        """
        check_is_fitted(self)
        if y is None:
            self._update_stream(X if isinstance(X, Decision) else judge(self.estimator, X))
            return self
        if isinstance(X, Decision):
            raise ValueError("X must hold samples where y is given; got a Decision.")
        if not hasattr(self, "_by_class"):
            raise ValueError(
                "y says something only of a monitor that was begun with labels: "
                "fit(X, y) rather than fit(X)."
            )
        own, index, outsider = self._own_scores(X, y)
        self._update_known(own, index)
        if self.outsider_rate is not None:
            self._update_outsiders(outsider)
        return self

    @property
    def statistic_(self) -> dict[str, float]:
        """The capital of each question."""
        with np.errstate(over="ignore"):
            return dict(zip(QUESTIONS, np.exp(self._logs()).tolist()))

    @property
    def alarm_(self) -> dict[str, bool]:
        """Whether the alarm of each question has been raised."""
        return dict(zip(QUESTIONS, (self._alarmed_at >= 0).tolist()))

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas view, one row for each question and each known class.

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by the question, which is "class" in the rows of classes. The columns
            are ``class``, ``n_samples``, ``statistic``, ``alarm`` and ``alarmed_at``, the
            number of samples at the alarm, -1 without one. The alarm of a class belongs to
            ``"known"``, and names the class: it is raised once the capital that bets on
            this class alone suffices.

        Raises
        ------
        ImportError
            If pandas is not installed.

        sklearn.exceptions.NotFittedError
            If the monitor was not begun by :meth:`fit`.
        """
        check_is_fitted(self)
        classes = open_set_inside(self.estimator)[0].classes_.tolist()
        with np.errstate(over="ignore"):
            statistic = np.exp(np.append(self._logs(), self._bets.logs[2:]))
        return frame_of(
            {
                "class": [None] * len(QUESTIONS) + classes,
                "n_samples": np.append(self._counts(), self._bets.n_samples[2:]),
                "statistic": statistic,
                "alarm": self._alarmed_at >= 0,
                "alarmed_at": self._alarmed_at,
            },
            [*QUESTIONS, *["class"] * len(classes)],
            name="question",
        )

    def _update_stream(self, decision):
        """Bet on decisions about samples without labels."""
        model, _ = open_set_inside(self.estimator)
        groups = np.zeros(len(decision.scores), dtype=np.intp)
        if len(self._stream.first_place) > 2:
            groups = model.groups_[np.searchsorted(model.classes_, decision.predicted)]
        logs = []
        for returns in self._returns(self._stream, decision.scores, groups, 0):
            self._bets.bet(0, returns)
            logs.append(self._bets.logs[0])
        self._follow(0, logs)

    def _update_known(self, own, index):
        """Bet on scores of known samples for their own classes."""
        n_classes = len(self._bets.logs) - 2
        alone = np.log(2 * n_classes / self.false_alarm_rate)
        logs = []
        for returns, class_ in zip(self._returns(self._by_class, own, index, 1), index):
            self._bets.bet(1, returns)
            self._bets.bet(2 + class_, returns)
            logs.append(self._logs()[1])
            first = self._alarmed_at[3 + class_] < 0
            if first and self._bets.logs[2 + class_] >= alone:
                self._alarmed_at[3 + class_] = self._bets.n_samples[2 + class_]
        self._follow(1, logs)

    def _update_outsiders(self, outsider):
        """Bet on which samples are outsiders."""
        logs = []
        for returns in returns_of_outsiders(outsider, self.outsider_rate):
            self._outsider_bets.bet(0, returns)
            logs.append(self._outsider_bets.logs[0])
        self._follow(2, logs)

    def _returns(self, bag, scores, groups, row):
        """Return what the bets return for new samples, which join the bag."""
        # The same random numbers for a sample in any batches.
        bits = np.random.PCG64([self._seed, 1 + row])
        bits.advance(2 * int(self._bets.n_samples[row]))
        random = np.random.Generator(bits).random((len(scores), 2))
        return returns_of_p_values(bag.p_values(scores, groups, random))

    def _follow(self, question, logs):
        """Keep the capital of a question after each new sample, and raise its alarm."""
        logs = np.asarray(logs)
        total = self._counts()[question]
        numbers = np.arange(total - len(logs), total) + 1
        over = np.flatnonzero(logs >= -np.log(self.false_alarm_rate))
        if len(over) and self._alarmed_at[question] < 0:
            self._alarmed_at[question] = numbers[over[0]]
        rows = np.column_stack([np.full(len(logs), question), numbers, logs])
        history = np.concatenate([self.history_, rows])
        every = 2 ** max(int(np.ceil(np.log2(max(total, 1) / POINTS))), 0)
        kept = (history[:, 0] != question) | (history[:, 1] % every == 0)
        self.history_ = history[kept]

    def _logs(self):
        """Return the logarithm of the capital of each question."""
        logs = self._bets.logs
        classes = np.logaddexp.reduce(logs[2:]) - np.log(len(logs) - 2)
        known = np.logaddexp(logs[1], classes)
        return np.array([logs[0], known - np.log(2), self._outsider_bets.logs[0]])

    def _counts(self):
        """Return the number of samples of each question."""
        return np.append(self._bets.n_samples[:2], self._outsider_bets.n_samples)

    def _own_scores(self, X, y):
        """Return the scores of known samples, their classes, and which are outsiders."""
        model, before = open_set_inside(self.estimator)
        y = checked_labels(y, "y")
        X = transformed(before, X)
        check_consistent_length(X, y)
        known = is_known(y, model.classes_)
        rows = np.flatnonzero(known)
        index = np.searchsorted(model.classes_, y[rows])
        scores = np.empty(len(rows))
        if len(rows):
            needed, n_classes = model.score_.needs, len(model.classes_)
            part = rows_of(X, rows)
            for block, found in blocks_of(model.estimator_, part, needed, n_classes):
                scores[block] = score_outputs(model.score_, found, index[block])
        return scores, index, ~known

    def _check_loaded(self):
        """Raise ValueError unless the loaded parts go together."""
        n_classes = len(open_set_inside(self.estimator)[0].classes_)
        rows, bets = self._bets.shares.shape
        if (rows, bets) != (2 + n_classes, N_BETS):
            raise ValueError(f"_bets must be {(2 + n_classes, N_BETS)}; got {rows, bets}")
        if self._outsider_bets.shares.shape != (1, 1 + len(ODDS)):
            raise ValueError(f"_outsider_bets must be one row of {1 + len(ODDS)}")
        if len(self._alarmed_at) != 3 + n_classes:
            raise ValueError("_alarmed_at must have questions and classes")


def check_held_out(model: Any) -> None:
    """Raise ValueError if new samples cannot be compared with calibration samples."""
    cause = None
    if not model.held_out_:
        cause = (
            f"cv={model.cv!r} scored them by models of folds, where a share such as cv=0.2 "
            "holds them out"
        )
    elif model.guarantee == "class":
        cause = "guarantee='class' scores them for their own class"
    elif model._has_added_classes or model._set_rule[0] == "p_values":
        cause = "classes were added after calibration"
    if cause:
        raise ValueError(
            "X must be known samples that are new to the model, with labels y, since the "
            f"calibration samples are no measure for new ones: {cause}."
        )


def bag_of_calibration(calibration: BaseCalibration, rng: np.random.Generator) -> Bag:
    """Return the bag of calibration samples."""
    scores, tolerance = calibration.scores_, calibration.tolerance_
    return bag_of(scores, tolerance, calibration.n_samples_, rng)


def bag_of_samples(
    scores: NDArray[np.float64],
    groups: NDArray[np.intp],
    n_groups: int,
    calibration: BaseCalibration,
    rng: np.random.Generator,
) -> Bag:
    """Return the bag of other samples, with the rounding of the calibration scores."""
    known = np.argsort(calibration.scores_)
    tolerance = np.zeros(len(scores))
    if len(known):
        at = np.searchsorted(calibration.scores_[known], scores)
        near = np.clip(at[:, None] - [1, 0], 0, len(known) - 1)
        tolerance = calibration.tolerance_[known][near].max(axis=1)
    lowered = scores - tolerance
    order = np.lexsort((lowered, groups))
    n_samples = np.bincount(groups, minlength=n_groups)
    return bag_of(lowered[order], tolerance[order], n_samples, rng)

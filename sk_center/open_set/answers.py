"""Predictions of a fitted open-set classifier, each from one pass through the model."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from sk_center.open_set.decision import (
    Decision,
    decide,
    decide_between,
    decide_by_class,
)
from sk_center.open_set.explanation import explain
from sk_center.open_set.scoring import blocks_of, score_outputs
from sk_center.open_set.selection import select
from sk_center.open_set.sets import parts_needed, sets_of, sets_with_added, support_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Samples
    from sk_center.calibration.base import BaseCalibration
    from sk_center.open_set.explanation import Explanation
    from sk_center.open_set.report import CalibrationReport
    from sk_center.scores import BaseScore


class AnswersMixin:
    """Methods that judge samples by a fitted estimator, score and calibration."""

    guarantee: str
    error_rate: float | None
    estimator_: Any
    score_: BaseScore
    calibration_: BaseCalibration
    class_calibration_: BaseCalibration
    groups_: NDArray[np.intp]
    calibration_report_: CalibrationReport
    classes_: NDArray[Any]
    ambiguous_label_: Any
    _set_part: str
    _set_thresholds: NDArray[np.float64]
    _against_former: NDArray[np.bool_]
    _answers: NDArray[Any]

    def judge(self, X: Samples) -> Decision:
        """Return all decisions about samples, from one pass through the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        decision : Decision
            Labels, p-values and scores, each as the corresponding method returns it, and
            the estimator's own prediction.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.
        """
        return self._judge(X)["decision"]

    def predict(self, X: Samples) -> NDArray[Any]:
        """Return the estimator's own label of each sample, or the outlier label.

        A known sample gets the outlier label with probability at most
        ``false_rejection_rate``, over the samples that ``guarantee`` names. If
        ``ambiguous`` is a label, it replaces that of an accepted sample whose prediction
        set holds several classes, and a known sample gets a wrong class with probability at
        most ``error_rate``.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels, of a dtype that holds the outlier label too. Under the guarantee
            "class", a sample whose predicted class rejects it gets the accepting class of
            the largest p-value; after :meth:`add_classes`, see there.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.
        """
        return self.judge(X).labels

    def score(
        self, X: Samples, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy of ``predict``.

        Rejected and withheld samples count as wrong, unless y holds the same label.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            Their labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        accuracy : float
            Between 0 and 1.
        """
        y, predicted = column_or_1d(y), self.predict(X)
        check_consistent_length(y, predicted, sample_weight)
        right = y.astype(object) == predicted.astype(object)
        weight = None if sample_weight is None else column_or_1d(sample_weight)
        return float(np.average(right, weights=weight))

    def is_outlier(self, X: Samples) -> NDArray[np.bool_]:
        """Return which samples are rejected.

        A known sample is rejected with probability at most ``false_rejection_rate``, over
        the samples that ``guarantee`` names.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        outlier : ndarray of shape (n_samples,), bool
            Where ``predict`` gives the outlier label.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.
        """
        return self.judge(X).rejected

    def score_samples(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the score of each sample for the class that the estimator predicts.

        A score alone guarantees nothing; ``p_known`` compares it with those of the
        calibration samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Larger is more typical, in units of the score.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.
        """
        return self.judge(X).scores

    def p_known(self, X: Samples) -> NDArray[np.float64]:
        """Return the p-value of "this is a known sample" for each sample.

        For a known sample ``P(p_known <= t) <= t`` for every t, over all known samples
        under the guarantee "marginal", over those of each predicted class under
        "predicted", and over those of each class under "class".

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples,), float64
            In (0, 1]. A sample is rejected when it is at most the threshold of its
            predicted class, ``thresholds_``. Under the guarantee "class" it is the largest
            of :meth:`p_values`; a class with another rate then decides by its own
            threshold.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.
        """
        return self.judge(X).p_known

    def p_values(self, X: Samples) -> NDArray[np.float64]:
        """Return how compatible each sample is with each class.

        For known samples of class i, ``P(p_values[:, i] <= t) <= t`` for every t, under
        every guarantee.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples, n_classes), float64
            In (0, 1]. The smallest with n calibration samples of a class is ``1 / (n +
            1)``; calibrations that assume a distribution give smaller ones, as reliable as
            the assumption.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.
        """
        return self._judge(X, "p_values")["p_values"]

    def predict_set(self, X: Samples) -> NDArray[np.bool_]:
        """Return the prediction set of each sample, the classes that it may be of.

        A known sample is accepted with a set that lacks its class with probability at most
        ``error_rate``, over the samples that ``guarantee`` names.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        sets : ndarray of shape (n_samples, n_classes), bool
            Empty for a rejected sample; else the predicted class and those that are about
            as probable, see Notes. A sample with several classes is ambiguous.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.

        See Also
        --------
        OpenSetClassifier.p_values : How compatible a sample is with each class.

        Notes
        -----
        A class is in the set if its probability, or without probabilities the difference of
        its logit or score from that of the predicted class, reaches a threshold: the m-th
        smallest of these values for the true classes of accepted calibration samples that
        were predicted wrongly, with m = floor(error_rate * (n + 1)) and n calibration
        samples in the group. If there are fewer, the set is the label alone. Under the
        guarantee "class" the set has the classes that accept the sample by their p-value.
        """
        return self._judge(X, "sets")["sets"]

    def select_outliers(self, X: Samples, *, fdr: float = 0.1) -> NDArray[np.bool_]:
        """Select outsiders of a batch with a bound on the known samples among them.

        The expected share of known samples among the selected, the false discovery rate, is
        at most ``fdr`` under the guarantee "marginal", held-out calibration samples and
        conformal calibration: the procedure of Benjamini and Hochberg on ``p_known`` [1]_.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, judged together and drawn independently.

        fdr : float, default=0.1
            Bound on the expected share of known samples among the selected, in (0, 1). A
            larger bound selects more.

        Returns
        -------
        selected : ndarray of shape (n_samples,), bool
            The outsiders.

        Raises
        ------
        ValueError
            If ``fdr`` is not in (0, 1), or the estimator refuses X.

        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        Warns
        -----
        UserWarning
            If none is selected for want of calibration samples: with n of them, fewer than
            ``m / (fdr * (n + 1))`` outsiders among m samples cannot be.

        See Also
        --------
        OpenSetClassifier.is_outlier : Judges each sample separately.

        References
        ----------
        .. [1] S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia. "Testing for outliers with
           conformal p-values". Annals of Statistics 51, 2023.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sk_center import OpenSetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> known = y < 2
        >>> model = OpenSetClassifier(LogisticRegression(), random_state=0)
        >>> selected = model.fit(X[known], y[known]).select_outliers(X, fdr=0.1)
        >>> bool(selected[~known].mean() > 0.5 and selected[known].mean() < 0.1)
        True
        """
        if not (isinstance(fdr, Real) and 0 < fdr < 1):
            raise ValueError(f"fdr must be in (0, 1); got {fdr!r}.")
        return select(self.p_known(X), fdr, self.calibration_.n_samples_.sum())

    def explain(
        self,
        X: Samples,
        X_train: Samples | None = None,
        y_train: ArrayLike | None = None,
        *,
        n_neighbors: int = 5,
    ) -> list[Explanation]:
        """Explain why each sample got its label.

        An explanation describes the decision of ``predict``.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        X_train : array-like of shape (n_train_samples, ...), default=None
            Samples among which to find the nearest ones, such as those of ``fit``. A
            missing number counts as the mean of its column. None finds none.

        y_train : array-like of shape (n_train_samples,), default=None
            Their labels.

        n_neighbors : int, default=5
            Number of neighbors to find.

        Returns
        -------
        explanations : list of Explanation
            One for each sample, see :class:`~sk_center.Explanation`. Distances are those of
            the features.

        Raises
        ------
        ValueError
            If only one of ``X_train`` and ``y_train`` is given, ``n_neighbors`` is not a
            positive integer, ``y_train`` lacks a class whose center the estimator does
            not give, or the estimator refuses X.

        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        See Also
        --------
        sk_center.Explanation : Its attributes, with an example.
        """
        if (X_train is None) != (y_train is None):
            raise ValueError("X_train and y_train must be given together.")
        if not (isinstance(n_neighbors, Integral) and n_neighbors > 0):
            raise ValueError(
                f"n_neighbors must be an int of at least 1; got {n_neighbors!r}."
            )
        return explain(self, X, X_train, y_train, n_neighbors)

    @property
    def _has_added_classes(self):
        """Whether former and added classes are two groups of the marginal guarantee."""
        return self.guarantee == "marginal" and len(self.calibration_.n_samples_) > 1

    @property
    def _set_rule(self):
        """The part that decides which classes are in a set, and thresholds by class.

        Under the guarantee "class", or after classes were added under "predicted", their
        p-values decide.
        """
        if self.guarantee == "class":
            return "p_values", self.thresholds_
        if not np.isnan(self._set_thresholds).any():
            return self._set_part, self._set_thresholds
        rates, given = self.calibration_report_.rate_allowed, self.error_rate
        return "p_values", rates if given is None else np.full(len(rates), float(given))

    def _judge(self, X, *wanted):
        """Return the decision about samples and the other results that are wanted, by name.

        These are "index", of the classes of the labels, "p_values" by class, "sets",
        "features", and "by_class", the scores of all classes, which goes with "p_values".
        """
        if "estimator_" not in vars(self):
            check_is_fitted(self)  # this check takes longer than a small network
        withholds = self.ambiguous_label_ is not None
        wanted = {*wanted, *(["sets"] if withholds else [])}
        part = self._set_rule[0] if "sets" in wanted else None
        if self.guarantee == "class" or part == "p_values":
            wanted.add("p_values")
        every = "p_values" in wanted or self._has_added_classes or part == "scores"
        needed = ["labels", *self.score_.n_columns_]
        if part is not None:
            needed = ["labels", *parts_needed(self.score_, part)]
        if every or part is not None:
            needed.append("classes")
        if "features" in wanted and "features" not in needed:
            needed.append("features")
        blocks = blocks_of(self.estimator_, X, needed, len(self.classes_))
        parts = [self._judge_outputs(outputs, wanted, every) for _, outputs in blocks]
        found = parts[0]
        if len(parts) > 1:
            found = {name: joined([part[name] for part in parts]) for name in parts[0]}
        rejected, ambiguous = found["rejected"], None
        answers = np.where(rejected, len(self.classes_), found["index"])
        if withholds:
            ambiguous = found["sets"].sum(axis=1) > 1
            answers[ambiguous] = len(self.classes_) + 1
        found["decision"] = Decision(
            self._answers[answers],
            *(found[name] for name in ("predicted", "rejected", "p_known", "scores")),
            ambiguous,
        )
        return found

    def _judge_outputs(self, outputs, wanted, every):
        """Return the decisions about samples from the outputs of the estimator."""
        index = self.classes_.searchsorted(outputs["labels"])
        scores = score_outputs(self.score_, outputs, index)
        found = {"predicted": outputs["labels"], "scores": scores}
        if every:
            every = score_outputs(self.score_, outputs)
        by_class = self.guarantee == "class"
        if "p_values" in wanted:
            groups = self.groups_ if by_class else np.arange(len(self.classes_))
            found["p_values"] = p_values = self.class_calibration_.p_values(every, groups)
        if self._has_added_classes:
            rule = self.calibration_, self.groups_, self.thresholds_, self._against_former
            predicted = index
            p_known, rejected, index, accepted = decide_between(every, predicted, *rule)
        elif by_class:
            rule = p_values, every, index, self.thresholds_
            p_known, rejected, index = decide_by_class(*rule)
        else:
            p_known, rejected = decide(scores, index, self.calibration_, self.groups_)
        found.update(index=index, p_known=p_known, rejected=rejected)
        if "sets" in wanted:
            part, least = self._set_rule
            values = every if part == "scores" else outputs.get(part)
            if self._has_added_classes:
                judged = predicted, index, accepted, self.groups_ == 0
                found["sets"] = sets_with_added(part, values, every, least, *judged)
            elif part == "p_values":  # above the threshold, and not at it
                found["sets"] = sets_of(p_values, np.nextafter(least, 1), index, rejected)
            else:
                support = support_of(part, values, index)
                found["sets"] = sets_of(support, least[index, None], index, rejected)
        for name, values in (("features", outputs.get("features")), ("by_class", every)):
            if name in wanted:
                found[name] = values
        return found


def joined(column: list[Any]) -> Any:
    """Return the results of all blocks as one."""
    return vstack(column) if issparse(column[0]) else np.concatenate(column)

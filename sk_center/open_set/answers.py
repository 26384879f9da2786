"""The answers of a fitted open-set classifier, each from one pass through the model."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse, vstack
from scipy.stats import false_discovery_control
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from sk_center.open_set.decision import (
    Decision,
    decide,
    decide_by_class,
    p_values_of_groups,
)
from sk_center.open_set.explanation import explain
from sk_center.open_set.scoring import blocks_of, score_outputs

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
    estimator_: Any
    score_: BaseScore
    calibration_: BaseCalibration
    class_calibration_: BaseCalibration
    groups_: NDArray[np.intp]
    calibration_report_: CalibrationReport
    classes_: NDArray[Any]
    thresholds_: NDArray[np.float64]
    _answers: NDArray[Any]

    def judge(self, X: Samples) -> Decision:
        """Return all that is decided about samples, in one pass through the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        decision : Decision
            ``labels``, ``predicted``, ``rejected``, ``p_known`` and ``scores``, each as the
            method of that meaning returns it.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.
        """
        return self._judge(X)[0]

    def predict(self, X: Samples) -> NDArray[Any]:
        """Return the estimator's own label of each sample, or the outlier label.

        A known sample gets the outlier label with probability at most
        ``false_rejection_rate``, over the samples that ``guarantee`` names.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels, of a dtype that holds the outlier label too. Under the guarantee
            "class", a sample whose predicted class rejects it gets the accepting class of
            the largest p-value.

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
        """Return the accuracy: the share of samples that ``predict`` gives their label.

        Rejected samples count as wrong, unless y holds the outlier label there.

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

        Raises
        ------
        ValueError
            If X, y and the weights have not the same length, or the estimator refuses X.
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

        A score guarantees nothing by itself; ``p_known`` says how it compares with those of
        the calibration samples.

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
            1)``; calibrations that assume a distribution go below, and are as good as that.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.
        """
        return self._judge(X, by_class=True)[1]

    def predict_set(self, X: Samples) -> NDArray[np.bool_]:
        """Return the prediction set of each sample, the classes that it is compatible with.

        A known sample is accepted with a set that lacks its class with probability at most
        ``false_rejection_rate``.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        sets : ndarray of shape (n_samples, n_classes), bool
            No class for a rejected sample; else the label of ``predict`` and the classes
            whose p-value is above the rate. Several: the sample is ambiguous. The default
            score hardly tells classes apart, so that its sets are large; ``"knn"`` and
            ``"max_softmax"`` give smaller ones.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X.

        See Also
        --------
        OpenSetClassifier.p_values : Compared with the rate.
        """
        return self._sets(*self._judge(X, by_class=True))

    def select_outliers(self, X: Samples, *, fdr: float = 0.1) -> NDArray[np.bool_]:
        """Return which samples of a batch are outsiders, with few known ones among them.

        The expected share of known samples among the selected, the false discovery rate, is
        at most ``fdr`` under the guarantee "marginal", held-out calibration samples and
        conformal calibration.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, judged together and drawn independently.

        fdr : float, default=0.1
            Bound on the expected share of known samples among the selected, in (0, 1).
            Larger selects more.

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

        See Also
        --------
        OpenSetClassifier.is_outlier : Judges each sample by itself.

        Notes
        -----
        The procedure of Benjamini and Hochberg is applied to ``p_known`` [1]_. Under the
        other guarantees the bound is not proven. The smallest conformal p-value is
        ``1 / (n + 1)``: among m samples, fewer than ``m / (fdr * (n + 1))`` outsiders
        cannot be selected.

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
        >>> model = OpenSetClassifier(LogisticRegression(), cv=5).fit(X[known], y[known])
        >>> selected = model.select_outliers(X, fdr=0.1)
        >>> bool(selected[~known].mean() > 0.6 and selected[known].mean() < 0.1)
        True
        """
        if not (isinstance(fdr, Real) and 0 < fdr < 1):
            raise ValueError(f"fdr must be in (0, 1); got {fdr!r}.")
        return false_discovery_control(self.p_known(X)) <= fdr

    def explain(
        self,
        X: Samples,
        X_train: Samples | None = None,
        y_train: ArrayLike | None = None,
        *,
        n_neighbors: int = 5,
    ) -> list[Explanation]:
        """Explain why each sample got its label.

        An explanation repeats the decision of ``predict``, and guarantees no more.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        X_train : array-like of shape (n_train_samples, ...), default=None
            Samples to look for the nearest ones among, such as those of ``fit``, which
            are not kept. None finds none.

        y_train : array-like of shape (n_train_samples,), default=None
            Their labels.

        n_neighbors : int, default=5
            How many to find.

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
        sk_center.Explanation : What is in one, with an example.
        """
        if (X_train is None) != (y_train is None):
            raise ValueError("X_train and y_train must be given together.")
        if not (isinstance(n_neighbors, Integral) and n_neighbors > 0):
            raise ValueError(
                f"n_neighbors must be an int of at least 1; got {n_neighbors!r}."
            )
        return explain(self, X, X_train, y_train, n_neighbors)

    def _sets(self, decision, p_values, index, features=None):
        """Return the prediction sets: none, or the label and the compatible classes."""
        by_class = self.guarantee == "class"
        thresholds = self.thresholds_ if by_class else self.calibration_report_.rate_allowed
        sets = p_values > thresholds
        sets[np.arange(len(index)), index] = True
        sets[decision.rejected] = False
        return sets

    @property
    def _has_added_classes(self):
        """Whether former and added classes are two groups of the marginal guarantee."""
        return self.guarantee == "marginal" and len(self.calibration_.n_samples_) > 1

    def _judge(self, X, by_class=False, features=False):
        """Return the decision, p-values by class or None, indices of labels, features."""
        if "estimator_" not in vars(self):
            check_is_fitted(self)  # which takes longer than a small network
        by_class = by_class or self.guarantee == "class"
        needed = ["labels", *self.score_.needs]
        if by_class or self._has_added_classes:
            needed.append("classes")
        if features and "features" not in needed:
            needed.append("features")
        parts = [
            (*self._judge_outputs(outputs, by_class), outputs.get("features"))
            for _, outputs in blocks_of(self.estimator_, X, needed, len(self.classes_))
        ]
        columns = parts[0]
        if len(parts) > 1:
            columns = tuple(joined(column) for column in zip(*parts))
        predicted, index, rejected, p_known, scores, p_values, found = columns
        labels = self._answers[np.where(rejected, len(self.classes_), index)]
        decision = Decision(labels, predicted, rejected, p_known, scores)
        return decision, p_values, index, *([found] if features else [])

    def _judge_outputs(self, outputs, by_class):
        """Return what is decided about samples by what the estimator says of them."""
        predicted = outputs["labels"]
        index = np.searchsorted(self.classes_, predicted)
        scores = score_outputs(self.score_, outputs, index)
        p_values = None
        if by_class or self._has_added_classes:
            every = score_outputs(self.score_, outputs)
        if by_class:
            own = self.guarantee == "class"
            groups = self.groups_ if own else np.arange(len(self.classes_))
            p_values = self.class_calibration_.p_values(every, groups)
        if self._has_added_classes:
            p_groups = p_values_of_groups(every, index, self.calibration_, self.groups_)
            p_known, rejected, index = decide_by_class(
                p_groups, every, index, self.thresholds_
            )
        elif self.guarantee == "class":
            p_known, rejected, index = decide_by_class(
                p_values, every, index, self.thresholds_
            )
        else:
            p_known, rejected = decide(scores, index, self.calibration_, self.groups_)
        return predicted, index, rejected, p_known, scores, p_values


def joined(column: tuple[Any, ...]) -> Any:
    """Return what was found block by block as one."""
    if column[0] is None:
        return None
    return vstack(column) if issparse(column[0]) else np.concatenate(column)

"""A meta-estimator that lets any classifier answer "none of the classes I know"."""

from __future__ import annotations

import sys
import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.sparse import issparse
from scipy.stats import false_discovery_control
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    clone,
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_random_state, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._set_output import _safe_set_output
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_method_params,
    assert_all_finite,
    check_is_fitted,
    column_or_1d,
)

from sk_center._utils.callbacks import CallbackSupportMixin, Task, with_callbacks
from sk_center._utils.labels import (
    check_no_label_missing,
    equals_label,
    nearest_name,
    shortened,
)
from sk_center._utils.state import restored_on_error
from sk_center._utils.versions import versions, warn_of_versions
from sk_center.calibration.loose import loose_thresholds
from sk_center.calibration.registry import CALIBRATIONS
from sk_center.open_set.explanation import explain
from sk_center.open_set.outputs import (
    centers_of,
    consumed,
    flat,
    gives_logits,
    if_estimator_has,
    inputs_of,
    is_dataset,
    negative_label_of,
)
from sk_center.scores import BaseScore, Combined, FunctionScore, MaxSoftmax, PerClass
from sk_center.scores.registry import SCORES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import ConformityScore, Estimator, Label, Samples, Splitter
    from sk_center.calibration.base import BaseCalibration
    from sk_center.open_set.explanation import Explanation

__all__ = ["OpenSetClassifier"]

# The density of many inputs, such as pixels, tells less of outsiders than it blurs, and
# takes memory and time in proportion to the classes and to the square of the columns.
LARGEST_TABLE = 100
# Of so many calibration scores at most it is asked whether classes accept one another.
MOST_SCORES = 1_000_000


class OpenSetClassifier(
    CallbackSupportMixin, ClassifierMixin, MetaEstimatorMixin, BaseEstimator
):
    """Classify samples of known classes and reject the others as outsiders.

    Every known class can turn a sample down: class i does when the sample looks less
    typical of it than all but a share ``false_rejection_rate`` of its true members. A
    sample that every class turns down is an outsider.

    Parameters
    ----------
    estimator : estimator instance
        Any classifier, also a Pipeline. It is cloned and fitted, unless it is a
        :class:`sklearn.frozen.FrozenEstimator`. What it gives beside labels decides which
        scores there are: features, logits, probabilities.

    conformity_score : {"auto", "center_distance", "energy", "input_density", "knn", \
            "mahalanobis", "max_logit", "max_softmax", "openmax", "vim"}, score, \
            estimator, callable or list of those, default="auto"
        How typical of a class a sample looks.

        - A name or an instance is a score of :mod:`sk_center.scores`.
        - Any other estimator with ``fit`` and ``score_samples``, such as a
          :class:`sklearn.mixture.GaussianMixture`, is fitted to each class by
          :class:`~sk_center.scores.PerClass`.
        - A callable maps features to scores, see
          :class:`~sk_center.scores.FunctionScore`.
        - A list is combined by :class:`~sk_center.scores.Combined`.
        - ``"auto"`` is the sum of ``"mahalanobis"`` and ``"energy"`` where the estimator
          gives features and logits, as a :class:`~sk_center.CenterLossClassifier` does,
          and of ``"input_density"`` too where the inputs are a small table: of at most 100
          columns, all numbers, and 100 classes. Where it gives no features, as a forest,
          it is ``"input_density"`` alone for a small table, else ``"max_softmax"``. It is
          ``["center_distance", "mahalanobis"]`` in two other cases: where the estimator
          gives features but no logits, and where it gives neither features nor
          probabilities and the inputs are no small table. With ``calibration="gaussian"``
          it is ``"mahalanobis"`` always.

        The bound holds with any of them; how many outsiders are rejected depends on it most
        of all. On digits, LETTER and MNIST the sum had the best mean OSCR of all that were
        tried; the best single scores, relative Mahalanobis, Mahalanobis and ViM, were 0.70
        to 0.75 points behind.

        Features are ``estimator.transform(X)`` where that exists, of another Pipeline
        what its last step sees, and else X. Inputs are what the last step of a Pipeline
        sees, and else X. Logits are the ``logits`` of a
        :class:`~sk_center.CenterLossClassifier`, else the ``decision_function``, of which
        two classes get minus and plus a half.

    calibration : {"conformal", "gaussian", "weibull"}, default="conformal"
        How scores become p-values.

        - ``"conformal"`` ranks a sample among the calibration samples. It assumes
          nothing of the scores and keeps its bound, and a class takes
          ``1 / false_rejection_rate - 1`` calibration samples. See
          :class:`~sk_center.calibration.ConformalCalibration`.
        - ``"gaussian"`` takes squared distances for chi-square variables, and two samples
          of a class. For ``"mahalanobis"`` and ``"center_distance"``. See
          :class:`~sk_center.calibration.GaussianCalibration`.
        - ``"weibull"`` is conformal but for the lowest scores, which it continues by a
          Weibull tail. It takes two samples of a class. See
          :class:`~sk_center.calibration.WeibullCalibration`.

        The bound of the latter two is as good as their assumption. They are for classes
        of few calibration samples: at 5 % they rejected more on digits and LETTER.

    false_rejection_rate : float or dict, default=0.05
        Largest share of the true members of a class to turn away, in [0, 1); a dict
        gives one for each class, and may hold further labels. Larger rejects more
        outsiders and more members: of LETTER 1, 5, 10 and 20 % rejected 55, 73, 86 and 95 %
        of the outsiders. Smaller takes more calibration samples: half the rate, twice as
        many. 0 never rejects; if only for one class, no sample is rejected at all.

    confidence : float, default=None
        None: the bound holds on average over calibration sets. A float in (0, 1), such as
        0.9: it holds for this calibration set with at least this probability, which takes
        a stricter threshold and more calibration samples, 45 in a class rather than 19 for
        5 %. Larger rejects less: 0.9 on LETTER 49 % of the outsiders rather than 73 %. For
        ``calibration="conformal"`` only.

    cv : float in (0, 1), int of at least 2, cross-validation generator, iterable or None, \
            default=0.2
        Which samples calibrate, each at most once.

        - A float is the share that is held out of every class. The estimator trains on
          the rest, and the bound is exact. Larger calibrates with more samples, so that
          fewer classes are too rare to calibrate alone, and leaves fewer to train: 0.5
          rather than 0.2 cost a point of accuracy on digits and LETTER. Of the outsiders it
          rejected 68 rather than 74 % on LETTER, but 86 rather than 66 % on digits.
        - An int, a splitter or None (5 folds): every sample is scored by an estimator
          that did not train on it, and calibrates; then the estimator is fitted on all of
          them. The bound then is approximate, since the final estimator is none of those
          that calibrated. It is for little data, at the price of as many more trainings:
          5 rejected 81 % rather than 66 % of the outsiders on digits, in six times the
          time. More folds calibrate with estimators closer to the final one.

        With a FrozenEstimator all samples given to ``fit`` calibrate, and must not have
        trained it. Only where the score itself has something to learn, such as a
        covariance, does it learn from the share that a float leaves (half otherwise).

    refit : bool, default=True
        Whether to fit the estimator on all samples after an int or a splitter ``cv``.
        False takes a splitter with one split, such as a
        :class:`sklearn.model_selection.PredefinedSplit` that says which samples calibrate,
        and keeps the estimator of its training part: then the bound is exact, and a fit is
        saved. A float ``cv`` and a FrozenEstimator never refit.

    outlier_label : "auto", int, float or str, default="auto"
        What ``predict`` returns for outsiders: of the kind of the classes, and none of
        them. ``"auto"`` is -1 where classes are numbers and ``"outsider"`` where they are
        strings. The dtype of predictions is wide enough for it.

    n_jobs : int, default=None
        Number of fits to run in parallel, where ``cv`` is an int or a splitter. More take
        less time, and each the memory of a training. -1 takes all cores; None is one,
        unless a context of ``joblib.parallel_config`` says otherwise.

    random_state : int, RandomState instance or None, default=None
        Seed of the held-out share, and of all in the estimator whose ``random_state`` is
        None: one int makes two fits equal. With None the estimator is left as it is.

    Attributes
    ----------
    estimator_ : estimator instance
        The fitted classifier.

    score_ : BaseScore
        The fitted score, of :mod:`sk_center.scores`.

    calibration_ : ConformalCalibration, GaussianCalibration or WeibullCalibration
        The fitted calibration. Its ``n_samples_`` tells how many samples calibrate each
        class, and its ``groups_`` which classes share a threshold.

    classes_ : ndarray of shape (n_classes,)
        The known classes.

    outlier_label_ : int, float or str
        What ``predict`` returns for outsiders.

    thresholds_ : ndarray of shape (n_classes,)
        A class turns a sample down when its p-value is at most this:
        ``false_rejection_rate``, or less under ``confidence``.

    score_thresholds_ : ndarray of shape (n_classes,)
        The same in units of the score: it turns down what scores below this.

    n_features_in_ : int
        Number of features seen during ``fit``, where the estimator exposes it.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the estimator exposes them.

    See Also
    --------
    CenterLossClassifier : A classifier made for it.
    LeaveClassesOut : Judges and tunes rejection with the known classes alone.
    FalseRejectionDisplay : Draws whether the bound is kept.
    sk_center.calibration.samples_needed : How many calibration samples a bound takes.
    sklearn.frozen.FrozenEstimator : Keeps a fitted estimator as it is.

    Notes
    -----
    The p-value of class i for a sample is the share of the calibration samples of class i
    that look no more typical of it than the sample, with the sample itself counted in
    (see :class:`~sk_center.calibration.ConformalCalibration`). If held-out samples of a
    class and its later members are exchangeable, then for each class::

        P(rejected | class i) <= P(p_i <= T_i | class i) <= T_i

    at every sample size, whatever the estimator and the score [1]_ [2]_. Rejecting when
    only the predicted class turns a sample down would not give that bound, because
    members predicted as another class would be judged by that one.

    A class takes ``1 / false_rejection_rate - 1`` calibration samples, 19 at 5 %.
    Classes with fewer share one threshold, and a warning names them. A frozen estimator
    may know classes that have no sample in ``fit``: those share it too, but nothing
    bounds how often their members are turned away.

    What is said of digits, LETTER and MNIST was measured as for
    :class:`~sk_center.CenterLossClassifier`, which was the estimator.

    From scikit-learn 1.9 on, ``set_callbacks`` takes its callbacks. Each split is a task,
    and so is the fit on all samples; what the estimator reports are tasks inside.

    References
    ----------
    .. [1] Y. Hechtlinger, B. Poczos, L. Wasserman. "Cautious deep learning".
       arXiv:1805.09460, 2018.
    .. [2] L. Guan, R. Tibshirani. "Prediction and outlier detection in classification
       problems". Journal of the Royal Statistical Society B 84, 2022.

    Examples
    --------
    Two kinds of iris are known, the third is not:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_center import OpenSetClassifier
    >>> iris = load_iris()
    >>> X, y = iris.data, iris.target_names[iris.target]
    >>> known = y != "virginica"
    >>> model = OpenSetClassifier(
    ...     LogisticRegression(), conformity_score="mahalanobis", cv=5)
    >>> model.fit(X[known], y[known]).classes_.tolist()
    ['setosa', 'versicolor']
    >>> model.predict(X[[0, 60, 140]]).tolist()
    ['setosa', 'versicolor', 'outsider']
    >>> model.p_values(X[[0, 60, 140]]).round(2)
    array([[0.94, 0.02],
           [0.02, 0.25],
           [0.02, 0.02]])
    >>> float(model.is_outlier(X[~known]).mean())  # of 50 flowers
    0.88
    """

    estimator_: Any
    score_: BaseScore
    calibration_: BaseCalibration
    classes_: NDArray[Any]
    outlier_label_: Any
    thresholds_: NDArray[np.float64]
    score_thresholds_: NDArray[np.floating[Any]]
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        "conformity_score": "no_validation",  # named_score knows the nearest name
        "calibration": [StrOptions(set(CALIBRATIONS))],
        "false_rejection_rate": [Interval(Real, 0, 1, closed="left"), dict],
        "confidence": [Interval(Real, 0, 1, closed="neither"), None],
        "cv": ["cv_object", Interval(Real, 0, 1, closed="neither")],
        "refit": ["boolean"],
        "outlier_label": [Real, str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Estimator,
        *,
        conformity_score: ConformityScore = "auto",
        calibration: Literal["conformal", "gaussian", "weibull"] = "conformal",
        false_rejection_rate: float | dict[Any, float] = 0.05,
        confidence: float | None = None,
        cv: float | Splitter | Iterable[Any] | None = 0.2,
        refit: bool = True,
        outlier_label: Label = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.conformity_score = conformity_score
        self.calibration = calibration
        self.false_rejection_rate = false_rejection_rate
        self.confidence = confidence
        self.cv = cv
        self.refit = refit
        self.outlier_label = outlier_label
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Samples, y: ArrayLike, **params: Any) -> Self:
        """Fit the estimator, the score and the calibration.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or map-style torch Dataset
            Samples of the known classes, of any form that the estimator takes and that
            can be indexed by rows.

        y : array-like of shape (n_samples,)
            Class labels. Samples of the ``negative_label`` of an estimator that has one,
            as a :class:`~sk_center.CenterLossClassifier` may, train it and never calibrate.

        **params : dict
            Parameters of the ``fit`` of the estimator, such as ``sample_weight``; those
            of one value per sample are split with the samples. Weights are for training:
            all calibration samples count alike, but those of weight zero not at all.
            ``groups`` are for the ``split`` of a ``cv`` that is a splitter, such as
            :class:`sklearn.model_selection.GroupKFold`. Where metadata routing is enabled,
            it decides what goes where.

        Returns
        -------
        self : OpenSetClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the data or a parameter is invalid, the calibration samples are too few
            for ``false_rejection_rate``, or the estimator does not give what the score
            consumes. What an earlier ``fit`` found is then still there.

        TypeError
            If the estimator does not know one of ``params``.

        sklearn.exceptions.NotFittedError
            If a frozen estimator is not fitted.

        Warns
        -----
        UserWarning
            If classes of few calibration samples share one threshold; if no sample will
            ever be rejected, for a rate of 0 for one class, or for thresholds on
            probabilities that leave no room; if hardly any will, because calibration
            samples far out of their class set its threshold; if y lacks classes of a
            frozen estimator.

        Notes
        -----
        Ctrl-C is for the estimator that trains at that time. A
        :class:`~sk_center.CenterLossClassifier` ends its training early and warns, and the
        other splits still train in full. Where KeyboardInterrupt comes through, as from
        other estimators or with ``n_jobs``, the whole fit ends, and what an earlier ``fit``
        found is still there.
        """
        with restored_on_error(self):
            self._fit(X, y, **params)
        return self

    def predict(self, X: Samples) -> NDArray[Any]:
        """Return the class of each sample, or the outlier label.

        Of the classes that do not turn a sample down, it is the one that the estimator
        itself ranks highest.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels, of a dtype that holds the outlier label too.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.
        """
        check_is_fitted(self)
        predicted = self.estimator_.predict(X)
        if not self.thresholds_.any():
            return predicted
        p_values = self.p_values(X)
        accepted = p_values > self.thresholds_
        index = np.searchsorted(self.classes_, predicted)
        others = np.flatnonzero(
            accepted.any(axis=1) & ~accepted[np.arange(len(index)), index]
        )
        if len(others):
            ranking = self._ranking(X, others, predicted, p_values)
            index[others] = np.where(accepted[others], ranking, -np.inf).argmax(axis=1)
        labels = self.classes_.astype(label_dtype(self.classes_, self.outlier_label_))[
            index
        ]
        labels[~accepted.any(axis=1)] = self.outlier_label_
        return labels

    def p_values(self, X: Samples) -> NDArray[np.float64]:
        """Return how compatible each sample is with each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples, n_classes)
            In (0, 1]. For true members of class i, ``P(p_values[:, i] <= t) <= t``, and the
            smallest with n calibration samples is ``1 / (n + 1)``. That is so for
            ``calibration="conformal"``; the others go below, and are as good as the law
            that they assume.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.
        """
        check_is_fitted(self)
        return self.calibration_.p_values(self._class_scores(X))

    def predict_set(self, X: Samples) -> NDArray[np.bool_]:
        """Return which classes do not turn each sample down.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        accepted : ndarray of shape (n_samples, n_classes)
            Boolean. No class: an outsider; several: ambiguous. The true class is in the
            set with probability at least ``1 - false_rejection_rate``, with
            ``calibration="conformal"``; with the others, where their law holds.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.

        See Also
        --------
        OpenSetClassifier.p_values : What the sets are made of.
        OpenSetClassifier.is_outlier : Which sets are empty.
        """
        return self.p_values(X) > self.thresholds_

    def is_outlier(self, X: Samples) -> NDArray[np.bool_]:
        """Return which samples every class turns down.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        outlier : ndarray of shape (n_samples,)
            Boolean.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.
        """
        return ~self.predict_set(X).any(axis=1)  # type: ignore[return-value]

    def select_outliers(self, X: Samples, *, fdr: float = 0.1) -> NDArray[np.bool_]:
        """Return which samples of a batch to call outsiders, with few members among them.

        ``is_outlier`` bounds the share of the members that are called outsiders. This
        bounds the share of members among those that are called outsiders, whatever their
        number in the batch: the false discovery rate.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, judged together.

        fdr : float, default=0.1
            Bound on the expected share of members among the selected, in (0, 1). Larger
            selects more.

        Returns
        -------
        selected : ndarray of shape (n_samples,)
            Boolean.

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
        The p-value of a sample is the largest of its classes, since a member of any class
        is no outsider; to those goes the procedure of Benjamini and Hochberg. For one
        class, held-out calibration samples and ``calibration="conformal"`` the bound holds
        exactly if the samples are drawn independently [1]_. For several classes the largest
        p-value is more careful than that of the true class; the bound then is not proven,
        but kept in simulations.

        The smallest conformal p-value is ``1 / (n + 1)`` with n calibration samples of a
        class. Of m samples, less than ``m / (fdr * (n + 1))`` outsiders cannot be selected.
        ``calibration="gaussian"`` and ``"weibull"`` give smaller ones, by which few
        outsiders can be selected too; their bound is as good as the law that they assume.

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
        >>> model = OpenSetClassifier(
        ...     LogisticRegression(), conformity_score="mahalanobis", cv=5)
        >>> model = model.fit(X[known], y[known])
        >>> selected = model.select_outliers(X, fdr=0.1)
        >>> int(selected[~known].sum()), int(selected[known].sum())
        (38, 0)
        """
        if not (isinstance(fdr, Real) and 0 < fdr < 1):
            raise ValueError(f"fdr must be in (0, 1); got {fdr!r}.")
        return false_discovery_control(self.p_values(X).max(axis=1)) <= fdr

    def explain(
        self,
        X: Samples,
        X_train: Samples | None = None,
        y_train: ArrayLike | None = None,
        *,
        n_neighbors: int = 5,
    ) -> list[Explanation]:
        """Explain why each sample got its label.

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
            One for each sample, with the p-value, the threshold and the score of each
            class, the distance to its center, and the nearest training samples, see
            :class:`~sk_center.open_set.explanation.Explanation`. Centers are those of the
            estimator, else the means of the training samples; distances are those of the
            features that scores see.

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
        scores = self._class_scores(X)
        return explain(self, X, scores, X_train, y_train, n_neighbors)

    def score_samples(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return how known each sample looks, by the class it is most typical of.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Larger is more known, in units of the score.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.
        """
        return self._class_scores(X).max(axis=1)

    @if_estimator_has("predict_proba")
    def predict_proba(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the probabilities of the known classes, as the estimator gives them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities, given that the sample is of a known class.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @if_estimator_has("predict_log_proba")
    def predict_log_proba(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the log-probabilities of the known classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithms of :meth:`predict_proba`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @if_estimator_has("decision_function")
    def decision_function(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the decision function of the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        decision : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Decision function for the known classes.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @if_estimator_has("transform")
    def transform(self, X: Samples) -> Any:
        """Return the features that the estimator gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Features.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        ValueError
            If the estimator refuses X, such as for another shape or numbers that are not
            finite.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    @if_estimator_has("transform")
    def fit_transform(self, X: Samples, y: ArrayLike, **params: Any) -> Any:
        """Fit and return the features that the estimator gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            Class labels.

        **params : dict
            Parameters of :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Features.

        Raises
        ------
        ValueError
            As :meth:`fit` does.

        AttributeError
            If the estimator has no ``transform``.
        """
        return self.fit(X, y, **params).transform(X)

    @if_estimator_has("get_feature_names_out")
    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Get the names of the features that ``transform`` gives.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input features, as the estimator takes them.

        Returns
        -------
        names : ndarray of str
            Names of the features.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    @if_estimator_has("transform")
    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """Set what ``transform`` returns, as in scikit-learn's transformers.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Kind of container; None leaves it.

        Returns
        -------
        self : OpenSetClassifier
            This estimator.
        """
        for estimator in (self.estimator, getattr(self, "estimator_", None)):
            if estimator is not None:
                _safe_set_output(estimator, transform=transform)
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            Routes the parameters of ``fit`` to the estimator, and ``groups`` to ``cv``.
        """
        return (
            MetadataRouter(owner=self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def __getstate__(self):
        return {**super().__getstate__(), "_versions": versions()}

    def __setstate__(self, state):
        state = dict(state)
        warn_of_versions(state.pop("_versions", {}))
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.transformer_tags = inner.transformer_tags
        tags.classifier_tags = inner.classifier_tags
        tags.non_deterministic = inner.non_deterministic
        return tags

    @with_callbacks
    def _fit(self, X, y, **params):
        """Do what ``fit`` does, and on an error leave it half done."""
        self._validate_params()
        grouping = {}
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            params, grouping = routed.estimator.fit, routed.splitter.split
        elif not isinstance(self.cv, Real) and "groups" in params:
            params = dict(params)
            grouping = {"groups": params.pop("groups")}
        if not is_classifier(self.estimator):
            raise ValueError(f"estimator must be a classifier; got {self.estimator!r}.")
        # What is wrong with the score is told before training.
        self._make_score(self.estimator)
        check_no_label_missing(y)
        X, labels = indexable(X, column_or_1d(y, warn=True))
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        counted = rows_that_count(labels, params)
        negative = equals_label(labels, negative_label_of(self.estimator))
        members = counted[~negative[counted]]
        y = labels[members]
        if isinstance(self.estimator, FrozenEstimator):
            check_is_fitted(self.estimator)
            self.classes_ = np.unique(self.estimator.classes_)
            unknown = np.setdiff1d(y, self.classes_)
            if len(unknown):
                raise ValueError(
                    f"y holds the labels {unknown.tolist()}, which are not among the "
                    f"classes of the frozen estimator, {self.classes_.tolist()}."
                )
        else:
            self.classes_ = np.unique(y)
        # What the label of a sample that is no member becomes does not matter.
        y = index_of(labels, self.classes_, members)
        rates = self._check_rates()
        self.outlier_label_ = self._check_outlier_label(rates)
        rng = check_random_state(self.random_state)
        splits, refit = self._split(X, y, labels, members, grouping, rng)
        if refit:
            splits.append((members, None))
        # Negatives train, wherever a splitter puts them, and never calibrate.
        negatives = counted[negative[counted]]
        context = self._init_callback_context(
            max_subtasks=len(splits), sequential_subtasks=False
        )
        task = Task(context, self, X, labels, params.get("sample_weight")).begin()
        contexts = [
            context.subcontext(
                task_name="split" if test is not None else "refit", task_id=i
            )
            for i, (_, test) in enumerate(splits)
        ]
        own, y, some, labels = self._fit_splits(
            X, y, labels, params, splits, contexts, negatives, rng
        )
        calibration = CALIBRATIONS[self.calibration](rates, self.confidence)
        self.calibration_ = calibration.fit(own, y, self.classes_)
        self.thresholds_ = calibration.thresholds_
        self.score_thresholds_ = calibration.score_thresholds_
        self._warn_of_thresholds(own, y, some, labels)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            else:
                vars(self).pop(name, None)
        task.end({})

    def _check_rates(self):
        """Return the false rejection rate of each class."""
        rates = self.false_rejection_rate
        classes = self.classes_.tolist()
        if not isinstance(rates, dict):
            return np.full(len(classes), float(rates))
        missing = [label for label in classes if label not in rates]
        if missing:
            raise ValueError(
                f"false_rejection_rate must give a rate for every class; {missing} are "
                f"missing among {list(rates)}."
            )
        for label, rate in rates.items():
            if not (isinstance(rate, Real) and 0 <= rate < 1):
                raise ValueError(
                    f"false_rejection_rate[{label!r}] must be in [0, 1); got {rate!r}."
                )
        rates = np.array([rates[label] for label in classes], dtype=float)
        if rates.any() and not rates.all():
            warnings.warn(
                "No sample will ever be rejected, because a sample is an outsider only "
                "when every class turns it down, and these never do "
                f"(false_rejection_rate=0): {self.classes_[rates == 0].tolist()}.",
                UserWarning,
                stacklevel=5,
            )
        return rates

    def _check_outlier_label(self, rates):
        """Return the outlier label, of the kind of the classes and none of them."""
        label, classes = self.outlier_label, self.classes_.tolist()
        strings = all(isinstance(class_, str) for class_ in classes)
        numbers = self.classes_.dtype.kind in "biuf"
        if isinstance(label, str) and label == "auto":
            label = "outsider" if strings else -1
        if not (isinstance(label, str) if strings else numbers and isinstance(label, Real)):
            kind = "strings" if strings else "numbers" if numbers else "objects"
            raise ValueError(
                f"outlier_label must be of the kind of the classes, which are {kind} such "
                f"as {classes[0]!r}; got {self.outlier_label!r}."
            )
        if label in classes and rates.any():
            raise ValueError(
                f"outlier_label must not be a class, but {label!r} is among "
                f"{classes[:10]}; choose another outlier_label."
            )
        return label

    def _split(self, X, y, labels, members, grouping, rng):
        """Return which samples train and which calibrate, and whether all train then."""
        is_share = isinstance(self.cv, Real) and not isinstance(self.cv, Integral)
        if isinstance(self.estimator, FrozenEstimator):
            absent = np.setdiff1d(np.arange(len(self.classes_)), y[members])
            if len(absent):
                names = shortened([repr(k) for k in self.classes_[absent].tolist()])
                warnings.warn(
                    f"y holds no sample of the classes [{names}] of the frozen estimator: "
                    "nothing bounds how often their members are turned away, and a score "
                    "that has to learn of a class from samples turns all of them down.",
                    UserWarning,
                    stacklevel=5,
                )
            # Only the score trains, if it has something to learn.
            if not self._make_score(self.estimator, X).learns:
                return [(members, members)], False
            share = self.cv if is_share else 0.5
            return [split_classes(y, members, share, rng)], False
        if is_share:
            return [split_classes(y, members, self.cv, rng)], False
        splitter = check_cv(self.cv, labels, classifier=True)
        everything = np.arange(len(y))
        splits = [
            # A split may come as masks.
            tuple(np.intersect1d(everything[part], members) for part in parts)
            for parts in splitter.split(X, labels, **grouping)
        ]
        if not splits:
            raise ValueError(f"cv must give at least one split; cv={self.cv!r} gives none.")
        if not self.refit and len(splits) != 1:
            raise ValueError(
                f"refit=False takes a cv with one split, whose estimator is kept; "
                f"cv={self.cv!r} gives {len(splits)}."
            )
        if not self.refit and len(np.unique(y[splits[0][0]])) < len(self.classes_):
            raise ValueError(
                "refit=False takes a training part with samples of every class; cv gives "
                f"one of {self.classes_[np.unique(y[splits[0][0]])].tolist()}."
            )
        if np.bincount(np.concatenate([test for _, test in splits])).max(initial=0) > 1:
            raise ValueError(
                f"cv must hold each sample out at most once; {type(self.cv).__name__} gave "
                "some several times. The bound is for calibration samples drawn "
                "independently."
            )
        return splits, self.refit

    def _fit_splits(self, X, y, labels, params, splits, contexts, negatives, rng):
        """Fit on each training part, and return what ``own_scores`` finds of the rest.

        The last split is what is kept; without a test part it is there for that alone.
        """
        fitted = Parallel(n_jobs=self.n_jobs if len(splits) > 1 else None)(
            delayed(self._fit_part)(
                self._make_estimator(rng), X, y, labels, train, negatives, params, context
            )
            for (train, _), context in zip(splits, contexts)
        )
        own = [
            own_scores(estimator, score, X, y, test, len(self.classes_))
            for (estimator, score), (_, test) in zip(fitted, splits)
            if test is not None
        ]
        self.estimator_, self.score_ = fitted[-1]
        return tuple(np.concatenate(parts) for parts in zip(*own))

    def _warn_of_thresholds(self, own, y, some, labels):
        """Warn if the thresholds are such that no sample is likely to be turned down."""
        thresholds = self.score_thresholds_
        loose = loose_thresholds(thresholds, own, y, some, labels)
        if len(loose):
            names = shortened([repr(k) for k in self.classes_[loose].tolist()])
            warnings.warn(
                f"Hardly any sample will be rejected: the classes [{names}] accept nearly "
                "all samples of other classes too, since calibration samples far out of "
                "their own class set the threshold. Look for wrong labels, and for columns "
                "that are nearly always the same, which a scaler blows up; or let more "
                "samples calibrate (cv=5), or choose a larger false_rejection_rate.",
                UserWarning,
                stacklevel=5,
            )
        if not (isinstance(self.score_, MaxSoftmax) and np.isfinite(thresholds).all()):
            return
        # Probabilities below the thresholds of all classes sum to less than these do.
        if thresholds.sum() <= 1:
            warnings.warn(
                "No sample will ever be rejected: true members get probabilities so small "
                f"that the thresholds of all classes, {thresholds.sum():.3g} together, "
                "leave no room. Use another conformity_score, such as 'input_density', "
                "which takes numbers (encode categories in a Pipeline before the "
                "classifier), or a larger false_rejection_rate.",
                UserWarning,
                stacklevel=5,
            )

    def _make_estimator(self, rng):
        """Return a clone to fit, with seeds where it has none and this one has."""
        estimator = clone(self.estimator)
        if self.random_state is None:
            return estimator
        seeds = {
            name: rng.randint(np.iinfo(np.int32).max)
            for name, value in sorted(estimator.get_params().items())
            if value is None and name.split("__")[-1] == "random_state"
        }
        estimator.set_params(**seeds)  # returns nothing where the estimator is frozen
        return estimator

    def _fit_part(self, estimator, X, y, labels, train, negatives, params, context):
        """Return the estimator and the score fitted on some of the samples.

        The estimator also sees the negatives.
        """
        rows = np.union1d(train, negatives)
        part = rows_of(X, rows)
        params = _check_method_params(X, params, indices=rows)
        is_frozen = isinstance(estimator, FrozenEstimator)
        task = Task(context, self, part, labels[rows], params.get("sample_weight"))
        with task.around(None if is_frozen else estimator):
            estimator.fit(part, labels[rows], **params)
        trained = self.classes_[np.unique(y[train])]
        if not is_frozen and not np.array_equal(
            getattr(estimator, "classes_", trained), trained
        ):
            raise ValueError(
                f"The estimator knows the classes {list(estimator.classes_)}, but y holds "
                f"{trained.tolist()}."
            )
        if len(negatives):
            part = rows_of(X, train)
        score = self._make_score(estimator, part)
        seen = consumed(estimator, score, part)
        if is_frozen and len(trained) < len(self.classes_):
            return estimator, score.fit(seen, y[train], classes=range(len(self.classes_)))
        return estimator, score.fit(seen, y[train])

    def _class_scores(self, X):
        check_is_fitted(self)
        return class_scores(self.estimator_, self.score_, X)

    def _ranking(self, X, rows, predicted, p_values):
        """Return what the estimator itself ranks the classes by, for some rows of X."""
        if hasattr(self.estimator_, "predict_proba"):
            return self.estimator_.predict_proba(rows_of(X, rows))
        if hasattr(self.estimator_, "decision_function"):
            decision = self.estimator_.decision_function(X)
            if decision.ndim == 1:
                return np.column_stack([-decision, decision])[rows]
            # Columns may also be pairs of classes, of which three classes have three.
            if decision.shape[1] == len(self.classes_) and np.array_equal(
                self.classes_[decision.argmax(axis=1)], predicted
            ):
                return decision[rows]
        return p_values[rows]

    def _make_score(self, estimator, X=None):
        """Return the score, not fitted, for an estimator and, once that is fitted, X."""
        score, how = self.conformity_score, "min"
        if isinstance(score, str) and score == "auto":
            score, how = self._auto_score(estimator, X)
        if isinstance(score, list):
            made = Combined([named_score(part, estimator) for part in score], how=how)
        else:
            made = named_score(score, estimator)
        if self.calibration == "gaussian" and not made.radial:
            raise ValueError(
                "calibration='gaussian' takes conformity_score='mahalanobis' or "
                f"'center_distance', the square of which has a known law; got {score!r}."
            )
        return made

    def _auto_score(self, estimator, X):
        """Return what "auto" stands for, and how the scores are combined."""
        if self.calibration == "gaussian":
            return "mahalanobis", "min"
        is_table = X is not None and is_small_table(estimator, X, len(self.classes_))
        if hasattr(estimator, "transform"):
            if gives_logits(estimator):
                return ["mahalanobis", "energy"] + ["input_density"] * is_table, "sum"
        elif is_table:
            return "input_density", "sum"
        elif hasattr(estimator, "predict_proba"):
            return "max_softmax", "sum"
        return ["center_distance", "mahalanobis"], "min"


def named_score(score: Any, estimator: Any) -> BaseScore:
    """Return a score to fit, made of what a user may give for one."""
    if isinstance(score, BaseScore):
        return clone(score)
    if not isinstance(score, type):
        if hasattr(score, "fit") and hasattr(score, "score_samples"):
            return PerClass(clone(score))
        if callable(score):
            return FunctionScore(score)
    if not isinstance(score, str) or score not in SCORES:
        nearest = nearest_name(score, SCORES) if isinstance(score, str) else None
        raise ValueError(
            f"conformity_score must be one of {[*SCORES]}, a score, an estimator with "
            f"score_samples, a callable, a list of those, or 'auto' alone; got {score!r}"
            + (f"; did you mean {nearest!r}?" if nearest else ".")
        )
    if score in ("center_distance", "mahalanobis"):
        return SCORES[score](centers=centers_of(estimator))
    return SCORES[score]()


def is_small_table(estimator: Any, X: Samples, n_classes: int) -> bool:
    """Return whether inputs are numbers and few, as are classes: a density tells much."""
    row = inputs_of(estimator, rows_of(X, [0]))
    numbers = row.ndim == 2 and row.dtype.kind in "biuf"
    return numbers and max(row.shape[1], n_classes) <= LARGEST_TABLE


def index_of(
    labels: NDArray[Any], classes: NDArray[Any], rows: NDArray[Any]
) -> NDArray[np.intp]:
    """Return the index of each label among the classes, zeros but for some rows."""
    index = np.zeros(len(labels), dtype=np.intp)
    index[rows] = np.searchsorted(classes, labels[rows])
    return index


def rows_of(X: Any, rows: NDArray[Any] | Sequence[int]) -> Any:
    """Return some rows of X, of a torch Dataset as a Subset."""
    if is_dataset(X):
        return sys.modules["torch.utils.data"].Subset(X, rows)
    (X,) = indexable(X)  # some sparse formats have no rows, nor have array-likes
    return _safe_indexing(X, rows)


def rows_that_count(labels: NDArray[Any], params: dict[str, Any]) -> NDArray[np.intp]:
    """Return the rows whose ``sample_weight`` is not zero."""
    counts = np.ones(len(labels), dtype=bool)
    for name, values in params.items():
        # One of another length is for the estimator to refuse.
        if name.split("__")[-1] == "sample_weight" and np.shape(values) == counts.shape:
            counts &= np.asarray(values) != 0
    if counts.all() or not counts.any():
        return np.arange(len(labels))
    classes = np.unique(labels[counts])
    if len(classes) < 2:
        raise ValueError(
            f"sample_weight leaves samples of one class only, {classes.tolist()}."
        )
    return np.flatnonzero(counts)


def finite_rows(X: Any) -> NDArray[np.bool_]:
    """Return which rows hold finite numbers, or what is no array of such."""
    X = np.zeros(X.shape[0]) if issparse(X) else np.asarray(X)
    if X.dtype.kind != "f":
        return np.ones(len(X), dtype=bool)
    return np.isfinite(flat(X)).all(axis=1)


def class_scores(estimator: Any, score: BaseScore, X: Samples) -> NDArray[np.floating[Any]]:
    """Return the score of samples for each class.

    Finite samples of which the estimator makes numbers that are not finite, as a network
    does of huge ones, look like nothing it knows.
    """
    seen = consumed(estimator, score, X)
    finite = np.all([finite_rows(part) for part in seen.values()], axis=0)
    lost = np.flatnonzero(~finite)
    if not (len(lost) and finite_rows(inputs_of(estimator, rows_of(X, lost))).all()):
        return score.score_classes(seen)  # which says what is wrong with X itself
    seen = {name: np.array(part) for name, part in seen.items()}
    for part in seen.values():
        part[lost] = 0
    scores = score.score_classes(seen)
    scores[lost] = -np.inf
    return scores


def own_scores(
    estimator: Any,
    score: BaseScore,
    X: Samples,
    y: NDArray[np.intp],
    rows: NDArray[Any],
    n_classes: int,
) -> tuple[NDArray[Any], ...]:
    """Return the scores of samples for their own class, and their class indices.

    Samples of a class that the score does not know are left out: it happens in folds
    that hold every sample of a class. Two more arrays are the scores of some samples for
    all classes, NaN for those that the score does not know, and their class indices.
    """
    rows = np.asarray(rows)[np.isin(y[rows], score.classes_)]
    some = slice(None, None, len(rows) * n_classes // MOST_SCORES + 1)
    for_all = np.full((len(rows[some]), n_classes), np.nan)
    if not len(rows):
        return np.empty(0), y[rows], for_all, y[rows]
    scores = class_scores(estimator, score, rows_of(X, rows))
    for_all[:, score.classes_] = scores[some]
    own = scores[np.arange(len(rows)), np.searchsorted(score.classes_, y[rows])]
    return own, y[rows], for_all, y[rows[some]]


def split_classes(
    y: NDArray[np.intp], rows: NDArray[np.intp], share: float, rng: np.random.RandomState
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Hold a share of every class out, rounded up, but leave each at least one sample.

    Of all samples only some rows are split. Unlike ``train_test_split`` it takes classes
    of a single sample, which all train.
    """
    held_out = []
    for k in np.unique(y[rows]):
        members = rng.permutation(rows[y[rows] == k])
        # Rounded first: 0.07 * 100 is a little more than 7.
        n_held_out = int(np.ceil(round(float(share) * len(members), 9)))
        held_out.append(members[: min(n_held_out, len(members) - 1)])
    held_out = np.sort(np.concatenate(held_out))
    return np.setdiff1d(rows, held_out), held_out


def label_dtype(classes: NDArray[Any], label: Label) -> np.dtype[Any]:
    """Return a dtype that holds the classes and the outlier label as they are."""
    label = np.asarray(label)
    kind = label.dtype if label.dtype.kind in "US" else np.min_scalar_type(label)
    for dtype in (np.result_type(classes.dtype, kind), np.int64, np.float64):
        # As numbers of Python, which compare exactly. NaN may be the label and equals none.
        same = classes.astype(dtype).tolist() == classes.tolist()
        if same and (label != label or label.astype(dtype).item() == label.item()):
            return np.dtype(dtype)
    return np.dtype(object)

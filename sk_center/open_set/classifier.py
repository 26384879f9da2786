"""A meta-estimator that lets any classifier reject samples of unknown classes."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sk_center._utils.callbacks import CallbackSupportMixin, with_callbacks
from sk_center._utils.compat import HasMethods, Interval, StrOptions, fit_context
from sk_center._utils.schema import (
    array,
    boolean,
    bounded,
    either,
    having,
    instance_of,
    label,
    labels,
    names,
    none,
    one_of,
    size,
)
from sk_center._utils.state import restored_on_error
from sk_center._utils.versions import versions, warn_of_versions
from sk_center.calibration import CALIBRATIONS
from sk_center.calibration.base import BaseCalibration
from sk_center.open_set.answers import AnswersMixin
from sk_center.open_set.changing import ChangingMixin
from sk_center.open_set.decision import GUARANTEES, all_answers
from sk_center.open_set.delegation import DelegationMixin
from sk_center.open_set.fitting import fit_open_set
from sk_center.open_set.report import CalibrationReport
from sk_center.open_set.sets import SET_PARTS
from sk_center.scores import BaseScore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import ConformityScore, Estimator, Label, Samples, Splitter


class OpenSetClassifier(
    AnswersMixin,
    ChangingMixin,
    DelegationMixin,
    CallbackSupportMixin,
    ClassifierMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Classify samples of known classes and reject the others as outsiders.

    Every sample gets one number, the score for the class that the estimator predicts:
    larger is more typical of the known classes. Samples that score below a threshold are
    rejected, others keep the estimator's own label. Calibration samples, used to train
    neither the estimator nor the score, set the threshold so that a known sample is
    rejected with probability at most ``false_rejection_rate``.

    Use it as the outermost estimator: ``OpenSetClassifier(make_pipeline(StandardScaler(),
    SVC()))``. Inside a Pipeline its ``is_outlier`` and other methods are not available.
    Wrap an ensemble in it, too: inside an ensemble, such as a ``VotingClassifier`` or an
    ``AdaBoostClassifier``, rejections are lost or raise an error of scikit-learn.

    Parameters
    ----------
    estimator : estimator instance
        Any classifier, also a Pipeline. It is cloned and fitted, unless it is a
        :class:`sklearn.frozen.FrozenEstimator`. Its outputs beside labels, features, logits
        and probabilities, determine which scores can be used.

    conformity_score : "auto", name, score, estimator, callable or list, default="auto"
        How typical of the known classes a sample is.

        - A name or an instance selects a score of :mod:`sk_center.scores`.
        - Any other estimator with ``fit`` and ``score_samples``, such as a
          :class:`sklearn.mixture.GaussianMixture`, is fitted to each class by
          :class:`~sk_center.scores.PerClass`.
        - A callable maps features to scores, see :class:`~sk_center.scores.FunctionScore`.
        - A list is combined by :class:`~sk_center.scores.Combined`.
        - ``"auto"`` combines the inputs or features with the classifier's own confidence,
          see the guide to scores.

        The bound holds with any of them; the number of outsiders that are rejected depends
        on the score most of all. Features are ``estimator.transform(X)`` if that exists,
        else the inputs, those of the last step of a Pipeline. Logits are the ``logits`` of
        a :class:`~sk_center.CenterLossClassifier`, else the ``decision_function``.

    false_rejection_rate : float or dict, default=0.05
        Largest rate of known samples that are rejected, in [0, 1). A dict gives one for
        each class, and may hold further labels; it needs the guarantee "predicted" or
        "class". A larger rate rejects more outsiders and more known samples; a smaller one
        needs more calibration samples: half the rate, twice as many. 0 never rejects.

    guarantee : {"marginal", "predicted", "class"}, default="marginal"
        The known samples over which the rate is bounded.

        - ``"marginal"``: over all. One threshold; 19 calibration samples suffice at 5 %. A
          rare or difficult class may lose more: ``calibration_report_`` shows it, and
          ``fit`` warns if it is significant.
        - ``"predicted"``: over the samples predicted as class j, for each j. A threshold
          for each predicted class, and 19 calibration samples for each at 5 %.
        - ``"class"``: over the samples of class i, for each i. A sample is rejected only if
          every class rejects it, so fewer outsiders are rejected the more classes there
          are.

    calibration : {"conformal", "gaussian", "weibull"} or calibration, default="conformal"
        How scores become p-values, by name or as an instance of
        :mod:`sk_center.calibration`.

        - ``"conformal"`` ranks a sample among the calibration samples, assumes nothing of
          the scores, and keeps its bound.
        - ``"gaussian"`` assumes that squared distances follow a chi-square distribution. It
          takes ``"mahalanobis"``, which ``"auto"`` then is, or ``"center_distance"``.
        - ``"weibull"`` is conformal except for the lowest scores, which it extrapolates by
          a Weibull tail.

        The bound of the latter two is as good as their assumption. They need only two
        calibration samples, and are meant for few samples.

    confidence : float, default=None
        If None, the bound holds on average over calibration samples. With a float in (0,
        1), such as 0.9, it holds for these calibration samples with at least this
        probability, which needs a stricter threshold and more samples, 45 instead of 19 at
        5 %. For conformal calibration only.

    cv : "auto", float in (0, 1), int of at least 2, cross-validation generator, iterable \
            or None, default="auto"
        Determines the calibration samples, each used at most once.

        - ``"auto"`` holds out a fifth of every class, as 0.2 does, if these are at least
          100 samples and as many as the bound needs, or if ``refit=False``. Fewer samples
          set a threshold that differs much between draws and may reject next to nothing,
          so less data is scored in 10 folds. ``held_out_`` tells which.
        - A float is the share that is held out of every class. The estimator is trained on
          the rest, and the bound is exact.
        - An int, a splitter or None (5 folds): every sample is scored by an estimator that
          did not train on it, and calibrates; then the estimator is fitted on all of them.
          The bound then is approximate, since the final estimator differs from those that
          scored the calibration samples. This is meant for little data, and needs as many
          more trainings.

        With a FrozenEstimator all samples given to ``fit`` must be new to it. A share of
        them calibrates, ``cv`` if that is a float and half otherwise, and the score learns
        from the rest; all calibrate if the score has nothing to learn.

    refit : bool, default=True
        Whether to fit the estimator on all samples after an int or a splitter ``cv``.
        False takes a splitter with one split, such as a
        :class:`sklearn.model_selection.PredefinedSplit`, and keeps the estimator of its
        training part: the bound is then exact, with one fit less. A float ``cv`` and a
        FrozenEstimator never refit.

    error_rate : float, default=None
        Largest rate of known samples that are accepted with a prediction set that lacks
        their class, in [0, 1), over those that ``guarantee`` names. If ``ambiguous`` is a
        label it bounds the rate of wrong classes. A smaller rate gives larger sets, and
        needs more calibration samples. None means ``false_rejection_rate``, and is required
        under the guarantee "class".

    ambiguous : "keep", int, float or str, default="keep"
        Label that ``predict`` returns for accepted samples whose prediction set holds
        several classes; ``"keep"`` returns the predicted class. The label must be of the
        type of the classes, and neither a class nor the outlier label. Such a sample is
        withheld, and not rejected.

    outlier_label : "auto", int, float or str, default="auto"
        Label that ``predict`` returns for outsiders, of the type of the classes, but not
        one of them. ``"auto"`` is -1 if classes are numbers and ``"outsider"`` if they are
        strings. The dtype of predictions is wide enough for it. With boolean classes it is
        a string, and predictions are objects: True, False and ``"outsider"``.

    n_jobs : int, default=None
        Number of fits to run in parallel, if ``cv`` is an int or a splitter. -1 uses all
        cores; None means 1 unless in a ``joblib.parallel_config`` context.

    random_state : int, RandomState instance or None, default=None
        Seed of the held-out share, and of every ``random_state`` in the estimator that is
        None: with an int, two fits are equal. With None the estimator is left as it is.

    Attributes
    ----------
    estimator_ : estimator instance
        The fitted classifier.

    score_ : BaseScore
        The fitted score, of :mod:`sk_center.scores`.

    calibration_ : ConformalCalibration, GaussianCalibration or WeibullCalibration
        The fitted calibration that decides; ``groups_`` maps classes to its groups.

    class_calibration_ : ConformalCalibration, GaussianCalibration or WeibullCalibration
        The calibration of ``p_values``, a group for each class; under the guarantee "class"
        it is ``calibration_``.

    held_out_ : bool
        Whether the samples that calibrated in ``fit`` or ``recalibrate`` are new to
        ``estimator_`` and ``score_``, and the bound is exact; False after folds, with which
        it is approximate. It does not speak of added classes.

    groups_ : ndarray of shape (n_classes,), int
        Index of the group of ``calibration_`` for each class.

    calibration_report_ : CalibrationReport
        Calibration samples, rates allowed and kept, and thresholds, by class and overall.

    classes_ : ndarray of shape (n_classes,)
        The known classes.

    outlier_label_ : int, float or str
        Label that ``predict`` returns for outsiders.

    ambiguous_label_ : int, float, str or None
        Label that ``predict`` returns for withheld samples; None if ``ambiguous="keep"``.

    thresholds_ : ndarray of shape (n_classes,), float64
        A sample of a predicted class is rejected when ``p_known`` is at most this; under
        the guarantee "class", the class rejects a sample whose p-value is at most this.

    score_thresholds_ : ndarray of shape (n_classes,), float64
        The same in units of the score: samples that score below are rejected. For an added
        class under "marginal", of the score less half of the best score of a former class.

    n_features_in_ : int
        Number of features seen during ``fit``, if the estimator exposes it.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if the estimator exposes them.

    See Also
    --------
    CenterLossClassifier : A classifier whose features suit rejection.
    LeaveClassesOut : Judges and tunes rejection with the known classes alone.
    FalseRejectionDisplay : Draws whether the bound is kept.
    sk_center.calibration.samples_needed : The calibration samples that a bound needs.

    Notes
    -----
    With n calibration samples in the group, a sample with the score s has the p-value
    ``(1 + #{calibration scores <= s}) / (n + 1)`` and is rejected when that is at most the
    rate. If the calibration samples and a new known sample of the group are exchangeable,
    it is rejected with probability at most the rate, whatever the estimator and the score,
    at every n [1]_ [2]_. Scores that differ by less than the rounding of the estimator
    count as equal, so that a sample gets the same answer alone and in a batch.

    Classes with fewer calibration samples than their rate needs share one threshold under
    the guarantees "predicted" and "class", and a warning names them. A frozen estimator may
    know classes that have no sample in ``fit``.

    From scikit-learn 1.9 on, ``set_callbacks`` takes its callbacks. Each split is a task,
    and so is the fit on all samples; tasks of the estimator are nested in them.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer. "Algorithmic learning in a random world".
       Springer 2005.
    .. [2] S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia. "Testing for outliers with
       conformal p-values". Annals of Statistics 51, 2023.

    Examples
    --------
    Two kinds of iris are known, the third is not:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_center import OpenSetClassifier
    >>> iris = load_iris()
    >>> X, y = iris.data, iris.target_names[iris.target]
    >>> known = y != "virginica"
    >>> model = OpenSetClassifier(LogisticRegression(), cv=5).fit(X[known], y[known])
    >>> model.predict(X[[0, 60, 140]]).tolist()
    ['setosa', 'versicolor', 'outsider']
    >>> bool(model.is_outlier(X[~known]).mean() > 0.6)  # of 50 flowers
    True
    """

    held_out_: bool
    outlier_label_: Any
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _saved_state = {
        "classes_": labels,
        "estimator_": having("predict"),
        "score_": instance_of(BaseScore),
        "calibration_": instance_of(BaseCalibration),
        "class_calibration_": instance_of(BaseCalibration),
        "held_out_": boolean,
        "groups_": bounded(array("i", "K"), 0),
        "calibration_report_": instance_of(CalibrationReport),
        "outlier_label_": label,
        "ambiguous_label_": either(none, label),
        "_answers": array("biufUO", None),
        "_set_part": one_of(*SET_PARTS),
        "_set_thresholds": array("f", "K"),
        "_against_former": array("b", "K"),
        "?n_features_in_": size("inputs"),
        "?feature_names_in_": names,
    }
    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        "conformity_score": "no_validation",  # check_score suggests the closest name
        "false_rejection_rate": [Interval(Real, 0, 1, closed="left"), dict],
        "guarantee": [StrOptions({*GUARANTEES})],
        "calibration": [StrOptions({*CALIBRATIONS}), BaseCalibration],
        "confidence": [Interval(Real, 0, 1, closed="neither"), None],
        "cv": [StrOptions({"auto"}), "cv_object", Interval(Real, 0, 1, closed="neither")],
        "refit": ["boolean"],
        "error_rate": [Interval(Real, 0, 1, closed="left"), None],
        "ambiguous": [Real, str],
        "outlier_label": [Real, str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Estimator,
        *,
        conformity_score: ConformityScore = "auto",
        false_rejection_rate: float | dict[Any, float] = 0.05,
        guarantee: Literal["marginal", "predicted", "class"] = "marginal",
        calibration: Literal["conformal", "gaussian", "weibull"]
        | BaseCalibration = "conformal",
        confidence: float | None = None,
        cv: Literal["auto"] | float | Splitter | Iterable[Any] | None = "auto",
        refit: bool = True,
        error_rate: float | None = None,
        ambiguous: Label = "keep",
        outlier_label: Label = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.conformity_score = conformity_score
        self.false_rejection_rate = false_rejection_rate
        self.guarantee = guarantee
        self.calibration = calibration
        self.confidence = confidence
        self.cv = cv
        self.refit = refit
        self.error_rate = error_rate
        self.ambiguous = ambiguous
        self.outlier_label = outlier_label
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Samples, y: ArrayLike, **params: Any) -> Self:
        """Fit the estimator, the score and the calibration.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or map-style torch Dataset
            Samples of the known classes, of any form that the estimator takes and that
            can be indexed by rows, also sparse.

        y : array-like of shape (n_samples,)
            Class labels. Samples of the ``negative_label`` of an estimator, such as a
            :class:`~sk_center.CenterLossClassifier`, train it and never calibrate. A single
            class gives a novelty detector with a bound, if the estimator takes one, such as
            :class:`sklearn.dummy.DummyClassifier`.

        **params : dict
            Parameters of the ``fit`` of the estimator, such as ``sample_weight``; those
            with one value per sample are split with the samples. Weights affect training
            only: all calibration samples count alike, except those of weight zero, which do
            not count. ``groups`` are passed to the ``split`` of a ``cv`` that is a
            splitter, such as
            :class:`sklearn.model_selection.GroupKFold`. If metadata routing is enabled, it
            decides where parameters go.

        Returns
        -------
        self : OpenSetClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the data or a parameter is invalid, the calibration samples are too few
            for ``false_rejection_rate``, or the estimator lacks an output that the score
            needs. The results of an earlier ``fit`` are then kept.

        TypeError
            If the estimator does not take one of ``params``.

        sklearn.exceptions.NotFittedError
            If a frozen estimator is not fitted.

        Warns
        -----
        UserWarning
            Once, with each cause and the parameter that helps, if a threshold rejects
            nothing, samples far from all training samples are accepted, the rate on
            calibration samples is far below the one allowed, a class loses significantly
            more than the rate, or almost all samples of other classes would be accepted.
            Also if classes with few calibration samples share one threshold, or y lacks
            classes of a frozen estimator.

        Notes
        -----
        Ctrl-C interrupts the estimator that is being trained. A
        :class:`~sk_center.CenterLossClassifier` ends its training early and warns, and the
        other splits are still trained in full. If the estimator raises KeyboardInterrupt,
        and with ``n_jobs``, the whole fit ends, and the results of an earlier ``fit`` are
        kept.
        """
        with restored_on_error(self):
            self._fit(X, y, **params)
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

    @property
    def thresholds_(self) -> NDArray[np.float64]:
        """The p-value of each class up to which samples are rejected."""
        return self.calibration_.thresholds_[self.groups_]

    @property
    def score_thresholds_(self) -> NDArray[np.float64]:
        """The score of each class below which samples are rejected."""
        return self.calibration_.score_thresholds_[self.groups_]

    def __getstate__(self):
        return {**super().__getstate__(), "_versions": versions()}

    def __setstate__(self, state):
        state = dict(state)
        warn_of_versions(state.pop("_versions", {}))
        super().__setstate__(state)

    def _check_loaded(self):
        """Raise ValueError unless the loaded parts go together."""
        n_classes, calibration = len(self.classes_), self.calibration_
        if len(self.score_.classes_) != n_classes:
            raise ValueError(f"score_ knows other classes than {n_classes}")
        if self.groups_.max() >= len(calibration.n_samples_):
            raise ValueError("groups_ names groups that calibration_ does not have")
        by_class = self.class_calibration_.n_samples_
        if self.guarantee != "class" and len(by_class) != n_classes:
            raise ValueError(f"class_calibration_ knows other classes than {n_classes}")
        if not np.array_equal(np.unique(self.estimator_.classes_), self.classes_):
            raise ValueError("estimator_ knows other classes")
        answers = all_answers(self.classes_, self.outlier_label_, self.ambiguous_label_)
        if answers.dtype != self._answers.dtype or (answers != self._answers).any():
            raise ValueError("_answers must be classes_ and the other labels")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.transformer_tags = inner.transformer_tags
        tags.classifier_tags = inner.classifier_tags
        tags.non_deterministic = inner.non_deterministic
        return tags

    def _html_repr(self):
        report = getattr(self, "calibration_report_", None)
        return super()._html_repr() + (report._repr_html_() if report is not None else "")

    @fit_context(prefer_skip_nested_validation=False)
    @with_callbacks
    def _fit(self, X, y, **params):
        """Fit without undoing anything on an error."""
        return fit_open_set(self, X, y, params)

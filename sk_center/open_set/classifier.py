"""A meta-estimator that lets any classifier answer "none of the known classes"."""

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

__all__ = ["OpenSetClassifier"]


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
    rejected, others keep the estimator's own label. Calibration samples, which trained
    neither the estimator nor the score, set the threshold such that a known sample is
    rejected with probability at most ``false_rejection_rate``.

    It is the outermost estimator: ``OpenSetClassifier(make_pipeline(StandardScaler(),
    SVC()))``. Inside of a Pipeline its ``is_outlier`` and other methods are out of reach.
    It also goes around ensembles: inside of one, such as a ``VotingClassifier`` or an
    ``AdaBoostClassifier``, rejections are lost or end in an error of scikit-learn.

    Parameters
    ----------
    estimator : estimator instance
        Any classifier, also a Pipeline. It is cloned and fitted, unless it is a
        :class:`sklearn.frozen.FrozenEstimator`. Its outputs beside labels decide which
        scores there are: features, logits, probabilities.

    conformity_score : "auto", name, score, estimator, callable or list, default="auto"
        How typical of the known classes a sample is.

        - A name or an instance is a score of :mod:`sk_center.scores`.
        - Any other estimator with ``fit`` and ``score_samples``, such as a
          :class:`sklearn.mixture.GaussianMixture`, is fitted to each class by
          :class:`~sk_center.scores.PerClass`.
        - A callable maps features to scores, see :class:`~sk_center.scores.FunctionScore`.
        - A list is combined by :class:`~sk_center.scores.Combined`.
        - ``"auto"`` combines what the inputs or features say with the classifier's own
          confidence, see the guide to scores.

        The bound holds with any of them; how many outsiders are rejected depends on it most
        of all. Features are ``estimator.transform(X)`` where that exists, and else the
        inputs, which are what the last step of a Pipeline sees. Logits are the ``logits``
        of a :class:`~sk_center.CenterLossClassifier`, else the ``decision_function``.

    false_rejection_rate : float or dict, default=0.05
        Largest rate of known samples that are rejected, in [0, 1). A dict gives one for
        each class, and may hold further labels; it goes with the guarantees "predicted" and
        "class". Larger rejects more outsiders and more known samples; smaller takes more
        calibration samples: half the rate, twice as many. 0 never rejects.

    guarantee : {"marginal", "predicted", "class"}, default="marginal"
        Over which known samples the rate is bounded.

        - ``"marginal"``: over all. One threshold; 19 calibration samples suffice at 5 %. A
          rare or difficult class may lose more: ``calibration_report_`` tells, and ``fit``
          warns where it is significant.
        - ``"predicted"``: over the samples predicted as class j, for each j. A threshold
          for each predicted class, and 19 calibration samples for each at 5 %.
        - ``"class"``: over the samples of class i, for each i. A sample is rejected only if
          every class rejects it, which rejects ever fewer outsiders as classes grow.

    calibration : {"conformal", "gaussian", "weibull"} or calibration, default="conformal"
        How scores become p-values, by name or as an instance of
        :mod:`sk_center.calibration`.

        - ``"conformal"`` ranks a sample among the calibration samples, assumes nothing of
          the scores, and keeps its bound.
        - ``"gaussian"`` takes squared distances for chi-square variables. It goes with
          ``"mahalanobis"``, which ``"auto"`` then is, and ``"center_distance"``.
        - ``"weibull"`` is conformal but for the lowest scores, which it continues by a
          Weibull tail.

        The bound of the latter two is as good as their assumption, and they take two
        calibration samples: they are for few samples.

    confidence : float, default=None
        None: the bound holds on average over calibration samples. A float in (0, 1), such
        as 0.9: it holds for these calibration samples with at least this probability, which
        takes a stricter threshold and more samples, 45 rather than 19 at 5 %. For conformal
        calibration only.

    cv : float in (0, 1), int of at least 2, cross-validation generator, iterable or None, \
            default=0.2
        Which samples calibrate, each at most once.

        - A float is the share that is held out of every class. The estimator trains on the
          rest, and the bound is exact.
        - An int, a splitter or None (5 folds): every sample is scored by an estimator that
          did not train on it, and calibrates; then the estimator is fitted on all of them.
          The bound then is approximate, since the final estimator is none of those that
          calibrated. It is for little data, at the price of as many more trainings.

        With a FrozenEstimator all samples given to ``fit`` must be new to it. A share of
        them calibrates, ``cv`` where that is a float and half otherwise, and the score
        learns from the rest; all calibrate if the score has nothing to learn.

    refit : bool, default=True
        Whether to fit the estimator on all samples after an int or a splitter ``cv``.
        False takes a splitter with one split, such as a
        :class:`sklearn.model_selection.PredefinedSplit`, and keeps the estimator of its
        training part: then the bound is exact, and a fit is saved. A float ``cv`` and a
        FrozenEstimator never refit.

    error_rate : float, default=None
        Largest rate of known samples that are accepted with a prediction set that lacks
        their class, in [0, 1), over those that ``guarantee`` names. With ``ambiguous`` a
        label it bounds the rate of wrong classes. Smaller makes larger sets, and takes more
        calibration samples. None is ``false_rejection_rate``; under the guarantee "class"
        it has to be.

    ambiguous : "keep", int, float or str, default="keep"
        What ``predict`` returns for accepted samples whose prediction set holds several
        classes: the predicted class where it is ``"keep"``, else this label, of the kind of
        the classes, none of them and not the outlier label. Such a sample is withheld, and
        not rejected.

    outlier_label : "auto", int, float or str, default="auto"
        What ``predict`` returns for outsiders: of the kind of the classes, and none of
        them. ``"auto"`` is -1 where classes are numbers and ``"outsider"`` where they are
        strings. The dtype of predictions is wide enough for it. Beside booleans it is a
        string, and predictions are objects: True, False and ``"outsider"``.

    n_jobs : int, default=None
        Number of fits to run in parallel, where ``cv`` is an int or a splitter. -1 takes
        all cores; None is one, unless a context of ``joblib.parallel_config`` says
        otherwise.

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
        The fitted calibration that decides; ``groups_`` says which of its groups a class is
        compared with.

    class_calibration_ : ConformalCalibration, GaussianCalibration or WeibullCalibration
        The calibration of ``p_values``, a group for each class; under the guarantee "class"
        it is ``calibration_``.

    groups_ : ndarray of shape (n_classes,), int
        Index of the group of ``calibration_`` for each class.

    calibration_report_ : CalibrationReport
        Calibration samples, rates allowed and kept, and thresholds, by class and overall.

    classes_ : ndarray of shape (n_classes,)
        The known classes.

    outlier_label_ : int, float or str
        What ``predict`` returns for outsiders.

    ambiguous_label_ : int, float, str or None
        What ``predict`` returns for samples that are withheld, None where none are.

    thresholds_ : ndarray of shape (n_classes,), float64
        A sample of a predicted class is rejected when ``p_known`` is at most this; under
        the guarantee "class", the class rejects a sample whose p-value is at most this.

    score_thresholds_ : ndarray of shape (n_classes,), float64
        The same in units of the score: what scores below is rejected. For an added class
        under "marginal", of the score less half of the best score of a former class.

    n_features_in_ : int
        Number of features seen during ``fit``, where the estimator exposes it.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the estimator exposes them.

    See Also
    --------
    CenterLossClassifier : A classifier made for it.
    LeaveClassesOut : Judges and tunes rejection with the known classes alone.
    FalseRejectionDisplay : Draws whether the bound is kept.
    sk_center.calibration.samples_needed : The calibration samples that a bound takes.

    Notes
    -----
    With n calibration samples in the group, a sample with the score s has the p-value
    ``(1 + #{calibration scores <= s}) / (n + 1)`` and is rejected when that is at most the
    rate. If the calibration samples and a new known sample of the group are exchangeable,
    it is rejected with probability at most the rate, whatever the estimator and the score,
    at every n [1]_ [2]_. Scores that differ by less than the rounding of the estimator
    count as equal, so that a sample gets the same answer alone and in a batch.

    Classes with fewer calibration samples than their rate takes share one threshold under
    the guarantees "predicted" and "class", and a warning names them. A frozen estimator may
    know classes that have no sample in ``fit``.

    From scikit-learn 1.9 on, ``set_callbacks`` takes its callbacks. Each split is a task,
    and so is the fit on all samples; what the estimator reports are tasks inside.

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

    estimator_: Any
    score_: BaseScore
    calibration_: BaseCalibration
    class_calibration_: BaseCalibration
    groups_: NDArray[np.intp]
    calibration_report_: CalibrationReport
    classes_: NDArray[Any]
    outlier_label_: Any
    ambiguous_label_: Any
    thresholds_: NDArray[np.float64]
    score_thresholds_: NDArray[np.float64]
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _saved_state = {
        "classes_": labels,
        "estimator_": having("predict"),
        "score_": instance_of(BaseScore),
        "calibration_": instance_of(BaseCalibration),
        "class_calibration_": instance_of(BaseCalibration),
        "groups_": bounded(array("i", "K"), 0),
        "calibration_report_": instance_of(CalibrationReport),
        "outlier_label_": label,
        "ambiguous_label_": either(none, label),
        "thresholds_": bounded(array("f", "K"), 0, np.nextafter(1, 0)),
        "score_thresholds_": bounded(array("f", "K")),
        "_answers": array("biufUO", None),
        "_set_part": one_of(*SET_PARTS),
        "_set_thresholds": array("f", "K"),
        "_against_former": array("b", "K"),
        "?n_features_in_": size("inputs"),
        "?feature_names_in_": names,
    }
    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        "conformity_score": "no_validation",  # check_score knows the nearest name
        "false_rejection_rate": [Interval(Real, 0, 1, closed="left"), dict],
        "guarantee": [StrOptions({*GUARANTEES})],
        "calibration": [StrOptions({*CALIBRATIONS}), BaseCalibration],
        "confidence": [Interval(Real, 0, 1, closed="neither"), None],
        "cv": ["cv_object", Interval(Real, 0, 1, closed="neither")],
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
        cv: float | Splitter | Iterable[Any] | None = 0.2,
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
            Class labels. Samples of the ``negative_label`` of an estimator that has one,
            as a :class:`~sk_center.CenterLossClassifier` may, train it and never calibrate.
            A single class makes a novelty detector with a bound, where the estimator takes
            one, as :class:`sklearn.dummy.DummyClassifier` does.

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
            needs. The results of an earlier ``fit`` are then still there.

        TypeError
            If the estimator does not know one of ``params``.

        sklearn.exceptions.NotFittedError
            If a frozen estimator is not fitted.

        Warns
        -----
        UserWarning
            Once, with each cause and the parameter that helps, if a threshold rejects
            nothing, samples far from all training samples are accepted, the rate on
            calibration samples is far below the one allowed, a class loses significantly
            more than the rate, or samples of other classes would nearly all be accepted. If
            classes of few calibration samples share one threshold, or y lacks classes of a
            frozen estimator.

        Notes
        -----
        Ctrl-C is for the estimator that trains at that time. A
        :class:`~sk_center.CenterLossClassifier` ends its training early and warns, and the
        other splits still train in full. Where KeyboardInterrupt comes through, as from
        other estimators or with ``n_jobs``, the whole fit ends, and the results of an
        earlier ``fit`` are still there.
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
        for name in ("thresholds_", "score_thresholds_"):
            expected = getattr(calibration, name)[self.groups_]
            if not np.array_equal(getattr(self, name), expected):
                raise ValueError(f"{name} and those of calibration_ differ")
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
        """Do what ``fit`` does, and on an error leave it half done."""
        return fit_open_set(self, X, y, params)

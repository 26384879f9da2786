"""Fit an open-set classifier: splits, estimator and score, then thresholds and report."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, indexable
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    assert_all_finite,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
)

from sk_center._utils.callbacks import Task
from sk_center._utils.compat import routing_enabled
from sk_center._utils.labels import check_no_label_missing, equals_label, shortened
from sk_center._utils.samples import check_no_tuple, indexable_samples
from sk_center._utils.user_warning import warn_of_fit, warn_user
from sk_center.calibration import CALIBRATIONS, ConformalCalibration, GaussianCalibration
from sk_center.calibration.conformal import samples_needed, smallest_rate
from sk_center.calibration.groups import rates_of_groups, shared_groups
from sk_center.open_set.decision import all_answers
from sk_center.open_set.fitted_part import fit_part, joined, limited, seeded_clone
from sk_center.open_set.outputs import negative_label_of, rows_of
from sk_center.open_set.report import CalibrationReport, concerns_of, rejected_by_others
from sk_center.open_set.scoring import check_score, score_of
from sk_center.open_set.sets import part_of_sets, support_thresholds
from sk_center.open_set.splits import (
    rows_that_count,
    share_of,
    split_classes,
    split_samples,
)
from sk_center.scores import LogOdds, MaxLogit
from sk_center.scores.registry import make_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sk_center.calibration.base import BaseCalibration
    from sk_center.open_set.fitted_part import Calibrated

# Distance of probes far from all samples, in standard deviations.
FAR, FAR_PROBES = 1e4, 8


def fit_open_set(model: Any, X: Any, y: Any, params: dict[str, Any]) -> None:
    """Set the fitted attributes of an OpenSetClassifier."""
    params, grouping = routed(model, params)
    if not is_classifier(model.estimator):
        raise ValueError(f"estimator must be a classifier; got {model.estimator!r}.")
    calibration = calibration_of(model.calibration, model.confidence)
    score = score_for(model.conformity_score, calibration)
    X, labels = checked(X, y)
    counted = rows_that_count(labels, params)
    negative = equals_label(labels, negative_label_of(model.estimator))
    known = counted[~negative[counted]]
    if not len(known):
        raise ValueError("y must hold samples of known classes; got 0 samples.")
    classes = classes_of(model.estimator, labels[known])
    rates = rates_of(model.false_rejection_rate, model.guarantee, classes)
    outlier_label = outlier_label_of(model.outlier_label, classes, rates)
    ambiguous_label = ambiguous_label_of(model.ambiguous, classes, outlier_label)
    answers = all_answers(classes, outlier_label, ambiguous_label)
    if model.error_rate is not None and model.guarantee == "class":
        raise ValueError(
            "error_rate must be None under guarantee='class', whose classes are in a set "
            f"by their false_rejection_rate; got {model.error_rate!r}."
        )
    # The index of a sample of no known class is not used.
    index = np.zeros(len(labels), dtype=np.intp)
    index[known] = np.searchsorted(classes, labels[known])
    rng = check_random_state(model.random_state)
    if isinstance(model.estimator, FrozenEstimator):
        splits = [split_of_frozen(model, score, X, index, known, classes, rng)]
    else:
        needed = needed_by(calibration, rates, model.confidence).max()
        splits = split_samples(
            *(model.cv, model.refit, X, labels, index, known, needed, grouping, rng)
        )
    # Negatives always train, whatever the splitter does, and never calibrate.
    negatives = counted[negative[counted]]
    context = model._init_callback_context(
        max_subtasks=len(splits), sequential_subtasks=False
    )
    task = Task(context, model, X, labels, params.get("sample_weight")).begin()
    contexts = [
        context.subcontext(task_name="refit" if test is None else "split", task_id=i)
        for i, (_, test) in enumerate(splits)
    ]
    parts = Parallel(n_jobs=model.n_jobs if len(splits) > 1 else None)(
        delayed(fit_part)(
            *(model, context, seeded_clone(model.estimator, model.random_state, rng)),
            *(score, X, labels, index, classes, train, test, negatives, params),
        )
        for (train, test), context in zip(splits, contexts)
    )
    model.estimator_, model.score_, _ = parts[-1]
    model.held_out_ = splits[-1][1] is not None
    model.classes_, model.outlier_label_, model._answers = classes, outlier_label, answers
    model.ambiguous_label_ = ambiguous_label
    calibrated = joined([found for _, _, found in parts if found is not None], len(classes))
    if len(calibrated.y) and not model.held_out_:
        rows = np.sort(np.concatenate([test for _, test in splits[:-1]]))
        calibrated = limited(calibrated, model, rows_of(X, rows), index[rows])
    set_thresholds(model, calibration, calibrated, rates)
    far = far_accepted(model, rows_of(X, known[:: max(len(known) // FAR_PROBES, 1)]))
    concerns = concerns_of(
        model.calibration_report_, calibrated, far, model.confidence, model.score_
    )
    concerns += concern_of_sets(model)
    is_auto = isinstance(score, str) and score == "auto"
    if is_auto and isinstance(model.score_, LogOdds | MaxLogit):
        concerns.append(
            "conformity_score='auto' sees the confidence of the classifier alone, since "
            "its inputs are no numbers; encode them before it in a Pipeline "
            "(OrdinalEncoder, OneHotEncoder)."
        )
    if concerns:
        warn_of_fit(" ".join(concerns))
    for name in ("n_features_in_", "feature_names_in_"):
        vars(model).pop(name, None)
        if hasattr(model.estimator_, name):
            setattr(model, name, getattr(model.estimator_, name))
    task.end({})


def routed(model: Any, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters for the fit of the estimator, and those for the splitter."""
    if routing_enabled():
        routing = process_routing(model, "fit", **params)
        return routing.estimator.fit, routing.splitter.split
    if "groups" not in params or has_fit_parameter(model.estimator, "groups"):
        return params, {}
    if isinstance(model.cv, (str, Real)):
        raise ValueError(
            f"groups take a splitter as cv, such as cv=GroupKFold(5); got cv={model.cv!r}."
        )
    params = dict(params)
    return params, {"groups": params.pop("groups")}


def calibration_of(calibration: Any, confidence: float | None) -> BaseCalibration:
    """Return the calibration to fit, from a name or an instance."""
    by_name = isinstance(calibration, str)
    found = CALIBRATIONS[calibration]() if by_name else clone(calibration)
    found.check_confidence(confidence)
    return found


def needed_by(
    calibration: BaseCalibration, rates: NDArray[np.float64], confidence: float | None
) -> NDArray[np.intp]:
    """Return the calibration samples that the rate of each class takes."""
    return np.array([calibration._samples_needed(rate, confidence) for rate in rates])


def score_for(score: Any, calibration: BaseCalibration) -> Any:
    """Return the conformity score, or raise ValueError if the calibration takes another."""
    if isinstance(calibration, GaussianCalibration):
        score = "mahalanobis" if isinstance(score, str) and score == "auto" else score
        if isinstance(score, list) or not make_score(score).radial:
            raise ValueError(
                "calibration='gaussian' takes conformity_score='mahalanobis' or "
                "'center_distance', the square of which has a known distribution; got "
                f"{score!r}."
            )
    check_score(score)
    return score


def checked(X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
    """Return samples that can be indexed by rows, and labels of classes."""
    check_no_label_missing(y)
    check_no_tuple(X, y)
    X, labels = indexable(indexable_samples(X), column_or_1d(y, warn=True))
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return X, labels


def classes_of(estimator: Any, labels: NDArray[Any]) -> NDArray[Any]:
    """Return the known classes: those of a frozen estimator, else those of the labels."""
    if not isinstance(estimator, FrozenEstimator):
        return np.unique(labels)
    check_is_fitted(estimator)
    classes = np.unique(estimator.classes_)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"y holds the labels {unknown.tolist()}, which are not among the classes of "
            f"the frozen estimator, {classes.tolist()}."
        )
    return classes


def rates_of(
    rates: float | dict[Any, float], guarantee: str, classes: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the false-rejection rate of each class."""
    labels = classes.tolist()
    if not isinstance(rates, dict):
        return np.full(len(labels), float(rates))
    if guarantee == "marginal":
        raise ValueError(
            "false_rejection_rate as a dict takes guarantee='predicted' or 'class', which "
            "bound a rate for each class; got guarantee='marginal'."
        )
    missing = [label for label in labels if label not in rates]
    if missing:
        raise ValueError(
            f"false_rejection_rate must give a rate for every class; {missing} are missing "
            f"among {list(rates)}."
        )
    for label, rate in rates.items():
        if not (isinstance(rate, Real) and 0 <= rate < 1):
            raise ValueError(
                f"false_rejection_rate[{label!r}] must be in [0, 1); got {rate!r}."
            )
    found = np.array([rates[label] for label in labels], dtype=float)
    if guarantee == "class" and found.any() and not found.all():
        warn_user(
            "No sample will ever be rejected, because under guarantee='class' every class "
            "must reject it, and these never do (false_rejection_rate=0): "
            f"{classes[found == 0].tolist()}. guarantee='predicted' asks one class only."
        )
    return found


def outlier_label_of(label: Any, classes: NDArray[Any], rates: NDArray[np.float64]) -> Any:
    """Return the outlier label, of the type of the classes and not among them."""
    given, labels = label, classes.tolist()
    if isinstance(label, str) and label == "auto":
        label = "outsider" if takes_strings(classes) else -1
    check_kind("outlier_label", label, given, classes)
    if label in labels and rates.any():
        raise ValueError(
            f"outlier_label must not be a class, but {label!r} is among {labels[:10]}; "
            "choose another outlier_label."
        )
    return label


def ambiguous_label_of(label: Any, classes: NDArray[Any], outlier_label: Any) -> Any:
    """Return the label of ambiguous samples, None if they keep the predicted one."""
    if isinstance(label, str) and label == "keep":
        return None
    check_kind("ambiguous", label, label, classes)
    taken = [*classes.tolist(), outlier_label]
    if label in taken:
        raise ValueError(
            f"ambiguous must be 'keep' or a label that is neither a class nor the outlier "
            f"label, {taken[-10:]}; got {label!r}."
        )
    return label


def takes_strings(classes: NDArray[Any]) -> bool:
    """Return whether further labels must be strings."""
    return classes.dtype.kind == "b" or all(isinstance(k, str) for k in classes.tolist())


def check_kind(name: str, label: Any, given: Any, classes: NDArray[Any]) -> None:
    """Raise ValueError unless a label is of the type of the classes."""
    strings, numbers = takes_strings(classes), classes.dtype.kind in "iuf"
    first = classes.tolist()[0]
    if not (strings or numbers):
        raise ValueError(
            f"y must hold numbers, strings or booleans; got {first!r} of dtype "
            f"{classes.dtype}."
        )
    number = isinstance(label, Real) and not isinstance(label, bool | np.bool_)
    if not (isinstance(label, str) if strings else number) or label != label:
        kind = "a string" if strings else "a number"
        raise ValueError(
            f"{name} must be {kind} beside classes such as {first!r}, and not NaN; got "
            f"{given!r}."
        )


def split_of_frozen(
    model: Any,
    score: Any,
    X: Any,
    y: NDArray[np.intp],
    known: NDArray[np.intp],
    classes: NDArray[Any],
    rng: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows from which the score of a frozen estimator learns, and the others."""
    absent = np.setdiff1d(np.arange(len(classes)), y[known])
    if len(absent):
        names = shortened([repr(k) for k in classes[absent].tolist()])
        warn_user(
            f"y holds no sample of the classes [{names}] of the frozen estimator: nothing "
            "bounds how often their samples are rejected, and a score that learns of a "
            "class from samples rejects all of them."
        )
    if not score_of(score, model.estimator, X).learns:
        return known, known
    return split_classes(y, known, share_of(model.cv, auto=0.5) or 0.5, rng)


def set_thresholds(
    model: Any,
    calibration: BaseCalibration,
    found: Calibrated,
    rates: NDArray[np.float64],
) -> None:
    """Set the calibrations, the thresholds and the report of a model."""
    n_classes, confidence = len(rates), model.confidence
    by_class = model.guarantee == "class"
    class_, scores = (found.y, found.own) if by_class else (found.predicted, found.scores)
    needed = needed_by(calibration, rates, confidence)
    if len(scores) < needed.max():
        raise ValueError(too_few(len(scores), rates, needed, confidence, calibration))
    groups = np.zeros(n_classes, dtype=np.intp)
    if model.guarantee != "marginal":
        counts = np.bincount(class_, minlength=n_classes)
        groups, shared = shared_groups(counts, needed)
        if shared.any():
            warn_of_shared(model.guarantee, model.classes_, counts, needed, shared)
    group_rates = rates_of_groups(groups, rates)
    kept = {"confidence": confidence, "tolerance": found.tolerance(scores)}
    model.groups_ = groups
    model.calibration_ = calibration.fit(scores, groups[class_], group_rates, **kept)
    model.class_calibration_ = model.calibration_
    if not by_class:
        kept = {"tolerance": found.tolerance(found.own)}
        model.class_calibration_ = clone(calibration).fit(found.own, found.y, rates, **kept)
    set_sets(model, found, group_rates)
    model._against_former = np.zeros(n_classes, dtype=np.bool_)
    rejected, y = judged(model, found, rates)
    model.calibration_report_ = CalibrationReport(
        guarantee=model.guarantee,
        classes=model.classes_,
        n_samples=np.bincount(found.y, minlength=n_classes),
        rate_allowed=rates,
        rate_kept=rates_kept(rejected, y, n_classes),
        score_threshold=model.score_thresholds_,
        rejects=np.isfinite(model.score_thresholds_),
        added=np.zeros(n_classes, dtype=np.bool_),
        overall_allowed=float(rates[y].mean() if len(y) else rates.mean()),
        overall_kept=float(rejected.sum() / max(len(y), 1)),
    )


def set_sets(model: Any, found: Calibrated, rates: NDArray[np.float64]) -> None:
    """Set the thresholds of prediction sets."""
    if model.guarantee == "class":  # decided by the p-values of classes
        model._set_part, model._set_thresholds = "p_values", model.thresholds_
        return
    if model.error_rate is not None:
        rates = np.full(len(rates), float(model.error_rate))
    accepted = found.scores >= model.score_thresholds_[found.predicted]
    groups = model.groups_[found.predicted]
    model._set_part = part_of_sets(model.estimator_, model.score_.needs)
    model._set_thresholds = support_thresholds(
        found.support, accepted, groups, rates, model.confidence
    )[model.groups_]


def concern_of_sets(model: Any) -> list[str]:
    """Return a warning if every accepted sample is withheld."""
    every = np.isneginf(model._set_rule[1])
    if model.ambiguous_label_ is None or not every.any():
        return []
    names = shortened([repr(label) for label in model.classes_[every].tolist()], limit=5)
    rates = model.calibration_report_.rate_allowed[every]
    rate = float(rates.min() if model.error_rate is None else model.error_rate)
    needed = samples_needed(rate, model.confidence)
    n = int(model.calibration_.n_samples_[model.groups_[every]].min())
    cause = (
        f"error_rate={rate:g} takes {needed} calibration samples in a group, and got {n}"
    )
    if rate and n >= needed:
        cause = (
            "the estimator gives probability zero to the class of more calibration samples "
            f"than error_rate={rate:g} allows"
        )
    return [
        f"Every accepted sample predicted as one of the classes {names} is withheld as "
        f"ambiguous, because {cause}."
    ]


def judged(
    model: Any, found: Calibrated, rates: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return which calibration samples are rejected by the others, and their classes."""
    by_class, groups = model.guarantee == "class", model.groups_
    class_, scores = (found.y, found.own) if by_class else (found.predicted, found.scores)
    group_rates = rates_of_groups(groups, rates)
    rejected = rejected_by_others(
        model.calibration_, scores, groups[class_], group_rates, model.confidence
    )
    if not by_class and not model._has_added_classes:
        return rejected, found.y
    # Every other class, or the classes of every other group, must reject it, too.
    some = found.compared
    every = np.where(np.isnan(found.by_class), -np.inf, found.by_class)
    others = model.calibration_.p_values(every, groups) <= model.thresholds_
    if by_class:
        others[np.arange(len(some)), found.y[some]] = True
    else:
        others |= groups == groups[class_[some]][:, None]
    return rejected[some] & others.all(axis=1), found.y[some]


def rates_kept(
    rejected: NDArray[np.bool_], y: NDArray[np.intp], n_classes: int
) -> NDArray[np.float64]:
    """Return the share of the samples of each class that are rejected, NaN without any."""
    with np.errstate(invalid="ignore"):
        return np.bincount(y, rejected, n_classes) / np.bincount(y, minlength=n_classes)


def far_accepted(model: Any, X: Any) -> float | None:
    """Return the share of probes far from all samples that are accepted.

    None if samples are not numbers, so that there is no probe, or the estimator refuses it.
    """
    if not model.thresholds_.any():
        return None
    values = X.to_numpy() if hasattr(X, "iloc") else X
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        return None
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns whose numbers are all missing
        center = np.nan_to_num(np.nanmean(values, axis=0))
        spread = np.nan_to_num(np.nanstd(values, axis=0))
    scale = np.where(spread > 0, spread, np.abs(center).mean() or 1.0)
    signs = np.random.RandomState(0).choice([-1.0, 1.0], size=values.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        probes = (center + FAR * scale * signs).astype(values.dtype)
    if not np.isfinite(probes).all():
        return None
    probes = type(X)(probes, columns=X.columns) if hasattr(X, "iloc") else probes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(1 - model.is_outlier(probes).mean())
        except Exception:  # such as an encoder for an unknown category
            return None


def too_few(
    n_samples: int,
    rates: NDArray[np.float64],
    needed: NDArray[np.intp],
    confidence: float | None,
    calibration: BaseCalibration,
) -> str:
    """Return the error message for too few calibration samples."""
    at = "" if confidence is None else f" at confidence={confidence:g}"
    advice = "Give more data. With cv='auto' all of it calibrates."
    smallest = None
    if isinstance(calibration, ConformalCalibration):
        smallest = smallest_rate(n_samples, confidence)
    if smallest is not None:
        advice = (
            f"With {n_samples} in all the smallest rate is {smallest}. Give more data, or "
            "allow a larger false_rejection_rate, which does no harm in a search by OSCR "
            "or AUROC. With cv='auto' all samples calibrate."
        )
    return (
        f"{n_samples} calibration samples are too few: false_rejection_rate="
        f"{rates[np.argmax(needed)]:g}{at} takes at least {needed.max()}. {advice}"
    )


def warn_of_shared(
    guarantee: str,
    classes: NDArray[Any],
    counts: NDArray[np.intp],
    needed: NDArray[np.intp],
    shared: NDArray[np.bool_],
) -> None:
    """Warn that classes share a threshold, and which are too rare for one of their own."""
    rare = counts < needed
    names = shortened([repr(label) for label in classes[rare].tolist()])
    also = " with larger classes that join them" if (shared & ~rare).any() else ""
    predicted = " predicted" if guarantee == "predicted" else ""
    warn_of_fit(
        f"These{predicted} classes have too few calibration samples, fewer than "
        f"{needed[rare].max()}, and share one threshold{also}: {names}. The bound holds on "
        "average over these classes, not for each. guarantee='marginal' takes no more than "
        f"{needed[rare].max()} samples in all."
    )

"""What fitting sets on classes that do not declare it themselves yet.

An entry goes when its class has ``_saved_state`` and ``_check_loaded``.
"""

import numpy as np

from sk_center._utils.schema import (
    array,
    ascending,
    boolean,
    bounded,
    each,
    having,
    integer,
    label,
    labels,
    law,
    names,
    number,
    positive,
    shape,
    size,
)

BELOW_ONE = np.nextafter(1, 0)


def complete_classifier(classifier):
    """Complete a CenterLossClassifier by what follows from the rest."""
    net = classifier.net_
    if not hasattr(classifier, "centers_"):
        classifier.centers_ = classifier._centers_of_net()
    if classifier._sample_shape != tuple(net.example_.shape[1:]):
        raise ValueError(
            f"_sample_shape is {classifier._sample_shape}, that of the network "
            f"{tuple(net.example_.shape[1:])}"
        )
    n_classes, n_features = net.module_.center.center.shape
    if n_classes != len(classifier.classes_):
        raise ValueError(
            f"the network has {n_classes} centers, for {len(classifier.classes_)} classes"
        )
    if classifier.centers_.shape != (n_classes, n_features):
        raise ValueError(
            f"centers_ must have the shape {(n_classes, n_features)}; got "
            f"{classifier.centers_.shape}"
        )
    if classifier.early_stopping:
        net.callbacks = [("early_stopping", classifier._stopping())]
        net.initialize_callbacks()


def complete_open_set(model):
    """Check that the parts of an OpenSetClassifier go together."""
    n_classes, calibration = len(model.classes_), model.calibration_
    found = {
        "score_": len(model.score_.classes_),
        "calibration_": len(calibration.groups_),
    }
    for name, n in found.items():
        if n != n_classes:
            raise ValueError(f"{name} knows {n} classes of {n_classes}")
    if not np.array_equal(np.unique(model.estimator_.classes_), model.classes_):
        raise ValueError("estimator_ knows other classes")
    for name in ("thresholds_", "score_thresholds_"):
        if not np.array_equal(getattr(model, name), getattr(calibration, name)):
            raise ValueError(f"{name} and those of calibration_ differ")
    outlier, found = model._check_outlier_label(model.thresholds_), model.outlier_label_
    if type(outlier) is not type(found) or (outlier == outlier and outlier != found):
        raise ValueError(f"outlier_label_ must be {outlier!r}; got {found!r:.50}")


def complete_calibration(calibration):
    """Check that every class has a group."""
    groups, members = calibration.groups_, calibration._members
    if groups.min() < 0 or groups.max() >= len(members):
        raise ValueError(
            f"groups_ must be in [0, {len(members)}); got {groups.min()} to {groups.max()}"
        )
    for scores, (m, _) in zip(members, getattr(calibration, "_tails", ())):
        if m > len(scores) // 2:
            raise ValueError(f"a tail of {m} among {len(scores)} samples")


def tail(value, sizes):
    """Check the size and the unit of a tail."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"must be a pair; got {value!r:.50}")
    integer(value[0], sizes)
    number(value[1], sizes)


INPUTS = {"?n_features_in_": size("inputs"), "?feature_names_in_": names}
CALIBRATION = {
    "groups_": array("i", "K"),
    "n_samples_": bounded(array("i", "K"), 0),
    "thresholds_": bounded(array("f", "K"), 0, BELOW_ONE),
    "score_thresholds_": bounded(array("f", "K")),
    "_members": each(ascending, "groups"),
}

STATES = {
    "CenterLossClassifier": {
        "classes_": labels,
        "net_": having("get_iterator"),
        "?centers_": bounded(array("f", "K", "D")),
        "tau_": positive,
        "n_iter_": integer,
        "_sample_shape": shape,
        "_seed": integer,
        "_streams": boolean,
        **INPUTS,
    },
    "OpenSetClassifier": {
        "classes_": labels,
        "estimator_": having("predict"),
        "score_": having("score_classes"),
        "calibration_": having("p_values"),
        "outlier_label_": label,
        "thresholds_": bounded(array("f", "K"), 0, BELOW_ONE),
        "score_thresholds_": bounded(array("f", "K")),
        **INPUTS,
    },
    "calibration.ConformalCalibration": CALIBRATION,
    "calibration.GaussianCalibration": {
        **CALIBRATION,
        "_means": each(positive, "groups"),
        "degrees_of_freedom_": positive,
        "_laws": each(law("f"), "groups"),
    },
    "calibration.WeibullCalibration": {
        **CALIBRATION,
        "shape_": positive,
        "_tails": each(tail, "groups"),
        "_sums": each(number, "groups"),
    },
}

COMPLETE = {
    "CenterLossClassifier": complete_classifier,
    "OpenSetClassifier": complete_open_set,
    "calibration.ConformalCalibration": complete_calibration,
    "calibration.GaussianCalibration": complete_calibration,
    "calibration.WeibullCalibration": complete_calibration,
}

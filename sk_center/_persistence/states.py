"""What fitting sets on classes that do not declare it themselves yet.

An entry goes when its class has ``_saved_state`` and ``_check_loaded``.
"""

from sk_center._utils.schema import (
    array,
    boolean,
    bounded,
    having,
    integer,
    labels,
    names,
    positive,
    shape,
    size,
)


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


INPUTS = {"?n_features_in_": size("inputs"), "?feature_names_in_": names}
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
}

COMPLETE = {
    "CenterLossClassifier": complete_classifier,
}

"""Pickles and files of a classifier: the net, and the few attributes beside it."""

import numpy as np

from sk_center._classifier.build import stopping
from sk_center._training.building import shape_of
from sk_center._utils.schema import (
    array,
    boolean,
    bounded,
    by_input,
    having,
    integer,
    labels,
    names,
    positive,
    shape,
    size,
)


class SavingMixin:
    """Let a classifier be pickled and saved without duplicates."""

    # In files. centers_ only if they differ from those of the network.
    _saved_state: dict = {
        "classes_": labels,
        "net_": having("get_iterator"),
        "?centers_": bounded(array("f", "K", "D")),
        "tau_": positive,
        "n_iter_": integer,
        "_sample_shape": by_input(shape),
        "_seed": integer,
        "_streams": boolean,
        "?n_features_in_": size("inputs"),
        "?feature_names_in_": names,
    }

    def __getstate__(self):
        state = dict(super().__getstate__())  # which may be that of the classifier itself
        if "net_" not in state:
            return state
        # The state of an optimizer is larger than the network, and only needed to continue
        # training.
        if not (self.warm_start or self._streams):
            state["net_"] = self.net_.without_optimizer()
        if np.array_equal(self.centers_, self._centers_of_net()):
            del state["centers_"]  # the module has them
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" in state and "centers_" not in state:
            self.centers_ = self._centers_of_net()

    def _centers_of_net(self):
        """The centers in the module, as an array of its own."""
        return self.module_.center.predict().cpu().numpy()

    def _check_loaded(self):
        """Set the attributes that follow from those in a file, or raise ValueError."""
        if not hasattr(self, "centers_"):
            self.centers_ = self._centers_of_net()
        of_net = shape_of(self.net_.example_)
        if self._sample_shape != of_net:
            raise ValueError(
                f"_sample_shape is {self._sample_shape}, that of the network {of_net}"
            )
        for where, classes, centers in (
            ("network", self._classes_of_net, self._centers_of_net()),
            ("file", self.classes_, self.centers_),
        ):
            expected = len(classes), self.module_.center.feature_dim
            if centers.shape != expected:
                raise ValueError(
                    f"the centers of the {where} must have the shape {expected}; got "
                    f"{centers.shape}"
                )
        if self.early_stopping:
            self.net_.callbacks = [("early_stopping", stopping(self))]
            self.net_.initialize_callbacks()

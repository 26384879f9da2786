"""Tell scikit-learn's callbacks of the epochs of a skorch net."""

from contextlib import contextmanager
from copy import deepcopy

from skorch.callbacks import Callback
from skorch.history import History

from sk_center._utils.devices import device_of, kept_generators


class EpochTasks(Callback):
    """Tell scikit-learn's callbacks of epochs, the parts of the task of a fit.

    ``attributes`` returns the attributes of an estimator fitted up to this epoch.
    """

    def __init__(self, task, attributes):
        self.task = task
        self.attributes = attributes
        self._epoch = None

    def on_epoch_begin(self, net, **kwargs):
        """Begin a part of the fit."""
        self._epoch = self.task.part("epoch")
        with kept_generators(device_of(net)):
            self._epoch.begin()

    def on_epoch_end(self, net, **kwargs):
        """End a part of the fit, and the training if a callback asks for that."""
        if self._end(net):
            raise KeyboardInterrupt  # as skorch's callbacks end training

    def on_train_end(self, net, **kwargs):
        """End the last part if a callback before this one ended training."""
        if self._epoch is not None:
            self._end(net)

    def _end(self, net):
        epoch, self._epoch = self._epoch, None
        # A callback, or a scorer's DataLoader, may draw and must not change the training.
        with kept_generators(device_of(net)):
            return epoch.end(self.attributes)

    def __reduce__(self):
        # A net that is pickled during training must not carry the data.
        return Callback, ()


def snapshot(net):
    """Return a copy of a net in the middle of training, which does not train on with it."""
    callbacks = [pair for pair in net.callbacks_ if not isinstance(pair[1], EpochTasks)]
    copy = net.without_optimizer()
    vars(copy).update(
        module_=deepcopy(net.module_),
        history_=History(net.history_),
        callbacks_=callbacks,
    )
    return copy


@contextmanager
def telling(net, callback):
    """Add a callback to a net, after all others, for a block."""
    net.callbacks_.append(("epoch_tasks", callback))
    try:
        yield
    finally:
        net.callbacks_.pop()

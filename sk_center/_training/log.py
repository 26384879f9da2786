"""A line in the log for each epoch."""

import logging

import numpy as np
from skorch.callbacks import Callback

logger = logging.getLogger("sk_center")
logger.addHandler(logging.NullHandler())


class EpochLog(Callback):
    """Write the losses of each epoch to the logger ``"sk_center"``."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        """Write the line, if the level is enabled."""
        if not logger.isEnabledFor(logging.INFO):
            return
        row = net.history[-1]
        numbers = [
            f"{name} {value:.4g}"
            for name, value in row.items()
            if isinstance(value, (float, np.floating))
        ]
        logger.info("Epoch %d of %d: %s", row["epoch"], self.n_epochs, ", ".join(numbers))

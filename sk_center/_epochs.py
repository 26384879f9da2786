"""Whom a skorch net tells of its epochs: the log."""

import logging

import numpy as np

logger = logging.getLogger("sk_center")
logger.addHandler(logging.NullHandler())


def log_epoch(row, n_epochs):
    """Write what the history holds of an epoch to the log.

    Parameters
    ----------
    row : dict
        The epoch in the history of a skorch net.

    n_epochs : int
        Number of the last epoch of the training.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    numbers = [
        f"{name} {value:.4g}"
        for name, value in row.items()
        if isinstance(value, (float, np.floating))
    ]
    logger.info("Epoch %d of %d: %s", row["epoch"], n_epochs, ", ".join(numbers))

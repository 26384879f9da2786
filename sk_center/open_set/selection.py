"""Outsiders of a batch with a bound on the known samples among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control

from sk_center._utils.user_warning import warn_user

if TYPE_CHECKING:
    from numpy.typing import NDArray


def select(
    p_known: NDArray[np.float64], fdr: float, n_calibration: int
) -> NDArray[np.bool_]:
    """Return which samples the procedure of Benjamini and Hochberg selects.

    Warn if none is, since there are too few calibration samples for so few outsiders.
    """
    selected = false_discovery_control(p_known) <= fdr
    least = 1 / (n_calibration + 1)
    if not selected.any() and np.isclose(p_known.min(initial=1), least):
        n_needed = int(np.ceil(len(p_known) * least / fdr))
        warn_user(
            f"No sample is selected: with {n_calibration} calibration samples the smallest "
            f"p-value is {least:.2g}, and at fdr={fdr:g} fewer than {n_needed} outsiders "
            f"among {len(p_known)} samples cannot be. Give more calibration samples or a "
            "larger fdr; is_outlier judges each sample by itself."
        )
    return selected

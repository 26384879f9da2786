"""Calibrations by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
from sk_center.calibration.conformal import ConformalCalibration
from sk_center.calibration.tails import GaussianCalibration, WeibullCalibration

CALIBRATIONS = {
    "conformal": ConformalCalibration,
    "gaussian": GaussianCalibration,
    "weibull": WeibullCalibration,
}

"""From scores to p-values: the share of true members that look as untypical.

:class:`~sk_center.OpenSetClassifier` makes these calibrations of its parameter
``calibration``, fits them, and keeps the fitted one as ``calibration_``.
"""

from sk_center.calibration.conformal import ConformalCalibration, samples_needed
from sk_center.calibration.tails import GaussianCalibration, WeibullCalibration

__all__ = [
    "ConformalCalibration",
    "GaussianCalibration",
    "WeibullCalibration",
    "samples_needed",
]

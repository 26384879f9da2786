"""From scores to p-values and thresholds, by comparison with calibration samples.

:class:`~sk_center.OpenSetClassifier` takes a calibration as ``calibration``, or the name of
one with default parameters: ``"conformal"`` is :class:`ConformalCalibration`,
``"gaussian"`` :class:`GaussianCalibration` and ``"weibull"`` :class:`WeibullCalibration`.
"""

from sk_center.calibration.conformal import ConformalCalibration, samples_needed
from sk_center.calibration.tails import GaussianCalibration, WeibullCalibration

__all__ = [
    "ConformalCalibration",
    "GaussianCalibration",
    "WeibullCalibration",
    "samples_needed",
]

CALIBRATIONS = {
    "conformal": ConformalCalibration,
    "gaussian": GaussianCalibration,
    "weibull": WeibullCalibration,
}

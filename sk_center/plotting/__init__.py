"""Displays of open-set classifiers, after those of scikit-learn; they need matplotlib.

Create a display by ``from_estimator``, from a fitted classifier and test samples, or, where
predictions say all that is drawn, by ``from_predictions``. Test samples of a label outside
the known classes are outsiders, as in :mod:`sk_center.metrics`. Both draw at once; the
artists are in attributes that end in an underscore, and ``plot`` draws again.
"""

from sk_center.plotting.confusion_matrix import OpenSetConfusionMatrixDisplay
from sk_center.plotting.distance import DistanceDisplay
from sk_center.plotting.false_rejection import FalseRejectionDisplay
from sk_center.plotting.feature_space import FeatureSpaceDisplay
from sk_center.plotting.monitor import MonitorDisplay
from sk_center.plotting.oscr_curve import OSCRCurveDisplay
from sk_center.plotting.risk_coverage import RiskCoverageDisplay
from sk_center.plotting.roc import OpenSetRocDisplay

__all__ = [
    "DistanceDisplay",
    "FalseRejectionDisplay",
    "FeatureSpaceDisplay",
    "MonitorDisplay",
    "OSCRCurveDisplay",
    "OpenSetConfusionMatrixDisplay",
    "OpenSetRocDisplay",
    "RiskCoverageDisplay",
]

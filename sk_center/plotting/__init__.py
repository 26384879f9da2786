"""Displays of open-set classifiers, after those of scikit-learn; they need matplotlib.

Each display is made by ``from_estimator``, of a fitted classifier and test samples, or by
``from_predictions``, of what a classifier said. Test samples with a label outside of the
known classes are unknown samples, which stand for outsiders, as in
:mod:`sk_center.metrics`. Both draw at once; what was drawn is in attributes that end in an
underscore, and ``plot`` draws again.
"""

from sk_center.plotting.confusion_matrix import OpenSetConfusionMatrixDisplay
from sk_center.plotting.distance import DistanceDisplay
from sk_center.plotting.false_rejection import FalseRejectionDisplay
from sk_center.plotting.feature_space import FeatureSpaceDisplay
from sk_center.plotting.oscr_curve import OSCRCurveDisplay
from sk_center.plotting.roc import OpenSetRocDisplay

__all__ = [
    "DistanceDisplay",
    "FalseRejectionDisplay",
    "FeatureSpaceDisplay",
    "OSCRCurveDisplay",
    "OpenSetConfusionMatrixDisplay",
    "OpenSetRocDisplay",
]

"""Open-set recognition for scikit-learn: classifiers that say "none of those I know"."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Names load when they are first used, so that OpenSetClassifier alone imports no torch.
_SOURCES = {
    "Center": "centers",
    "CenterLossClassifier": "classifier",
    "CenterLossNet": "net",
    "DistanceDisplay": "plotting",
    "Explanation": "open_set",
    "FalseRejectionDisplay": "plotting",
    "FeatureSpaceDisplay": "plotting",
    "LeaveClassesOut": "model_selection",
    "MonitorDisplay": "plotting",
    "OSCRCurveDisplay": "plotting",
    "OpenSetClassifier": "open_set",
    "OpenSetConfusionMatrixDisplay": "plotting",
    "OpenSetRocDisplay": "plotting",
    "RejectionMonitor": "monitoring",
    "RiskCoverageDisplay": "plotting",
    "ShardedCenter": "sharded",
    "load": "persistence",
    "save": "persistence",
    "to_onnx": "onnx_export",
}
_MODULES = (
    "batches",
    "calibration",
    "centers",
    "classifier",
    "losses",
    "metrics",
    "model_selection",
    "monitoring",
    "net",
    "networks",
    "onnx_export",
    "open_set",
    "persistence",
    "plotting",
    "scores",
    "sharded",
)

__all__ = [*_SOURCES, *_MODULES]


# Type checkers and editors read the names here, and would take those of __getattr__, which
# may be any, for there.
if TYPE_CHECKING:
    from sk_center import batches as batches
    from sk_center import calibration as calibration
    from sk_center import centers as centers
    from sk_center import classifier as classifier
    from sk_center import losses as losses
    from sk_center import metrics as metrics
    from sk_center import model_selection as model_selection
    from sk_center import monitoring as monitoring
    from sk_center import net as net
    from sk_center import networks as networks
    from sk_center import onnx_export as onnx_export
    from sk_center import open_set as open_set
    from sk_center import persistence as persistence
    from sk_center import plotting as plotting
    from sk_center import scores as scores
    from sk_center import sharded as sharded
    from sk_center.centers import Center as Center
    from sk_center.classifier import CenterLossClassifier as CenterLossClassifier
    from sk_center.model_selection import LeaveClassesOut as LeaveClassesOut
    from sk_center.monitoring import RejectionMonitor as RejectionMonitor
    from sk_center.net import CenterLossNet as CenterLossNet
    from sk_center.onnx_export import to_onnx as to_onnx
    from sk_center.open_set import OpenSetClassifier as OpenSetClassifier
    from sk_center.open_set.explanation import Explanation as Explanation
    from sk_center.persistence import load as load
    from sk_center.persistence import save as save
    from sk_center.plotting import DistanceDisplay as DistanceDisplay
    from sk_center.plotting import FalseRejectionDisplay as FalseRejectionDisplay
    from sk_center.plotting import FeatureSpaceDisplay as FeatureSpaceDisplay
    from sk_center.plotting import MonitorDisplay as MonitorDisplay
    from sk_center.plotting import (
        OpenSetConfusionMatrixDisplay as OpenSetConfusionMatrixDisplay,
    )
    from sk_center.plotting import OpenSetRocDisplay as OpenSetRocDisplay
    from sk_center.plotting import OSCRCurveDisplay as OSCRCurveDisplay
    from sk_center.plotting import RiskCoverageDisplay as RiskCoverageDisplay
    from sk_center.sharded import ShardedCenter as ShardedCenter
else:

    def __getattr__(name):
        if name in _SOURCES:
            return getattr(import_module(f"{__name__}.{_SOURCES[name]}"), name)
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])

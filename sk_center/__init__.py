"""Open-set recognition for scikit-learn: classifiers that say "none of those I know"."""

from importlib import import_module

__version__ = "0.1.0"

# Names load when they are first used, so that OpenSetClassifier alone imports no torch.
_SOURCES = {
    "Center": "centers",
    "CenterLossClassifier": "classifier",
    "CenterLossNet": "net",
    "DistanceDisplay": "plotting",
    "Explanation": "explanation",
    "FalseRejectionDisplay": "plotting",
    "FeatureSpaceDisplay": "plotting",
    "LeaveClassesOut": "model_selection",
    "OSCRCurveDisplay": "plotting",
    "OpenSetClassifier": "open_set",
    "OpenSetConfusionMatrixDisplay": "plotting",
    "OpenSetRocDisplay": "plotting",
    "ShardedCenter": "sharded",
    "load": "persistence",
    "save": "persistence",
    "to_onnx": "onnx_export",
}
_MODULES = ("losses", "metrics", "model_selection", "networks", "plotting", "scores")

__all__ = [*_SOURCES, *_MODULES]


def __getattr__(name):
    if name in _SOURCES:
        return getattr(import_module(f"{__name__}.{_SOURCES[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])

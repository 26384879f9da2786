"""A graph that several files ask."""

from functools import cache

import pytest

from sk_center import OpenSetClassifier, to_onnx


@pytest.fixture(scope="session", autouse=True)
def converted_once():
    """Convert a network once, however many models hold it: torch takes a second for it."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnx")
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    from sk_center._onnx import network  # here, since it needs onnx

    with pytest.MonkeyPatch.context() as patch:
        # Both, since a network is wrapped before it is converted.
        for name in ("Body", "convert_network"):
            patch.setattr(network, name, cache(getattr(network, name)))
        # Torch reads all of its operators for each network, which takes half of the time.
        operators = cache(ONNXRegistry.from_torchlib)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(operators))
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return a model and the path of its graph."""
    from onnx_cases import digits, frozen  # here, since it skips without onnxruntime

    _, _, X, y, _ = digits()
    model = OpenSetClassifier(frozen(), cv=0.5, random_state=0).fit(X, y)
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    to_onnx(model, path)
    return model, path

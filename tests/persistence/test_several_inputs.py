"""Saved models whose samples are several arrays by name."""

import json

import numpy as np
import pytest
import torch
from fuzz_load import joined, split
from numpy.testing import assert_array_equal
from skorch.helper import SliceDict

from sk_center import CenterLossClassifier, OpenSetClassifier, load, save, to_onnx

rng = np.random.default_rng(0)
y = np.arange(120) % 3
INPUTS = {
    "numbers": rng.normal(size=(120, 2)).astype(np.float32),
    "words": rng.integers(0, 5, (120, 4)) + 5 * y[:, None],
}


class TwoInputs(torch.nn.Module):
    """Features of numbers and of words."""

    def __init__(self):
        super().__init__()
        self.words = torch.nn.EmbeddingBag(15, 3)

    def forward(self, numbers, words):
        """Return both side by side."""
        return torch.cat([numbers, self.words(words)], dim=1)


def small(**params):
    """Return a classifier of the inputs."""
    return CenterLossClassifier(TwoInputs, max_epochs=3, random_state=0, **params)


def test_models_of_several_inputs_are_saved(tmp_path):
    """Check that a loaded model answers alike, trains on, and still checks its inputs."""
    model = OpenSetClassifier(small(warm_start=True), cv=0.5, random_state=0)
    model.fit(SliceDict(**INPUTS), y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model", module=TwoInputs)
    for method in ("predict", "p_values", "predict_proba"):
        assert_array_equal(getattr(loaded, method)(INPUTS), getattr(model, method)(INPUTS))
    with pytest.raises(ValueError, match=r"is expecting {'numbers': \(2,\), 'words'"):
        loaded.predict({"numbers": INPUTS["numbers"]})
    classifier = loaded.estimator_.partial_fit(INPUTS, y)
    assert len(classifier.history_) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["words", {"tuple": [4]}]', '["words", 4]', "must be a tuple"),
        ('["words", {"tuple": [4]}]', '[4, {"tuple": [4]}]', "must name inputs"),
        ('["words", {"dtype": "int64"}]', '["other", {"dtype": "int64"}]', "words"),
        ('["words", {"tuple": [4]}]', '["words", {"tuple": [5]}]', "that of the network"),
    ],
)
def test_damaged_forms_of_inputs_are_refused(old, new, message, tmp_path):
    """Check that names, shapes and dtypes of inputs in a file are checked."""
    save(small().fit(INPUTS, y), tmp_path / "model")
    content, arrays = split((tmp_path / "model").read_bytes())
    text = json.dumps(content)
    assert old in text
    (tmp_path / "model").write_bytes(joined(json.loads(text.replace(old, new, 1)), arrays))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "model", module=TwoInputs)


def test_graphs_of_several_inputs_are_refused(tmp_path):
    """Check that to_onnx says that it exports models of one input."""
    with pytest.raises(ValueError, match=r"several inputs, \['numbers', 'words'\]"):
        to_onnx(small().fit(INPUTS, y), tmp_path / "model.onnx")

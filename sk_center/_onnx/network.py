"""A trained network as a part of an ONNX graph."""

import copy
import math

import numpy as np
import torch

from sk_center._onnx.graph import OPSET
from sk_center._onnx.labels import label_table
from sk_center._onnx.messages import reason


def outputs_of(classifier, graph, inputs):
    """Return the outputs of a CenterLossClassifier, by name."""
    network = convert_network(classifier.module_, classifier._sample_shape)
    features = graph.include(network, "network_", inputs.astype(np.float32))
    away = features.distances(classifier.centers_)
    found = {"features": features, "distances": away}
    # The head has no logits of added classes.
    if np.array_equal(classifier._classes_of_net, classifier.classes_):
        found["logits"] = known_logits(classifier, features)
    if classifier.predict_with == "softmax":
        scores = scaled = found["logits"]
    else:
        scores = -away
        # Infinitely far from all centers is still equally far.
        least = np.finfo(np.float32).min
        scaled = (scores / float(classifier.tau_)).maximum(least)
    highest = scaled.reduce("Max", 1, keepdims=True)
    # In float64, so that tiny numbers are rounded to float32 as in Python.
    odds = (scaled - highest).astype(np.float64).exp()
    probabilities = odds / odds.reduce("Sum", 1, keepdims=True)
    index = scores.argmax()
    return {
        **found,
        "probabilities": probabilities.astype(np.float32),
        "index": index,
        "label": graph.op(
            "Gather",
            label_table(classifier.classes_),
            index,
            dtype=classifier.classes_.dtype,
        ),
    }


def known_logits(classifier, features):
    """Return the logits of the softmax head, minus that of the background."""
    module, n_classes = classifier.module_, len(classifier.classes_)
    if module.head is None:
        return -features.distances(module.center.predict().cpu().numpy())
    if module.metric == "cosine":
        features = features * math.sqrt(classifier.centers_.shape[1])
    weight, bias = (
        part.detach().cpu().numpy() for part in (module.head.weight, module.head.bias)
    )
    logits = features @ weight.T + bias
    if len(weight) == n_classes:
        return logits
    return logits.columns(0, n_classes) - logits.columns(n_classes, n_classes + 1)


class Features(torch.nn.Module):
    """The features that a network gives, and nothing else."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, X):
        """Return the features of a batch."""
        return self.module(X, with_logits=False)[1]


def convert_network(module, shape):
    """Return the model of ONNX that maps a batch of samples to features."""
    # A copy, whatever device and mode the network is in.
    module = Features(copy.deepcopy(module)).cpu().eval()
    try:
        program = torch.onnx.export(
            captured(module, torch.zeros(2, *shape)),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    except Exception as error:  # of many kinds
        raise ValueError(
            f"module={type(module.module.body).__name__} cannot be exported by "
            f"torch.onnx.export, which says: {reason(error)}"
        ) from error
    return program.model_proto


def captured(module, example):
    """Return the program of a module for batches of any size.

    torch.onnx.export alone would not report a module that works only for batches of the
    size of the example.
    """
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
    except Exception:  # the faster way treats the len of a batch as a constant
        return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=True)

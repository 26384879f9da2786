"""A trained network as a part of an ONNX graph."""

import copy
import math

import numpy as np
import torch

from sk_center._onnx.graph import OPSET
from sk_center._onnx.labels import label_table
from sk_center._onnx.messages import reason


def outputs_of(classifier, graph, inputs, with_layers):
    """Return the outputs of a CenterLossClassifier, by name."""
    body = Body(classifier.module_, with_layers)
    network = convert_network(body, classifier._sample_shape)
    given = graph.include(network, "network_", inputs.astype(np.float32))
    features = given[0] if with_layers else given
    away = features.distances(classifier.centers_)
    found = {"features": features, "distances": away}
    if with_layers:
        found["layers"] = given[1]
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


class Body(torch.nn.Module):
    """What a network gives before its head: features, and layers if a score needs them."""

    def __init__(self, module, with_layers):
        super().__init__()
        # A copy, whatever device and mode the network is in.
        self.module, self.with_layers = copy.deepcopy(module).cpu().eval(), with_layers

    def forward(self, X):
        """Return the features of a batch, and its layers."""
        _, *given = self.module(X, with_logits=False, with_layers=self.with_layers)
        return tuple(given)


def convert_network(module, shape):
    """Return the model of ONNX that maps a batch of samples to what a body gives."""
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

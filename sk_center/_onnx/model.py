"""The ONNX model of a fitted estimator: its steps, its classifier, its decision."""

import json

import numpy as np

from sk_center._onnx.decision import judge
from sk_center._onnx.graph import Graph, check_size
from sk_center._onnx.labels import label_table
from sk_center._onnx.steps import classify, convert_steps, text_columns
from sk_center.classifier import CenterLossClassifier

OUTPUTS = (
    "label",
    "rejected",
    "p_known",
    "score",
    "p_values",
    "prediction_set",
    "ambiguous",
    "probabilities",
    "distances",
    "features",
)
# How far features in float32 may be from those of Python, relative to scores: another order
# of sums. Ties are not to be broken by it.
ROUNDING = 4 * float(np.finfo(np.float32).eps)


def make_model(estimator, steps, scalers, open_set, classifier, version):
    """Return the model of ONNX.

    ``scalers`` are those of the last steps that come after the raw inputs of a score.
    """
    graph, is_network = Graph(), isinstance(classifier, CenterLossClassifier)
    label_table(classifier.classes_)
    if open_set is not None:
        label_table(open_set._answers)
    if is_network:
        state = [*classifier.module_.parameters(), *classifier.module_.buffers()]
        check_size(sum(part.numel() * part.element_size() for part in state))
    needs = () if open_set is None else open_set.score_.needs
    network_alone = is_network and not (steps or {"inputs", "raw_inputs"} & {*needs})
    shape = classifier._sample_shape if is_network else (classifier.n_features_in_,)
    if steps:
        if not hasattr(estimator, "n_features_in_"):
            raise ValueError(
                "estimator must take a table of numbers or strings to be exported, and "
                f"{type(steps[0][1]).__name__} takes something else; export the steps "
                "after it, fitted on what it makes of the samples."
            )
        shape = (estimator.n_features_in_,)
        is_text = text_columns(steps[0][1])
        sources = inputs_of(graph, is_text)
        first = steps[: len(steps) - len(scalers)]
        raw = sources[0]
        if first:
            raw = graph.include(convert_steps(first, is_text), "steps_", *sources)
        inputs = raw
        if scalers:
            numbers = np.zeros(scalers[0][1].n_features_in_, dtype=bool)
            inputs = graph.include(convert_steps(scalers, numbers), "scalers_", raw)
    else:
        dtype = np.float32 if network_alone else np.float64
        raw = inputs = graph.input("X", dtype, ["batch", *shape])
    widths = {name: [] for name in ("label", "rejected", "p_known", "score", "ambiguous")}
    if is_network:
        from sk_center._onnx import network  # which takes torch and onnxscript

        outputs = network.outputs_of(classifier, graph, inputs, "layers" in needs)
        outputs["inputs"] = graph.op("Flatten", inputs)
        rounding = ROUNDING
        widths["features"] = [classifier.centers_.shape[1]]
    else:
        set_part = None if open_set is None else open_set._set_rule[0]
        outputs, rounding = classify(classifier, graph, inputs, needs, set_part)
    outputs["raw_inputs"] = raw if steps else graph.op("Flatten", raw)
    metadata = {
        "sk_center_version": version,
        "classes": json.dumps(classifier.classes_.tolist()),
    }
    if open_set is not None:
        outputs = judge(open_set, outputs, rounding)
        if open_set.ambiguous_label_ is not None:
            label = np.asarray(open_set.ambiguous_label_).item()
            metadata["ambiguous_label"] = json.dumps(label)
        metadata["outlier_label"] = json.dumps(np.asarray(open_set.outlier_label_).item())
    if not is_network:
        del outputs["features"]  # which are the inputs
    for name in OUTPUTS:
        if name in outputs:
            width = widths.get(name, [len(classifier.classes_)])
            graph.output(name, outputs[name], ["batch", *width])
    return graph.model(type(estimator).__name__, "sk_center", version, metadata)


def inputs_of(graph, is_text):
    """Return the inputs of a graph: one for columns of one kind, else one each."""
    if len({*is_text.tolist()}) == 1:
        kind = object if is_text[0] else np.float64
        return [graph.input("X", kind, ["batch", len(is_text)])]
    return [
        graph.input(f"X{i}", object if text else np.float64, ["batch", 1])
        for i, text in enumerate(is_text)
    ]

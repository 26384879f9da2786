"""Export a fitted classifier as one ONNX graph, which runs without Python."""

from __future__ import annotations

import copy
import io
import json
import logging
import math
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sk_center._onnx.calibrations import p_values
from sk_center._utils.extras import import_extra
from sk_center._utils.files import atomic_write
from sk_center._utils.nested import last_step
from sk_center._utils.versions import versions
from sk_center.classifier import CenterLossClassifier
from sk_center.open_set import OpenSetClassifier
from sk_center.open_set.outputs import COLUMN_SCALERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from onnx import ModelProto

    from sk_center._onnx.graph import Value
    from sk_center._utils.types import Estimator, Steps, StrPath

__all__ = ["to_onnx"]

OUTPUTS = (
    "label",
    "rejected",
    "p_known",
    "score",
    "p_values",
    "prediction_set",
    "probabilities",
    "distances",
    "features",
)
# Of the machine learning operators, those that onnxruntime computes in float64, too.
ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3
ML_OPERATORS = {"ArrayFeatureExtractor", "OneHotEncoder"}


def to_onnx(estimator: Estimator, path: StrPath) -> None:
    """Write a fitted classifier to a file that runs without Python, sk_center and torch.

    The file holds one ONNX graph of all that happens to a sample: preprocessing, network,
    score, calibration and decision. It runs in onnxruntime, for instance, with any number
    of samples at once.

    Parameters
    ----------
    estimator : estimator instance
        A fitted :class:`~sk_center.CenterLossClassifier`, an
        :class:`~sk_center.OpenSetClassifier` around one, or a Pipeline of scikit-learn
        transformers that ends in either. The one that an OpenSetClassifier holds may be
        such a Pipeline, too, and all of them may be frozen.

    path : str or path-like
        Where to write. What is there is replaced when all is done, and kept on error.

    Raises
    ------
    ImportError
        If onnx, onnxscript or, for a Pipeline, skl2onnx is not installed.

    ValueError
        If the estimator is of another kind, or holds what cannot be exported: a score
        that is a function, a :class:`~sk_center.scores.PerClass` of anything but a
        :class:`sklearn.mixture.GaussianMixture`, another metric of
        :class:`~sk_center.scores.KNeighbors` than the Euclidean one,
        ``precision="bf16"``, a module that torch, or a transformer that skl2onnx cannot
        export in float64, or more than 2 GiB.

    OSError
        If the file cannot be written.

    See Also
    --------
    save : Writes a model that :func:`load` reads again in Python.
    OpenSetClassifier : Makes the decisions that are exported.

    Notes
    -----
    The input ``X`` has the shape of the samples of ``fit``. It is float32 where the network
    alone sees it, as the network casts it anyway, and float64 after any preprocessing and
    for a score of the inputs, which ``"auto"`` takes of small tables: then Python computes
    in float64, too. Columns are in the order of ``feature_names_in_``.

    The outputs, for n samples and K classes in the order of ``classes_``, and what in
    Python gives the same:

    ================== ================ ==============================================
    ``label``         (n,)             ``predict``, with the outlier label
    ``rejected``      (n,), boolean    ``is_outlier``
    ``p_known``       (n,)             ``p_known``
    ``score``         (n,)             ``score_samples``
    ``p_values``      (n, K)           ``p_values``
    ``prediction_set`` (n, K), boolean ``predict_set``
    ``probabilities`` (n, K)           ``predict_proba``
    ``distances``     (n, K)           ``center_distances`` of the CenterLossClassifier
    ``features``      (n, D)           ``transform``
    ================== ================ ==============================================

    A CenterLossClassifier has none of the five between ``label`` and ``probabilities``. The
    metadata of the model hold ``sk_center_version`` and, as JSON, ``classes`` and
    ``outlier_label``.

    Numbers agree within rounding in float32 for float64 samples. Scores that differ by less
    than rounding count as equal, so that ties get the same p-values and decisions.

    onnxruntime before 1.24 may take a class that ``fit`` never saw for the nearest one.

    Nothing checks the input: where Python raises an error for numbers that are not finite,
    the graph takes the samples for outsiders.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx
    >>> X, y = load_wine(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), CenterLossClassifier(max_epochs=10))
    >>> model = OpenSetClassifier(pipe, false_rejection_rate=0.1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "wine.onnx")
    ...     to_onnx(model.fit(X, y), path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> label, rejected = session.run(["label", "rejected"], {"X": X[:5]})
    >>> bool((label == model.predict(X[:5])).all()), rejected.shape
    (True, (5,))
    """
    steps, open_set, classifier = take_apart(estimator)
    if classifier.module_.precision != "float32":
        raise ValueError(
            "precision must be 'float32' to be exported; got "
            f"{classifier.module_.precision!r}, which runtimes do not compute in: other "
            "features would meet these p-values. Fit with precision='float32'."
        )
    with quiet():
        content = make_model(estimator, steps, open_set, classifier).SerializeToString()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def make_model(
    estimator: Any,
    steps: Steps,
    open_set: OpenSetClassifier | None,
    classifier: CenterLossClassifier,
) -> ModelProto:
    """Return the model of ONNX."""
    import_extra("onnx", "onnx", "to_onnx needs")
    from sk_center._onnx.graph import Graph, check_size

    state = [*classifier.module_.parameters(), *classifier.module_.buffers()]
    check_size(sum(part.numel() * part.element_size() for part in state))
    graph = Graph()
    shape = classifier._sample_shape
    needs = open_set.score_.needs if open_set is not None else ()
    dtype = np.float64 if steps or {"inputs", "raw_inputs"} & {*needs} else np.float32
    columns = (estimator.n_features_in_,) if steps else shape
    inputs = graph.input("X", dtype, ["batch", *columns])
    raw_inputs = inputs
    if "raw_inputs" in needs and steps and isinstance(steps[-1][1], COLUMN_SCALERS):
        if steps[:-1]:
            first = convert_steps(steps[:-1], *columns)
            raw_inputs = graph.include(first, "first_steps_", inputs)
        n_columns = steps[-1][1].n_features_in_
        inputs = graph.include(convert_steps(steps[-1:], n_columns), "steps_", raw_inputs)
    elif steps:
        inputs = graph.include(convert_steps(steps, *columns), "steps_", inputs)
        raw_inputs = inputs
    network = convert_network(classifier.module_, shape)
    features = graph.include(network, "network_", inputs.astype(np.float32))
    outputs = classify(classifier, features)
    metadata = {
        "sk_center_version": versions()["sk_center"],
        "classes": json.dumps(classifier.classes_.tolist()),
    }
    if open_set is not None:
        flat = [graph.op("Flatten", part) for part in (inputs, raw_inputs)]
        outputs = judge(open_set, *flat, outputs)
        metadata["outlier_label"] = json.dumps(np.asarray(open_set.outlier_label_).item())
    n_classes = len(classifier.classes_)
    widths: dict[str, list[int]] = {
        name: [] for name in ("label", "rejected", "p_known", "score")
    }
    widths["features"] = [classifier.centers_.shape[1]]
    for name in OUTPUTS:
        if name in outputs:
            graph.output(name, outputs[name], ["batch", *widths.get(name, [n_classes])])
    return graph.model(
        type(estimator).__name__, "sk_center", versions()["sk_center"], metadata
    )


def take_apart(
    estimator: Any,
) -> tuple[Steps, OpenSetClassifier | None, CenterLossClassifier]:
    """Return the transformers, the open-set classifier or None, and the classifier."""
    last, before = last_step(estimator)
    open_set = None
    if isinstance(last, OpenSetClassifier):
        check_is_fitted(last)
        open_set = last
        last, inner = last_step(open_set.estimator_)
        before = [*before, *inner]
    if not isinstance(last, CenterLossClassifier):
        raise ValueError(
            "estimator must be a fitted CenterLossClassifier, an OpenSetClassifier around "
            "one, or a Pipeline of scikit-learn transformers that ends in either, all of "
            f"which may be frozen; got {estimator!r}, which ends in "
            f"{type(last).__name__}. Of a search, take its best_estimator_."
        )
    check_is_fitted(last)
    steps = [
        (f"{i}_{name}", step.estimator if isinstance(step, FrozenEstimator) else step)
        for i, pipeline in enumerate(before)
        for name, step in pipeline.steps
        if step is not None and step != "passthrough"
    ]
    return steps, open_set, last


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing of what the exporters say out, and leave global state as it was."""
    disabled = logging.root.manager.disable
    with (
        torch.random.fork_rng(devices=[]),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


class Features(torch.nn.Module):
    """The features that a network gives, and nothing else."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the features of a batch."""
        return self.module(X, with_logits=False)[1]


def convert_network(module: torch.nn.Module, shape: tuple[int, ...]) -> ModelProto:
    """Return the model of ONNX that maps a batch of samples to features."""
    from sk_center._onnx.graph import OPSET

    import_extra("onnxscript", "onnx", "to_onnx needs")
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
    return program.model_proto  # type: ignore[union-attr]


def captured(
    module: torch.nn.Module, example: torch.Tensor
) -> torch.export.ExportedProgram:
    """Return what a module does to batches of any size.

    torch.onnx.export would not tell of one that does it to those of the size of the example
    alone.
    """
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
    except Exception:  # to the faster way the len of a batch is but a number
        return torch.export.export(module, (example,), dynamic_shapes=shapes, strict=True)


def convert_steps(steps: Steps, n_columns: int) -> ModelProto:
    """Return the model of ONNX of scikit-learn transformers, in float64."""
    from onnx import checker

    from sk_center._onnx.graph import OPSET

    skl2onnx = import_extra("skl2onnx", "onnx", "to_onnx needs")
    double = skl2onnx.common.data_types.DoubleTensorType
    pipeline = Pipeline([(name, by_position(step)) for name, step in steps])
    try:
        model = skl2onnx.convert_sklearn(
            pipeline,
            initial_types=[("X", double([None, n_columns]))],
            target_opset={"": OPSET, ML_DOMAIN: ML_OPSET},
        )
        checker.check_model(model, full_check=True)
    except Exception as error:  # of many kinds
        raise no_steps(steps, f"skl2onnx says: {reason(error)}") from error
    missing = {node.op_type for node in model.graph.node if node.domain == ML_DOMAIN}
    missing -= ML_OPERATORS
    if missing:
        why = f"onnxruntime does not compute {sorted(missing)} in float64"
        raise no_steps(steps, why)
    return model


def no_steps(steps: Steps, why: str) -> ValueError:
    """Return the error of transformers that cannot be exported."""
    return ValueError(
        f"The steps {[step for _, step in steps]} cannot be exported; {why}. The graph "
        "takes numbers in float64: do before it what it cannot, and export the rest."
    )


def by_position(step: Any) -> Any:
    """Return a ColumnTransformer with columns by position, for the graph has no names."""
    if not isinstance(step, ColumnTransformer):
        return step
    indices = step._transformer_to_input_indices
    step = copy.copy(step)
    step.transformers_ = [
        (name, transformer, indices[name]) for name, transformer, _ in step.transformers_
    ]
    return step


def reason(error: BaseException) -> str:
    """Return the first line of the message of the error that led to an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def classify(classifier: CenterLossClassifier, features: Value) -> dict[str, Value]:
    """Return what a CenterLossClassifier gives, by name."""
    graph = features.graph
    away = features.distances(classifier.centers_)
    logits = known_logits(classifier, features)
    if classifier.predict_with == "softmax":
        scores = scaled = logits
    else:
        scores = -away
        # Infinitely far from all centers is still equally far.
        least = np.finfo(np.float32).min
        scaled = (scores / float(classifier.tau_)).maximum(least)
    highest = scaled.reduce("Max", 1, keepdims=True)
    # In float64, so that what is tiny in float32 is rounded to it as Python does.
    odds = (scaled - highest).astype(np.float64).exp()
    probabilities = odds / odds.reduce("Sum", 1, keepdims=True)
    index = scores.argmax()
    return {
        "features": features,
        "distances": away,
        "logits": logits,
        "probabilities": probabilities.astype(np.float32),
        "index": index,
        "label": graph.op(
            "Gather",
            label_table(classifier.classes_),
            index,
            dtype=classifier.classes_.dtype,
        ),
    }


def known_logits(classifier: CenterLossClassifier, features: Value) -> Value:
    """Return what the softmax head makes of features, less the background."""
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


def judge(
    open_set: OpenSetClassifier,
    inputs: Value,
    raw_inputs: Value,
    outputs: dict[str, Value],
) -> dict[str, Value]:
    """Return what an OpenSetClassifier gives beside what its estimator does, by name."""
    graph = inputs.graph
    names = ("features", "logits", "probabilities")
    parts = {"inputs": inputs, "raw_inputs": raw_inputs}
    parts.update({name: outputs[name] for name in names})
    every = open_set.score_._scores_to_onnx(parts)
    n_classes = len(open_set.classes_)
    classes, thresholds = np.arange(n_classes), open_set.thresholds_
    column = np.array([1])
    index = graph.op("Unsqueeze", outputs["index"], column)
    score = graph.op("GatherElements", every, index, axis=1)
    if open_set.guarantee == "class":
        by_class = p_values(open_set.calibration_, every, open_set.groups_)
        accepted = by_class > thresholds
        rejected = accepted.astype(np.float32).reduce("Max", 1, keepdims=True) < 0.5
        p_known = by_class.reduce("Max", 1, keepdims=True)
        # The accepting class of the largest p-value, among equal ones of the largest score.
        p = graph.where(accepted, by_class, -1.0)
        largest = p >= p.reduce("Max", 1, keepdims=True)
        ranking = graph.where(largest, every, np.array(-np.inf, every.dtype))
        best = graph.op("Unsqueeze", ranking.argmax(), column)
        keeps = graph.op("GatherElements", accepted, index, axis=1)
        index = graph.where(keeps, index, best)
        compatible = accepted
    else:
        by_class = p_values(open_set.class_calibration_, every, classes)
        groups = open_set.groups_
        p_groups = p_values(open_set.calibration_, score, np.arange(groups.max() + 1))
        group = graph.op("Gather", groups, index)
        p_known = graph.op("GatherElements", p_groups, group, axis=1)
        rejected = p_known <= graph.op("Gather", thresholds, index)
        compatible = by_class > open_set.calibration_report_.rate_allowed
    own = graph.op("Equal", index, classes, dtype=bool)
    answer = graph.where(rejected, np.int64(n_classes), index)
    answers = open_set._answers
    return {
        **outputs,
        "prediction_set": (own | compatible) & ~rejected,
        "rejected": graph.op("Squeeze", rejected, column),
        "p_known": graph.op("Squeeze", p_known, column),
        "p_values": by_class,
        "score": graph.op("Squeeze", score, column),
        "label": graph.op(
            "Gather",
            label_table(answers),
            graph.op("Squeeze", answer, column),
            dtype=answers.dtype,
        ),
    }


def label_table(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels of a dtype that ONNX has."""
    if labels.dtype.kind in "biufU":
        return labels
    if all(isinstance(label, str) for label in labels.tolist()):
        return labels.astype(str)
    raise ValueError(
        "classes must be numbers, booleans or strings to be exported; got "
        f"{labels.tolist()}."
    )

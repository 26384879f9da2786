"""Transformers and classifiers of scikit-learn as parts of an ONNX graph, by skl2onnx."""

import copy

import numpy as np
from onnx import checker
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from sk_center._onnx.graph import OPSET
from sk_center._onnx.messages import reason
from sk_center._utils.compat import COLUMN_POSITIONS

ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3
# The machine learning operators that onnxruntime computes in float64, too.
ML_OPERATORS = {"ArrayFeatureExtractor", "LabelEncoder", "OneHotEncoder"}
# Classifiers whose graphs answer as they do. Trees see float32, as in Python. What is not
# in the last list is computed in float64.
TREES = (
    DecisionTreeClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
OTHERS = (GaussianNB, KNeighborsClassifier, LogisticRegression, MLPClassifier, SVC)
CLASSIFIERS = (*TREES, *OTHERS)
IN_FLOAT32 = (*TREES, SVC)


def convert_steps(steps, is_text):
    """Return the model of ONNX of transformers, in float64.

    ``is_text`` tells for each column whether it holds strings. Where all columns are of
    one kind, they are one input, else one each.
    """
    pipeline = Pipeline([(name, by_position(step)) for name, step in steps])
    try:
        model = convert(pipeline, input_types(is_text))
    except Exception as error:  # of many kinds
        raise no_steps(steps, f"skl2onnx says: {reason(error)}") from error
    missing = missing_operators(model)
    if missing:
        raise no_steps(steps, f"onnxruntime does not compute {missing} in float64")
    return model


def convert(estimator, types, **options):
    """Return the checked model of skl2onnx."""
    model = convert_sklearn(
        estimator,
        initial_types=types,
        target_opset={"": OPSET, ML_DOMAIN: ML_OPSET},
        **options,
    )
    checker.check_model(model, full_check=True)
    return model


def input_types(is_text):
    """Return names and types of the inputs of some columns, as skl2onnx takes them."""
    kinds = [StringTensorType if text else DoubleTensorType for text in is_text]
    if len({*kinds}) == 1:
        return [("X", kinds[0]([None, len(kinds)]))]
    return [(f"X{i}", kind([None, 1])) for i, kind in enumerate(kinds)]


def missing_operators(model):
    """Return the operators that onnxruntime does not compute in float64."""
    found = {node.op_type for node in model.graph.node if node.domain == ML_DOMAIN}
    return sorted(found - ML_OPERATORS)


def no_steps(steps, why):
    """Return the error of transformers that cannot be exported, which names the first."""
    culprit = [step for _, step in steps]
    for part in leaves([step for _, step in steps]):
        try:
            model = convert(part, input_types(text_columns(part)))
            fails = missing_operators(model)
        except Exception:  # of many kinds
            fails = True
        if fails:
            culprit = part
            break
    return ValueError(
        f"{culprit} cannot be exported; {why}. The graph takes numbers in float64, and "
        "strings: do before it what it cannot, and export the rest."
    )


def leaves(part):
    """Yield the fitted transformers in a transformer or a list of them."""
    if isinstance(part, FrozenEstimator):
        yield from leaves(part.estimator)
    elif isinstance(part, list):
        for one in part:
            yield from leaves(one)
    elif isinstance(part, Pipeline):
        yield from leaves([step for _, step in part.steps])
    elif isinstance(part, ColumnTransformer):
        yield from leaves([one for _, one, _ in part.transformers_])
    elif isinstance(part, FeatureUnion):
        yield from leaves([one for _, one in part.transformer_list])
    elif hasattr(part, "n_features_in_"):
        yield part


def text_columns(step):
    """Return for each column that a fitted transformer sees whether it holds strings."""
    if isinstance(step, FrozenEstimator):
        return text_columns(step.estimator)
    found = np.zeros(step.n_features_in_, dtype=bool)
    if isinstance(step, Pipeline):
        return text_columns(next(part for _, part in step.steps if part != "passthrough"))
    if isinstance(step, ColumnTransformer):
        indices = getattr(step, COLUMN_POSITIONS)
        for name, part, _ in step.transformers_:
            if hasattr(part, "n_features_in_"):
                found[indices[name]] |= text_columns(part)
    elif hasattr(step, "categories_"):
        found[:] = [any(isinstance(x, str) for x in column) for column in step.categories_]
    elif hasattr(step, "statistics_"):
        found[:] = [isinstance(x, str) for x in step.statistics_]
    return found


def by_position(step):
    """Return a ColumnTransformer with columns by position, for the graph has no names."""
    if not isinstance(step, ColumnTransformer):
        return step
    indices = getattr(step, COLUMN_POSITIONS)
    step = copy.copy(step)
    step.transformers_ = [
        (name, transformer, indices[name]) for name, transformer, _ in step.transformers_
    ]
    return step


def check_classifier(classifier):
    """Raise ValueError if no graph answers as a classifier of scikit-learn does."""
    if type(classifier) not in CLASSIFIERS:
        raise ValueError(
            f"estimator holds a {type(classifier).__name__}, which cannot be exported; a "
            "CenterLossClassifier can, and "
            f"{', '.join(sorted(kind.__name__ for kind in CLASSIFIERS))}."
        )
    if getattr(classifier, "probability", False) is True:
        raise ValueError(
            "estimator holds an SVC with probability=True, whose graph would predict other "
            "classes; fit it with probability=False."
        )


def classify(classifier, graph, inputs, needs, set_part=None):
    """Return what a classifier of scikit-learn gives, by name, and its rounding."""
    check_classifier(classifier)
    n_classes = len(classifier.classes_)
    # The graph predicts indices of classes.
    classifier = copy.copy(classifier)
    classifier.classes_ = np.arange(n_classes)
    dtype = np.float32 if type(classifier) in TREES else np.float64
    kind = FloatTensorType if dtype == np.float32 else DoubleTensorType
    seen = inputs.astype(dtype)

    def include(prefix, **options):
        model = convert(
            classifier,
            [("X", kind([None, classifier.n_features_in_]))],
            options={id(classifier): {"zipmap": False, **options}},
        )
        return graph.include(model, prefix, seen)

    outputs = {"inputs": inputs, "features": inputs}
    outputs["index"], second = include("classifier_")
    if hasattr(classifier, "predict_proba"):
        outputs["probabilities"] = second
    if "logits" in (*needs, set_part):
        _, raw = include("logits_", raw_scores=True)
        if n_classes == 2:
            half = raw.columns(-1, 2) * np.array(0.5, raw.dtype)
            raw = graph.op("Concat", -half, half, axis=1)
        outputs["logits"] = raw
    if not get_tags(classifier).input_tags.allow_nan:
        # Python refuses what is not finite: minus itself, it is no number.
        outputs["lost"] = (inputs - inputs).reduce("Sum", 1, keepdims=True).isnan()
    exact = type(classifier) not in IN_FLOAT32 or not {*needs} & {"logits", "probabilities"}
    return outputs, 0.0 if exact else 4 * float(np.finfo(np.float32).eps)

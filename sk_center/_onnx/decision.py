"""The decision of an OpenSetClassifier as a part of an ONNX graph."""

import numpy as np

from sk_center._onnx.calibrations import p_values
from sk_center._onnx.labels import label_table


def judge(open_set, outputs, rounding=0.0):
    """Return what an OpenSetClassifier gives beside what its estimator does, by name.

    ``outputs`` hold the parts of the score by name and the index of the predicted class.
    They may differ from those of Python by ``rounding``, relative to the scores.
    """
    graph = outputs["index"].graph
    every = open_set.score_._scores_to_onnx(outputs)
    if "lost" in outputs:
        every = graph.where(outputs["lost"], np.array(-np.inf, every.dtype), every)
    n_classes = len(open_set.classes_)
    classes, thresholds = np.arange(n_classes), open_set.thresholds_
    column = np.array([1])
    index = graph.op("Unsqueeze", outputs["index"], column)
    score = graph.op("GatherElements", every, index, axis=1)
    compared, own_compared = every, score
    if rounding:
        # Scores that are equal in Python must not be lower here than calibration samples.
        known = open_set.calibration_.scores_
        raised = rounding * np.abs(known[np.isfinite(known)]).max(initial=0.0)
        compared, own_compared = (x.astype(np.float64) + raised for x in (every, score))
    groups = open_set.groups_
    if open_set.guarantee == "class" or open_set._has_added_classes:
        p = p_values(open_set.calibration_, compared, groups)
        if open_set._has_added_classes:
            # The predicted class stands for its group.
            own_group = graph.op("Gather", groups, index)
            same = graph.op("Equal", own_group, groups, dtype=bool)
            others = same & ~graph.op("Equal", index, classes, dtype=bool)
            p = graph.where(others, np.zeros(n_classes), p)
        by_class, accepted = p, p > thresholds
        rejected = accepted.astype(np.float32).reduce("Max", 1, keepdims=True) < 0.5
        p_known = p.reduce("Max", 1, keepdims=True)
        # The accepting class of the largest p-value, among equal ones of the largest score.
        p = graph.where(accepted, p, -1.0)
        largest = p >= p.reduce("Max", 1, keepdims=True)
        ranking = graph.where(largest, every, np.array(-np.inf, every.dtype))
        best = graph.op("Unsqueeze", ranking.argmax(), column)
        keeps = graph.op("GatherElements", accepted, index, axis=1)
        index = graph.where(keeps, index, best)
        compatible = accepted
    else:
        p_groups = p_values(
            open_set.calibration_, own_compared, np.arange(groups.max() + 1)
        )
        group = graph.op("Gather", groups, index)
        p_known = graph.op("GatherElements", p_groups, group, axis=1)
        rejected = p_known <= graph.op("Gather", thresholds, index)
    if open_set.guarantee != "class":
        by_class = p_values(open_set.class_calibration_, compared, classes)
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

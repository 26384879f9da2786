"""The decision of an OpenSetClassifier as a part of an ONNX graph."""

import numpy as np

from sk_center._onnx.calibrations import p_values
from sk_center._onnx.labels import label_table
from sk_center.open_set.decision import former_rule, lead_of

# How far support in float32 may be from that of Python, relative to what it is made of.
ROUNDING = 8 * float(np.finfo(np.float32).eps)


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
    index = outputs["index"].column()
    score = every.at(index)
    compared, own_compared = every, score
    if rounding:
        # Scores that are equal in Python must not be lower here than calibration samples.
        known = open_set.calibration_.scores_
        raised = rounding * np.abs(known[np.isfinite(known)]).max(initial=0.0)
        compared, own_compared = (x.astype(np.float64) + raised for x in (every, score))
    groups, predicted = open_set.groups_, index
    if open_set.guarantee == "class" or open_set._has_added_classes:
        evidence = evidence_of(open_set, compared)
        p = p_values(open_set.calibration_, evidence, groups)
        if open_set._has_added_classes:
            # The predicted class stands for the former ones where it is one of them.
            former = graph.op("Gather", groups == 0, index)
            others = former & ~index.equals(classes)
            p = graph.where(others & (groups == 0), np.zeros(n_classes), p)
        by_class, accepted = p, p > thresholds
        rejected = accepted.astype(np.float32).reduce("Max", 1, keepdims=True) < 0.5
        p_known = p.reduce("Max", 1, keepdims=True)
        # The accepting class of the largest score, where added ones lead if one is
        # predicted, and by class of the largest p-value.
        ranked, led = accepted, every
        if open_set._has_added_classes:
            lead = np.where(groups > 0, lead_of(open_set.calibration_), 0.0)
            lead = lead.astype(every.dtype)
            led = graph.where(former, every, every + lead)
        else:
            p = graph.where(accepted, p, -1.0)
            ranked = p >= p.reduce("Max", 1, keepdims=True)
        lowest = np.array(-np.inf, every.dtype)
        ranking = graph.where(ranked, led, lowest)
        best = ranking.argmax().column()
        keeps = accepted.at(index)
        if open_set._has_added_classes:
            keeps = keeps & (led.at(index) >= ranking.reduce("Max", 1, keepdims=True))
        index = graph.where(rejected | keeps, index, best)
    else:
        p_groups = p_values(
            open_set.calibration_, own_compared, np.arange(groups.max() + 1)
        )
        p_known = p_groups.at(graph.op("Gather", groups, index))
        rejected = p_known <= graph.op("Gather", thresholds, index)
    if open_set.guarantee != "class":
        by_class = p_values(open_set.class_calibration_, compared, classes)
    part, least = open_set._set_rule
    if open_set._has_added_classes:
        compatible = with_added(
            open_set, outputs, every, compared, accepted, predicted, index, rounding
        )
    elif part == "p_values":
        compatible = by_class > least
    else:
        compatible = supported(part, least, outputs, compared, index, rounding)
    own = index.equals(classes)
    answer = graph.where(rejected, np.int64(n_classes), index)
    answers = open_set._answers
    sets = (own | compatible) & ~rejected
    if open_set.ambiguous_label_ is not None:
        several = sets.astype(np.float32).reduce("Sum", 1, keepdims=True) > 1.5
        answer = graph.where(several, np.int64(n_classes + 1), answer)
        outputs = {**outputs, "ambiguous": several.flat()}
    return {
        **outputs,
        "prediction_set": sets,
        "rejected": rejected.flat(),
        "p_known": p_known.flat(),
        "p_values": by_class,
        "score": score.flat(),
        "label": graph.op(
            "Gather", label_table(answers), answer.flat(), dtype=answers.dtype
        ),
    }


def evidence_of(open_set, scores):
    """Return scores, of added classes less a share of the best former score."""
    against = open_set._against_former
    rule = former_rule(open_set.calibration_, against)
    if rule is None:
        return scores
    graph, (share, floor) = scores.graph, rule
    lowest = np.array(-np.inf, scores.dtype)
    best = graph.where(open_set.groups_ == 0, scores, lowest)
    best = best.reduce("Max", 1, keepdims=True).maximum(floor)
    return graph.where(against, scores - best * share, scores)


def with_added(open_set, outputs, every, compared, accepted, predicted, index, rounding):
    """Return which classes are in the sets beside the label after classes were added.

    The former classes have the set that they had, if they accept the sample.
    """
    graph, (part, least) = every.graph, open_set._set_rule
    former, classes = open_set.groups_ == 0, np.arange(len(open_set.classes_))
    ranking = graph.where(former, every, np.array(-np.inf, every.dtype)).argmax()
    first = graph.where(
        graph.op("Gather", former, predicted),
        predicted,
        ranking.column(),
    )
    accepts = graph.where(former, accepted.astype(np.float32), np.float32(0))
    accepts = accepts.reduce("Max", 1, keepdims=True) > 0.5
    stays = graph.op("Gather", former, index)
    accepts = accepts & (stays | ~every.at(first).equals(every.at(index)))
    values = outputs
    if part == "probabilities":
        values = outputs[part]
        mass = graph.where(former, values, np.array(0, values.dtype))
        mass = mass.reduce("Sum", 1, keepdims=True)
        values = {part: values / graph.where(mass > 0, mass, np.array(1, mass.dtype))}
    joins = supported(part, least, values, compared, first, rounding)
    joins = joins | first.equals(classes)
    margin = margins_of(compared.astype(np.float64), index, rounding) >= least
    return (joins & accepts & former) | (margin & ~former)


def supported(part, thresholds, outputs, scores, index, rounding):
    """Return which classes are in the prediction sets beside the label, if accepted.

    What is below the threshold by no more than rounding is in the set.
    """
    graph = scores.graph
    values = scores if part == "scores" else outputs[part]
    if part == "probabilities":
        support = values.astype(np.float64).log()
        finite = np.where(np.isfinite(thresholds), thresholds, 0.0)
        lower = ROUNDING * (1 + np.abs(finite)) if values.dtype == np.float32 else 0.0
        thresholds = thresholds - lower
    else:
        single = part == "logits" and outputs[part].dtype == np.float32
        support = margins_of(values.astype(np.float64), index, rounding or single)
    return support >= graph.op("Gather", thresholds, index)


def margins_of(values, index, rounded):
    """Return how far values are above that of one class, and what rounding may take."""
    graph = values.graph
    margins = values - values.at(index)
    if rounded:
        margins = margins + values.abs().reduce("Max", 1, keepdims=True) * ROUNDING
    # Infinite scores have no difference.
    return graph.where(margins.isnan(), 0.0, margins)

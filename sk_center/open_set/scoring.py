"""Create the score of an open-set classifier, and compute scores of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import get_tags

from sk_center._utils.compat import num_samples
from sk_center._utils.nested import last_step, transformed
from sk_center._utils.samples import indexable_samples, some_rows
from sk_center.open_set.outputs import (
    gives_features,
    gives_layers,
    gives_logits,
    is_dataset,
    numbers_of,
    outputs_of,
    rows_of,
)
from sk_center.scores import BaseScore, Combined
from sk_center.scores.auto import Facts, default_score
from sk_center.scores.columns import FEW_DIRECTIONS, kind_of_columns
from sk_center.scores.registry import make_score

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

# With a number for each class, the most numbers that are computed at a time, and from which
# a score learns.
BLOCK_NUMBERS = 2**21
LEARNT_NUMBERS = 2**22


def check_score(score: Any) -> None:
    """Raise ValueError if a user's ``conformity_score`` is not a score."""
    if isinstance(score, str) and score == "auto":
        return
    if isinstance(score, list) and not score:
        raise ValueError("conformity_score must hold at least one score; got [].")
    for part in score if isinstance(score, list) else [score]:
        make_score(part)


def score_of(score: Any, estimator: Any, X: Any) -> BaseScore:
    """Return the score to fit, for a fitted estimator and samples."""
    if isinstance(score, str) and score == "auto":
        return default_score(facts_of(estimator, X))
    if isinstance(score, list):
        return Combined([make_score(part) for part in score])
    return make_score(score)


def facts_of(estimator: Any, X: Any) -> Facts:
    """Return the facts that determine the default score: parts and inputs."""
    last, before = last_step(estimator, searches=True)
    seen = transformed(before, rows_of(X, [0]))
    # A Dataset loads a sample at each access: its inputs are left to the network.
    inputs: Any = np.empty(0) if is_dataset(seen) else numbers_of(seen)
    numeric = issparse(inputs) or (inputs.ndim == 2 and inputs.dtype.kind == "f")
    missing = False
    if numeric and not issparse(inputs) and get_tags(last).input_tags.allow_nan:
        missing = np.isnan(outputs_of(estimator, X, ["inputs"])["inputs"]).any()
    image = not issparse(seen) and np.ndim(seen) > 2
    dense, rows = numeric and not (issparse(inputs) or image), inputs
    if dense and inputs.shape[1] >= FEW_DIRECTIONS:
        some = rows_of(X, some_rows(num_samples(X)))
        rows = outputs_of(estimator, some, ["raw_inputs"])["raw_inputs"]
    return Facts(
        features=gives_features(last),
        logits=gives_logits(last),
        probabilities=hasattr(last, "predict_proba"),
        inputs=numeric,
        sparse=issparse(inputs),
        image=image,
        columns=kind_of_columns(rows) if dense else "text" if issparse(inputs) else "wide",
        layers=gives_layers(last) and (image or not numeric),
        missing=bool(missing),
    )


def blocks_of(
    estimator: Any, X: Any, needed: Collection[str], n_classes: int
) -> Iterator[tuple[slice, dict[str, Any]]]:
    """Yield the outputs of samples, block by block if they take much memory."""
    X = indexable_samples(X)
    n_samples = num_samples(X)
    if n_samples == 0:
        raise ValueError("X must hold at least one sample; got 0 samples.")
    by_class = {"logits", "probabilities", "classes"} & {*needed}
    size = max(BLOCK_NUMBERS // n_classes, 1) if by_class else n_samples
    needed = [name for name in needed if name != "classes"]
    if n_samples <= size:
        yield slice(0, n_samples), outputs_of(estimator, X, needed)
        return
    for start in range(0, n_samples, size):
        rows = slice(start, min(start + size, n_samples))
        part = rows_of(X, np.arange(rows.start, rows.stop))
        yield rows, outputs_of(estimator, part, needed)


def score_outputs(
    score: BaseScore, outputs: dict[str, Any], index: NDArray[np.intp] | None = None
) -> NDArray[np.floating[Any]]:
    """Return the scores for a class of each sample, by index, or for all classes.

    Samples whose outputs are not finite, as those of huge inputs of a network, get minus
    infinity.
    """
    for name in score.n_columns_:
        part = outputs[name]
        if part is outputs.get("inputs") or issparse(part):
            check_finite(score, part)
    return score.scores_of(outputs, index)


def check_finite(score: BaseScore, part: Any) -> None:
    """Raise ValueError if what the user gave holds numbers that the score does not take."""
    values = part.data if issparse(part) else part
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return
    fine = np.isfinite(values) | (np.isnan(values) if score.allow_nan else False)
    if not fine.all():
        raise ValueError(
            f"Input X contains NaN or infinity, which {type(score).__name__} does not "
            "take; put a SimpleImputer before the classifier."
        )

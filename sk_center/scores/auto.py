"""The score that ``conformity_score="auto"`` stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sk_center.scores.combined import Combined
from sk_center.scores.density import InputDensity
from sk_center.scores.distances import CenterDistance, Mahalanobis
from sk_center.scores.logits import Energy, LogOdds, MaxLogit
from sk_center.scores.neighbors import KNeighbors
from sk_center.scores.principal import PrincipalDistance

if TYPE_CHECKING:
    from sk_center.scores.base import BaseScore
    from sk_center.scores.columns import Kind

# Fewer training samples cost outsiders, more of them time.
MOST_SAMPLES = 10_000
# What confidence may count: against a sample up to its spread, and never for it.
CONFIDENCE, LIMITS = 0.5, (-2, 0)
# So does what lies outside of the usual directions, from half of its spread on.
OUTSIDE, BEYOND = 0.5, (-np.inf, -0.5)
# Confidence tells more about texts than the nearest one does.
TEXT_CONFIDENCE = 2.0
# Lengths tell something beside directions: of features of small networks, and of pixels.
LENGTHS = 0.5
# Columns of different units count by how well they tell classes apart.
COLUMNS = 2.0
# What a network says of images tells more than their pixels.
PIXELS = 0.5
# What a distance in feature space counts that is as large as that between classes.
FEATURES, IMAGE_FEATURES, LAYERS = 2.0, 4.0, 8.0


@dataclass(frozen=True)
class Facts:
    """What decides the default score.

    Parameters
    ----------
    features, logits, probabilities : bool
        Whether the estimator gives them.

    layers : bool
        Whether the estimator tells what all layers of its network say of images.

    inputs : bool
        Whether the last step of the estimator sees rows of numbers.

    sparse : bool
        Whether these are a sparse matrix.

    image : bool
        Whether each of these has more than one axis, as an image has.

    columns : {"few", "table", "wide", "mixed", "text"}
        Their kind, where they are dense rows; a sparse matrix counts as text.

    missing : bool
        Whether some of the numbers are missing.
    """

    features: bool
    logits: bool
    probabilities: bool
    inputs: bool
    sparse: bool
    image: bool
    columns: Kind
    layers: bool = False
    missing: bool = False


def default_score(facts: Facts) -> BaseScore:
    """Return the default score, not fitted.

    It is a sum of what the inputs say, on scales measured on samples that the scores did
    not learn from, of what the features of a network say, and of the confidence of the
    classifier:

    - Tables, of at most 50 numeric columns, and up to 300 columns that are whitened or
      categories: the distance to the nearest training sample, once with columns that count
      by how well they tell classes apart and once by the direction from the mean, where
      columns are whitened within classes, and the largest density of any class. The last
      two leave out columns of two values, as of categories in one-hot code: a rare category
      is no sign of an outsider. The density keeps them where fewer than three columns would
      be left, and directions where fewer than eight would be; they have no part where there
      are fewer in all. Weak classifiers predict outsiders wrongly, so all three ask for any
      class.
    - Wide inputs: the distance of directions to the nearest training sample of the
      predicted class, and the largest density of any class in at most 32 principal
      directions, of directions and with half the weight of rows as they are. None notices
      what a sample has where training samples have little, so a large distance by principal
      directions counts against it. Where the columns are of different units, or were
      standardized before, the distance to the nearest sample of the predicted class counts
      twice as well, with columns that count by how well they tell classes apart.
    - Texts: the distance of directions to the nearest training sample of the predicted
      class, and twice the confidence. These are sparse inputs, dense ones that are nearly
      all zero, as counts of words, and their directions by ``TruncatedSVD``. Dense ones
      have the distance by principal directions, too. Features of a network add nothing.
    - Images: the distance of directions of the pixels to the nearest training sample of
      the predicted class, and the distance by principal directions.
    - Inputs with missing values: the densities alone, of the values that are there.
    - Features of the estimator, where it makes some: the distance to the nearest training
      sample of the predicted class, in units of the distance between classes, since a
      network pulls the samples that it trains on together. Where its network tells what
      all layers say of images, as :class:`~sk_center.networks.ConvNet` does, that takes the
      place of features, principal directions and confidence: features alone have lost what
      does not tell the known classes apart.

    Confidence is the logarithm of the odds of the largest probability, else the largest
    decision. It may count against a sample, and not for it, since outsiders from another
    domain are often accepted with more confidence than known samples; for texts it counts
    as it is. Where inputs are no rows of numbers, as those of a Dataset, what the network
    says of them stands alone.

    Parameters
    ----------
    facts : Facts
        The parts that the estimator gives, and the kind of its inputs.

    Returns
    -------
    score : BaseScore
        The score.
    """
    confidence = []
    if not facts.layers and (facts.probabilities or facts.logits):
        confidence = [LogOdds() if facts.probabilities else MaxLogit()]
    if not facts.inputs:
        if facts.layers:
            return _between_classes("layers")
        if facts.features:
            return Combined([Mahalanobis(), *[Energy()] * facts.logits], how="sum")
        return confidence[0] if confidence else CenterDistance()
    of_text = facts.columns == "text" and not facts.missing
    weight, limits = (TEXT_CONFIDENCE, None) if of_text else (CONFIDENCE, LIMITS)
    parts = _parts(facts) + [Part(score, weight, limits) for score in confidence]
    return Combined(
        [part.score for part in parts],
        how="sum",
        weights=[part.weight for part in parts],
        limits=[part.limits for part in parts],
        standardize=[part.standardize for part in parts],
    )


@dataclass(frozen=True)
class Part:
    """A score of a sum, and how it counts there."""

    score: BaseScore
    weight: float = 1.0
    limits: tuple[float, float] | None = None
    standardize: bool = True


def _parts(facts):
    """Return what inputs and features say."""
    is_table = facts.columns in ("few", "table")
    if facts.missing:
        parts = _table_density() if is_table else _densities()
    elif facts.columns == "text":
        return [Part(_directions("raw_inputs")), *[_outside()] * (not facts.sparse)]
    elif facts.image:
        parts = [Part(_directions("raw_inputs"), PIXELS)]
        parts += [_outside()] * (not facts.layers)
    elif is_table:
        parts = _table(with_directions=facts.columns == "table")
    else:
        parts = [*_wide(), _outside()]
        parts += [Part(_columns(), COLUMNS)] * (facts.columns == "mixed")
    if facts.layers:
        parts.append(Part(_between_classes("layers"), LAYERS, standardize=False))
    elif facts.features:
        weight = IMAGE_FEATURES if facts.image else FEATURES
        parts.append(Part(_between_classes("features"), weight, standardize=False))
    return parts


def _outside():
    """Return what counts that lies outside of the usual directions."""
    return Part(PrincipalDistance(space="raw_inputs"), OUTSIDE, BEYOND)


def _table(with_directions):
    """Return the scores of inputs of few columns."""
    return [
        Part(_columns(pooled=True)),
        *[Part(_whitened())] * with_directions,
        *_table_density(),
    ]


def _table_density():
    """Return the largest density of the numeric columns of a table."""
    params = {"n_directions": None, "ignore_binary": True, "normalize": False}
    return [Part(InputDensity(**params, pooled=True, space="raw_inputs"))]


def _wide():
    """Return the scores of inputs of many columns."""
    return [Part(_directions("raw_inputs")), *_densities()]


def _densities():
    """Return the largest densities of the directions of inputs, and of these themselves."""
    density = {"space": "raw_inputs", "pooled": True}
    # More components cost time, and gain nothing in so many directions.
    return [
        Part(InputDensity(2, normalize=True, **density)),
        Part(InputDensity(1, normalize=False, **density), LENGTHS),
    ]


def _columns(pooled=False):
    """Return the distance in which columns count by how well they tell classes apart."""
    nearest = {"max_samples": MOST_SAMPLES, "space": "raw_inputs", "pooled": pooled}
    return KNeighbors(1, scale="discriminant", normalize=False, **nearest)


def _whitened():
    """Return the distance of directions where columns are whitened within classes."""
    nearest = {"max_samples": MOST_SAMPLES, "space": "raw_inputs", "pooled": True}
    return KNeighbors(1, scale="numeric_whiten", normalize=True, **nearest)


def _directions(space):
    """Return the distance of directions to the nearest sample of a class."""
    return KNeighbors(1, normalize=True, max_samples=MOST_SAMPLES, space=space)


def _between_classes(space):
    """Return the distance of what a network says, in units of that between classes."""
    nearest = {"max_samples": MOST_SAMPLES, "space": space, "unit": "between"}
    return KNeighbors(1, normalize=False, **nearest)

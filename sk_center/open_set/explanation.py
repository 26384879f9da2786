"""Explanations of single decisions: why a sample was rejected, or got its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from scipy.spatial.distance import cdist
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_consistent_length

from sk_center._utils.frames import frame_of
from sk_center.open_set.decision import evidence_of
from sk_center.open_set.outputs import centers_of, outputs_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sk_center._utils.types import Samples

# Classes that the representation shows.
SHOWN = 8


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why one sample got its label from an :class:`~sk_center.OpenSetClassifier`.

    It is made by :meth:`OpenSetClassifier.explain <sk_center.OpenSetClassifier.explain>`.
    Arrays of classes are in the order of ``classes``.

    Parameters
    ----------
    label : object
        The label that ``predict`` returns.

    predicted : object
        The prediction of the estimator alone, which never rejects.

    rejected : bool
        Whether the sample is rejected.

    p_known : float
        The p-value of "this is a known sample".

    threshold : float
        The sample is rejected when ``p_known`` is at most this.

    score : float
        Score for the predicted class, larger is more typical.

    score_threshold : float
        The sample is rejected when the score is below this; NaN where former and added
        classes are two groups, which must both reject it.

    guarantee : {"marginal", "predicted", "class"}
        Under "class", every class must reject the sample by its own p-value instead.

    classes : ndarray of shape (n_classes,)
        The known classes.

    p_values : ndarray of shape (n_classes,), float64
        How compatible the sample is with each class, compared with calibration samples of
        that class alone. They decide under "class"; else ``p_known`` does.

    in_set : ndarray of shape (n_classes,), bool
        The prediction set.

    distances : ndarray of shape (n_classes,) or None
        Euclidean distance to the center of each class in feature space; None if no centers
        are known.

    neighbors : ndarray of shape (n_neighbors,) or None
        Indices of the nearest training samples in feature space, nearest first; None if no
        training samples were given.

    neighbor_labels : ndarray of shape (n_neighbors,) or None
        Their labels.

    neighbor_distances : ndarray of shape (n_neighbors,) or None
        Their Euclidean distances.

    scores, evidence, score_thresholds : ndarray of shape (n_classes,) or None
        Where former and added classes are two groups: the score of each class; what decides
        whether it accepts the sample, for an added class the score less half of the best
        former one; and the threshold that this must reach. None elsewhere.

    ambiguous : bool, default=False
        Whether the sample is withheld, since its prediction set holds several classes.

    See Also
    --------
    sk_center.OpenSetClassifier : Its ``explain`` returns these.
    sk_center.DistanceDisplay : The distances of many samples.

    Examples
    --------
    A flower between the first species and the others:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_center import OpenSetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = OpenSetClassifier(
    ...     LogisticRegression(max_iter=500), conformity_score="mahalanobis", cv=5
    ... ).fit(X, y)
    >>> model.explain([[5.0, 3.4, 3.0, 0.2]], X, y, n_neighbors=2)[0]
    -1: rejected, since the score -5.757 is below -3.557 (p = 0.007, threshold 0.05);
    the estimator alone predicts 0
    p-values within each class, which do not decide:
    class  p-value  in set  distance
    0        0.020      no     1.539
    1        0.020      no     2.032
    2        0.020      no     3.543
    nearest training samples: 24 (0, 1.12), 44 (0, 1.19)
    """

    label: Any
    predicted: Any
    rejected: bool
    p_known: float
    threshold: float
    score: float
    score_threshold: float
    guarantee: str
    classes: NDArray[Any]
    p_values: NDArray[np.float64]
    in_set: NDArray[np.bool_]
    distances: NDArray[np.floating[Any]] | None = None
    neighbors: NDArray[np.intp] | None = None
    neighbor_labels: NDArray[Any] | None = None
    neighbor_distances: NDArray[np.floating[Any]] | None = None
    scores: NDArray[np.floating[Any]] | None = None
    evidence: NDArray[np.floating[Any]] | None = None
    score_thresholds: NDArray[np.float64] | None = None
    ambiguous: bool = False

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas view, one row per class, the most compatible class first.

        Returns
        -------
        frame : pandas.DataFrame
            The columns ``p_value``, ``in_set``, if there are centers ``distance``, and
            after classes were added ``score``, ``evidence`` and ``threshold``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        columns: dict[str, Any] = {"p_value": self.p_values, "in_set": self.in_set}
        if self.distances is not None:
            columns["distance"] = self.distances
        return frame_of(columns | self._that_decide(), self.classes).iloc[self._order()]

    def _that_decide(self):
        """The columns that decide where former and added classes are two groups."""
        if self.evidence is None:
            return {}
        names = ("score", "evidence", "threshold")
        return dict(zip(names, (self.scores, self.evidence, self.score_thresholds)))

    def __repr__(self):
        lines = [self._summary()]
        names = [repr(label) for label in self.classes.tolist()]
        width = max(len("class"), *map(len, names))
        numbers = {} if self.distances is None else {"distance": self.distances}
        numbers |= self._that_decide()
        if self.evidence is not None:
            lines.append("a class accepts the sample whose evidence reaches the threshold:")
        elif self.guarantee != "class":
            lines.append("p-values within each class, which do not decide:")
        head = "".join(f"  {name:>8}" for name in numbers)
        lines.append(f"{'class':{width}}  p-value  in set{head}".rstrip())
        order = self._order()
        for k in order[:SHOWN]:
            line = (
                f"{names[k]:{width}}  {self.p_values[k]:7.3f}  "
                f"{'yes' if self.in_set[k] else 'no':>6}"
            )
            lines.append(
                line + "".join(f"  {x[k]:#{max(8, len(n))}.4g}" for n, x in numbers.items())
            )
        if len(order) > SHOWN:
            lines.append(
                f"and {len(order) - SHOWN} classes that it is less compatible with"
            )
        if self.neighbors is not None:
            near = [
                f"{i} ({label!r}, {distance:.3g})"
                for i, label, distance in zip(
                    self.neighbors.tolist(),
                    self.neighbor_labels.tolist(),
                    self.neighbor_distances.tolist(),
                )
            ]
            lines.append(f"nearest training samples: {', '.join(near)}")
        return "\n".join(lines)

    def _summary(self):
        if self.guarantee == "class" and not self.ambiguous:
            if self.rejected:
                return (
                    f"{self.label!r}: rejected, since every class rejects it;\n"
                    f"the estimator alone predicts {self.predicted!r}"
                )
            if self.label == self.predicted:
                return (
                    f"{self.label!r}: predicted by the estimator, and the class accepts it"
                )
            return (
                f"{self.label!r}: {self.predicted!r}, predicted by the estimator, rejects "
                "it, and\nthis accepting class has the largest p-value"
            )
        side = f"(p = {self.p_known:.3f}, threshold {self.threshold:.4g})"
        if self.ambiguous:
            return (
                f"{self.label!r}: accepted {side}, and withheld, since its\nprediction set "
                f"holds {self.in_set.sum()} classes; the estimator alone predicts "
                f"{self.predicted!r}"
            )
        if self.evidence is not None:
            return f"{self.label!r}: {self._between_groups(side)}"
        if self.rejected:
            return (
                f"{self.label!r}: rejected, since the score {self.score:#.4g} is below "
                f"{self.score_threshold:#.4g} {side};\n"
                f"the estimator alone predicts {self.predicted!r}"
            )
        return (
            f"{self.label!r}: predicted by the estimator, and accepted, since the score "
            f"{self.score:#.4g}\nis at least {self.score_threshold:#.4g} {side}"
        )

    def _between_groups(self, side):
        """Why the sample got its label from former and added classes."""
        if self.rejected:
            return (
                f"rejected {side}, since former and\nadded classes reject it; the "
                f"estimator alone predicts {self.predicted!r}"
            )
        if self.label == self.predicted:
            return f"predicted by the estimator, and accepted {side}"
        k = self.classes.tolist().index(self.predicted)
        if self.evidence[k] < self.score_thresholds[k]:
            return (
                f"accepted {side};\n{self.predicted!r}, predicted by the estimator, "
                "rejects it"
            )
        return (
            f"accepted {side}, and scores more\nfor it than for {self.predicted!r}, "
            "predicted by the estimator"
        )

    def _order(self):
        """The classes: those of the set before the others, then by p-value and distance."""
        away = np.zeros(len(self.classes)) if self.distances is None else self.distances
        return np.lexsort((away, -self.p_values, ~self.in_set))


class Explanations(list):
    """A list of explanations that prints them apart."""

    def __repr__(self):
        return "\n\n".join(map(repr, self))


def explain(
    model: Any,
    X: Samples,
    X_train: Samples | None = None,
    y_train: Any = None,
    n_neighbors: int = 5,
) -> list[Explanation]:
    """Explain the decision of a fitted open-set classifier about each sample."""
    # One pass gives the outputs for both decision and distances.
    found = model._judge(X, "p_values", "sets", "features", "by_class")
    decision, index, features = found["decision"], found["index"], found["features"]
    centers = centers_of(model.estimator_)
    distances = neighbors = near_labels = near_distances = [None] * len(index)
    if X_train is not None:
        y_train = np.asarray(y_train)
        check_consistent_length(X_train, y_train)
        train = outputs_of(model.estimator_, X_train, ["features"])["features"]
        train, features = without_gaps(train, features)
        centers = means_of(train, y_train, model.classes_) if centers is None else centers
        search = NearestNeighbors(n_neighbors=min(n_neighbors, len(y_train))).fit(train)
        near_distances, neighbors = search.kneighbors(features)
        near_labels = y_train[neighbors]
    if centers is not None:
        distances = cdist(features.toarray() if issparse(features) else features, centers)
    own = np.searchsorted(model.classes_, decision.predicted)
    several = model._has_added_classes
    thresholds = np.where(several, np.nan, model.score_thresholds_)
    scores = evidence = [None] * len(index)
    if several:
        rule = model.calibration_, model.groups_, model._against_former
        scores, evidence = found["by_class"], evidence_of(found["by_class"], *rule)
    return Explanations(
        Explanation(
            label=decision.labels[i : i + 1].tolist()[0],
            predicted=decision.predicted[i : i + 1].tolist()[0],
            rejected=bool(decision.rejected[i]),
            ambiguous=decision.ambiguous is not None and bool(decision.ambiguous[i]),
            p_known=float(decision.p_known[i]),
            threshold=float(model.thresholds_[own[i]]),
            score=float(decision.scores[i]),
            score_threshold=float(thresholds[own[i]]),
            guarantee=model.guarantee,
            classes=model.classes_,
            p_values=found["p_values"][i],
            in_set=found["sets"][i],
            distances=distances[i],
            neighbors=neighbors[i],
            neighbor_labels=near_labels[i],
            neighbor_distances=near_distances[i],
            scores=scores[i],
            evidence=evidence[i],
            score_thresholds=model.score_thresholds_ if several else None,
        )
        for i in range(len(index))
    )


def without_gaps(train: Any, features: Any) -> tuple[Any, Any]:
    """Return numbers, in which the mean of training samples stands for a missing one."""
    if issparse(train):
        return train, features
    if train.dtype.kind != "f":
        raise ValueError(
            "X_train must be None where the classifier takes columns that are no numbers, "
            f"which have no distances; got inputs of dtype {train.dtype}. Encode them "
            "before the classifier in a Pipeline."
        )
    imputer = SimpleImputer(keep_empty_features=True).fit(train)
    return imputer.transform(train), imputer.transform(features)


def means_of(
    features: Any, y: NDArray[Any], classes: NDArray[Any]
) -> NDArray[np.floating[Any]]:
    """Return the mean of the features of each class."""
    masks = [y == label for label in classes]
    missing = classes[[not mask.any() for mask in masks]]
    if len(missing):
        raise ValueError(
            f"y_train must hold samples of every class; {missing.tolist()} are missing."
        )
    return np.array([np.ravel(features[mask].mean(axis=0)) for mask in masks])

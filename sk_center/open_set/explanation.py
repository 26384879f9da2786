"""Explanations of single answers: why a sample was rejected, or taken for what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_consistent_length

from sk_center.open_set.outputs import centers_of, features_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sk_center._utils.types import Samples
    from sk_center.open_set import OpenSetClassifier

__all__ = ["Explanation"]

# Classes that the representation shows.
SHOWN = 8


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why one sample got its label from an :class:`~sk_center.OpenSetClassifier`.

    It is made by :meth:`OpenSetClassifier.explain <sk_center.OpenSetClassifier.explain>`.
    Classes are in the order of ``classes``.

    Parameters
    ----------
    label : object
        What ``predict`` returns.

    choice : object
        What the estimator alone returns, which never rejects.

    rejected : bool
        Whether every class turns the sample down.

    classes : ndarray of shape (n_classes,)
        The known classes.

    p_values : ndarray of shape (n_classes,)
        How compatible the sample is with each class.

    thresholds : ndarray of shape (n_classes,)
        A class turns the sample down when its p-value is at most this.

    scores : ndarray of shape (n_classes,)
        How typical of each class the sample looks.

    score_thresholds : ndarray of shape (n_classes,)
        A class turns the sample down when its score is below this.

    distances : ndarray of shape (n_classes,) or None
        Euclidean distance to the center of each class in feature space; None where no
        centers are known.

    neighbors : ndarray of shape (n_neighbors,) or None
        Indices of the nearest training samples in feature space, nearest first; None
        where no training samples were given.

    neighbor_labels : ndarray of shape (n_neighbors,) or None
        Their labels.

    neighbor_distances : ndarray of shape (n_neighbors,) or None
        Their Euclidean distances.

    See Also
    --------
    sk_center.OpenSetClassifier : What it explains.
    sk_center.DistanceDisplay : The distances of many samples, and where each class turns
        down.

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
    -1: rejected by every class; the estimator alone says 0
    class  p-value  threshold  turned down    score  least score  distance
    0        0.020       0.05          yes   -5.757       -3.743     1.539
    1        0.020       0.05          yes   -7.342       -2.938     2.032
    2        0.020       0.05          yes   -10.82       -3.843     3.543
    nearest training samples: 24 (0, 1.12), 44 (0, 1.19)
    """

    label: Any
    choice: Any
    rejected: bool
    classes: NDArray[Any]
    p_values: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    scores: NDArray[np.floating[Any]]
    score_thresholds: NDArray[np.floating[Any]]
    distances: NDArray[np.floating[Any]] | None = None
    neighbors: NDArray[np.intp] | None = None
    neighbor_labels: NDArray[Any] | None = None
    neighbor_distances: NDArray[np.floating[Any]] | None = None

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which classes do not turn the sample down, bool of shape (n_classes,)."""
        return self.p_values > self.thresholds

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas view, one row a class, the most typical class first.

        Returns
        -------
        frame : pandas.DataFrame
            The columns ``p_value``, ``threshold``, ``accepted``, ``score``,
            ``score_threshold`` and, where there are centers, ``distance``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install pandas") from error
        columns = {
            "p_value": self.p_values,
            "threshold": self.thresholds,
            "accepted": self.accepted,
            "score": self.scores,
            "score_threshold": self.score_thresholds,
        }
        if self.distances is not None:
            columns["distance"] = self.distances
        index = pd.Index(self.classes, name="class")
        return pd.DataFrame(columns, index=index).iloc[self._order()]

    def __repr__(self):
        lines = [self._summary()]
        header = "p-value  threshold  turned down    score  least score"
        names = [repr(label) for label in self.classes.tolist()]
        width = max(len("class"), *map(len, names))
        away = self.distances is not None
        lines.append(f"{'class':{width}}  {header}{'  distance' if away else ''}")
        order = self._order()
        for k in order[:SHOWN]:
            line = (
                f"{names[k]:{width}}  {self.p_values[k]:7.3f}  {self.thresholds[k]:9.4g}  "
                f"{'no' if self.accepted[k] else 'yes':>11}  {self.scores[k]:#7.4g}  "
                f"{self.score_thresholds[k]:#11.4g}"
            )
            lines.append(line + (f"  {self.distances[k]:#8.4g}" if away else ""))
        if len(order) > SHOWN:
            lines.append(f"and {len(order) - SHOWN} classes that it is less typical of")
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
        if self.rejected:
            return (
                f"{self.label!r}: rejected by every class; the estimator alone says "
                f"{self.choice!r}"
            )
        if self.label == self.choice:
            return f"{self.label!r}: what the estimator says, and not turned down"
        return (
            f"{self.label!r}: {self.choice!r}, what the estimator says, is turned down; of "
            "the others that are not, it ranks this one highest"
        )

    def _order(self):
        """The classes: those that accept before the others, then by their scores."""
        # Not by p-values: the smallest possible one differs with the samples of a class.
        return np.lexsort((-self.scores, ~self.accepted))


def explain(
    model: OpenSetClassifier,
    X: Samples,
    scores: NDArray[Any],
    X_train: Samples | None = None,
    y_train: Any = None,
    n_neighbors: int = 5,
) -> list[Explanation]:
    """Explain what a fitted open-set classifier says of each sample.

    Parameters
    ----------
    model : OpenSetClassifier
        The fitted classifier.

    X : array-like of shape (n_samples, ...)
        Samples.

    scores : ndarray of shape (n_samples, n_classes)
        Their scores.

    X_train : array-like of shape (n_train_samples, ...), default=None
        Samples to find the nearest of.

    y_train : array-like of shape (n_train_samples,), default=None
        Their labels.

    n_neighbors : int, default=5
        How many.

    Returns
    -------
    explanations : list of Explanation
        One for each sample.
    """
    labels, choices = model.predict(X).tolist(), model.estimator_.predict(X).tolist()
    p_values = model.calibration_.p_values(scores)
    rejected = ~(p_values > model.thresholds_).any(axis=1)
    n_samples = len(labels)
    distances = neighbors = near_labels = near_distances = [None] * n_samples
    centers = centers_of(model.estimator_)
    if X_train is not None:
        y_train = np.asarray(y_train)
        check_consistent_length(X_train, y_train)
        train = features_of(model.estimator_, X_train)
        if centers is None:
            masks = [y_train == label for label in model.classes_]
            missing = model.classes_[[not mask.any() for mask in masks]]
            if len(missing):
                raise ValueError(
                    f"y_train must hold samples of every class; {missing.tolist()} are "
                    "missing."
                )
            centers = np.array([np.ravel(train[mask].mean(axis=0)) for mask in masks])
    if centers is not None:
        features = features_of(model.estimator_, X)
        dense = features.toarray() if issparse(features) else features
        distances = cdist(dense, centers)
    if X_train is not None:
        search = NearestNeighbors(n_neighbors=min(n_neighbors, len(y_train))).fit(train)
        near_distances, neighbors = search.kneighbors(features)
        near_labels = y_train[neighbors]
    return [
        Explanation(
            label=labels[i],
            choice=choices[i],
            rejected=bool(rejected[i]),  # type: ignore[index]
            classes=model.classes_,
            p_values=p_values[i],
            thresholds=model.thresholds_,
            scores=scores[i],
            score_thresholds=model.score_thresholds_,
            distances=distances[i],
            neighbors=neighbors[i],
            neighbor_labels=near_labels[i],
            neighbor_distances=near_distances[i],
        )
        for i in range(n_samples)
    ]

"""Groups among rejected samples: a new class seldom comes alone."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import issparse
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.utils.validation import check_is_fitted

from sk_center._utils.frames import frame_of
from sk_center.open_set.outputs import outputs_of, rows_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sk_center._utils.types import Samples

# Distances tell less in more directions.
DIRECTIONS = 16
# A sample is among others if so many are near, itself counted.
NEAR = 3


@dataclass(frozen=True, eq=False, repr=False)
class RejectedGroups:
    """Groups among the samples that an open-set classifier rejects.

    It is made by :func:`group_rejected`. Groups are numbered from the largest one.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), int
        Group of each sample; -1 for one that is accepted, or like too few others.

    rejected : ndarray of shape (n_samples,), bool
        Whether each sample is rejected, in a group or not.

    distances : ndarray of shape (n_samples,), float64
        Distance to the mean of the group, where there is one, else NaN.

    classes : ndarray of shape (n_classes,)
        The known classes.

    shares : ndarray of shape (n_groups, n_classes), float64
        Share of the samples of a group for which the estimator alone predicts a class.

    See Also
    --------
    sk_center.open_set.group_rejected : Makes it, with an example.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.open_set import RejectedGroups
    >>> groups = RejectedGroups(
    ...     labels=np.array([-1, 0, 0, -1, 0]),
    ...     rejected=np.array([True, True, True, False, True]),
    ...     distances=np.array([np.nan, 0.5, 0.1, np.nan, 0.3]),
    ...     classes=np.array(["cat", "dog"]),
    ...     shares=np.array([[0.25, 0.75]]),
    ... )
    >>> groups
    group 0: 3 samples, taken for dog (75%), cat (25%)
    in no group: 1 of 4 rejected samples
    >>> groups.rows(0)
    array([2, 4, 1])
    """

    labels: NDArray[np.intp]
    rejected: NDArray[np.bool_]
    distances: NDArray[np.float64]
    classes: NDArray[Any]
    shares: NDArray[np.float64]

    def rows(self, group: int) -> NDArray[np.intp]:
        """Return the samples of a group, the most central one first.

        Parameters
        ----------
        group : int
            Number of the group.

        Returns
        -------
        rows : ndarray of shape (n_in_group,), int
            Positions in X, as for ``X.iloc`` of a DataFrame.
        """
        rows = np.flatnonzero(self.labels == group)
        return rows[np.argsort(self.distances[rows], kind="stable")]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas view, one row a group.

        Returns
        -------
        frame : pandas.DataFrame
            The columns ``size``, ``central``, the position of the most central sample in X,
            whatever the index of a DataFrame, ``nearest``, the known class that the
            estimator alone predicts for most, and ``share``, for how many of them.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        groups = range(len(self.shares))
        columns = {
            "size": [int((self.labels == group).sum()) for group in groups],
            "central": [int(self.rows(group)[0]) for group in groups],
            "nearest": self.classes[self.shares.argmax(axis=1)],
            "share": self.shares.max(axis=1, initial=0.0),
        }
        return frame_of(columns, groups, "group")

    def __repr__(self):
        lines = []
        for group, shares in enumerate(self.shares):
            order = np.argsort(-shares, kind="stable")[:3]
            near = [f"{self.classes[k]} ({shares[k]:.0%})" for k in order if shares[k] > 0]
            size = (self.labels == group).sum()
            lines.append(f"group {group}: {size} samples, taken for {', '.join(near)}")
        n_rejected, n_grouped = self.rejected.sum(), (self.labels >= 0).sum()
        lines.append(
            f"in no group: {n_rejected - n_grouped} of {n_rejected} rejected samples"
        )
        return "\n".join(lines)


def group_rejected(
    model: Any,
    X: Samples,
    *,
    min_size: int = 10,
    space: Literal["features", "inputs"] = "inputs",
) -> RejectedGroups:
    """Group the samples that an open-set classifier rejects by what they look like.

    Samples that came of one new class often lie together. The groups are those of
    HDBSCAN [1]_, which leaves single samples out, in 16 principal directions. Somebody has
    to look at them: a group may be a part of a class, or two classes; parts of a class get
    one name.

    Parameters
    ----------
    model : OpenSetClassifier
        The fitted classifier.

    X : array-like of shape (n_samples, ...)
        Samples, of which it groups those that ``model`` rejects.

    min_size : int, default=10
        Fewest samples of a group, at least 2. Larger finds fewer groups.

    space : {"features", "inputs"}, default="inputs"
        What is compared: what the last step of the estimator sees, such as an embedding or
        scaled columns, or what it makes of them. A network that was trained on the known
        classes alone mixes new classes that differ in nothing that it needed.

    Returns
    -------
    groups : RejectedGroups
        The groups, largest first.

    Raises
    ------
    ValueError
        If ``min_size`` is no int of at least 2, what is compared are no rows of numbers, or
        the estimator refuses X.

    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.

    See Also
    --------
    sk_center.OpenSetClassifier.add_classes : Adds what was found, once it has a name.
    sklearn.cluster.HDBSCAN : The clustering.

    References
    ----------
    .. [1] R. J. G. B. Campello, D. Moulavi, J. Sander. "Density-based clustering based on
       hierarchical density estimates". PAKDD 2013.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import NearestCentroid
    >>> from sk_center import OpenSetClassifier
    >>> from sk_center.open_set import group_rejected
    >>> X, y = load_iris(return_X_y=True)
    >>> model = OpenSetClassifier(
    ...     NearestCentroid(), conformity_score="mahalanobis", random_state=0
    ... )
    >>> groups = group_rejected(model.fit(X[y > 0], y[y > 0]), X, min_size=20)
    >>> groups
    group 0: 24 samples, taken for 1 (100%)
    in no group: 30 of 54 rejected samples
    >>> set(y[groups.rows(0)].tolist())
    {0}
    """
    check_is_fitted(model)
    if not isinstance(min_size, Integral) or min_size < 2:
        raise ValueError(f"min_size must be an int of at least 2; got {min_size!r}.")
    if space not in ("features", "inputs"):
        raise ValueError(f"space must be 'features' or 'inputs'; got {space!r}.")
    decision, classes = model.judge(X), model.classes_
    labels = np.full(len(decision.rejected), -1)
    distances = np.full(len(labels), np.nan)
    rejected = np.flatnonzero(decision.rejected)
    if len(rejected) < min_size:
        none = np.zeros((0, len(classes)))
        return RejectedGroups(labels, decision.rejected, distances, classes, none)
    points = outputs_of(model.estimator_, rows_of(X, rejected), [space])[space]
    points = in_few_directions(points, space)
    clustering = HDBSCAN(min_cluster_size=min_size, min_samples=NEAR, copy=True)
    found = clustering.fit_predict(points)
    if found.max() < 0:  # it looks for two groups or more, unless it may find one
        found = clustering.set_params(allow_single_cluster=True).fit_predict(points)
    sizes = np.bincount(found[found >= 0])
    shares = []
    for group, cluster in enumerate(np.argsort(-sizes, kind="stable")):
        inside = found == cluster
        rows = rejected[inside]
        labels[rows] = group
        away = points[inside] - points[inside].mean(axis=0)
        distances[rows] = np.linalg.norm(away, axis=1)
        index = np.searchsorted(classes, decision.predicted[rows])
        shares.append(np.bincount(index, minlength=len(classes)) / len(rows))
    shares = np.reshape(shares, (len(shares), len(classes)))
    return RejectedGroups(labels, decision.rejected, distances, classes, shares)


def in_few_directions(points: Any, space: str) -> NDArray[np.float64]:
    """Return samples in their leading principal directions, if they have more columns."""
    if issparse(points):
        n_directions = max(min(DIRECTIONS, min(points.shape) - 1), 1)
        with np.errstate(invalid="ignore"):  # of shares of variance, where there is none
            return TruncatedSVD(n_directions, random_state=0).fit_transform(points)
    if points.ndim != 2 or points.dtype.kind != "f" or not np.isfinite(points).all():
        raise ValueError(
            f"space={space!r} must hold rows of finite numbers to compare samples; encode "
            "them before the classifier, or choose the other space."
        )
    if points.shape[1] <= DIRECTIONS:
        return points.astype(np.float64)
    n_directions = min(DIRECTIONS, len(points))
    return PCA(n_directions, random_state=0).fit_transform(points.astype(np.float64))

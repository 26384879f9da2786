"""Distances to training samples."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval, StrOptions

from sk_center._utils.extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

from sk_center._utils.schema import array, by_class, either, having
from sk_center.scores.base import BaseScore
from sk_center.scores.distances import class_means

__all__ = ["KNeighbors"]


class KNeighbors(BaseScore):
    """Minus the distance to the k-th nearest training sample of each class.

    A score without any assumption on the shape of the clouds. [1]_ searches the samples of
    all classes together, which for the nearest one gives the same ``score_samples``.

    Parameters
    ----------
    n_neighbors : int, default=5
        Which neighbor, counted from the nearest one. Larger is moved less by single odd
        training samples, and blurs small clusters. Of a class with fewer samples it is the
        farthest.

    normalize : bool, default=False
        Whether to bring every sample to length one first, as [1]_ does with the features
        of networks that were trained without center loss.

    metric : str or callable, default="euclidean"
        Metric of :class:`sklearn.neighbors.NearestNeighbors`.

    algorithm : {"auto", "ball_tree", "brute", "faiss", "kd_tree"}, default="auto"
        How to search: as :class:`sklearn.neighbors.NearestNeighbors` does, or ``"faiss"``,
        brute force in float32 by the library of that name, for Euclidean distances only,
        see Notes. It comes with ``pip install "sk-center[faiss]"``.

    n_jobs : int, default=None
        Number of parallel searches. faiss takes the threads of OpenMP instead.

    Attributes
    ----------
    neighbors_ : dict of sklearn.neighbors.NearestNeighbors or of ndarray
        The search structure of each class that had samples, by class index; with a
        Euclidean metric of its samples less their mean. For faiss these samples.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    InputDensity : A density, which does not keep the training samples.
    sklearn.neighbors.NearestNeighbors : The search.

    Notes
    -----
    faiss takes half to two thirds of the time where classes have a thousand samples or
    more and 16 features or more; elsewhere it gains little or loses. It searches in
    float32. The distance to what it finds is computed in float64, but of several samples
    that are about as near as the k-th neighbor it may find another one, whose squared
    distance differs by some 1e-7 of the squared size of the class. On macOS faiss and
    torch may crash in one process, since each brings its own OpenMP runtime.

    References
    ----------
    .. [1] Y. Sun, Y. Ming, X. Zhu, Y. Li. "Out-of-distribution detection with deep nearest
       neighbors". ICML 2022.

    Examples
    --------
    >>> from sk_center.scores import KNeighbors
    >>> score = KNeighbors(n_neighbors=2).fit([[0.0], [2.0], [10.0], [11.0]], [0, 0, 1, 1])
    >>> score.score_classes([[3.0]])
    array([[-3., -8.]])
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
        "metric": [str, callable],
        "algorithm": [StrOptions({"auto", "ball_tree", "brute", "faiss", "kd_tree"})],
        "n_jobs": [Integral, None],
    }
    _saved_state = {
        "neighbors_": by_class(either(array("f", None, "columns"), having("kneighbors"))),
        "_origins": either(array("f", "K"), array("f", "K", "columns")),
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        normalize: bool = False,
        metric: str | Callable[..., float] = "euclidean",
        algorithm: Literal["auto", "ball_tree", "brute", "faiss", "kd_tree"] = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.normalize = normalize
        self.metric = metric
        self.algorithm = algorithm
        self.n_jobs = n_jobs

    def _fit(self, y, features):
        if self.algorithm == "faiss":
            if self.metric != "euclidean":
                raise ValueError(
                    "metric must be 'euclidean' where algorithm is 'faiss'; got "
                    f"{self.metric!r}."
                )
            import_faiss()
        X = self._scaled(features)
        # Brute force takes Euclidean distances from squares, of which nothing is left
        # after the subtraction where all samples are far from the origin.
        centered = self.metric == "euclidean"
        n_classes = len(self.classes_)
        self._origins = class_means(X, y, n_classes) if centered else np.zeros(n_classes)
        self.neighbors_ = {}
        for k in np.unique(y).tolist():
            members = X[y == k] - self._origins[k]
            if self.algorithm == "faiss":
                self.neighbors_[k] = members
                continue
            search = NearestNeighbors(
                n_neighbors=min(self.n_neighbors, len(members)),
                metric=self.metric,
                algorithm=self.algorithm,
                n_jobs=self.n_jobs,
            )
            self.neighbors_[k] = search.fit(members)

    def _score_classes(self, features):
        X = self._scaled(features)
        scores = np.full((len(X), len(self.classes_)), np.nan)
        for k, search in self.neighbors_.items():
            away = X - self._origins[k]
            if self.algorithm == "faiss":
                n_neighbors = min(self.n_neighbors, len(search))
                scores[:, k] = -faiss_distance(away, search, n_neighbors)
            else:
                scores[:, k] = -search.kneighbors(away)[0][:, -1]
        return scores

    def _scaled(self, X):
        # Brute force is several times slower where not all is of one dtype.
        X = X.astype(np.float64, copy=False)
        if not self.normalize:
            return X
        length = np.linalg.norm(X, axis=1, keepdims=True)
        return X / np.where(length > 0, length, 1)


def faiss_distance(
    X: NDArray[np.float64], members: NDArray[np.float64], n_neighbors: int
) -> NDArray[np.float64]:
    """Return the distance to the k-th nearest member, which faiss finds.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    members : ndarray of shape (n_members, n_features)
        Where to search, around the origin.

    n_neighbors : int
        Which neighbor, counted from the nearest one.

    Returns
    -------
    distances : ndarray of shape (n_samples,)
        Euclidean distances, float64.
    """
    # Of the size of one, because squares in float32 end at 1e38. Of a sample so far away
    # that its squares end there any member tells the distance, also the last one, which
    # is what the -1 of faiss for "none" means here.
    scale = np.abs(members).max() or 1.0
    with np.errstate(over="ignore"):
        narrow = [(part / scale).astype(np.float32) for part in (X, members)]
    _, indices = import_faiss().knn(*narrow, n_neighbors)
    return np.linalg.norm(X - members[indices[:, -1]], axis=1)


def import_faiss() -> Any:
    """Return the module faiss.

    Returns
    -------
    faiss : module
        The module.

    Raises
    ------
    ImportError
        If it is not installed, with how to install it.
    """
    return import_extra("faiss", "faiss", "algorithm='faiss' needs")

"""Distances to training samples."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from sk_center._utils.compat import Interval, StrOptions
from sk_center._utils.extras import import_extra
from sk_center._utils.schema import array, boolean, bounded, positive
from sk_center.scores.base import ScoreInSpace
from sk_center.scores.nearest import Nearest
from sk_center.scores.parts import SPACES
from sk_center.scores.rows import (
    blocks,
    by_class,
    class_means,
    length_one,
    lengths,
    present_index,
    regrouped,
)
from sk_center.scores.scaling import SCALES, scaled, scaling_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Rows are searched in blocks of so many numbers, 8 MB.
QUERIES = 2**20
# A tree finds neighbors sooner than products do among so many samples of so few columns.
TREE_SAMPLES, TREE_COLUMNS = 30_000, 8
# More columns are those of an embedding or of pixels, of which the direction tells more.
WIDE = 50
# The distance between classes is measured from so many samples.
BETWEEN = 500


class KNeighbors(ScoreInSpace, name="knn"):
    """Minus the distance to the k-th nearest training sample of each class.

    A score without any assumption on the shape of the clouds. [1]_ searches the samples of
    all classes together.

    Parameters
    ----------
    n_neighbors : int, default=5
        Which neighbor, counted from the nearest one. Larger is moved less by single
        atypical training samples, and blurs small clusters. A class with fewer samples
        takes its farthest one.

    pooled : bool, default=False
        Whether to search the samples of all classes together, for one score that is the
        same for every class.

    scale : {"standard", "discriminant", "whiten", "numeric_whiten"}, default=None
        What columns are brought to first. ``"standard"`` is a standard deviation of one.
        ``"discriminant"`` is a standard deviation within classes of one, times the root of
        the share of the variance that is between classes, so that columns count which tell
        classes apart. ``"whiten"`` is the covariance within classes, shrunk as by
        :class:`sklearn.covariance.LedoitWolf`, of one in all directions.
        ``"numeric_whiten"`` is the same without columns of at most two values in training,
        which are mostly categories in one-hot code, unless fewer than eight others are
        left. None takes columns as they are.

    normalize : bool or "auto", default="auto"
        Whether to bring every sample to length one, after the scale, as [1]_ does with
        features of networks that were trained without center loss. ``"auto"`` does so
        without scale where the columns are more than 50 or sparse, as in embeddings,
        images and texts: the direction tells more there than the length.

    metric : str or callable, default="euclidean"
        Metric of :class:`sklearn.neighbors.NearestNeighbors`.

    algorithm : {"auto", "ball_tree", "brute", "faiss", "kd_tree"}, default="auto"
        How to search: by matrix products, ``"brute"``, or by the trees of
        :class:`sklearn.neighbors.NearestNeighbors`, which ``"auto"`` takes for more than
        30,000 samples of at most 8 columns and for other metrics; or ``"faiss"``, brute
        force in float32 by the library of that name, for Euclidean distances only, see
        Notes. It comes with ``pip install "sk-center[faiss]"``.

    max_samples : int, default=None
        Largest number of training samples to keep, the same share of each class by chance;
        None keeps all.

    space : {"features", "inputs", "layers", "raw_inputs"}, default="features"
        The part in which distances are measured.

    unit : "between" or None, default=None
        ``"between"`` divides distances by the median distance of a training sample to the
        nearest one of another class. A network pulls the samples that it trains on
        together, so that their distances within a class are no measure for new samples;
        those between classes are.

    n_jobs : int, default=None
        Number of parallel searches. faiss takes the threads of OpenMP instead.

    Attributes
    ----------
    samples_ : ndarray or CSR matrix of shape (n_kept, n_columns)
        The training samples class by class, scaled, of length one where that is asked for,
        and for dense Euclidean distances less the mean of their class.

    starts_ : ndarray of shape (n_classes + 1,)
        Where the samples of each class begin, and the number of all; where they are
        pooled they are as of one class.

    normalize_ : bool
        Whether samples have length one.

    unit_ : float
        What distances are divided by.

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
    A search finds the neighbor; the Euclidean distance of dense samples is then that of the
    difference in float64.

    faiss searches in
    float32: where several samples are about as near as the k-th neighbor it may find
    another one, whose squared distance differs by some 1e-7 of the squared size of the
    class. On macOS faiss and torch may crash in one process, since each brings its own
    OpenMP runtime.

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

    accepts_sparse = True
    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "pooled": ["boolean"],
        "scale": [StrOptions({*SCALES}), None],
        "normalize": ["boolean", StrOptions({"auto"})],
        "metric": [str, callable],
        "algorithm": [StrOptions({"auto", "ball_tree", "brute", "faiss", "kd_tree"})],
        "max_samples": [Interval(Integral, 1, None, closed="left"), None],
        "space": [StrOptions({*SPACES})],
        "unit": [StrOptions({"between"}), None],
        "n_jobs": [Integral, None],
    }
    _saved_state = {
        "samples_": array("f", "kept", None, sparse=True),
        "starts_": array("i", None),
        "normalize_": boolean,
        "unit_": positive,
        "?_owners": bounded(array("i", "kept"), 0),
        "?_origins": array("f", None, None),
        "?_shift": array("f", "columns"),
        "?_factor": lambda value, sizes: array("f", *[None] * value.ndim)(value, sizes),
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        pooled: bool = False,
        scale: (
            Literal["standard", "discriminant", "whiten", "numeric_whiten"] | None
        ) = None,
        normalize: bool | Literal["auto"] = "auto",
        metric: str | Callable[..., float] = "euclidean",
        algorithm: Literal["auto", "ball_tree", "brute", "faiss", "kd_tree"] = "auto",
        max_samples: int | None = None,
        space: Literal["features", "inputs", "layers", "raw_inputs"] = "features",
        unit: Literal["between"] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.pooled = pooled
        self.scale = scale
        self.normalize = normalize
        self.metric = metric
        self.algorithm = algorithm
        self.max_samples = max_samples
        self.space = space
        self.unit = unit
        self.n_jobs = n_jobs

    @property
    def per_class(self) -> bool:  # type: ignore[override]
        """Whether each class is searched by itself."""
        return not self.pooled

    def _fit(self, y, **parts):
        X = parts[self.space]
        self._check(X)
        if self.scale is not None:
            self._shift, self._factor = scaling_of(X, y, len(self.classes_), self.scale)
        self.normalize_ = bool(self.normalize)
        if self.normalize == "auto":
            wide = issparse(X) or X.shape[1] > WIDE
            self.normalize_ = wide and self.scale is None and self.metric == "euclidean"
        groups = y * 0 if self.pooled else y
        rows = kept_rows(groups, self.max_samples)
        sizes = np.bincount(
            groups[rows], minlength=1 if self.pooled else len(self.classes_)
        )
        self.starts_ = np.concatenate([[0], np.cumsum(sizes)])
        X, groups = X[rows], groups[rows]
        if self.pooled:
            self._owners = y[rows]
        self.unit_ = 1.0
        if self.unit == "between":
            self.unit_ = distance_between(self._mapped(X), y[rows])
        if not self._has_origins(X):
            self.samples_ = self._mapped(X).astype(X.dtype, copy=False)
            return
        # Squares, by which brute force searches, leave nothing of differences where all
        # samples are far from the origin.
        self._origins = np.nan_to_num(class_means(X, groups, len(sizes), self._mapped))
        self.samples_ = np.empty((len(X), self._origins.shape[1]), dtype=X.dtype)
        for some in blocks(*X.shape):
            self.samples_[some] = self._mapped(X[some]) - self._origins[groups[some]]

    def _regroup(self, kept, y, **parts):
        sizes = np.diff(self.starts_)
        owners = self._owners if self.pooled else np.repeat(np.arange(len(sizes)), sizes)
        owners = present_index(kept, max(owners.max(), kept.max()) + 1)[owners]
        stay = np.flatnonzero(owners >= 0)
        samples, owners = self.samples_[stay], np.concatenate([owners[stay], y])
        new = self._mapped(parts[self.space])
        if hasattr(self, "_origins"):
            if not self.pooled:
                means = np.nan_to_num(class_means(new, y, len(kept)))
                self._origins = regrouped(self._origins, kept, means)
            new = new - self._origins[y * 0 if self.pooled else y]
        if len(y):
            new = new.astype(samples.dtype, copy=False)
            stack = vstack if issparse(samples) else np.concatenate
            samples = stack([samples, new])
        if self.pooled:
            self.samples_, self._owners = samples, owners
            self.starts_ = np.array([0, len(owners)])
            return
        self.samples_ = samples[np.argsort(owners, kind="stable")]
        sizes = np.bincount(owners, minlength=len(kept))
        self.starts_ = np.concatenate([[0], np.cumsum(sizes)])

    def _check(self, X):
        """Forget an earlier fit, and raise ValueError where parameters clash."""
        for name in ("_owners", "_shift", "_factor", "_origins"):
            vars(self).pop(name, None)
        if issparse(X) and self.scale is not None:
            raise ValueError(
                f"scale must be None for sparse samples; got {self.scale!r}. Put "
                "sklearn.decomposition.TruncatedSVD before the classifier."
            )
        if self.algorithm == "faiss":
            if self.metric != "euclidean" or issparse(X):
                raise ValueError(
                    "metric must be 'euclidean' and samples dense for algorithm='faiss'; "
                    f"got {self.metric!r}."
                )
            import_faiss()

    def _score_classes(self, **parts):
        X, n_groups = parts[self.space], len(self.starts_) - 1
        found = np.full((X.shape[0], n_groups), np.nan)
        for rows in blocks(*X.shape, size=QUERIES):
            part = self._mapped(X[rows])
            for group in range(n_groups):
                found[rows, group] = -self._distances(part, group)
        found /= self.unit_
        return found[:, 0] if self.pooled else found

    def _score_own(self, index, **parts):
        X = parts[self.space]
        if len(index) == 1:
            group = 0 if self.pooled else int(index[0])
            return self._distances(self._mapped(X), group) / -self.unit_
        found = np.empty(len(index))
        for group, own in by_class(index * 0 if self.pooled else index):
            for rows in blocks(len(own), X.shape[1], size=QUERIES):
                some = own[rows]
                found[some] = self._distances(self._mapped(X[some]), group)
        found /= -self.unit_
        return found

    def _has_origins(self, samples):
        """Return whether samples are kept as differences from means."""
        return self.metric == "euclidean" and not issparse(samples)

    def _mapped(self, X):
        """Return rows scaled and of length one, as far as that is asked for."""
        if not issparse(X):
            # Brute force is several times slower where not all is of one dtype.
            X = X.astype(np.float64, copy=False)
        if self.scale is not None:
            X = scaled(X, self._shift, self._factor)
        return length_one(X) if self.normalize_ else X

    def _distances(self, X, group):
        """Return the distance of rows to the k-th nearest sample of a group, or NaN."""
        start, stop = self.starts_[group : group + 2]
        if start == stop:
            return np.full(X.shape[0], np.nan)
        samples = self.samples_[start:stop]
        search = self._cached(group, lambda: self._made_search(samples))
        if not self._has_origins(self.samples_):
            return search.kneighbors(X)[0][:, -1]
        X = (X - self._origins[group]).astype(samples.dtype, copy=False)
        if isinstance(search, Nearest):
            return search.distances(X)
        if self.algorithm == "faiss":
            nearest = _nearest_by_faiss(X, samples, min(self.n_neighbors, len(samples)))
        else:
            nearest = search.kneighbors(X, return_distance=False)[:, -1]
        return lengths(X.astype(np.float64) - samples[nearest])

    def _made_search(self, samples):
        """Return a search structure of some samples, None where faiss searches."""
        k_th = min(self.n_neighbors, samples.shape[0])
        if self.metric == "euclidean" and not issparse(samples):
            if self.algorithm == "faiss":
                return None
            many = samples.shape[0] > TREE_SAMPLES and samples.shape[1] <= TREE_COLUMNS
            if self.algorithm == "brute" or (self.algorithm == "auto" and not many):
                return Nearest(samples, k_th)
        search = NearestNeighbors(
            n_neighbors=k_th,
            metric=self.metric,
            algorithm=self.algorithm,
            n_jobs=self.n_jobs,
        )
        return search.fit(samples)

    def _check_loaded(self):
        """Raise ValueError unless the samples are those of as many groups."""
        n_groups = 1 if self.pooled else len(self.classes_)
        steps = np.diff(self.starts_)
        if len(steps) != n_groups or (steps < 0).any() or self.starts_[0] != 0:
            raise ValueError(f"starts_ must be those of {n_groups} groups")
        if self.starts_[-1] != self.samples_.shape[0]:
            raise ValueError(f"samples_ must have {self.starts_[-1]} rows")
        has_origins = "_origins" in vars(self)
        if has_origins != self._has_origins(self.samples_):
            raise ValueError(
                "_origins must be there for dense samples and a Euclidean metric"
            )
        if has_origins and self._origins.shape != (n_groups, self.samples_.shape[1]):
            raise ValueError("_origins must have a row for each group")

    def _to_onnx(self, **values):
        if not self._has_origins(self.samples_):
            raise ValueError(
                "conformity_score=KNeighbors must have metric='euclidean' and dense "
                f"samples to be exported; got metric={self.metric!r}."
            )
        X = values[self.space].astype(np.float64)
        graph, columns = X.graph, []
        if self.scale is not None:
            X = X - self._shift
            X = X * self._factor if self._factor.ndim == 1 else X @ self._factor
        X = X.length_one() if self.normalize_ else X
        for group, (start, stop) in enumerate(zip(self.starts_, self.starts_[1:])):
            if start == stop:
                columns.append(X.columns(0, 1) * np.nan)
                continue
            samples = self.samples_[start:stop]
            k_th = min(self.n_neighbors, len(samples))
            away = (X - self._origins[group]).astype(samples.dtype).astype(np.float64)
            # Squared distances, less the square of the row itself, which changes no order,
            # find the neighbor; how far that is tells the difference from it.
            squares = np.square(samples.astype(np.float64)).sum(axis=1)
            samples = graph.constant(samples).astype(np.float64)
            order = graph.op("Gemm", away, samples, squares, alpha=-2.0, transB=1)
            found = order.top(k_th, largest=False).columns(k_th - 1, k_th)
            nearest = graph.op("GatherND", samples, found)
            columns.append((away - nearest).lengths(keepdims=True) / -self.unit_)
        return graph.op("Concat", *columns, axis=1)


def kept_rows(groups: NDArray[np.intp], most: int | None) -> NDArray[np.intp]:
    """Return rows group by group, at most so many but one of each group at least."""
    order = np.argsort(groups, kind="stable")
    if most is None or len(groups) <= most:
        return order
    order = np.random.RandomState(0).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups)
    places = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = np.maximum(sizes * most // len(groups), 1)
    return order[places < np.repeat(kept, sizes)]


def distance_between(X: Any, y: NDArray[np.intp]) -> float:
    """Return the median distance of samples to the nearest one of another class, or 1."""
    rows = np.random.RandomState(0).permutation(X.shape[0])[:BETWEEN]
    found = []
    for some in blocks(len(rows), X.shape[0], size=QUERIES):
        away = pairwise_distances(X[rows[some]], X)
        away[y[rows[some]][:, None] == y] = np.inf
        found.append(away.min(axis=1))
    nearest = np.concatenate(found)
    nearest = nearest[np.isfinite(nearest)]
    return (float(np.median(nearest)) if len(nearest) else 1.0) or 1.0


def import_faiss() -> Any:
    """Return the module faiss, or raise ImportError with how to install it."""
    return import_extra("faiss", "faiss", "algorithm='faiss' needs")


def _nearest_by_faiss(X, samples, k_th):
    """Return the index of the k-th nearest sample to each row, which faiss finds."""
    # In units of the largest, because squares in float32 end at 1e38. Any sample tells the
    # distance of a row so far away that its squares end there, also the last one, which is
    # what the -1 of faiss for "none" means here.
    scale = np.abs(samples).max() or 1.0
    with np.errstate(over="ignore"):
        narrow = [(rows / scale).astype(np.float32) for rows in (X, samples)]
    return import_faiss().knn(*narrow, k_th)[1][:, -1]

"""How known does a sample look? One score per class, larger is more typical of it.

:class:`~sk_center.OpenSetClassifier` takes a score as ``conformity_score``, or the name of
one with default parameters: ``"center_distance"`` is :class:`CenterDistance`,
``"energy"`` :class:`Energy`, ``"input_density"`` :class:`InputDensity`, ``"knn"``
:class:`KNeighbors`, ``"mahalanobis"`` :class:`Mahalanobis`, ``"max_logit"``
:class:`MaxLogit`, ``"max_softmax"`` :class:`MaxSoftmax`, ``"openmax"`` :class:`OpenMax` and
``"vim"`` :class:`ViM`.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from scipy.stats import weibull_min
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

from sk_center._extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from sk_center._types import Consumed, DensityEstimator, Seen

__all__ = [
    "BaseScore",
    "CenterDistance",
    "Combined",
    "Energy",
    "FunctionScore",
    "InputDensity",
    "KNeighbors",
    "Mahalanobis",
    "MaxLogit",
    "MaxSoftmax",
    "OpenMax",
    "PerClass",
    "ViM",
]

# Beyond it sums of squares overflow.
LARGEST = 1e150
# Of so many samples of a class more tell a density little that is new.
MOST_MEMBERS = 10_000
SHRINKAGES = {"ledoit_wolf": LedoitWolf, "oas": OAS, None: EmpiricalCovariance}


class BaseScore(BaseEstimator):
    """Base class of the scores.

    A score is fitted on what it consumes of training samples, with their labels, and
    then tells for each class how typical of it new samples look.

    A score of your own derives from it and defines ``_score_classes(X)``, which returns an
    array of shape (n_samples, n_classes), or of shape (n_samples,) for a score that is the
    same for every class; larger is more typical. If it has something to learn,
    ``_fit(X, y)`` learns it, else ``learns = False`` says so. Both get validated arrays,
    and ``y`` holds indices of ``classes_``.

    Attributes
    ----------
    consumes : {"features", "inputs", "logits", "probabilities"} or tuple of those
        What ``X`` is in the methods: features of any kind, or what the classifier makes
        them of, or class logits or class probabilities in the order of the classes; of a
        tuple, each of those side by side.

    learns : bool
        Whether ``fit`` learns from the data. What it learns it must learn from samples
        that do not calibrate.

    radial : bool
        Whether the score of a class is minus the distance to its middle, the law of which
        ``calibration="gaussian"`` knows.

    allow_nan : bool
        Whether ``X`` may hold NaN, for values that are missing.

    classes_ : ndarray of shape (n_classes,)
        Class labels, once it is fitted.

    n_features_in_ : int
        Number of columns of what the score consumes, once it is fitted.

    See Also
    --------
    FunctionScore : Makes a score of a function, which learns nothing.
    PerClass : Makes a score of a density or outlier estimator of scikit-learn.
    sk_center.OpenSetClassifier : Takes a score as ``conformity_score``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import BaseScore
    >>> class CityBlock(BaseScore):
    ...     def _fit(self, X, y):
    ...         members = [X[y == k] for k in range(len(self.classes_))]
    ...         self.middles_ = np.array([np.median(part, axis=0) for part in members])
    ...
    ...     def _score_classes(self, X):
    ...         return -np.abs(X[:, None] - self.middles_).sum(axis=2)
    >>> score = CityBlock().fit([[0.0, 0.0], [2.0, 2.0], [9.0, 0.0]], ["a", "a", "b"])
    >>> score.score_classes([[3.0, 0.0]])
    array([[-3., -6.]])
    """

    consumes: Consumed = "features"
    learns: bool = True
    radial: bool = False
    allow_nan: bool = False
    classes_: NDArray[Any]
    n_features_in_: int
    _parameter_constraints: dict = {}

    def fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn from training samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All class labels, where y may lack some; by default those in y. Of a class
            without samples a score that learns from samples knows nothing: it is minus
            infinity there, unless what the score consumes tells it.

        Returns
        -------
        self : BaseScore
            The fitted score.

        Raises
        ------
        ValueError
            If the data or a parameter is invalid, ``y`` holds a label that is not among
            ``classes``, or ``X`` has not the columns that the score consumes.
        """
        self._validate_params()
        finite = "allow-nan" if self.allow_nan else True
        X, y = check_X_y(X, y, dtype=np.float64, ensure_all_finite=finite)
        self.classes_ = np.unique(y if classes is None else np.asarray(classes))
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds the labels {unknown.tolist()}, which are not among classes, "
                f"{self.classes_.tolist()}."
            )
        y = np.searchsorted(self.classes_, y)
        self.n_features_in_ = X.shape[1]
        largest = max(np.fmax.reduce(X, axis=None), -np.fmin.reduce(X, axis=None))
        if self.learns and largest > LARGEST:
            raise ValueError(
                f"X must be at most {LARGEST:g} in size, so that squares stay finite; got "
                f"{largest:g}. Scale it (StandardScaler helps)."
            )
        one_each = self.consumes in ("logits", "probabilities")
        if one_each and X.shape[1] != len(self.classes_):
            raise ValueError(
                f"X must hold one column for each of {len(self.classes_)} classes; got "
                f"{X.shape[1]} columns."
            )
        self._fit(X, y)
        return self

    def _fit(self, X, y):
        """Learn from validated samples and class indices; many scores learn nothing.

        Indices may be missing. A score of NaN says that nothing is known of a class.
        """

    def score_classes(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return how typical of each class the samples look.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
            Scores, larger is more typical; float32 for float32 input, else float64.

        Raises
        ------
        ValueError
            If ``X`` has another number of columns than in ``fit``.
        """
        check_is_fitted(self)
        finite = "allow-nan" if self.allow_nan else True
        X = check_array(
            X, dtype=[np.float64, np.float32], ensure_all_finite=finite, input_name="X"
        )
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        # Of samples so far out that numbers overflow no number tells how far.
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self._score_classes(X)
            scores = np.where(np.isnan(scores), -np.inf, scores)
            if scores.ndim == 1:  # the same for every class
                scores = np.repeat(scores[:, None], len(self.classes_), axis=1)
            return scores.astype(X.dtype, copy=False)

    def score_samples(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return how known the samples look: the score of their most typical class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Scores; larger is more known.
        """
        return self.score_classes(X).max(axis=1)


class CenterDistance(BaseScore):
    """Minus the Euclidean distance to the center of each class.

    Parameters
    ----------
    centers : array-like of shape (n_classes, n_features), default=None
        The centers, in the order of the sorted classes; by default the mean of each
        class. Given centers leave nothing to learn.

    Attributes
    ----------
    centers_ : ndarray of shape (n_classes, n_features)
        The centers.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    Mahalanobis : Takes the shape of the clouds into account.
    sk_center.CenterLossClassifier : Trains features for which this is the natural score.

    Examples
    --------
    >>> from sk_center.scores import CenterDistance
    >>> score = CenterDistance().fit([[0.0], [2.0], [10.0]], [0, 0, 1])
    >>> score.score_classes([[2.0], [7.0]])
    array([[-1., -8.],
           [-6., -3.]])
    """

    radial = True

    def __init__(self, centers: ArrayLike | None = None) -> None:
        self.centers = centers

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether the centers come from the data."""
        return self.centers is None

    def _fit(self, X, y):
        self.centers_ = given_or_means(self.centers, X, y, len(self.classes_))

    def _score_classes(self, X):
        return -cdist(X, self.centers_)


class Mahalanobis(BaseScore):
    """Minus the Mahalanobis distance to the mean of each class.

    ``sqrt((x - mean_k)' S^-1 (x - mean_k))`` with one covariance S for all classes, that
    of the deviations from the class means, or with one for each class. [1]_ takes the
    square with the plain covariance for all classes.

    Parameters
    ----------
    covariance : {"tied", "class"}, default="tied"
        Whether all classes share one covariance or each has its own, which takes many
        more samples than features in every class.

    shrinkage : {"ledoit_wolf", "oas"} or None, default="ledoit_wolf"
        Shrinkage of the covariance, an estimator of :mod:`sklearn.covariance`; None is
        the plain covariance, for many more samples than features.

    centers : array-like of shape (n_classes, n_features), default=None
        The centers, in the order of the sorted classes; by default the mean of each
        class.

    relative : bool, default=False
        Whether to score by ``d_0^2 - d_k^2``, where d_k is the distance above and d_0
        that to the mean of all samples with the covariance of all samples [2]_: what is
        far from everything along directions that tell no classes apart then counts less.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_features)
        Mean or given center of each class.

    covariance_ : ndarray of shape (n_features, n_features) or \
            (n_classes, n_features, n_features)
        The shrunk covariance within classes, or that of each class.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    CenterDistance : Takes all directions alike.
    ViM : Takes the logits into account, too.
    sklearn.covariance.LedoitWolf : The default covariance estimator.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee, J. Shin. "A simple unified framework for detecting
       out-of-distribution samples and adversarial attacks". NeurIPS 2018.
    .. [2] J. Ren, S. Fort, J. Liu, A. G. Roy, S. Padhy, B. Lakshminarayanan. "A simple fix
       to Mahalanobis distance for improving near-OOD detection". arXiv:2106.09022, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import Mahalanobis
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) * [1, 10]
    >>> score = Mahalanobis().fit(X, [0, 1] * 100)
    >>> wide, high = score.score_samples([[9, 0], [0, 9]])
    >>> bool(wide < high)  # 9 is far along the narrow axis, near along the wide one
    True
    """

    _parameter_constraints: dict = {
        "covariance": [StrOptions({"tied", "class"})],
        "shrinkage": [StrOptions({"ledoit_wolf", "oas"}), None],
        "centers": ["array-like", None],
        "relative": ["boolean"],
    }

    def __init__(
        self,
        covariance: Literal["tied", "class"] = "tied",
        *,
        shrinkage: Literal["ledoit_wolf", "oas"] | None = "ledoit_wolf",
        centers: ArrayLike | None = None,
        relative: bool = False,
    ) -> None:
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.centers = centers
        self.relative = relative

    @property
    def radial(self) -> bool:  # type: ignore[override]
        """Whether the score is minus a distance, not a difference of two."""
        return not self.relative

    def _fit(self, X, y):
        self.means_ = given_or_means(self.centers, X, y, len(self.classes_))
        deviations = X - self.means_[y]
        if self.covariance == "tied":
            self.covariance_ = self._covariance(deviations)
            # Once for all classes: joblib would write it once for each.
            self._whitening = [whitening(self.covariance_)]
        else:
            unknown = np.full((X.shape[1], X.shape[1]), np.nan)
            self.covariance_ = np.repeat(unknown[None], len(self.means_), axis=0)
            self._whitening = [unknown] * len(self.means_)
            for k in np.unique(y):
                self.covariance_[k] = self._covariance(deviations[y == k])
                self._whitening[k] = whitening(self.covariance_[k])
        if self.relative:
            self._mean = X.mean(axis=0, keepdims=True)
            self._background = whitening(self._covariance(X - self._mean))

    def _covariance(self, deviations):
        estimator = SHRINKAGES[self.shrinkage](assume_centered=True)
        return estimator.fit(deviations).covariance_

    def _score_classes(self, X):
        if self.covariance == "tied":
            away = cdist(X @ self._whitening[0], self.means_ @ self._whitening[0])
        else:
            columns = [
                cdist(X @ white, (mean @ white)[None])
                for white, mean in zip(self._whitening, self.means_)
            ]
            away = np.concatenate(columns, axis=1)
        if not self.relative:
            return -away
        background = cdist(X @ self._background, self._mean @ self._background)
        return background**2 - away**2


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

    n_features_in_ : int
        Number of columns of what the score consumes.

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

    def _fit(self, X, y):
        if self.algorithm == "faiss":
            if self.metric != "euclidean":
                raise ValueError(
                    "metric must be 'euclidean' where algorithm is 'faiss'; got "
                    f"{self.metric!r}."
                )
            import_faiss()
        X = self._scaled(X)
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

    def _score_classes(self, X):
        X = self._scaled(X)
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


class MaxSoftmax(BaseScore):
    """The probability of each class, as the classifier gives it.

    The largest of them is the maximum softmax probability [1]_, the field's baseline.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    MaxLogit : Before the softmax divides the size of the features away.
    Energy : All logits together.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel. "A baseline for detecting misclassified and
       out-of-distribution examples in neural networks". ICLR 2017.

    Examples
    --------
    >>> from sk_center.scores import MaxSoftmax
    >>> score = MaxSoftmax().fit([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    >>> score.score_samples([[0.6, 0.4], [0.1, 0.9]])
    array([0.6, 0.9])
    """

    consumes = "probabilities"
    learns = False

    def _score_classes(self, X):
        return X


class MaxLogit(BaseScore):
    """The logit of each class.

    The largest of them is the maximum logit score [1]_, which keeps the size of the
    features that the softmax divides away.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    MaxSoftmax : After the softmax.
    Energy : A smooth maximum of the logits.

    References
    ----------
    .. [1] D. Hendrycks, S. Basart, M. Mazeika, A. Zou, J. Kwon, M. Mostajabi,
       J. Steinhardt, D. Song. "Scaling out-of-distribution detection for real-world
       settings". ICML 2022.

    Examples
    --------
    >>> from sk_center.scores import MaxLogit
    >>> score = MaxLogit().fit([[3.0, -1.0], [0.0, 2.0]], [0, 1])
    >>> score.score_samples([[0.5, 0.2], [4.0, 1.0]])
    array([0.5, 4. ])
    """

    consumes = "logits"
    learns = False

    def _score_classes(self, X):
        return X


class Energy(BaseScore):
    """Minus the free energy of the logits, the same for every class.

    ``temperature * log(sum_k(exp(logit_k / temperature)))`` [1]_.

    Parameters
    ----------
    temperature : float, default=1.0
        Larger gives the smaller logits more of a say; towards 0 the score is the largest
        logit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    MaxLogit : The largest logit alone.
    ViM : The energy, less what the features hold that logits do not see.

    References
    ----------
    .. [1] W. Liu, X. Wang, J. Owens, Y. Li. "Energy-based out-of-distribution detection".
       NeurIPS 2020, equation 4.

    Examples
    --------
    >>> from sk_center.scores import Energy
    >>> score = Energy().fit([[3.0, -1.0], [0.0, 2.0]], [0, 1])
    >>> score.score_samples([[0.0, 0.0], [4.0, 1.0]]).round(3)
    array([0.693, 4.049])
    """

    consumes = "logits"
    learns = False
    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def _score_classes(self, X):
        return self.temperature * logsumexp(X / self.temperature, axis=1)


class OpenMax(BaseScore):
    """Probabilities of the known classes after a share of each logit went to "unknown".

    A Weibull distribution is fitted to the largest distances of the training samples of
    each class to the mean of their logits. A sample as far out as those loses a share of
    its largest logits to an unknown class, and the softmax over all classes and the
    unknown one gives the scores [1]_::

        w_k = 1 - max(alpha - rank_k, 0) / alpha * WeibullCDF_k(|logits - mean_k|)
        scores = softmax(logit_1 w_1, ..., logit_K w_K, sum_k(logit_k (1 - w_k)))[:K]

    with rank 0 for the largest logit, as in the authors' program.

    Parameters
    ----------
    tail_size : int, default=20
        Number of the largest distances of a class that the Weibull distribution is fitted
        to, all where a class has fewer. Larger lets nearer samples lose something, too.

    alpha : int, default=None
        How many of the largest logits are revised; None is all of them. Fewer leave more
        to the known classes.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_classes)
        Mean logits of the training samples of each class that its logit is largest for,
        of all of them where that is none.

    weibulls_ : dict of scipy.stats distributions
        Distribution of the large distances of each class that had samples, by class
        index, with its location at zero. Others lose nothing.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    sk_center.calibration.WeibullCalibration : Weibull tails for any score.

    Notes
    -----
    It is no score for networks trained with center loss: nearly every test sample lies
    beyond the largest training distances that the Weibull tails are fitted to.

    Two things differ from the program of the authors of [1]_. Its distance by default is
    a 200th of the Euclidean one plus the cosine distance. And it fits the Weibull
    distribution to the large distances less the least of them plus 10000, so that the
    location is a large number below them rather than at the distance of zero.

    References
    ----------
    .. [1] A. Bendale, T. E. Boult. "Towards open set deep networks". CVPR 2016,
       algorithms 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import OpenMax
    >>> y = np.arange(100) % 2
    >>> logits = 9 * np.eye(2)[y] + np.random.default_rng(0).normal(size=(100, 2))
    >>> near, far = OpenMax().fit(logits, y).score_samples([[9, 0], [30, 28]])
    >>> bool(near > 0.9 > 0.5 > far)
    True
    """

    consumes = "logits"
    _parameter_constraints: dict = {
        "tail_size": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, tail_size: int = 20, *, alpha: int | None = None) -> None:
        self.tail_size = tail_size
        self.alpha = alpha

    def _fit(self, X, y):
        right = X.argmax(axis=1) == y
        self.means_ = np.full((len(self.classes_), X.shape[1]), np.nan)
        self.weibulls_ = {}
        for k in np.unique(y).tolist():
            members = X[(y == k) & right]
            members = members if len(members) else X[y == k]
            self.means_[k] = members.mean(axis=0)
            away = np.linalg.norm(members - self.means_[k], axis=1)
            self.weibulls_[k] = fit_weibull(np.sort(away)[-self.tail_size :])

    def _score_classes(self, X):
        alpha = min(self.alpha or X.shape[1], X.shape[1])
        ranks = (-X).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        away = cdist(X, self.means_)
        outside = np.zeros_like(away)
        with np.errstate(over="ignore"):  # far beyond a steep tail: 1
            for k, weibull in self.weibulls_.items():
                outside[:, k] = weibull.cdf(away[:, k])
        lost = np.maximum(alpha - ranks, 0) / alpha * outside
        unknown = (X * lost).sum(axis=1, keepdims=True)
        return softmax(np.hstack([X * (1 - lost), unknown]), axis=1)[:, :-1]


class ViM(BaseScore):
    """Virtual-logit matching: energy minus what the features hold outside of a subspace.

    The part of the features that the leading principal components do not hold is scaled
    to the size of the largest logits and counts as the logit of a virtual class [1]_::

        logsumexp(logits) - alpha * |residual of (features - origin)|

    This ranks samples as the probability of the virtual class does, by which [1]_ scores.
    It is the same for every class. The origin is where the logits, which are an
    affine function of the features, come nearest to zero.

    Parameters
    ----------
    n_components : int, default=None
        Dimensions of the subspace. None is 1000 of at least 2048 features and 512 of at
        least 768, as in the program of the authors of [1]_, and half of fewer, but at most
        half of the training samples: as many dimensions as samples leave no residual.

    Attributes
    ----------
    origin_ : ndarray of shape (n_features,)
        The origin.

    residual_space_ : ndarray of shape (n_features, n_features - n_components)
        Orthonormal basis of what the subspace does not hold.

    alpha_ : float
        Mean largest logit over mean residual, over the training samples.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    Energy : Without the residual.
    Mahalanobis : Weighs all directions, without logits.

    References
    ----------
    .. [1] H. Wang, Z. Li, L. Feng, W. Zhang. "ViM: out-of-distribution with virtual-logit
       matching". CVPR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import ViM
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(100, 6)) * [5, 5, 1, 0.1, 0.1, 0.1]
    >>> X = np.hstack([features, features[:, :2]])  # the first two are the logits, too
    >>> score = ViM().fit(X, features[:, :2].argmax(axis=1))
    >>> inside, outside = X[0], X[0] + np.eye(8)[5]  # where training samples hardly vary
    >>> bool(np.subtract(*score.score_samples([inside, outside])) > 1)
    True
    """

    consumes = ("features", "logits")
    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None]
    }

    def __init__(self, n_components: int | None = None) -> None:
        self.n_components = n_components

    def _fit(self, X, y):
        features, logits = self._parts(X)
        n_features = features.shape[1]
        n_components = self.n_components
        if n_components is None:
            known = [
                n for at_least, n in ((2048, 1000), (768, 512)) if n_features >= at_least
            ]
            n_components = min(known[0] if known else n_features // 2, len(X) // 2)
        if n_components >= n_features:
            raise ValueError(
                f"n_components must be smaller than the number of features, {n_features}; "
                f"got {n_components}."
            )
        design = np.hstack([features, np.ones((len(features), 1))])
        head = np.linalg.lstsq(design, logits, rcond=None)[0]
        self.origin_ = -np.linalg.pinv(head[:-1].T) @ head[-1]
        centered = features - self.origin_
        _, axes = np.linalg.eigh(centered.T @ centered / len(centered))
        self.residual_space_ = axes[:, : n_features - n_components]
        residual = np.linalg.norm(centered @ self.residual_space_, axis=1).mean()
        self.alpha_ = float(logits.max(axis=1).mean() / residual) if residual > 0 else 1.0

    def _score_classes(self, X):
        features, logits = self._parts(X)
        residual = np.linalg.norm((features - self.origin_) @ self.residual_space_, axis=1)
        return logsumexp(logits, axis=1) - self.alpha_ * residual

    def _parts(self, X):
        n_classes = len(self.classes_)
        if X.shape[1] <= n_classes:
            raise ValueError(
                f"X must hold features and {n_classes} logits side by side; got "
                f"{X.shape[1]} columns."
            )
        return X[:, :-n_classes], X[:, -n_classes:]


class PerClass(BaseScore):
    """What a density or outlier estimator says, with one clone for each class.

    Parameters
    ----------
    estimator : estimator instance
        Anything with ``fit(X)`` and ``score_samples(X)``, larger for more typical samples:
        :class:`sklearn.mixture.GaussianMixture`, :class:`sklearn.neighbors.KernelDensity`,
        :class:`sklearn.ensemble.IsolationForest`, :class:`sklearn.svm.OneClassSVM`,
        :class:`sklearn.neighbors.LocalOutlierFactor` with ``novelty=True``.

    Attributes
    ----------
    estimators_ : dict of estimators
        The fitted estimator of each class that had samples, by class index.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    InputDensity : Mixtures that suit few samples, of the inputs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from sk_center.scores import PerClass
    >>> X, y = load_iris(return_X_y=True)
    >>> score = PerClass(GaussianMixture(random_state=0)).fit(X, y)
    >>> typical, odd = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, odd]).round(1)
    array([  2.7, -45.3])
    """

    _parameter_constraints: dict = {"estimator": [HasMethods(["fit", "score_samples"])]}

    def __init__(self, estimator: DensityEstimator) -> None:
        self.estimator = estimator

    def _fit(self, X, y):
        self.estimators_ = {
            k: clone(self.estimator).fit(X[y == k]) for k in np.unique(y).tolist()
        }

    def _score_classes(self, X):
        return score_by_class(self.estimators_, X, len(self.classes_))


class InputDensity(BaseScore):
    """Log density of the inputs, under a mixture of normal distributions for each class.

    The inputs are what the last step of the estimator sees, before it makes features of
    them. A classifier trained to tell classes apart may map what else sets an outsider
    apart to nothing; the inputs still have it. So this score complements those of features
    and probabilities, where inputs are few numbers, as in a table.

    A class of n samples with d inputs gets a component for every 3 d samples, at most
    ``max_components``, fitted to at most 10,000 of the samples. Inputs are measured by
    their standard deviations, so that units do not matter, or where most of them have the
    same range, as pixels do, by one for all of these. To the variance of each input in a
    component of m samples, ``shrinkage * d / m`` times its variance in all samples is
    added: a class takes no more than one sample.

    A missing input, NaN, counts as the mean of the class that is asked about: it speaks
    neither for nor against it.

    Parameters
    ----------
    max_components : int, default=8
        Largest number of components of a class. More describe classes of several clusters
        or a bent shape, and take time in proportion.

    shrinkage : float, default=0.05
        How much rounder than in the data the components are, at least 0. Larger suits few
        samples.

    Attributes
    ----------
    mixtures_ : dict of :class:`sklearn.mixture.GaussianMixture`
        The fitted mixture of each class that had samples, by class index, in the units of
        the inputs; ``reg_covar`` alone is for inputs of variance one.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    PerClass : Any density, of features.
    sklearn.mixture.GaussianMixture : The mixtures.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_center.scores import InputDensity
    >>> X, y = load_iris(return_X_y=True)
    >>> score = InputDensity().fit(X, y)
    >>> typical, odd = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, odd]).round(1)
    array([  2. , -13.8])
    """

    consumes = "inputs"
    allow_nan = True
    _parameter_constraints: dict = {
        "max_components": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, max_components: int = 8, *, shrinkage: float = 0.05) -> None:
        self.max_components = max_components
        self.shrinkage = shrinkage

    def _fit(self, X, y):
        X = filled(X, y)
        means, spreads = X.mean(axis=0), spreads_of(X)
        X = (X - means) / spreads
        rng = np.random.RandomState(0)
        self.mixtures_ = {}
        for k in np.unique(y).tolist():
            members = X[y == k]
            if len(members) > MOST_MEMBERS:
                members = members[rng.choice(len(members), MOST_MEMBERS, replace=False)]
            self.mixtures_[k] = stretched(self._mixture(members), means, spreads)

    def _mixture(self, members):
        """Return the fitted mixture of one class."""
        n_samples, n_inputs = members.shape
        n_components = min(max(n_samples // (3 * n_inputs), 1), self.max_components)
        if n_components > 1:  # no more than there are different samples
            n_components = min(n_components, len(np.unique(members, axis=0)))
        ridge = self.shrinkage * n_inputs * n_components / n_samples
        mixture = GaussianMixture(
            n_components,
            # Never nothing, since inputs may be constant in a class.
            reg_covar=max(ridge, 1e-6),
            max_iter=1000,
            random_state=0,
        )
        # A mixture takes two samples; twice the same one has the same density.
        members = members if n_samples > 1 else np.repeat(members, 2, axis=0)
        # These are arrays of numpy, of which array API dispatch would allow no k-means.
        with config_context(array_api_dispatch=False):
            return mixture.fit(members)

    def _score_classes(self, X):
        gaps = np.isnan(X)
        if not gaps.any():
            return score_by_class(self.mixtures_, X, len(self.classes_))
        scores = np.full((len(X), len(self.classes_)), np.nan)
        for k, mixture in self.mixtures_.items():
            mean = (mixture.weights_ @ mixture.means_).astype(X.dtype)
            scores[:, k] = mixture.score_samples(np.where(gaps, mean, X))
        return scores


class FunctionScore(BaseScore):
    """What a function of the features says.

    Parameters
    ----------
    function : callable
        Maps an array of shape (n_samples, n_features) to one of shape (n_samples,
        n_classes), or of shape (n_samples,) for a score that is the same for every class.
        Larger is more typical.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    BaseScore : For a score that learns, or consumes something else.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import FunctionScore
    >>> score = FunctionScore(lambda X: np.linalg.norm(X, axis=1))
    >>> score.fit([[3.0, 4.0], [0.0, 1.0]], [0, 1]).score_samples([[0.0, 2.0]])
    array([2.])
    """

    learns = False
    _parameter_constraints: dict = {"function": [callable]}

    def __init__(self, function: Callable[[NDArray[Any]], ArrayLike]) -> None:
        self.function = function

    def _score_classes(self, X):
        scores = np.asarray(self.function(X), dtype=np.float64)
        if scores.shape not in ((len(X), len(self.classes_)), (len(X),)):
            raise ValueError(
                f"function must give scores of shape {(len(X), len(self.classes_))} or "
                f"{(len(X),)}; got {scores.shape}."
            )
        return scores


class Combined(BaseScore):
    """Several scores as one, after each was brought to the same scale.

    A score s of a class becomes ``(s - median) / (median - q05)``, where the median and
    the 5 % quantile are those of the scores that training samples get for their own
    class. The least of them says that a sample is as typical of a class as the strictest
    score says, their sum lets one score make good for another. A score that knows nothing
    of a class, of which there were no samples, has no say in it.

    Parameters
    ----------
    scores : list of BaseScore
        Scores, not fitted. They may consume different things: ``X`` then holds those side
        by side, in the order of ``consumes``.

    how : {"min", "sum"}, default="min"
        How to combine them: ``"min"`` turns down what any score finds untypical, ``"sum"``
        what they find untypical together.

    n_inputs : int, default=None
        Number of columns of ``X`` that are inputs. Needed where scores consume both
        features and inputs; :class:`~sk_center.OpenSetClassifier` fills it in.

    Attributes
    ----------
    scores_ : list of BaseScore
        The fitted scores.

    known_ : ndarray of shape (n_scores, n_classes) of bool
        Whether a score knows anything of a class.

    medians_ : ndarray of shape (n_scores,)
        Median of each score over the training samples.

    spreads_ : ndarray of shape (n_scores,)
        Median minus 5 % quantile of each score.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns of what the score consumes.

    See Also
    --------
    sk_center.OpenSetClassifier : Combines the scores of a list by their ``"min"``; its
        ``"auto"`` is a ``"sum"``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_center.scores import CenterDistance, Combined, Mahalanobis
    >>> X, y = load_iris(return_X_y=True)
    >>> score = Combined([CenterDistance(), Mahalanobis()]).fit(X, y)
    >>> typical, odd = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, odd]).round(1)
    array([ 0.5, -2.6])
    >>> score.set_params(how="sum").fit(X, y).score_samples([typical, odd]).round(1)
    array([ 1.2, -3.7])
    """

    _parameter_constraints: dict = {
        "scores": [list],
        "how": [StrOptions({"min", "sum"})],
        "n_inputs": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        scores: list[Any],
        *,
        how: Literal["min", "sum"] = "min",
        n_inputs: int | None = None,
    ) -> None:
        self.scores = scores
        self.how = how
        self.n_inputs = n_inputs

    @property
    def consumes(self) -> Consumed:  # type: ignore[override]
        """What the scores consume: one thing, or several in alphabetical order."""
        names = {name for score in self.scores for name in as_tuple(score.consumes)}
        return tuple(sorted(names)) if len(names) != 1 else names.pop()

    @property
    def allow_nan(self) -> bool:  # type: ignore[override]
        """Whether one of the scores takes NaN; the others refuse it."""
        return any(score.allow_nan for score in self.scores)

    def _fit(self, X, y):
        if not self.scores:
            raise ValueError("scores must hold at least one score; got [].")
        self.scores_ = [clone(score) for score in self.scores]
        own, known, classes = [], [], np.arange(len(self.classes_))
        for score in self.scores_:
            part = self._part(X, score)
            scores = score.fit(part, y, classes).score_classes(part)
            own.append(scores[np.arange(len(y)), y])
            known.append(np.isfinite(scores).any(axis=0))
        self.known_ = np.array(known)
        self.medians_ = np.median(own, axis=1)
        spreads = self.medians_ - np.quantile(own, 0.05, axis=1)
        self.spreads_ = np.where(spreads > 0, spreads, 1.0)

    def _score_classes(self, X):
        combine, neutral = (np.minimum, np.inf) if self.how == "min" else (np.add, 0.0)
        total = None
        for score, known, median, spread in zip(
            self.scores_, self.known_, self.medians_, self.spreads_
        ):
            scaled = (score.score_classes(self._part(X, score)) - median) / spread
            scaled[:, ~known] = neutral
            total = scaled if total is None else combine(total, scaled)
        total[:, ~self.known_.any(axis=0)] = -np.inf
        return total

    def _part(self, X, score):
        """Return the columns of X that a score consumes."""
        widths = self._widths(X.shape[1])
        stops = np.cumsum([*widths.values()])
        columns = {
            name: X[:, stop - width : stop]
            for (name, width), stop in zip(widths.items(), stops)
        }
        parts = [columns[name] for name in as_tuple(score.consumes)]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def _widths(self, n_columns):
        """Return the number of columns of each thing that is consumed, by its name."""
        names = as_tuple(self.consumes)
        widths = dict.fromkeys(names, len(self.classes_))
        free = [name for name in ("features", "inputs") if name in names]
        if len(free) == 2:
            if self.n_inputs is None:
                raise ValueError(
                    "n_inputs must be the number of columns that are inputs, where scores "
                    "consume both features and inputs; got None."
                )
            widths["inputs"] = self.n_inputs
        if free:  # the first has what is left
            widths[free[0]] = 0
            widths[free[0]] = n_columns - sum(widths.values())
        if min(widths.values()) < 1:
            raise ValueError(
                f"X must hold columns of each of {names}; {n_columns} columns leave "
                f"{widths}."
            )
        return widths


SCORES = {
    "center_distance": CenterDistance,
    "energy": Energy,
    "input_density": InputDensity,
    "knn": KNeighbors,
    "mahalanobis": Mahalanobis,
    "max_logit": MaxLogit,
    "max_softmax": MaxSoftmax,
    "openmax": OpenMax,
    "vim": ViM,
}


def as_tuple(consumes: Consumed) -> tuple[Seen, ...]:
    """Return what a score consumes as a tuple, also where it is one thing.

    Parameters
    ----------
    consumes : str or tuple of str
        What a score consumes.

    Returns
    -------
    consumes : tuple of str
        The same.
    """
    return (consumes,) if isinstance(consumes, str) else consumes


def score_by_class(
    estimators: dict[int, Any], X: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Return what the estimator of each class says of samples.

    Parameters
    ----------
    estimators : dict of estimators
        The fitted estimator of each class that has one, by class index.

    X : ndarray of shape (n_samples, n_features)
        Samples.

    n_classes : int
        Number of classes.

    Returns
    -------
    scores : ndarray of shape (n_samples, n_classes)
        Scores; NaN for a class without estimator.
    """
    scores = np.full((len(X), n_classes), np.nan)
    for k, estimator in estimators.items():
        scores[:, k] = estimator.score_samples(X)
    return scores


def filled(X: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return samples without missing values.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples, with NaN where a value is missing.

    y : ndarray of shape (n_samples,)
        Class indices.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The samples, where a missing value is the mean of its class, or that of all
        samples if the class has none, or zero if no sample has one.
    """
    gaps = np.isnan(X)
    if not gaps.any():
        return X
    X, known = X.copy(), np.ma.array(X, mask=gaps)
    means = known.mean(axis=0).filled(0)
    for k in np.unique(y[gaps.any(axis=1)]):
        members = y == k
        mean = known[members].mean(axis=0).filled(means)
        X[members] = np.where(gaps[members], mean, X[members])
    return X


def spreads_of(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each input is measured by.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    spreads : ndarray of shape (n_features,)
        The standard deviations, or one where that is zero. Where most inputs that vary
        have the same range, those of at most this range have one unit, as pixels do: they
        share the root of their mean variance.
    """
    ranges = np.ptp(X, axis=0)
    spreads = np.where(ranges > 0, X.std(axis=0), 0)
    if ranges.any():
        usual = np.median(ranges[ranges > 0])  # which a majority decides
        if np.isclose(ranges[ranges > 0], usual, atol=0).mean() > 0.5:
            alike = (ranges < usual) | np.isclose(ranges, usual, atol=0)
            spreads[alike] = np.sqrt(np.square(spreads[alike]).mean())
    spreads[spreads == 0] = 1
    return spreads


def stretched(
    mixture: GaussianMixture, means: NDArray[np.float64], spreads: NDArray[np.float64]
) -> GaussianMixture:
    """Bring a mixture that was fitted to standardized inputs to their units.

    Parameters
    ----------
    mixture : :class:`sklearn.mixture.GaussianMixture`
        A mixture with full covariances, which changes.

    means, spreads : ndarray of shape (n_inputs,)
        What was subtracted from the inputs, and what they were divided by.

    Returns
    -------
    mixture : :class:`sklearn.mixture.GaussianMixture`
        The same mixture.
    """
    mixture.means_ = means + mixture.means_ * spreads
    mixture.covariances_ *= np.outer(spreads, spreads)
    mixture.precisions_cholesky_ /= spreads[:, None]
    mixture.precisions_ /= np.outer(spreads, spreads)
    return mixture


def whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that brings a covariance to one in all directions.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Covariance.

    Returns
    -------
    matrix : ndarray of shape (n_features, n_features)
        ``X @ matrix`` has Euclidean distances that are Mahalanobis distances of X.
    """
    variances, axes = np.linalg.eigh(covariance)
    # Features that never vary leave no variance to divide by.
    floor = np.finfo(float).eps * (variances.max() or 1.0)
    return axes / np.sqrt(np.maximum(variances, floor))


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


def fit_weibull(tail: NDArray[np.float64]) -> Any:
    """Fit a Weibull distribution with its location at zero to large distances.

    Parameters
    ----------
    tail : ndarray of shape (n_samples,)
        Non-negative distances.

    Returns
    -------
    weibull : scipy.stats distribution
        The distribution of the greatest likelihood. Of distances that do not vary, one
        that rises at them as a step does.
    """
    scale = tail.max()
    if not tail.min() > 0 or tail.min() > (1 - 1e-6) * scale:
        steep = 1e6
        return weibull_min(steep, scale=max(scale, np.finfo(float).tiny))
    shape, _, relative = weibull_min.fit(tail / scale, floc=0)
    return weibull_min(shape, scale=relative * scale)


def class_means(X: NDArray[Any], y: NDArray[Any], n_classes: int) -> NDArray[np.float64]:
    """Return the mean of each class.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    y : ndarray of shape (n_samples,)
        Class indices.

    n_classes : int
        Number of classes.

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        Means; NaN for a class without samples.
    """
    ones = np.ones(len(y))
    members = csr_array((ones, (y, np.arange(len(y)))), shape=(n_classes, len(y)))
    with np.errstate(invalid="ignore"):
        return (members @ X) / np.bincount(y, minlength=n_classes)[:, None]


def given_or_means(
    centers: ArrayLike | None, X: NDArray[Any], y: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Return given centers after a check of their shape, or else the class means.

    Parameters
    ----------
    centers : array-like of shape (n_classes, n_features) or None
        The centers.

    X : ndarray of shape (n_samples, n_features)
        Samples.

    y : ndarray of shape (n_samples,)
        Class indices.

    n_classes : int
        Number of classes.

    Returns
    -------
    centers : ndarray of shape (n_classes, n_features)
        The centers, float64; NaN for a class without samples and without given center.
    """
    if centers is None:
        return class_means(X, y, n_classes)
    centers = np.asarray(centers, dtype=np.float64)
    if centers.shape != (n_classes, X.shape[1]):
        raise ValueError(
            f"centers must have the shape (n_classes, n_features) = "
            f"{(n_classes, X.shape[1])}; got {centers.shape}."
        )
    # partial_fit puts the center of a class not seen so far infinitely far away.
    return np.where(np.isfinite(centers), centers, np.nan)

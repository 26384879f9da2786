"""How known does a sample look? One score per class, larger is more typical of it."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, clone
from sklearn.covariance import LedoitWolf
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y


class BaseScore(BaseEstimator):
    """Base class of the scores.

    A score is fitted on what it consumes of training samples, with their labels, and
    then tells for each class how typical of it new samples look.

    Attributes
    ----------
    consumes : {"features", "probabilities"}
        What ``X`` is in the methods: features of any kind, or class probabilities.

    learns : bool
        Whether ``fit`` learns from the data. What it learns it must learn from samples
        that do not calibrate.
    """

    consumes = "features"
    learns = True

    def fit(self, X, y):
        """Learn from training samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : BaseScore
            The fitted score.
        """
        X, y = check_X_y(X, y, dtype=np.float64)
        self.classes_, y = np.unique(y, return_inverse=True)
        self.n_features_in_ = X.shape[1]
        self._fit(X, y)
        return self

    def score_classes(self, X):
        """Return how typical of each class the samples look.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the score consumes.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
            Scores, larger is more typical; float32 for float32 input, else float64.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return self._score_classes(X).astype(X.dtype, copy=False)

    def score_samples(self, X):
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

    See Also
    --------
    Mahalanobis : Takes the shape of the clouds into account.

    Examples
    --------
    >>> from sk_center.scores import CenterDistance
    >>> score = CenterDistance().fit([[0.0], [2.0], [10.0]], [0, 0, 1])
    >>> score.score_classes([[2.0], [7.0]])
    array([[-1., -8.],
           [-6., -3.]])
    """

    def __init__(self, centers=None):
        self.centers = centers

    @property
    def learns(self):
        """Whether the centers come from the data."""
        return self.centers is None

    def _fit(self, X, y):
        means = class_means(X, y)
        self.centers_ = means if self.centers is None else np.asarray(self.centers, float)
        if self.centers_.shape != means.shape:
            raise ValueError(
                f"centers must have the shape (n_classes, n_features) = {means.shape}; "
                f"got {self.centers_.shape}."
            )

    def _score_classes(self, X):
        return -cdist(X, self.centers_)


class Mahalanobis(BaseScore):
    """Minus the Mahalanobis distance to the mean of each class.

    ``sqrt((x - mean_k)' S^-1 (x - mean_k))`` with one covariance S for all classes, that
    of the deviations from the class means [1]_, shrunk after Ledoit and Wolf.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_features)
        Mean of each class.

    covariance_ : ndarray of shape (n_features, n_features)
        The shrunk covariance within classes.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    See Also
    --------
    sklearn.covariance.LedoitWolf : The covariance estimator.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee, J. Shin. "A simple unified framework for detecting
       out-of-distribution samples and adversarial attacks". NeurIPS 2018.

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

    def _fit(self, X, y):
        self.means_ = class_means(X, y)
        deviations = X - self.means_[y]
        self.covariance_ = LedoitWolf(assume_centered=True).fit(deviations).covariance_
        variances, axes = np.linalg.eigh(self.covariance_)
        # Features that never vary leave no variance to divide by.
        floor = np.finfo(float).eps * (variances.max() or 1.0)
        self._whitening = axes / np.sqrt(np.maximum(variances, floor))

    def _score_classes(self, X):
        return -cdist(X @ self._whitening, self.means_ @ self._whitening)


class MaxSoftmax(BaseScore):
    """The probability of each class, as the classifier gives it.

    The largest of them is the maximum softmax probability [1]_, the field's baseline.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

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

    def _fit(self, X, y):
        if X.shape[1] != len(self.classes_):
            raise ValueError(
                f"X must hold one probability for each of {len(self.classes_)} classes; "
                f"got {X.shape[1]} columns."
            )

    def _score_classes(self, X):
        return X


class Combined(BaseScore):
    """The least of several scores, after each was brought to the same scale.

    A score s of a class becomes ``(s - median) / (median - q05)``, where the median and
    the 5 % quantile are those of the scores that training samples get for their own
    class. A sample then is as typical of a class as the strictest score says.

    Parameters
    ----------
    scores : list of BaseScore
        Scores that consume the same, not fitted.

    Attributes
    ----------
    scores_ : list of BaseScore
        The fitted scores.

    medians_ : ndarray of shape (n_scores,)
        Median of each score over the training samples.

    spreads_ : ndarray of shape (n_scores,)
        Median minus 5 % quantile of each score.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_center.scores import CenterDistance, Combined, Mahalanobis
    >>> X, y = load_iris(return_X_y=True)
    >>> score = Combined([CenterDistance(), Mahalanobis()]).fit(X, y)
    >>> score.score_classes(X).shape
    (150, 3)
    """

    def __init__(self, scores):
        self.scores = scores

    @property
    def consumes(self):
        """What the scores consume."""
        return self.scores[0].consumes if self.scores else "features"

    def _fit(self, X, y):
        if len({score.consumes for score in self.scores}) != 1:
            raise ValueError(
                "scores must be at least one, and consume the same; got "
                f"{[(type(score).__name__, score.consumes) for score in self.scores]}."
            )
        self.scores_ = [clone(score).fit(X, y) for score in self.scores]
        own = np.array(
            [score.score_classes(X)[np.arange(len(y)), y] for score in self.scores_]
        )
        self.medians_ = np.median(own, axis=1)
        spreads = self.medians_ - np.quantile(own, 0.05, axis=1)
        self.spreads_ = np.where(spreads > 0, spreads, 1.0)

    def _score_classes(self, X):
        least = np.inf
        for score, median, spread in zip(self.scores_, self.medians_, self.spreads_):
            least = np.minimum(least, (score.score_classes(X) - median) / spread)
        return least


SCORES = {
    "center_distance": CenterDistance,
    "mahalanobis": Mahalanobis,
    "max_softmax": MaxSoftmax,
}


def class_means(X, y):
    """Return the mean of each class.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    y : ndarray of shape (n_samples,)
        Class indices from 0 on, each present.

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        Means.
    """
    return np.array([X[y == k].mean(axis=0) for k in range(y.max() + 1)])

"""Scores of what the classifier itself says."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from scipy.stats import weibull_min
from sklearn.utils._param_validation import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

from sk_center._utils.schema import array, by_class, law, number
from sk_center.scores.base import BaseScore

__all__ = ["Energy", "MaxLogit", "MaxSoftmax", "OpenMax", "ViM"]


class MaxSoftmax(BaseScore):
    """The probability of each class, as the classifier gives it.

    The largest of them is the maximum softmax probability [1]_, the field's baseline.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

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

    needs = ("probabilities",)
    learns = False

    def _score_classes(self, probabilities):
        return probabilities


class MaxLogit(BaseScore):
    """The logit of each class.

    The largest of them is the maximum logit score [1]_, which keeps the size of the
    features that the softmax divides away.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

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

    needs = ("logits",)
    learns = False

    def _score_classes(self, logits):
        return logits


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

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

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

    needs = ("logits",)
    learns = False
    per_class = False
    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def _score_classes(self, logits):
        return self.temperature * logsumexp(logits / self.temperature, axis=1)


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

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

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

    needs = ("logits",)
    _parameter_constraints: dict = {
        "tail_size": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Integral, 1, None, closed="left"), None],
    }
    _saved_state = {
        "means_": array("f", "K", "columns"),
        "weibulls_": by_class(law("weibull_min")),
    }

    def __init__(self, tail_size: int = 20, *, alpha: int | None = None) -> None:
        self.tail_size = tail_size
        self.alpha = alpha

    def _fit(self, y, logits):
        X = logits.astype(np.float64, copy=False)
        right = X.argmax(axis=1) == y
        self.means_ = np.full((len(self.classes_), X.shape[1]), np.nan)
        self.weibulls_ = {}
        for k in np.unique(y).tolist():
            members = X[(y == k) & right]
            members = members if len(members) else X[y == k]
            self.means_[k] = members.mean(axis=0)
            away = np.linalg.norm(members - self.means_[k], axis=1)
            self.weibulls_[k] = fit_weibull(np.sort(away)[-self.tail_size :])

    def _score_classes(self, logits):
        X = logits
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

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

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
    >>> logits = features[:, :2]  # a head that looks at the first two
    >>> score = ViM().fit({"features": features, "logits": logits}, logits.argmax(axis=1))
    >>> outside = features[:1] + np.eye(6)[5]  # where training samples hardly vary
    >>> new = {"features": np.vstack([features[:1], outside]), "logits": logits[[0, 0]]}
    >>> bool(np.subtract(*score.score_samples(new)) > 1)
    True
    """

    needs = ("features", "logits")
    per_class = False
    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None]
    }
    _saved_state = {
        "origin_": array("f", "features"),
        "residual_space_": array("f", "features", "residual"),
        "alpha_": number,
    }

    def __init__(self, n_components: int | None = None) -> None:
        self.n_components = n_components

    def _fit(self, y, features, logits):
        features = features.astype(np.float64, copy=False)
        n_features = features.shape[1]
        n_components = self.n_components
        if n_components is None:
            known = [
                n for at_least, n in ((2048, 1000), (768, 512)) if n_features >= at_least
            ]
            n_components = min(known[0] if known else n_features // 2, len(features) // 2)
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

    def _score_classes(self, features, logits):
        residual = np.linalg.norm((features - self.origin_) @ self.residual_space_, axis=1)
        return logsumexp(logits, axis=1) - self.alpha_ * residual


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

"""OpenMax: probabilities with an unknown class."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from scipy.stats import weibull_min

from sk_center._utils.compat import Interval
from sk_center._utils.schema import array, bounded
from sk_center.scores.base import BaseScore
from sk_center.scores.rows import by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = np.finfo(np.float64).tiny


class OpenMax(BaseScore, name="openmax"):
    """Probabilities of the known classes beside an unknown class.

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
        to, all if a class has fewer. With a larger tail nearer samples lose a share, too.

    alpha : int, default=None
        Number of the largest logits that are revised; None is all of them. A smaller number
        leaves more to the known classes.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_classes)
        Mean logits of the training samples of each class that are classified correctly, or
        of all of them if there are none.

    tail_shapes_, tail_scales_ : ndarray of shape (n_classes,)
        Shape and scale of the Weibull distribution of the large distances of each class,
        with its location at zero. The scale of a class without samples, which loses
        nothing, is infinite.

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
    It is unsuitable for networks trained with center loss: almost every test sample lies
    beyond the largest training distances to which the Weibull tails are fitted.

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
        "means_": array("f", "K", "K"),
        "tail_shapes_": bounded(array("f", "K"), TINY),
        "tail_scales_": bounded(array("f", "K"), TINY),
    }

    def __init__(self, tail_size: int = 20, *, alpha: int | None = None) -> None:
        self.tail_size = tail_size
        self.alpha = alpha

    def _fit(self, y, logits):
        logits = logits.astype(np.float64, copy=False)
        right = logits.argmax(axis=1) == y
        n_classes = len(self.classes_)
        self.means_ = np.full((n_classes, n_classes), np.nan)
        self.tail_shapes_, self.tail_scales_ = (
            np.ones(n_classes),
            np.full(n_classes, np.inf),
        )
        for k, rows in by_class(y):
            rows = rows[right[rows]] if right[rows].any() else rows
            self.means_[k] = logits[rows].mean(axis=0)
            away = np.sort(np.linalg.norm(logits[rows] - self.means_[k], axis=1))
            tail = fit_weibull(away[-self.tail_size :])
            self.tail_shapes_[k], self.tail_scales_[k] = tail

    def _score_classes(self, logits):
        n_classes = len(self.classes_)
        alpha = min(self.alpha or n_classes, n_classes)
        order = (-logits).argsort(axis=1, kind="stable")
        ranks = order.argsort(axis=1, kind="stable")
        away = cdist(logits, np.nan_to_num(self.means_))
        outside = self._shares_nearer(away)
        lost = np.maximum(alpha - ranks, 0) / alpha * outside
        unknown = (logits * lost).sum(axis=1, keepdims=True)
        return softmax(np.hstack([logits * (1 - lost), unknown]), axis=1)[:, :-1]

    def _shares_nearer(self, away):
        """Return the share of the tail of each class that is nearer than a distance."""
        return -np.expm1(-((away / self.tail_scales_) ** self.tail_shapes_))

    def _to_onnx(self, logits):
        graph, n_classes = logits.graph, len(self.classes_)
        alpha = min(self.alpha or n_classes, n_classes)
        ranks = logits.top(n_classes).top(n_classes, largest=False)
        away = logits.astype(np.float64).distances(np.nan_to_num(self.means_))
        outside = 1.0 - (-((away / self.tail_scales_) ** self.tail_shapes_)).exp()
        left = alpha - ranks.astype(np.float64)
        lost = left.maximum(0.0) / alpha * outside
        unknown = (logits * lost).reduce("Sum", 1, keepdims=True)
        revised = graph.op("Concat", logits * (1.0 - lost), unknown, axis=1)
        return graph.op("Softmax", revised, axis=1).columns(0, n_classes)


def fit_weibull(tail: NDArray[np.float64]) -> tuple[float, float]:
    """Return shape and scale of the Weibull distribution of non-negative distances.

    It maximizes the likelihood with the location at zero; for constant distances it is a
    step there.
    """
    scale = tail.max()
    if not tail.min() > 0 or tail.min() > (1 - 1e-6) * scale:
        return 1e6, max(scale, TINY)
    shape, _, relative = weibull_min.fit(tail / scale, floc=0)
    return shape, relative * scale

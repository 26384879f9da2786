"""Scores of features and the logits of a linear head."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_center._utils.compat import Interval
from sk_center._utils.schema import array, number
from sk_center.scores.base import BaseScore
from sk_center.scores.logits import log_sum_exp
from sk_center.scores.rows import blocks, lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Residuals of the logits of a linear head are rounding, even in float32.
LARGEST_ERROR = 1e-3
SMALLEST = 1e-100


class ViM(BaseScore, name="vim"):
    """Virtual-logit matching: energy minus the residual of the features.

    The part of the features outside of the leading principal components is scaled to the
    size of the largest logits and counts as the logit of a virtual class [1]_::

        logsumexp(logits) - alpha * |residual of (features - origin)|

    This ranks samples like the probability of the virtual class, the score of [1]_.
    It is the same for every class. The origin is where the logits, which are an
    affine function of the features, come nearest to zero.

    Parameters
    ----------
    n_components : int, default=None
        Dimensions of the subspace. None is 1000 of at least 2048 features and 512 of at
        least 768, as in the program of the authors of [1]_, and half of fewer features, but
        at most half the number of training samples: as many dimensions as samples leave no
        residual.

    Attributes
    ----------
    origin_ : ndarray of shape (n_features,)
        The origin.

    residual_space_ : ndarray of shape (n_features, n_features - n_components)
        Orthonormal basis of the complement of the subspace.

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
    FDBD : Distances to decision boundaries.
    Mahalanobis : Uses all directions, without logits.

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
        weights, bias, _ = linear_head(features, logits)
        self.origin_ = -np.linalg.pinv(weights.T) @ bias
        centered = features - self.origin_
        _, axes = np.linalg.eigh(centered.T @ centered / len(centered))
        self.residual_space_ = axes[:, : n_features - n_components]
        residual = np.linalg.norm(centered @ self.residual_space_, axis=1).mean()
        self.alpha_ = float(logits.max(axis=1).mean() / residual) if residual > 0 else 1.0

    def _score_classes(self, features, logits):
        residual = lengths((features - self.origin_) @ self.residual_space_)
        return log_sum_exp(logits) - self.alpha_ * residual

    def _to_onnx(self, features, logits):
        residual = ((features - self.origin_) @ self.residual_space_).lengths(keepdims=True)
        return logits.log_sum_exp() - residual * np.float64(self.alpha_)


class FDBD(BaseScore, name="fdbd"):
    """Distances to the decision boundaries, relative to that from the mean of the features.

    The mean over all other classes c of the distance of a sample z with the largest logit f
    to the boundary between f and c, divided by its distance to the mean of the training
    features [1]_, the same for every class::

        mean_c((logit_f - logit_c) / |w_f - w_c|) / |z - mean|

    The weights w of the linear head are found by least squares from features and logits.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        Mean of the training features.

    gaps_ : ndarray of shape (n_classes, n_classes)
        ``|w_f - w_c|``; infinite if the weights of two classes are equal.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    ViM : Uses the part of the features that logits ignore.
    MaxLogit : The largest logit.

    References
    ----------
    .. [1] L. Liu, Y. Qin. "Fast decision boundary based out-of-distribution detector". ICML
       2024, equation 6.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.scores import FDBD
    >>> features = np.random.default_rng(0).normal(size=(100, 4))
    >>> logits = features[:, :2]  # a head that looks at the first two
    >>> score = FDBD().fit({"features": features, "logits": logits}, logits.argmax(axis=1))
    >>> new = np.array([[3.0, -3.0, 0.0, 0.0], [3.0, -3.0, 9.0, 9.0]])
    >>> inside, outside = score.score_samples({"features": new, "logits": new[:, :2]})
    >>> bool(inside > outside)
    True
    """

    needs = ("features", "logits")
    per_class = False
    _saved_state = {
        "mean_": array("f", "features"),
        "gaps_": array("f", "K", "K"),
    }

    def _fit(self, y, features, logits):
        weights, _, error = linear_head(features, logits)
        if error > LARGEST_ERROR:
            raise ValueError(
                "FDBD needs logits that are a linear function of the features, as those of "
                f"a linear head; they differ from one by {error:.1%} of their size. Use "
                "'energy' or 'vim'."
            )
        gaps = np.linalg.norm(weights.T[:, None] - weights.T, axis=2)
        self.gaps_ = np.where(gaps > 0, gaps, np.inf)
        self.mean_ = features.mean(axis=0, dtype=np.float64)

    def _score_classes(self, features, logits):
        found = np.empty(len(features))
        for rows in blocks(len(features), features.shape[1] + logits.shape[1]):
            L = logits[rows].astype(np.float64)
            top = L.argmax(axis=1)
            away = L[np.arange(len(L)), top][:, None] - L
            away = (away / self.gaps_[top]).sum(axis=1) / max(L.shape[1] - 1, 1)
            found[rows] = away / np.maximum(lengths(features[rows] - self.mean_), SMALLEST)
        return found

    def _to_onnx(self, features, logits):
        graph, L = features.graph, logits.astype(np.float64)
        gaps = graph.op("Gather", self.gaps_, L.argmax(), axis=0)
        away = L.reduce("Max", 1, keepdims=True) - L
        away = (away / gaps).reduce("Sum", 1, keepdims=True) / max(
            len(self.classes_) - 1, 1.0
        )
        length = (features.astype(np.float64) - self.mean_).lengths(keepdims=True)
        return away / length.maximum(SMALLEST)


def linear_head(
    features: NDArray[np.floating[Any]], logits: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return weights and bias of the affine map nearest to the logits, and its error.

    The error is the root mean square of the residuals, relative to that of the centered
    logits.
    """
    center, level = (part.mean(axis=0, dtype=np.float64) for part in (features, logits))
    deviations, targets = features - center, logits - level
    weights = np.linalg.lstsq(deviations, targets, rcond=None)[0]
    size = np.square(targets).sum()
    left = np.square(targets - deviations @ weights).sum()
    error = float(np.sqrt(left / size)) if size > 0 else 0.0
    return weights, level - center @ weights, error

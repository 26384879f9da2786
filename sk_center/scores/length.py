"""How far the length of a sample is from the usual one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.utils._param_validation import StrOptions

from sk_center._utils.schema import number
from sk_center.scores.base import BaseScore
from sk_center.scores.parts import SPACES
from sk_center.scores.rows import lengths

__all__ = ["Length"]

# The logarithm of a length of zero.
LEAST = np.finfo(np.float64).tiny


class Length(BaseScore):
    """Minus the distance of the length of a sample from the usual one, on a log scale.

    ``-|log(|x|) - median(log(|x_i|))|`` over the training samples, the same for every
    class. It completes scores of directions, such as ``KNeighbors(normalize=True)``, which
    do not notice samples a million times longer than all others.

    Parameters
    ----------
    space : {"features", "inputs", "raw_inputs"}, default="features"
        The part whose length is measured.

    Attributes
    ----------
    median_ : float
        Median of the logarithm of the lengths of training samples.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    KNeighbors : Distances of directions, with ``normalize=True``.

    Examples
    --------
    >>> from sk_center.scores import Length
    >>> score = Length().fit([[3.0, 4.0], [5.0, 0.0], [0.0, 5.0]], [0, 0, 1])
    >>> score.score_samples([[4.0, 3.0], [5e6, 0.0]]).round(2)
    array([ -0.  , -13.82])
    """

    per_class = False
    _parameter_constraints: dict = {"space": [StrOptions({*SPACES})]}
    _saved_state = {"median_": number}

    def __init__(
        self, space: Literal["features", "inputs", "raw_inputs"] = "features"
    ) -> None:
        self.space = space

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The part whose length is measured."""
        return (self.space,)

    def _fit(self, y, **parts):
        self.median_ = float(np.median(_logs(parts[self.space])))

    def _score_classes(self, **parts):
        return -np.abs(_logs(parts[self.space]) - self.median_)

    def _to_onnx(self, **values):
        X = values[self.space].astype(np.float64)
        logs = X.lengths(keepdims=True).maximum(LEAST).log()
        return -(logs - self.median_).abs()


def _logs(X):
    return np.log(np.maximum(lengths(X.astype(np.float64, copy=False)), LEAST))

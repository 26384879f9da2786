"""A score computed by a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sk_center.scores.base import BaseScore

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


class FunctionScore(BaseScore):
    """The value of a function of the features.

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

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    BaseScore : For a score that learns, or needs other parts.

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

    def _regroup(self, kept, y, **parts):
        """Learn nothing: the function itself determines the classes."""

    def _score_classes(self, features):
        scores = np.asarray(self.function(features), dtype=np.float64)
        shapes = ((len(features), len(self.classes_)), (len(features),))
        if scores.shape not in shapes:
            raise ValueError(
                f"function must give scores of shape {shapes[0]} or {shapes[1]}; got "
                f"{scores.shape}."
            )
        return scores

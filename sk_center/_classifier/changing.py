"""Classes that come and go after training: a center more or less, the features stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from sk_center._utils.schema import array
from sk_center._utils.state import bare_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sk_center.net import CenterLossNet


class ChangingClassesMixin:
    """Let a classifier that predicts by its centers take further classes, or lose some.

    The network and the temperature stay as they are, and so does the head, which knows the
    classes of its training alone, ``_trained_classes``.
    """

    classes_: NDArray[Any]
    centers_: NDArray[np.float32]
    net_: CenterLossNet
    _trained_classes: NDArray[Any]
    predict_with: Literal["center", "softmax"]
    transform: Callable[..., NDArray[np.float32]]
    _saved_state = {"?_trained_classes": array("biufUO", None)}

    def _with_classes(
        self,
        classes: NDArray[Any],
        kept: NDArray[np.intp],
        X: Any = None,
        y: NDArray[np.intp] | None = None,
    ) -> Self:
        """Return a copy with other classes.

        ``kept`` has the former index of each class, or -1 for one of which X are samples; y
        are their indices.
        """
        if self.predict_with == "softmax":
            raise ValueError(
                "CenterLossClassifier(predict_with='softmax') predicts by a head that "
                "knows the classes of its training alone. Fit with predict_with='center', "
                "by which classes can be added, or fit again with all classes."
            )
        found = bare_copy(self)
        found._trained_classes = self._classes_of_net
        found.classes_, found.centers_ = classes, self.centers_[np.maximum(kept, 0)]
        if X is not None:
            features = self.transform(X).astype(np.float64)
            for k in np.flatnonzero(kept < 0):
                center = features[y == k].mean(axis=0)
                if self.net_.metric == "cosine":
                    center /= np.linalg.norm(center) or 1.0
                found.centers_[k] = center
        return found

    @property
    def _classes_of_net(self):
        """The classes that the network was trained with."""
        return getattr(self, "_trained_classes", self.classes_)

    def _check_classes_of_net(self, purpose: str) -> None:
        """Raise ValueError where classes have changed since training."""
        if not np.array_equal(self._classes_of_net, self.classes_):
            raise ValueError(
                f"{purpose} takes the classes that the network was trained with, "
                f"{self._classes_of_net.tolist()}, but classes were added or removed: "
                f"{self.classes_.tolist()}. Fit again with all classes."
            )

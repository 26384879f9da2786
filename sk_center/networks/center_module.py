"""The module that adds a head and centers to a feature extractor."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sk_center.centers import Center
from sk_center.centers.distances import distances
from sk_center.networks.dry_run import apply

if TYPE_CHECKING:
    from sk_center._utils.torch_types import Batch, FirstCenters
    from sk_center._utils.types import Head, Metric, Precision, UpdateRule

HEADS = ("linear", "distance")
METRICS = ("euclidean", "cosine")
PRECISIONS = ("float32", "bf16")


class CenterModule(nn.Module):
    """A feature extractor with a softmax head and one center per class.

    It is the ``module_`` of a :class:`~sk_center.CenterLossNet` and of a
    :class:`~sk_center.CenterLossClassifier`.

    Parameters
    ----------
    body : torch.nn.Module
        Maps a batch to features of shape (n_samples, D).

    feature_dim : int
        Number of features D.

    n_classes : int
        Number of classes.

    alpha : float, default=0.9
        Retention of the centers, see :class:`~sk_center.Center`.

    update : {"ema", "sum", "wen", "cumulative", "fixed"}, default="ema"
        Update rule of the centers, see :class:`~sk_center.Center`.

    center : array-like, "simplex" or callable, default=None
        The first centers, see :class:`~sk_center.Center`.

    head : {"linear", "distance"}, default="linear"
        The logits: a dense layer on the features, or minus their distances to
        the centers.

    metric : {"euclidean", "cosine"}, default="euclidean"
        ``"cosine"`` brings features to length one.

    background : bool, default=False
        Whether the dense layer has one logit more, for samples of no class. It takes
        ``head="linear"``.

    orientation : bool, default=False
        Whether a second dense layer tells the class and the orientation of images, see
        ``lambda_orientation`` of :class:`~sk_center.CenterLossNet`.

    precision : {"float32", "bf16"}, default="float32"
        Precision the body computes in; ``"bf16"`` is torch's autocast to bfloat16. Head,
        centers and distances stay in float32.

    Attributes
    ----------
    body : torch.nn.Module
        The feature extractor.

    head : torch.nn.Linear or None
        The dense layer; None if the logits are distances.

    center : Center
        The centers.

    orientation : torch.nn.Linear or None
        The second dense layer, with a logit for each class and for negative samples,
        upright, and then for the same upside down. Training alone uses it.

    Raises
    ------
    ValueError
        If ``head``, ``metric`` or ``precision`` is not one of those above, ``background``
        is used without ``head="linear"``, or :class:`~sk_center.Center` refuses a
        parameter.

    See Also
    --------
    sk_center.CenterLossNet : Builds and trains it.

    Examples
    --------
    >>> import torch
    >>> from sk_center.networks import CenterModule
    >>> module = CenterModule(torch.nn.Linear(3, 2), feature_dim=2, n_classes=4)
    >>> logits, features = module(torch.zeros(5, 3))
    >>> logits.shape, features.shape
    (torch.Size([5, 4]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        body: nn.Module,
        feature_dim: int,
        n_classes: int,
        alpha: float = 0.9,
        update: UpdateRule = "ema",
        center: FirstCenters | None = None,
        head: Head = "linear",
        metric: Metric = "euclidean",
        background: bool = False,
        orientation: bool = False,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {HEADS}; got {head!r}.")
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {METRICS}; got {metric!r}.")
        if background and head != "linear":
            raise ValueError(
                "negative_loss='background' takes head='linear', of which it is one more "
                f"logit; got head={head!r}."
            )
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}; got {precision!r}.")
        self.metric = metric
        self.precision = precision
        self.body = body
        self.head = None
        if head == "linear":
            n_logits = n_classes + background
            self.head = nn.Linear(feature_dim, n_logits, dtype=torch.float32)
        self.center = Center(feature_dim, n_classes, alpha, center, update=update)
        self.orientation = None
        if orientation:
            n_logits = 2 * (n_classes + 1)
            self.orientation = nn.Linear(feature_dim, n_logits, dtype=torch.float32)

    def forward(
        self,
        X: Batch,
        with_logits: bool = True,
        with_layers: bool = False,
        **params: Any,
    ) -> tuple[Tensor | None, Tensor, *tuple[Tensor, ...]]:
        """Return logits and features, and what all layers say where that is asked for.

        Parameters
        ----------
        X : tensor of shape (n_samples, ...) or dict
            A batch; a dict of tensors goes to the body by name.

        with_logits : bool, default=True
            Whether to compute the logits.

        with_layers : bool, default=False
            Whether to return ``layers``, too; the body needs a method ``with_layers``, as
            :class:`ConvNet` has it.

        **params : dict
            Further arguments of the body.

        Returns
        -------
        logits : tensor of shape (n_samples, n_classes) or None
            Output of the head for the features; one column more, the last, with
            ``background=True``.

        features : tensor of shape (n_samples, D)
            Output of the body for the batch.

        layers : tensor of shape (n_samples, n_columns)
            The second output of ``body.with_layers``, if ``with_layers`` is true.
        """
        body: Any = self.body.with_layers if with_layers else self.body
        weights = self.center.center if self.head is None else self.head.weight
        half = self.precision == "bf16"
        device = weights.device.type
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            output = apply(body, X, **params)
        features, *layers = output if with_layers else (output,)
        # A body may compute in another precision, even under an outer autocast.
        features = features.to(weights.dtype)
        if self.metric == "cosine":
            # Scaled to about one first: squares of very large or small numbers lose digits.
            size = features.detach().abs().amax(dim=1, keepdim=True)
            features = features / size.clamp(min=torch.finfo(size.dtype).tiny)
            features = nn.functional.normalize(features)
        logits = self.logits(features) if with_logits else None
        return logits, features, *(part.to(weights.dtype) for part in layers)

    def logits(self, features: Tensor) -> Tensor:
        """Return the output of the head for features.

        Parameters
        ----------
        features : tensor of shape (n_samples, D)
            Features.

        Returns
        -------
        logits : tensor of shape (n_samples, n_classes)
            Logits; one column more, the last, with ``background=True``.
        """
        if self.head is None:
            # A copy, since the update of a training step comes before its gradient.
            return -distances(features, self.center.predict())
        return self.head(self._for_head(features))

    def orientation_logits(self, features: Tensor) -> Tensor:
        """Return the output of the layer ``orientation`` for features.

        Parameters
        ----------
        features : tensor of shape (n_samples, D)
            Features.

        Returns
        -------
        logits : tensor of shape (n_samples, 2 * (n_classes + 1))
            Logits.
        """
        return self.orientation(self._for_head(features))  # type: ignore[misc]

    def _for_head(self, features: Tensor) -> Tensor:
        """Features as a dense layer takes them: of variance one in each direction."""
        if self.metric == "cosine":
            return features * math.sqrt(features.shape[1])
        return features

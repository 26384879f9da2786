"""Default feature extractors: dense layers for tables, convolutions for images."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from sk_center.networks.augmentation import RandomAffine, TrainingOnly
from sk_center.networks.standardize import Standardize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor


# Largest shift of an image, as a part of its size.
SHIFTS = 12
# Degrees and shares by which an image is turned, scaled and sheared at most.
CHANGES = {"rotation": 15, "scale": 0.15, "shear": 0.15}


class MLP(nn.Sequential):
    """Dense layers with ReLU between them; the last layer gives the features.

    Parameters
    ----------
    in_features : int
        Number of input features.

    hidden_layer_sizes : sequence of int, default=(512, 128)
        Size of each layer, at least one; the last one is the number of features D.

    dropout : float, default=0.0
        Share of the units before the feature layer that a training step switches off, in
        [0, 1]. There are none where ``hidden_layer_sizes`` is a single layer.

    standardize : bool, default=False
        Whether a first layer subtracts the mean of each column and divides by its scale,
        as learned by :meth:`learn`, which a :class:`~sk_center.CenterLossNet` calls before
        training. The scale is the standard deviation, or 0.4 of the largest distance from
        the mean if that is more, so that a column that is almost constant does not become
        huge. A constant column is only shifted.

    Raises
    ------
    ValueError
        If ``hidden_layer_sizes`` is empty or holds anything but positive integers, or
        ``dropout`` is out of range.

    See Also
    --------
    sk_center.CenterLossClassifier : Takes it for 2-D X, with ``module__dropout`` and so on.
    ConvNet : For images.

    Examples
    --------
    >>> import torch
    >>> from sk_center.networks import MLP
    >>> MLP(30, hidden_layer_sizes=(16, 2))(torch.zeros(5, 30)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        hidden_layer_sizes: Sequence[int] = (512, 128),
        dropout: float = 0.0,
        standardize: bool = False,
    ) -> None:
        sizes = list(hidden_layer_sizes)
        if not sizes or any(not isinstance(n, Integral) or n < 1 for n in sizes):
            raise ValueError(
                "hidden_layer_sizes must hold at least one integer, all >= 1; got "
                f"{hidden_layer_sizes!r}."
            )
        layers: list[nn.Module] = [Standardize(in_features)] if standardize else []
        for size in sizes:
            layers += [nn.Linear(in_features, size), nn.ReLU()]
            in_features = size
        layers.pop()  # no ReLU after the features: clouds may lie anywhere
        if dropout and len(sizes) > 1:
            layers.insert(-1, nn.Dropout(dropout))
        super().__init__(*layers)

    def learn(self, blocks: Iterable[Any]) -> None:
        """Learn the means and scales of the first layer, if it standardizes.

        Parameters
        ----------
        blocks : iterable of array-like of shape (n_rows, in_features)
            The samples, some rows at a time.
        """
        first = next(iter(self))
        if isinstance(first, Standardize):
            first.learn(blocks)


class ConvNet(nn.Sequential):
    """Convolution blocks for small images, then dense layers as in :class:`MLP`.

    A block is a 3x3 convolution, while the image is larger than 3x3 a 2x2 maximum, batch
    normalization and ReLU; in all blocks but the first once more a convolution, batch
    normalization and ReLU, where at least 3x3 places are left. Batch normalization comes
    first of all, so that raw pixels from 0 to 255 need no scaling.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width of an image.

    channels : sequence of int, default=(32, 64, 128)
        Number of channels of each block. More blocks see larger parts of an image.

    hidden_layer_sizes : sequence of int, default=(128,)
        Size of each dense layer, at least one; the last one is the number of features D.
        A single layer, whose features are sums of outputs of convolutions, rejects images
        of another kind better than two.

    dropout : float, default=0.0
        Share of the units before the feature layer that a training step switches off, in
        [0, 1]. There are none where ``hidden_layer_sizes`` is a single layer.

    augment : "shift", "affine", torch.nn.Module or None, default="shift"
        A random change of each batch of images in training, and only there, such as
        :class:`RandomAffine` or a transform of torchvision. ``"shift"`` moves each image
        by up to a twelfth of its size, and at least a pixel, in each direction;
        ``"affine"`` also turns it by up to 15 degrees, and scales and shears it by up to
        15 %, which gained in some trainings and lost in others. None changes nothing.

    Raises
    ------
    ValueError
        As :class:`MLP` does.

    See Also
    --------
    sk_center.CenterLossClassifier : Takes it for 4-D X, with ``module__augment`` and so on.
    MLP : For tables.

    Examples
    --------
    >>> import torch
    >>> from sk_center.networks import ConvNet
    >>> ConvNet((1, 8, 8))(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 128])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int] = (32, 64, 128),
        hidden_layer_sizes: Sequence[int] = (128,),
        dropout: float = 0.0,
        augment: Literal["shift", "affine"] | nn.Module | None = "shift",
    ) -> None:
        previous, height, width = image_shape
        if isinstance(augment, str):
            augment = changes(augment, min(height, width))
        layers: list[nn.Module] = [] if augment is None else [TrainingOnly(augment)]
        layers.append(nn.BatchNorm2d(previous, affine=False))

        def convolution(n_in, n_out, *between):
            first = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
            return [first, *between, nn.BatchNorm2d(n_out), nn.ReLU()]

        for index, n_channels in enumerate(channels):
            halves = min(height, width) > 3
            # The maximum comes first, so that the rest has a quarter of the work.
            layers += convolution(previous, n_channels, *[nn.MaxPool2d(2)] * halves)
            if halves:
                height, width = height // 2, width // 2
            if index and min(height, width) >= 3:
                layers += convolution(n_channels, n_channels)
            previous = n_channels
        super().__init__(
            *layers,
            nn.Flatten(),
            MLP(previous * height * width, hidden_layer_sizes, dropout),
        )
        # Convolutions on two CPU cores take 0.6 of the time in this order of memory.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def with_layers(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of images, and what all layers say of them.

        Outsiders differ from known samples in what the features have lost: the default
        score of :class:`~sk_center.OpenSetClassifier` looks at all layers.

        Parameters
        ----------
        X : tensor of shape (n_samples, channels, height, width)
            Images.

        Returns
        -------
        features : tensor of shape (n_samples, D)
            The features.

        layers : tensor of shape (n_samples, n_columns)
            The mean of each channel after each convolution, then the features. What comes
            from one layer has length one, but the features count twice in squared
            distances.
        """
        layers = []
        for layer in self:
            X = layer(X)
            if isinstance(layer, nn.ReLU):
                layers.append(X.mean(dim=(2, 3)))
        # Squares of half precision would overflow.
        *parts, features = (nn.functional.normalize(part.float()) for part in (*layers, X))
        return X, torch.cat([*parts, math.sqrt(2) * features], dim=1)


def changes(name: str, size: int) -> RandomAffine:
    """Return the random change of a name, for images of a size in pixels."""
    if name not in ("shift", "affine"):
        raise ValueError(
            f"augment must be 'shift', 'affine', a torch module or None; got {name!r}."
        )
    return RandomAffine(max(1, size // SHIFTS), **CHANGES if name == "affine" else {})


class Function(nn.Module):
    """A plain function as a module, so that it can stand where a module does."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, X: Tensor) -> Tensor:
        return self.function(X)

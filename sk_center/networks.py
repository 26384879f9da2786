"""Default feature extractors, and the module that adds a head and centers to one."""

from __future__ import annotations

import math
from contextlib import nullcontext
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sk_center.centers import Center
from sk_center.centers.distances import distances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sk_center._utils.torch_types import FirstCenters
    from sk_center._utils.types import Head, Metric, Precision, UpdateRule

__all__ = ["MLP", "CenterModule", "ConvNet", "RandomAffine", "TrainingOnly"]

HEADS = ("linear", "distance")
METRICS = ("euclidean", "cosine")
PRECISIONS = ("float32", "bf16")


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
    ) -> None:
        sizes = list(hidden_layer_sizes)
        if not sizes or any(not isinstance(n, Integral) or n < 1 for n in sizes):
            raise ValueError(
                "hidden_layer_sizes must hold at least one integer, all >= 1; got "
                f"{hidden_layer_sizes!r}."
            )
        layers: list[nn.Module] = []
        for size in sizes:
            layers += [nn.Linear(in_features, size), nn.ReLU()]
            in_features = size
        layers.pop()  # the features themselves are not rectified: clouds may lie anywhere
        if dropout and len(layers) > 1:
            layers.insert(-1, nn.Dropout(dropout))
        super().__init__(*layers)


class ConvNet(nn.Sequential):
    """Convolution blocks for small images, then dense layers as in :class:`MLP`.

    A block is a 3x3 convolution, batch normalization, ReLU and, while the image is
    larger than 3x3, a 2x2 maximum. Batch normalization comes first of all, so that raw
    pixels from 0 to 255 need no scaling.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width of an image.

    channels : sequence of int, default=(32, 64, 128)
        Number of channels of each block. More blocks see larger parts of an image.

    hidden_layer_sizes : sequence of int, default=(512, 128)
        Size of each dense layer, at least one; the last one is the number of features D.

    dropout : float, default=0.0
        Share of the units before the feature layer that a training step switches off, in
        [0, 1].

    augment : torch.nn.Module, default=None
        What training, and nothing else, does to each batch of images, such as
        :class:`RandomAffine` or a transform of torchvision.

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
        hidden_layer_sizes: Sequence[int] = (512, 128),
        dropout: float = 0.0,
        augment: nn.Module | None = None,
    ) -> None:
        previous, height, width = image_shape
        layers: list[nn.Module] = [] if augment is None else [TrainingOnly(augment)]
        layers.append(nn.BatchNorm2d(previous, affine=False))
        for n_channels in channels:
            layers += [
                nn.Conv2d(previous, n_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(n_channels),
                nn.ReLU(),
            ]
            if min(height, width) > 3:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            previous = n_channels
        super().__init__(
            *layers,
            nn.Flatten(),
            MLP(previous * height * width, hidden_layer_sizes, dropout),
        )
        # Convolutions on two CPU cores take 0.6 of the time in this order of memory.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class RandomAffine(nn.Module):
    """Shift, turn, scale and shear each image of a batch at random, in training only.

    Every image gets its own values, uniform between minus and plus those given. Pixels
    between those of the image are interpolated (bilinear), and pixels of its margin fill
    what comes from outside. Values are drawn from torch's global random generator.

    Parameters
    ----------
    shift : float, default=0.0
        Largest offset in each direction, in pixels.

    rotation : float, default=0.0
        Largest angle, in degrees.

    scale : float, default=0.0
        Largest relative change of size, less than 1.

    shear : float, default=0.0
        Largest horizontal offset, in pixels for each pixel up or down from the middle.

    Raises
    ------
    ValueError
        If a parameter is negative or not finite, or ``scale`` is not less than 1.

    See Also
    --------
    ConvNet : Takes it as ``augment``.

    Examples
    --------
    >>> import torch
    >>> from sk_center.networks import RandomAffine
    >>> augment = RandomAffine(shift=2, rotation=15)
    >>> images = torch.rand(5, 1, 8, 8)
    >>> bool((augment(images) == images).all())
    False
    >>> bool((augment.eval()(images) == images).all())
    True
    """

    def __init__(
        self,
        shift: float = 0.0,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
    ) -> None:
        super().__init__()
        self.ranges = {"shift": shift, "rotation": rotation, "scale": scale, "shear": shear}
        for name, value in self.ranges.items():
            most = 1 if name == "scale" else math.inf
            if not (isinstance(value, Real) and 0 <= value < most):
                limit = "in [0, 1)" if name == "scale" else "a finite number >= 0"
                raise ValueError(f"{name} must be {limit}; got {value!r}.")

    def forward(self, X: Tensor) -> Tensor:
        """Return the images, changed where the module trains.

        Parameters
        ----------
        X : tensor of shape (n_samples, channels, height, width)
            Images, floating.

        Returns
        -------
        X : tensor of shape (n_samples, channels, height, width)
            The images.
        """
        if not (self.training and any(self.ranges.values())):
            return X

        def draw(name, n_columns=1):
            shape = (n_columns, len(X))
            values = torch.rand(shape, dtype=torch.float32, device=X.device)
            return (2 * values - 1) * self.ranges[name]

        height, width = X.shape[2:]
        (angle,), (scale,), (shear,) = draw("rotation"), draw("scale"), draw("shear")
        right, down = draw("shift", 2)
        cos = torch.cos(torch.deg2rad(angle)) * (1 + scale)
        sin = torch.sin(torch.deg2rad(angle)) * (1 + scale)
        # Where each pixel comes from, in units of half the width and half the height.
        matrix = torch.stack(
            [
                torch.stack(
                    [cos, (shear - sin) * height / width, 2 * right / width], dim=1
                ),
                torch.stack([sin * width / height, cos, 2 * down / height], dim=1),
            ],
            dim=1,
        )
        # Half precision would place pixels next to where they belong.
        with torch.autocast(X.device.type, enabled=False):
            grid = nn.functional.affine_grid(
                matrix,
                X.shape,  # type: ignore[arg-type]
                align_corners=False,
            )
            return nn.functional.grid_sample(
                X.float(), grid, padding_mode="border", align_corners=False
            )

    def extra_repr(self) -> str:
        """Return the parameters for the representation of the module.

        Returns
        -------
        parameters : str
            Names and values.
        """
        return ", ".join(f"{name}={value}" for name, value in self.ranges.items())


class TrainingOnly(nn.Module):
    """Apply a module in training, and nothing else.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a batch to one of the same shape.

    See Also
    --------
    ConvNet : Wraps its ``augment`` in it.

    Examples
    --------
    >>> import torch
    >>> from sk_center.networks import TrainingOnly
    >>> module, X = TrainingOnly(torch.nn.ReLU()), torch.tensor([[-1.0, 2.0]])
    >>> module(X)
    tensor([[0., 2.]])
    >>> module.eval()(X)
    tensor([[-1.,  2.]])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, X: Tensor) -> Tensor:
        """Return what the module makes of X in training, else X.

        Parameters
        ----------
        X : tensor of shape (n_samples, ...)
            A batch.

        Returns
        -------
        X : tensor of shape (n_samples, ...)
            The batch.
        """
        return self.module(X) if self.training else X


class Function(nn.Module):
    """A plain function as a module, so that it can stand where a module does.

    Parameters
    ----------
    function : callable
        Maps a batch to features.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, X: Tensor) -> Tensor:
        """Return ``function(X)``.

        Parameters
        ----------
        X : tensor of shape (n_samples, ...)
            A batch.

        Returns
        -------
        features : tensor of shape (n_samples, D)
            What the function makes of it.
        """
        return self.function(X)


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
        What the logits are: a dense layer on the features, or minus their distances to
        the centers.

    metric : {"euclidean", "cosine"}, default="euclidean"
        ``"cosine"`` brings features to length one.

    background : bool, default=False
        Whether the dense layer has one logit more, for samples of no class. It takes
        ``head="linear"``.

    precision : {"float32", "bf16"}, default="float32"
        Precision the body computes in; ``"bf16"`` is torch's autocast to bfloat16. Head,
        centers and distances stay in float32.

    Attributes
    ----------
    body : torch.nn.Module
        The feature extractor.

    head : torch.nn.Linear or None
        The dense layer; None where the logits are distances.

    center : Center
        The centers.

    Raises
    ------
    ValueError
        If ``head``, ``metric`` or ``precision`` is none of those above, ``background``
        does not go with ``head``, or :class:`~sk_center.Center` refuses a parameter.

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

    def forward(self, X: Tensor, with_logits: bool = True) -> tuple[Tensor | None, Tensor]:
        """Return logits and features.

        Parameters
        ----------
        X : tensor of shape (n_samples, ...)
            A batch.

        with_logits : bool, default=True
            Whether logits are wanted.

        Returns
        -------
        logits : tensor of shape (n_samples, n_classes) or None
            What the head makes of the features; one column more, the last, with
            ``background=True``.

        features : tensor of shape (n_samples, D)
            What the body makes of the batch.
        """
        weights = self.center.center if self.head is None else self.head.weight
        half = self.precision == "bf16"
        with torch.autocast(X.device.type, torch.bfloat16) if half else nullcontext():
            features = self.body(X)
        # A body may work in another precision, also under an autocast around all of this.
        features = features.to(weights.dtype)
        if self.metric == "cosine":
            # Of the size of one first: the squares of others may not be what they should.
            size = features.detach().abs().amax(dim=1, keepdim=True)
            features = features / size.clamp(min=torch.finfo(size.dtype).tiny)
            features = nn.functional.normalize(features)
        return self.logits(features) if with_logits else None, features

    def logits(self, features: Tensor) -> Tensor:
        """Return what the head makes of features.

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
        if self.metric == "cosine":  # of variance one in each direction, for the head
            features = features * math.sqrt(features.shape[1])
        return self.head(features)


def dry_run(
    module: nn.Module, example: Tensor, hook: Callable[[Any], object] | None = None
) -> Any:
    """Return what a module in eval mode makes of a batch, and leave no trace in it.

    Parameters
    ----------
    module : torch.nn.Module
        The module; a dry run also gives lazy layers their shape.

    example : tensor of shape (n_samples, ...)
        A batch of at least one sample.

    hook : callable, default=None
        Called with the output of every module inside.

    Returns
    -------
    output : object
        The output.
    """
    parameter = next(module.parameters(), None)
    if parameter is not None:
        example = example.to(parameter.device)
    example = example.clone()  # on which a module may work in place
    modes = {part: part.training for part in module.modules()}
    handles = [
        part.register_forward_hook(lambda part, inputs, output: hook(output))
        for part in modes
        if hook is not None
    ]
    try:
        with torch.no_grad():
            return module.eval()(example)
    finally:
        for part, training in modes.items():
            part.training = training
        for handle in handles:
            handle.remove()


def widest_output(module: nn.Module, example: Tensor) -> int:
    """Return how many numbers a sample becomes where it becomes most.

    Parameters
    ----------
    module : torch.nn.Module
        The module.

    example : tensor of shape (n_samples, ...)
        A batch of at least one sample.

    Returns
    -------
    width : int
        Largest number of elements a sample has in the input or in any output of a module
        inside: what decides the memory of a batch.
    """
    sizes = [example.numel()]

    def note(output):
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

    dry_run(module, example, note)
    return max(sizes) // len(example)


def find_feature_dim(body: nn.Module, example: Tensor) -> int:
    """Return the number of features D, found by a dry run.

    Parameters
    ----------
    body : torch.nn.Module
        Feature extractor.

    example : tensor of shape (n_samples, ...)
        A batch of at least one sample.

    Returns
    -------
    feature_dim : int
        Number of features D.

    Raises
    ------
    ValueError
        If ``body`` does not map the batch to a floating tensor of shape
        (n_samples, D).
    """
    features = dry_run(body, example)
    n_samples = len(example)
    if not isinstance(features, torch.Tensor):
        got = type(features).__name__
    elif features.ndim != 2 or len(features) != n_samples or features.shape[1] < 1:
        got = f"a tensor of shape {tuple(features.shape)}"
    elif not features.is_floating_point():
        got = f"a tensor of dtype {features.dtype}"
    else:
        return features.shape[1]
    raise ValueError(
        f"module must map a batch of shape {tuple(example.shape)} to features, a floating "
        f"tensor of shape ({n_samples}, D); got {got}. The classifier adds the head and "
        "the centers itself."
    )

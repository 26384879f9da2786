"""Random changes of images in training."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor, nn


class RandomAffine(nn.Module):
    """Shift, turn, scale and shear each image of a batch at random, in training only.

    Every image gets its own values, uniform between minus and plus those given. Pixels are
    interpolated bilinearly, and pixels at the margin fill the area outside of the image.
    Values are drawn from torch's global random generator.

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
        """Return the images, changed in training mode.

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
        # Source position of each pixel, in units of half the width and half the height.
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
    """Apply a module in training only."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, X: Tensor) -> Tensor:
        return self.module(X) if self.training else X

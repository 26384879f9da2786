"""Step size of the center of a class in a batch, by the name of the rule."""

from __future__ import annotations

import math

import torch
from torch import Tensor

UPDATE_RULES = ("ema", "sum", "wen", "cumulative", "fixed")
# exp of this vanishes beside one in float32.
LOG_NEGLIGIBLE = -25 * math.log(2)


def steps_to_mean(
    update: str, alpha: float, n: Tensor, seen: Tensor, least: int, informed: Tensor
) -> Tensor | float:
    """Return the number of steps like this in which each center reaches its batch mean.

    ``n`` is the number of samples of the class in the batch, ``seen`` the count so far, at
    least ``least``.
    """
    if update == "sum":
        return 1 / ((1 - alpha) * n)
    if update == "wen":
        return (1 + n) / ((1 - alpha) * n)
    if update == "cumulative":
        return (seen + n) / n
    # expm1 keeps the quotient exact for alpha near one: at t = 1 it is 1.
    log_alpha = math.log(alpha) if alpha > 0 else -math.inf
    if least * log_alpha < LOG_NEGLIGIBLE:
        return 1 / (1 - alpha)
    log_power = log_alpha * (seen + 1).to(torch.float32)
    first = torch.expm1(torch.full_like(log_power, log_alpha))
    debiased = torch.expm1(log_power) / first
    return debiased.masked_fill_(informed, 1 / (1 - alpha))

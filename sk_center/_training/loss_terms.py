"""The loss of a batch: cross entropy, center loss and the terms for negative samples."""

import torch
from torch.nn.functional import cross_entropy

from sk_center.losses import (
    add_center_loss,
    norm_penalty,
    objectosphere_loss,
    uniform_cross_entropy,
)

NEGATIVE_LOSSES = ("background", "entropic", "objectosphere")
NO_LABEL = torch.iinfo(torch.int64).min


def batch_loss(
    logits,
    features,
    labels,
    center,
    *,
    criterion,
    lambda_center=0.1,
    lambda_norm=0.0,
    negative_loss=None,
    negative_params=None,
    track_centers=True,
    sample_weight=None,
):
    """Return the loss of a batch; the centers move if ``center`` is in training mode."""
    losses, center_weight = None, sample_weight
    if negative_loss is None:
        if sample_weight is None and is_mean_cross_entropy(criterion):
            # No label is ignored: one outside the classes is an error.
            loss = cross_entropy(
                logits,
                labels,
                ignore_index=NO_LABEL,
                label_smoothing=criterion.label_smoothing,
            )
        else:
            losses = criterion(logits, labels)
    else:
        last = center.center_num - 1
        known = labels <= last
        if negative_loss == "background":
            losses = criterion(logits, labels)
        else:
            losses = criterion(logits, labels.clamp(max=last))
            losses = torch.where(known, losses, uniform_cross_entropy(logits))
        if negative_loss == "objectosphere":
            params = {"weight": 1e-4, **(negative_params or {})}
            weight = params.pop("weight")
            losses = losses + weight * objectosphere_loss(features, known, **params)
        # Negatives have no center: their weight is zero there, whatever their label.
        center_weight = known.to(losses.dtype)
        center_weight = center_weight * (1 if sample_weight is None else sample_weight)
        labels = labels.clamp(max=last)
    if losses is not None:
        loss = weighted_mean(losses, sample_weight)
    if lambda_norm:
        loss = loss + lambda_norm * norm_penalty(features, sample_weight)
    if lambda_center:
        return add_center_loss(loss, lambda_center, features, labels, center, center_weight)
    if track_centers:
        center.deviation(features, labels, center_weight)
    return loss


def weighted_mean(losses, sample_weight):
    """Return the mean of losses times their weights; of the losses alone if None."""
    return (losses if sample_weight is None else losses * sample_weight).mean()


def is_mean_cross_entropy(criterion):
    """Whether a criterion is the mean cross entropy, for which torch has one function."""
    return (
        type(criterion) is torch.nn.CrossEntropyLoss
        and criterion.weight is None
        and criterion.ignore_index == -100
        and criterion.reduction == "none"
    )

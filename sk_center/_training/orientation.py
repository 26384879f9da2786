"""The orientation loss: images turned upside down are told from upright ones, by class."""

import torch
from skorch.utils import to_tensor
from torch.nn.functional import cross_entropy

from sk_center._training.loss_terms import weighted_mean
from sk_center.batches.datasets import parts_of


def loss_with_orientation(net, X, y, **fit_params):
    """Return the loss of a batch and of its images upside down, and the outputs upright."""
    images, weight = (
        None if part is None else to_tensor(part, device=net.device) for part in parts_of(X)
    )
    y = to_tensor(y, device=net.device).long()
    both = torch.cat([images, images.flip((2, 3))])
    logits, features = net.infer(both, **fit_params)
    y_pred = logits[: len(y)], features[: len(y)]
    loss = net.get_loss(y_pred, y, X=X, training=True)
    turned = orientation_loss(net.module_.orientation_logits(features), y, weight)
    return loss + net.lambda_orientation * turned, y_pred


def orientation_loss(logits, labels, sample_weight=None):
    """Return the mean cross entropy of images upright, and then of them upside down.

    A class upright and the same class upside down are two classes, half of all apart.
    """
    labels = torch.cat([labels, labels + logits.shape[1] // 2])
    losses = cross_entropy(logits, labels, reduction="none")
    return weighted_mean(losses, None if sample_weight is None else sample_weight.repeat(2))

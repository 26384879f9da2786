"""Losses: center loss as one autograd function, and terms that help rejection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sk_center.centers.batch import check_batch, check_tensors, deviations, sum_of_squares

if TYPE_CHECKING:
    from sk_center.centers import Center
    from sk_center.sharded import ShardedCenter

__all__ = ["center_loss", "norm_penalty", "objectosphere_loss", "uniform_cross_entropy"]


class _CenterLoss(torch.autograd.Function):
    """Add half the sum of squared deviations times a scale to another loss.

    One node of the graph: a product and a sum of their own would cost a small step as much
    as the arithmetic does. For the same reason ``forward`` takes ``ctx``, which
    ``torch.func`` does not support: with ``setup_context``, torch binds the arguments to a
    signature at every call.
    """

    @staticmethod
    def forward(ctx, loss, features, deviation, total, sample_weight, scale):
        ctx.save_for_backward(deviation, sample_weight)
        ctx.scale, ctx.dtype = scale, features.dtype
        return total * (0.5 * scale) if loss is None else loss + total * (0.5 * scale)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output):
        deviation, sample_weight = ctx.saved_tensors
        factor = grad_output * ctx.scale
        if sample_weight is not None:
            factor = (factor * sample_weight)[:, None]
        pull = (deviation * factor).to(ctx.dtype)
        rest = grad_output if ctx.needs_input_grad[0] else None
        return rest, pull, None, None, None, None


def center_loss(
    features: Tensor,
    labels: Tensor,
    centers: Center | ShardedCenter | Tensor,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Return the center loss: half the mean squared distance to the center of the class.

    The loss of [1]_, as the mean over the batch and the sum over the features::

        1/2 * mean_B( sample_weight * sum_D( (features - centers[labels]) ** 2 ) )

    Its gradient with respect to the features is
    ``sample_weight * (features - centers[labels]) / n_samples``. The centers get no
    gradient: they move by their own rule.

    Parameters
    ----------
    features : tensor of shape (n_samples, feature_dim)
        Features of the batch, of any floating dtype.

    labels : tensor of shape (n_samples,)
        Class index of each sample, of any integer dtype.

    centers : Center, ShardedCenter or tensor of shape (n_classes, feature_dim)
        The center of each class. A :class:`~sk_center.Center` in training mode is updated
        once by this call, after its centers are read.

    sample_weight : tensor of shape (n_samples,), default=None
        Non-negative weight of each sample. The mean divides by n_samples, not by the
        sum of the weights, so that a batch of samples with small weights makes a small
        step.

    Returns
    -------
    loss : tensor of shape ()
        The loss; float64 for float64 features, else float32. Zero for an empty batch.

    Raises
    ------
    TypeError
        If an argument is no tensor.

    ValueError
        If the shapes do not match, features are no real floats, labels no integers, or one
        is outside the classes of ``centers``, for which compiled code raises RuntimeError.

    See Also
    --------
    sk_center.Center : The self-updating centers.
    sk_center.CenterLossNet : Trains a network with it.
    norm_penalty : The same with all centers at zero.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao. "A discriminative feature learning
       approach for deep face recognition". ECCV 2016, equation 2.

    Examples
    --------
    >>> import torch
    >>> from sk_center.losses import center_loss
    >>> features = torch.tensor([[1.0, 1.0], [0.0, 3.0]], requires_grad=True)
    >>> centers = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> loss = center_loss(features, torch.tensor([0, 1]), centers)
    >>> loss.item()
    1.25
    >>> loss.backward()
    >>> features.grad
    tensor([[0.0000, 0.5000],
            [0.0000, 1.0000]])
    """
    return add_center_loss(None, 1.0, features, labels, centers, sample_weight)


def add_center_loss(
    loss: Tensor | None,
    weight: float,
    features: Tensor,
    labels: Tensor,
    centers: Center | ShardedCenter | Tensor,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Return ``loss + weight * center_loss(...)``, in one node of the graph.

    Parameters
    ----------
    loss : tensor of shape () or None
        The other terms of the loss.

    weight : float
        Weight of the center loss, lambda.

    features : tensor of shape (n_samples, feature_dim)
        As of :func:`center_loss`.

    labels : tensor of shape (n_samples,)
        As of :func:`center_loss`.

    centers : Center, ShardedCenter or tensor of shape (n_classes, feature_dim)
        As of :func:`center_loss`.

    sample_weight : tensor of shape (n_samples,), default=None
        As of :func:`center_loss`.

    Returns
    -------
    loss : tensor of shape ()
        The sum.
    """
    if sample_weight is not None:
        sample_weight = sample_weight.detach()
    if hasattr(centers, "pull"):
        deviation, total = centers.pull(features, labels, sample_weight)
    else:
        check_tensors(centers=centers)
        labels = check_batch(features, labels, centers.shape, sample_weight)
        deviation = deviations(features, centers, labels)
        total = sum_of_squares(deviation, sample_weight)
    if sample_weight is not None:
        sample_weight = sample_weight.to(deviation.dtype)
    scale = weight / max(len(features), 1)
    return _CenterLoss.apply(loss, features, deviation, total, sample_weight, scale)


def uniform_cross_entropy(logits: Tensor) -> Tensor:
    """Return the cross entropy of the softmax to the uniform distribution.

    The entropic open-set loss [1]_ of samples of no known class, for K classes::

        -1/K * sum_k( log softmax_k(logits) )

    Parameters
    ----------
    logits : tensor of shape (n_samples, n_classes)
        Logits.

    Returns
    -------
    losses : tensor of shape (n_samples,)
        The loss of each sample; the minimum log(K) if all logits are equal.

    Raises
    ------
    TypeError
        If an argument is no tensor.

    See Also
    --------
    sk_center.CenterLossClassifier : Uses it for negative samples, unless
        ``negative_loss="background"``.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS 2018, equation 1.

    Examples
    --------
    >>> import torch
    >>> from sk_center.losses import uniform_cross_entropy
    >>> uniform_cross_entropy(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    tensor([0.6931, 1.1269])
    """
    check_tensors(logits=logits)
    return -logits.log_softmax(dim=1).mean(dim=1)


def objectosphere_loss(features: Tensor, known: Tensor, min_norm: float = 50.0) -> Tensor:
    """Return a loss that makes features of known samples long, and those of others zero.

    The objectosphere term [1]_, for each sample::

        max(min_norm - |features|, 0)^2    where known
        |features|^2                       elsewhere

    Parameters
    ----------
    features : tensor of shape (n_samples, feature_dim)
        Features.

    known : tensor of shape (n_samples,)
        Which samples are of a known class, bool.

    min_norm : float, default=50.0
        Norm beyond which known samples have no loss, xi in [1]_. A larger norm drives known
        samples further from the origin, to which the others are drawn.

    Returns
    -------
    losses : tensor of shape (n_samples,)
        The loss of each sample.

    Raises
    ------
    TypeError
        If an argument is no tensor.

    See Also
    --------
    sk_center.CenterLossClassifier : Uses it with ``negative_loss="objectosphere"``.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS 2018, equation 2.

    Examples
    --------
    >>> import torch
    >>> from sk_center.losses import objectosphere_loss
    >>> features = torch.tensor([[3.0, 4.0], [3.0, 4.0], [60.0, 80.0]])
    >>> objectosphere_loss(features, torch.tensor([True, False, True]))
    tensor([2025.,   25.,    0.])
    """
    check_tensors(features=features, known=known)
    squared = features.square().sum(dim=1)
    # The norm of a zero vector has no gradient.
    norm = squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
    return torch.where(known, (min_norm - norm).clamp(min=0).square(), squared)


def norm_penalty(features: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Return half the mean squared norm of features: center loss with all centers at zero.

    ``1/2 * mean_B( sample_weight * sum_D( features ** 2 ) )``

    Parameters
    ----------
    features : tensor of shape (n_samples, feature_dim)
        Features of the batch.

    sample_weight : tensor of shape (n_samples,), default=None
        Non-negative weight of each sample.

    Returns
    -------
    loss : tensor of shape ()
        The penalty.

    Raises
    ------
    TypeError
        If an argument is no tensor.

    See Also
    --------
    center_loss : Pulls features to the center of their class instead.

    Examples
    --------
    >>> import torch
    >>> from sk_center.losses import norm_penalty
    >>> norm_penalty(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor(6.5000)
    """
    check_tensors(features=features, sample_weight=sample_weight)
    squared = features.square().sum(dim=1)
    if sample_weight is not None:
        squared = squared * sample_weight
    return 0.5 * squared.mean()

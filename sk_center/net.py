"""The skorch side: a net that trains a feature extractor with center loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochTimer, PrintLog
from skorch.history import History
from skorch.utils import to_device, to_tensor
from torch import Tensor

from sk_center._training.building import PartsNet
from sk_center._training.inference import InferenceNet
from sk_center._training.loop import LoopNet
from sk_center._training.loss_terms import batch_loss
from sk_center._training.orientation import loss_with_orientation
from sk_center._training.params import CONSTRAINTS
from sk_center._training.pickles import PickleNet
from sk_center.batches import ArrayDataset, TensorBatches
from sk_center.batches.datasets import parts_of
from sk_center.networks import CenterModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike
    from torch.optim import Optimizer

    from sk_center._utils.torch_types import Batch, FirstCenters, Module, NetInput
    from sk_center._utils.types import (
        Head,
        Metric,
        NegativeLoss,
        Precision,
        StrPath,
        UpdateRule,
    )

__all__ = ["CenterLossNet"]


class CenterLossNet(PartsNet, LoopNet, InferenceNet, PickleNet, NeuralNetClassifier):
    """Minimize cross entropy plus center loss as a skorch net.

    The loss of a batch is, with f the features and c_y the center of their class::

        mean_B( w * CE(head(f), y) )
        + lambda_center * 1/2 * mean_B( w * sum_D( (f - c_y)^2 ) )
        + lambda_norm * 1/2 * mean_B( w * sum_D( f^2 ) )

    with w the sample weights, or 1. The first two terms are those of [1]_, as means over
    the batch; ``lambda_orientation`` adds another for images. Use it in a skorch program:
    with callbacks, a net of your own, labels that already are class indices.
    :class:`~sk_center.CenterLossClassifier` builds such a net for scikit-learn.

    Parameters
    ----------
    module : torch module class or instance, or callable
        Maps a batch to features (n_samples, D). The head, a dense layer, and the
        centers are added; D is found by a dry run when training starts. A class gets
        the ``module__`` parameters.

    *args : list
        Further positional arguments of :class:`skorch.NeuralNetClassifier`.

    lambda_center : float, default=0.1
        Weight of the center loss, at least 0. Larger values make the clouds of the classes
        more compact, too large ones cost accuracy. Zero is plain softmax training.

    alpha : float, default=0.9
        Share of the old center that an update retains, in [0, 1). Larger values make
        centers steadier, but let them lag behind the features, see
        :class:`~sk_center.Center`. Unlike those of a
        :class:`~sk_center.CenterLossClassifier` they remain moving averages when training
        ends.

    center_update : {"ema", "sum", "wen", "cumulative", "fixed"}, default="ema"
        Update rule of the centers, see :class:`~sk_center.Center`. ``"fixed"`` turns the
        first centers into anchors.

    center : array-like of shape (n_classes, D), "simplex" or callable, default=None
        The first centers, see :class:`~sk_center.Center`. Give them with
        ``center_update="fixed"``; otherwise the anchors are random points near zero.

    head : {"linear", "distance"}, default="linear"
        The logits of the cross entropy: a dense layer, or minus the distances to the
        centers, which is meant for anchors.

    metric : {"euclidean", "cosine"}, default="euclidean"
        ``"cosine"`` brings features to length one, so that only directions count. It needs
        a larger ``lambda_center``, about 1 to 10.

    precision : {"float32", "bf16"}, default="float32"
        Precision the module computes features in; ``"bf16"`` is torch's autocast. It is
        faster if the processor has instructions for it.

    lambda_norm : float, default=0.0
        Weight of the penalty on the norm of features, at least 0. Larger ones shorten it.

    lambda_orientation : float, default=0.0
        Weight of the orientation loss, at least 0, for images (n_samples, channels, height,
        width). Above zero, each step also sees its images turned by 180 degrees, in up to
        twice the time, and a second head learns class and orientation together, by cross
        entropy [2]_. The features then keep more of the images than the classes need.

    negative_loss : {"background", "entropic", "objectosphere"}, default=None
        Loss of negative samples, those of the label ``n_classes``, see
        :class:`~sk_center.CenterLossClassifier`. None means that there are no negative
        samples. ``"background"`` needs ``head="linear"``; logits then have one column more,
        and ``predict`` returns ``n_classes`` where it is the largest. ``"objectosphere"``
        takes ``negative_loss__weight`` and ``negative_loss__min_norm``.

    n_classes : int, default=None
        Number of classes; by default one more than the largest label of the first fit.
        Give it with ``negative_loss``, if y is None, or if the first fit may lack the last
        classes.

    track_centers : bool, default=True
        Whether batches move the centers also with ``lambda_center=0``. Without center loss
        training does not need them, and a small step takes a third less time.

    gradient_accumulation_steps : int, default=1
        Batches whose gradients are accumulated for one step of the optimizer, equal to a
        step on one batch of all their samples. Raise it, and lower ``batch_size``, if a
        batch does not fit into memory. Centers move batch by batch.

    deterministic : bool, default=False
        Whether training takes only algorithms of torch that give the same bits each time,
        as all do on a CPU; on a GPU, sums over a class are otherwise computed in any order.
        torch then needs the environment variable ``CUBLAS_WORKSPACE_CONFIG=:4096:8``.

    checkpoint_dir : str or path-like, default=None
        Folder for checkpoints. If the process dies in the middle of a training, the same
        call with the same data resumes from the last one, on a CPU with the same bits as
        without the break. A checkpoint holds network, optimizer, centers, random
        generators, and the attributes of callbacks that end in an underscore. Several
        trainings may share the folder; one that ends deletes its file.

    checkpoint_every : int, default=1
        Epochs from one checkpoint to the next; when the process dies, as many are lost.

    criterion : torch loss class, default=torch.nn.CrossEntropyLoss
        The loss on the logits. It must return one value per sample
        (``criterion__reduction="none"`` is set), so that weights can enter.

    optimizer : torch optimizer class, default=torch.optim.Adam
        The optimizer; it gets the ``optimizer__`` parameters.

    lr : float, default=0.001
        Learning rate, above 0. Larger values learn in fewer epochs but less precisely, or
        make the loss infinite. Another optimizer needs another rate.

    lr_schedule : {"cosine"}, default=None
        Course of the learning rate over a training of ``max_epochs`` epochs: ``"cosine"``
        rises to ``lr`` in a tenth of the steps, and falls to zero like half a cosine. None
        keeps ``lr``, as do ``partial_fit`` with ``epochs`` given, and a
        :class:`skorch.callbacks.LRScheduler` among the callbacks, which sets its own.

    train_split : callable, default=None
        As in skorch, but by default all data are used for training.

    iterator_train : class, default=TensorBatches
        Iterates over training batches, see :class:`~sk_center.batches.TensorBatches`, which
        takes the ``iterator_train__`` parameters; ``torch.utils.data.DataLoader`` does too.

    iterator_train__shuffle : bool, default=True
        Whether to shuffle in every epoch. Turn it off if samples must keep their order.

    iterator_valid : class, default=TensorBatches
        Iterates over batches of validation and inference. Their size depends on the widest
        layer; ``iterator_valid__batch_size`` sets it, smaller batches take less memory.

    dataset : class, default=ArrayDataset
        Wraps arrays and tensors, see :class:`~sk_center.batches.ArrayDataset`.

    compile : bool, default=False
        Whether torch compiles the training step (network, loss, centers) and inference,
        with the ``compile__`` parameters; ``compile__mode="reduce-overhead"`` asks for CUDA
        graphs. It pays off if many equal steps follow: the first takes up to a minute. With
        the default backend use torch 2.13: that of 2.8 moves centers wrongly.

    device : str, torch.device or None, default="auto"
        Where to compute. ``"auto"`` is the device of ``torch.accelerator``, such as CUDA,
        MPS or XPU, but the CPU if there is none, or if it lacks an operator or a dtype of
        the module, as MPS lacks float64. The choice is logged, and the parameter holds it
        from then on. None leaves everything where it is.

    verbose : int, default=0
        Whether skorch prints a line per epoch.

    **kwargs : dict
        Every other parameter of :class:`skorch.NeuralNetClassifier`, with its defaults and
        not those of :class:`~sk_center.CenterLossClassifier`: ``max_epochs=10``, of which
        more learn more, and ``batch_size=128``, of which larger ones make fewer steps.

    Attributes
    ----------
    module_ : CenterModule
        Feature extractor, head and centers: ``module_.body``, ``module_.head``,
        ``module_.center``. Called with a batch it returns logits and features.

    interrupted_ : bool
        Whether Ctrl-C ended the last training.

    history_ : skorch.history.History
        One entry per epoch with ``train_loss`` and, if there are validation data,
        ``valid_loss`` and ``valid_loss_best``. Batches are recorded only if a callback has
        an ``on_batch_...`` method, or is one of those of skorch that read them from the
        history.

    n_classes_ : int
        Number of classes.

    example_ : tensor of shape (2, ...) or dict of tensors
        Zeros of the shape and dtype in which the module gets samples.

    width_ : int
        Numbers of a sample in the widest layer, which set the size of inference batches.

    See Also
    --------
    CenterLossClassifier : The scikit-learn classifier.
    sk_center.losses.center_loss : The loss, for a training loop of your own.
    sk_center.networks.CenterModule : The class of ``module_``.

    Notes
    -----
    Ctrl-C, or a callback that raises KeyboardInterrupt, ends training. The epoch ends after
    the current batch, and its training loss is that of the batches so far; validation and
    ``on_epoch_end`` still take place. An epoch without a step of the optimizer is dropped.
    If that is the first, and on a second Ctrl-C during validation, KeyboardInterrupt is
    raised.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao. "A discriminative feature learning
       approach for deep face recognition". ECCV 2016, equation 5.
    .. [2] H. Lee, S. J. Hwang, J. Shin. "Self-supervised label augmentation via input
       transformations". ICML 2020 (the loss of joint labels).

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sk_center import CenterLossNet
    >>> X, y = load_iris(return_X_y=True)
    >>> _ = torch.manual_seed(0)
    >>> net = CenterLossNet(torch.nn.Linear, module__in_features=4, module__out_features=2,
    ...                     lr=0.05, max_epochs=50).fit(X, y)
    >>> net.module_.center.predict().shape
    torch.Size([3, 2])
    >>> bool((net.predict(X) == y).mean() > 0.9)
    True
    """

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(
        self,
        module: Module,
        *args: Any,
        lambda_center: float = 0.1,
        alpha: float = 0.9,
        center_update: UpdateRule = "ema",
        center: FirstCenters | None = None,
        head: Head = "linear",
        metric: Metric = "euclidean",
        precision: Precision = "float32",
        lambda_norm: float = 0.0,
        lambda_orientation: float = 0.0,
        negative_loss: NegativeLoss | None = None,
        n_classes: int | None = None,
        track_centers: bool = True,
        gradient_accumulation_steps: int = 1,
        deterministic: bool = False,
        checkpoint_dir: StrPath | None = None,
        checkpoint_every: int = 1,
        criterion: Callable[..., torch.nn.Module] = torch.nn.CrossEntropyLoss,
        optimizer: Callable[..., Optimizer] = torch.optim.Adam,
        lr: float = 1e-3,
        lr_schedule: Literal["cosine"] | None = None,
        train_split: Callable[..., Any] | None = None,
        iterator_train: Callable[..., Any] = TensorBatches,
        iterator_train__shuffle: bool = True,
        iterator_valid: Callable[..., Any] = TensorBatches,
        dataset: Callable[..., Any] = ArrayDataset,
        compile: bool = False,
        device: str | torch.device | None = "auto",
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            *args,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            train_split=train_split,
            iterator_train=iterator_train,
            iterator_train__shuffle=iterator_train__shuffle,
            iterator_valid=iterator_valid,
            dataset=dataset,
            compile=compile,
            device=device,
            verbose=verbose,
            **kwargs,
        )
        self.lr_schedule = lr_schedule
        self.lambda_center = lambda_center
        self.alpha = alpha
        self.center_update = center_update
        self.center = center
        self.head = head
        self.metric = metric
        self.precision = precision
        self.lambda_norm = lambda_norm
        self.lambda_orientation = lambda_orientation
        self.negative_loss = negative_loss
        self.n_classes = n_classes
        self.track_centers = track_centers
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.deterministic = deterministic
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every

    module_: CenterModule
    history_: History
    # skorch takes parameters such as negative_loss__min_norm when it knows the prefix.
    prefixes_ = [*NeuralNetClassifier.prefixes_, "negative_loss"]

    @property
    def _default_callbacks(self):
        # The losses of an epoch are recorded by run_single_epoch, without a callback.
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def fit(
        self, X: NetInput, y: ArrayLike | Tensor | None = None, **fit_params: Any
    ) -> Self:
        """Initialize the net for the data and train it.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples; a dict ``{"X": ..., "sample_weight": ...}`` brings weights.

        y : ndarray or tensor of shape (n_samples,), default=None
            Class index of each sample, int64 or uint8. May be None where X is a Dataset
            that holds the labels and ``n_classes`` is given.

        **fit_params : dict
            As in skorch.

        Returns
        -------
        self : CenterLossNet
            The trained net.

        Raises
        ------
        ValueError
            If a parameter or a label in y is invalid, or the training loss is not finite.

        IndexError
            If a label in a Dataset is outside the classes: they are first read batch by
            batch.
        """
        if not (self.warm_start and self.initialized_):
            self.measure(X, y)
        return super().fit(X, y, **fit_params)

    def partial_fit(
        self,
        X: NetInput,
        y: ArrayLike | Tensor | None = None,
        classes: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Continue training.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            As in :meth:`fit`.

        y : ndarray or tensor of shape (n_samples,), default=None
            Class index of each sample, as in :meth:`fit`.

        classes : array-like, default=None
            Not used, as in skorch.

        **fit_params : dict
            As in skorch.

        Returns
        -------
        self : CenterLossNet
            The trained net.

        Raises
        ------
        ValueError
            As :meth:`fit` does; the first call determines the classes, and later calls take
            no others.

        IndexError
            As :meth:`fit` does.
        """
        self.check_training_readiness()
        if self.initialized_:
            self._check_labels(y)
            self.ensure_optimizer()
        else:
            self.measure(X, y)
            self.initialize()
        fit_params.setdefault("_routing_method", "partial_fit")
        # As skorch does, except for a KeyboardInterrupt, by which skorch ends any training.
        self.notify("on_train_begin", X=X, y=y)
        self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self

    def infer(self, x: Batch, **fit_params: Any) -> tuple[Tensor | None, Tensor]:
        """Return logits and features of a batch; weights in it are for the loss.

        Parameters
        ----------
        x : tensor or dict
            A batch as the dataset yields it.

        **fit_params : dict
            Further arguments of the module.

        Returns
        -------
        output : tuple of (tensor, tensor)
            Logits of shape (n_samples, n_classes), with one column more if
            ``negative_loss="background"``, and features of shape (n_samples, D).
        """
        inputs = to_tensor(parts_of(x)[0], device=self.device)
        if isinstance(inputs, Tensor) and not inputs.is_floating_point():
            inputs = inputs.to(self.example_.dtype)
        return self.module_(inputs, **fit_params)

    def get_loss(
        self,
        y_pred: tuple[Tensor, Tensor],
        y_true: Tensor,
        X: Batch | None = None,
        training: bool = False,
    ) -> Tensor:
        """Return the loss of a batch, cross entropy plus the terms that the parameters add.

        Parameters
        ----------
        y_pred : tuple of (tensor, tensor)
            Logits and features.

        y_true : tensor of shape (n_samples,)
            Class indices.

        X : tensor or dict, default=None
            The batch; a dict may hold ``"sample_weight"``.

        training : bool, default=False
            Whether this is a training step.

        Returns
        -------
        loss : tensor of shape ()
            The loss of the batch.

        Raises
        ------
        IndexError
            If a label is outside the classes; by compiled code and on a GPU, RuntimeError.
        """
        logits, features = y_pred
        weight = X.get("sample_weight") if isinstance(X, dict) else None
        return batch_loss(
            logits,
            features,
            to_tensor(y_true, device=self.device),
            self.module_.center,
            criterion=self.criterion_,
            lambda_center=self.lambda_center,
            lambda_norm=self.lambda_norm,
            negative_loss=self.negative_loss,
            negative_params=self.get_params_for("negative_loss"),
            track_centers=self.track_centers,
            sample_weight=None if weight is None else to_device(weight, self.device),
        )

    def _loss_of(self, X, y, **fit_params):
        """Return the loss of a batch, and logits and features; this is compiled."""
        if self.lambda_orientation and self.module_.orientation is not None:
            return loss_with_orientation(self, X, y, **fit_params)
        y_pred = self.infer(X, **fit_params)
        return self.get_loss(y_pred, y, X=X, training=True), y_pred

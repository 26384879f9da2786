"""The skorch side: a net that trains a feature extractor with center loss."""

from __future__ import annotations

from inspect import Parameter, signature
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochTimer,
    PassthroughScoring,
    PrintLog,
    TrainEndCheckpoint,
)
from skorch.dataset import unpack_data
from skorch.history import History
from skorch.utils import to_device, to_tensor
from torch import Tensor
from torch.nn.functional import cross_entropy

from sk_center._training.checkpoints import Checkpoints
from sk_center._training.distributed import trained_together
from sk_center._training.epochs import log_epoch
from sk_center._training.params import without_batches
from sk_center._training.state import deterministic_algorithms
from sk_center._utils.versions import Required, versions, warn_of_versions
from sk_center.batches import ArrayDataset, TensorBatches
from sk_center.losses import (
    add_center_loss,
    norm_penalty,
    objectosphere_loss,
    uniform_cross_entropy,
)
from sk_center.networks import CenterModule, Function, find_feature_dim, widest_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray
    from torch.optim import Optimizer
    from torch.utils.data import Dataset

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

# Numbers in the widest layer of an inference batch: what the cache of a core holds, and
# on a GPU, or whatever else it is, what keeps it busy.
INFERENCE_NUMBERS = 2**18
INFERENCE_NUMBERS_ELSEWHERE = 2**24
NO_LABEL = torch.iinfo(torch.int64).min
NEGATIVE_LOSSES = ("background", "entropic", "objectosphere")


class CenterLossNet(NeuralNetClassifier):
    """Minimize cross entropy plus center loss as a skorch net.

    The loss of a batch is, with f the features and c_y the center of their class::

        mean_B( w * CE(head(f), y) )
        + lambda_center * 1/2 * mean_B( w * sum_D( (f - c_y)^2 ) )
        + lambda_norm * 1/2 * mean_B( w * sum_D( f^2 ) )

    with w the sample weights, or 1. The first two terms are those of [1]_, as means over
    the batch. Use it where a skorch net is at home: with callbacks, a net of your own
    making, labels that already are class indices.
    :class:`~sk_center.CenterLossClassifier` builds one and adds all that scikit-learn
    expects.

    Parameters
    ----------
    module : torch module class or instance, or callable
        Maps a batch to features (n_samples, D). The head, a dense layer, and the
        centers are added; D is found by a dry run when training starts. A class gets
        the ``module__`` parameters.

    *args : list
        Further positional arguments of :class:`skorch.NeuralNetClassifier`.

    lambda_center : float, default=0.1
        Weight of the center loss, at least 0. Larger makes the clouds of the classes more
        compact, too large a weight costs accuracy. Zero is plain softmax training.

    alpha : float, default=0.9
        Share of the old center that an update retains, in [0, 1). Larger makes centers
        calmer, and lets them lag behind the features, see :class:`~sk_center.Center`.
        Unlike those of a :class:`~sk_center.CenterLossClassifier` they stay these moving
        averages when training ends.

    center_update : {"ema", "sum", "wen", "cumulative", "fixed"}, default="ema"
        Update rule of the centers, see :class:`~sk_center.Center`. ``"fixed"`` makes
        anchors of the first centers.

    center : array-like of shape (n_classes, D), "simplex" or callable, default=None
        The first centers, see :class:`~sk_center.Center`. To be given with
        ``center_update="fixed"``, of which anchors else are random points near zero.

    head : {"linear", "distance"}, default="linear"
        What the cross entropy is of: a dense layer, or minus the distances to the centers,
        which is meant for anchors.

    metric : {"euclidean", "cosine"}, default="euclidean"
        ``"cosine"`` brings features to length one, so that only directions count. It takes
        a larger ``lambda_center``, about 1 to 10.

    precision : {"float32", "bf16"}, default="float32"
        Precision the module computes features in; ``"bf16"`` is torch's autocast. It is
        faster where the processor has instructions for it.

    lambda_norm : float, default=0.0
        Weight of the penalty on the norm of features, at least 0. Larger makes them
        shorter.

    negative_loss : {"background", "entropic", "objectosphere"}, default=None
        What negative samples, those of the label ``n_classes``, are trained for, see
        :class:`~sk_center.CenterLossClassifier`. None: there are none. ``"background"``
        takes ``head="linear"``; logits then have one column more, and ``predict`` returns
        ``n_classes`` where it is the largest. ``"objectosphere"`` takes
        ``negative_loss__weight`` and ``negative_loss__min_norm``.

    n_classes : int, default=None
        Number of classes; by default one more than the largest label of the first fit.
        To be given with ``negative_loss``, where y is None, and where the first fit may
        lack the last classes.

    track_centers : bool, default=True
        Whether batches move the centers where ``lambda_center=0`` too. Without center loss
        nothing asks for them in training, and a small step takes a third less time.

    gradient_accumulation_steps : int, default=1
        Batches whose gradients make one step of the optimizer, that of one batch with all
        their samples. Raise it, and lower ``batch_size``, for steps that do not fit into
        memory; the time stays that of the small batches. Centers move batch by batch.

    deterministic : bool, default=False
        Whether training takes only algorithms of torch that give the same bits each time,
        as on a CPU they all do; on a GPU, sums over a class are else added up in any order.
        torch then asks for the environment variable ``CUBLAS_WORKSPACE_CONFIG=:4096:8``.

    checkpoint_dir : str or path-like, default=None
        Folder for checkpoints. If the process dies in the middle of a training, the same
        call with the same data goes on from the last one, on a CPU to the same bits as
        without the break: network, optimizer, centers, random generators, and what
        callbacks keep in attributes that end in an underscore, such as a schedule. Several
        trainings may share the folder. A training that ends deletes its file. None writes
        none.

    checkpoint_every : int, default=1
        Number of epochs from one checkpoint to the next. Larger writes less, and loses more
        epochs when the process dies.

    criterion : torch loss class, default=torch.nn.CrossEntropyLoss
        The loss on the logits. It is asked for one value per sample
        (``criterion__reduction="none"``) so that weights can enter.

    optimizer : torch optimizer class, default=torch.optim.Adam
        The optimizer; it gets the ``optimizer__`` parameters.

    lr : float, default=0.001
        Learning rate, above 0. Larger learns in fewer epochs and ends less exact; far too
        large, the loss becomes infinite. Another optimizer takes another one.

    train_split : callable, default=None
        As in skorch, but by default all data train.

    iterator_train : class, default=TensorBatches
        Iterates over training batches, see :class:`~sk_center.batches.TensorBatches`, which
        takes the ``iterator_train__`` parameters; ``torch.utils.data.DataLoader`` does too.

    iterator_train__shuffle : bool, default=True
        Whether every epoch has an order of its own. Switch it off for samples that must
        keep their order.

    iterator_valid : class, default=TensorBatches
        Iterates over batches of validation and inference. Their size is chosen by the
        widest layer; ``iterator_valid__batch_size`` sets it, smaller takes less memory.

    dataset : class, default=ArrayDataset
        Wraps arrays and tensors, see :class:`~sk_center.batches.ArrayDataset`.

    compile : bool, default=False
        Whether torch compiles the training step (network, loss, centers) and inference,
        with the ``compile__`` parameters; ``compile__mode="reduce-overhead"`` asks for CUDA
        graphs. It pays where many equal steps follow: the first takes up to a minute. With
        the default backend take torch 2.13: that of 2.8 moves centers wrongly.

    verbose : int, default=0
        Whether skorch prints a line an epoch.

    **kwargs : dict
        Every other parameter of :class:`skorch.NeuralNetClassifier`, with its defaults and
        not those of :class:`~sk_center.CenterLossClassifier`: ``max_epochs=10``, of which
        more take longer and learn more, ``batch_size=128``, of which larger makes fewer
        and faster steps of an epoch, and ``device="cpu"``.

    Attributes
    ----------
    module_ : CenterModule
        Feature extractor, head and centers: ``module_.body``, ``module_.head``,
        ``module_.center``. Called with a batch it returns logits and features.

    interrupted_ : bool
        Whether Ctrl-C ended the last training.

    history_ : skorch.history.History
        One entry an epoch with ``train_loss`` and, where there is validation data,
        ``valid_loss`` and ``valid_loss_best``. Batches are recorded only when a
        callback asks for them by having an ``on_batch_...`` method, or is one of
        skorch's that read them from the history.

    See Also
    --------
    CenterLossClassifier : The scikit-learn classifier.
    sk_center.losses.center_loss : The loss, for a training loop of your own.
    sk_center.networks.CenterModule : What ``module_`` is.

    Notes
    -----
    Ctrl-C, or a callback that raises KeyboardInterrupt, ends training. The batches of the
    epoch end at once and its training loss is that of the batches so far; validation and
    ``on_epoch_end`` still take place. An epoch without a step of the optimizer is dropped.
    Where that is the first, and on a second Ctrl-C during validation, KeyboardInterrupt
    goes to the caller.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao. "A discriminative feature learning
       approach for deep face recognition". ECCV 2016, equation 5.

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
        train_split: Callable[..., Any] | None = None,
        iterator_train: Callable[..., Any] = TensorBatches,
        iterator_train__shuffle: bool = True,
        iterator_valid: Callable[..., Any] = TensorBatches,
        dataset: Callable[..., Any] = ArrayDataset,
        compile: bool = False,
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
            verbose=verbose,
            **kwargs,
        )
        self.lambda_center = lambda_center
        self.alpha = alpha
        self.center_update = center_update
        self.center = center
        self.head = head
        self.metric = metric
        self.precision = precision
        self.lambda_norm = lambda_norm
        self.negative_loss = negative_loss
        self.n_classes = n_classes
        self.track_centers = track_centers
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.deterministic = deterministic
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every

    module_: CenterModule
    history_: History
    n_classes_: int
    _compiled: dict[str, Any]
    # skorch takes parameters such as negative_loss__min_norm when it knows the prefix.
    prefixes_ = [*NeuralNetClassifier.prefixes_, "negative_loss"]
    # Batches, and samples in them, whose gradients wait for a step, and the last of them.
    _pending: tuple[int, int, Any] = (0, 0, None)
    # Features D, numbers in the widest layer and weights, of a net that is loaded.
    _saved = None
    # Of the training in progress: its checkpoints, how many epochs have ended, and whether
    # callbacks are told so, who may end the training by a KeyboardInterrupt.
    _checkpoints, _n_finished, _callbacks_speak = None, 0, False
    # The processes of the training in progress, where there are several.
    _team = None
    interrupted_ = False
    # Number of the last epoch of the last training.
    _n_epochs = 0

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
            If a label that a Dataset holds is outside the classes: nobody reads them
            before the batches come.
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
        """Train further, without starting anew.

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
            As :meth:`fit` does; the first call finds the classes, and a later one takes no
            others.

        IndexError
            As :meth:`fit` does.
        """
        if self.initialized_:
            self._check_labels(y)
            self.ensure_optimizer()
        else:
            self.measure(X, y)
        try:
            return super().partial_fit(X, y, classes, **fit_params)
        except GivenUp as error:
            raise error.__cause__ from None  # type: ignore[misc]

    def measure(self, X: NetInput, y: ArrayLike | Tensor | None = None) -> None:
        """Find what ``initialize`` must know of the data: its form, the classes.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples.

        y : ndarray or tensor of shape (n_samples,), default=None
            Class index of each sample, needed where ``n_classes`` is None.

        Raises
        ------
        ValueError
            If the number of classes can be told neither from ``n_classes`` nor from ``y``,
            or ``y`` holds what is no class index.
        """
        indices = None if y is None else as_indices(y)
        sample, _ = self.get_dataset(X, y)[0]
        if isinstance(sample, dict):
            sample = sample["X"]
        # Zeros of the right form, of one number: the net keeps no data.
        zero = torch.zeros((), dtype=torch.as_tensor(sample).dtype)
        self.example_ = zero.expand(2, *np.shape(sample))
        self.n_classes_ = self.n_classes  # type: ignore[assignment]
        if self.n_classes_ is None:
            if indices is None or self.negative_loss is not None:
                raise ValueError(
                    "n_classes must be given where y is None, and with negative_loss."
                )
            self.n_classes_ = int(indices.max(initial=0)) + 1
        self._check_labels(y)

    def _check_labels(self, y):
        """Raise ValueError unless labels that are given are those of the classes."""
        if y is None:
            return
        indices = as_indices(y)
        n_labels = self.n_classes_ + (self.negative_loss is not None)
        for label in (indices.min(initial=0), indices.max(initial=0)):
            if not 0 <= label < n_labels:
                last = "" if n_labels == self.n_classes_ else ", the last for negatives"
                raise ValueError(
                    f"y must hold class indices in [0, {n_labels}){last}; got {label}."
                )

    def initialize_module(self) -> Self:
        """Build the feature extractor and add the head and the centers to it.

        Returns
        -------
        self : CenterLossNet
            The net.

        Raises
        ------
        ValueError
            If the data are not known, neither by ``fit`` nor by :meth:`measure`, the module
            does not give features (n_samples, D), or a parameter is invalid.
        """
        if not hasattr(self, "example_"):
            raise ValueError(
                "The features D and the classes come from the data: call fit, or "
                "net.measure(X, y) before net.initialize()."
            )
        if self.negative_loss not in (*NEGATIVE_LOSSES, None):
            raise ValueError(
                f"negative_loss must be one of {NEGATIVE_LOSSES} or None; got "
                f"{self.negative_loss!r}."
            )
        body = self.make_body()
        # Layers are made in torch's default dtype, which a program may have set to another
        # than that of the samples.
        if torch.get_default_dtype() != torch.float32 and self.example_.is_floating_point():
            body = body.to(self.example_.dtype)
        feature_dim, self._width, weights = self._saved or (None, None, None)
        self.module_ = CenterModule(
            body,
            feature_dim or find_feature_dim(body, self.example_),
            self.n_classes_,
            alpha=self.alpha,
            update=self.center_update,
            center=self.center,
            head=self.head,
            metric=self.metric,
            precision=self.precision,
            background=self.negative_loss == "background",
        )
        self._compiled = {}
        if weights is not None:
            self.module_.load_state_dict(weights)
        else:
            self._width = max(widest_output(self.module_, self.example_), self.n_classes_)
        return self

    def make_body(self) -> torch.nn.Module:
        """Return a new feature extractor.

        Returns
        -------
        body : torch.nn.Module
            What the parameters describe.
        """
        kwargs = self.get_params_for("module")
        is_function = not isinstance(self.module, (torch.nn.Module, type))
        if is_function and not kwargs:
            return Function(self.module)
        return self.initialized_instance(self.module, kwargs)

    def initialize_criterion(self) -> Self:
        """Build the criterion so that it gives one loss per sample.

        Returns
        -------
        self : CenterLossNet
            The net.
        """
        kwargs = {"reduction": "none", **self.get_params_for("criterion")}
        self.criterion_ = self.initialized_instance(self.criterion, kwargs)
        return self

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Iterable[tuple[str, torch.nn.Parameter]]
    ) -> tuple[Any, dict[str, Any]]:
        """Return the arguments of an optimizer, with ``fused=True`` where it works.

        Parameters
        ----------
        prefix : str
            Prefix of the parameters of the optimizer.

        named_parameters : iterable of (str, torch.nn.Parameter)
            What it optimizes.

        Returns
        -------
        args : tuple
            Positional arguments.

        kwargs : dict
            Keyword arguments.
        """
        named_parameters = list(named_parameters)
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        optimizer = getattr(self, prefix, None)
        if (
            not isinstance(optimizer, type)
            or "fused" not in signature(optimizer).parameters
        ):
            return args, kwargs
        chosen = {"fused", "foreach", "differentiable", "capturable"} & set(kwargs)
        sparse = any(getattr(part, "sparse", False) for part in self.module_.modules())
        # The fused update walks through memory, in whose order all must lie.
        plain = all(
            parameter.is_floating_point()
            and parameter.device.type in ("cpu", "cuda")
            and is_dense(parameter)
            for _, parameter in named_parameters
        )
        if plain and not chosen and not sparse:
            kwargs["fused"] = True
        return args, kwargs

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
        if isinstance(x, dict):
            x = x["X"]
        return self.module_(to_tensor(x, device=self.device), **fit_params)

    def get_loss(
        self,
        y_pred: tuple[Tensor, Tensor],
        y_true: Tensor,
        X: Batch | None = None,
        training: bool = False,
    ) -> Tensor:
        """Return the loss of a batch, cross entropy plus what the parameters add.

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
        y_true = to_tensor(y_true, device=self.device)
        weight = X.get("sample_weight") if isinstance(X, dict) else None
        if weight is not None:
            weight = to_device(weight, self.device)
        losses, center_weight = None, weight
        if self.negative_loss is None:
            if weight is None and self._takes_plain_mean():
                smoothing = self.criterion_.label_smoothing
                # No label is to be passed over: one outside the classes is an error.
                loss = cross_entropy(
                    logits, y_true, ignore_index=NO_LABEL, label_smoothing=smoothing
                )
            else:
                losses = self.criterion_(logits, y_true)
        else:
            known = y_true < self.n_classes_
            losses = self._open_losses(logits, features, y_true, known)
            # Negatives have no center: they weigh nothing there, whatever their label.
            center_weight = known.to(losses.dtype) * (1 if weight is None else weight)
            y_true = y_true.clamp(max=self.n_classes_ - 1)
        if losses is not None:
            loss = (losses if weight is None else losses * weight).mean()
        if self.lambda_norm:
            loss = loss + self.lambda_norm * norm_penalty(features, weight)
        center = self.module_.center
        if self.lambda_center:
            return add_center_loss(
                loss, self.lambda_center, features, y_true, center, center_weight
            )
        if self.track_centers:
            center.deviation(features, y_true, center_weight)
        return loss

    def _takes_plain_mean(self):
        """Whether the criterion is the mean cross entropy, which torch has in one piece."""
        criterion = self.criterion_
        return (
            type(criterion) is torch.nn.CrossEntropyLoss
            and criterion.weight is None
            and criterion.ignore_index == -100
            and criterion.reduction == "none"
        )

    def _open_losses(self, logits, features, y_true, known):
        """Return the loss of each sample where some may be negative."""
        if self.negative_loss == "background":
            return self.criterion_(logits, y_true)
        losses = self.criterion_(logits, y_true.clamp(max=self.n_classes_ - 1))
        losses = torch.where(known, losses, uniform_cross_entropy(logits))
        if self.negative_loss == "objectosphere":
            params = {"weight": 1e-4, **self.get_params_for("negative_loss")}
            weight = params.pop("weight")
            losses = losses + weight * objectosphere_loss(features, known, **params)
        return losses

    def torch_compile(self, module: torch.nn.Module, name: str) -> torch.nn.Module:
        """Return the module: what is compiled is the step, which is more than modules.

        Parameters
        ----------
        module : torch.nn.Module
            The module.

        name : str
            Its name.

        Returns
        -------
        module : torch.nn.Module
            The same, so that it can be pickled and looked into.
        """
        return module

    def _fast(self, name):
        """Return a method, compiled if that is asked for."""
        if not self.compile:
            return getattr(self, name)
        if name not in self._compiled:
            params = self.get_params_for("compile")
            self._compiled[name] = torch.compile(getattr(self, name), **params)
        return self._compiled[name]

    def _forget_casts(self):
        """Let an autocast around all of this cast weights as they are now.

        Until its block ends, it goes on with those that it has cast first.
        """
        if torch.is_autocast_enabled(torch.device(self.device or "cpu").type):
            torch.clear_autocast_cache()

    def _loss_of(self, X, y, **fit_params):
        y_pred = self.infer(X, **fit_params)
        return self.get_loss(y_pred, y, X=X, training=True), y_pred

    def train_step_single(
        self, batch: tuple[Batch, Tensor], **fit_params: Any
    ) -> dict[str, Any]:
        """Run a batch through the network and back, as skorch does.

        Parameters
        ----------
        batch : tuple
            Samples and labels.

        **fit_params : dict
            Further arguments of the module.

        Returns
        -------
        step : dict
            The ``loss`` and the output of the module, ``y_pred``.

        Raises
        ------
        ValueError
            If the batch is a single sample, and the module has batch normalization.
        """
        if not (self.module_.training and self.criterion_.training):
            self._set_training(True)  # a callback may have predicted
        self._forget_casts()
        X, y = unpack_data(batch)
        team = self._team
        run = self._fast("_loss_of") if team is None else team.run
        try:
            loss, y_pred = run(X, y, **fit_params)
        except ValueError as error:
            if len(y) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "The module has batch normalization, which cannot train on a batch of one "
                f"sample; give at least two, at a batch_size of at least 2 (batch_size="
                f"{self.batch_size})."
            ) from error
        factor = 1 if team is None else team.factor
        if self.gradient_accumulation_steps > 1:
            factor *= self._n_joint(batch)  # a sum, whose mean several batches have
        (loss if factor == 1 else loss * factor).backward()
        if team is not None and not self._steps_alone():
            loss = team.joint_loss(loss)  # by which the optimizer decides
        return {"loss": loss, "y_pred": y_pred}

    def _n_joint(self, batch):
        """Number of samples of a batch, also where other processes have a part of it."""
        return len(batch[1]) if self._team is None else self._team.n_joint

    def train_step(self, batch: tuple[Batch, Tensor], **fit_params: Any) -> dict[str, Any]:
        """Train on a batch, without the detour of skorch where nobody wants it.

        Parameters
        ----------
        batch : tuple
            Samples and labels.

        **fit_params : dict
            Further arguments of the module.

        Returns
        -------
        step : dict
            The ``loss`` and the output of the module, ``y_pred``.

        Raises
        ------
        ValueError
            If the batch is a single sample, and the module has batch normalization.
        """
        if self.gradient_accumulation_steps == 1:
            if not self._steps_alone() or self._listens("on_grad_computed"):
                return super().train_step(batch, **fit_params)
            self._zero_grad_optimizer()
            step = self.train_step_single(batch, **fit_params)
            self._step_optimizer(None)
            return step
        n_batches, n_samples, _ = self._pending
        if n_batches == 0:
            self._zero_grad_optimizer()
        step = self.train_step_single(batch, **fit_params)
        self._pending = n_batches + 1, n_samples + self._n_joint(batch), batch
        if n_batches + 1 == self.gradient_accumulation_steps:
            self._step_on_pending()
        return step

    def _step_on_pending(self):
        """Let the optimizer step on the mean gradient over several batches."""
        _, n_samples, batch = self._pending
        named = list(self.get_all_learnable_params())
        for _, parameter in named:
            if parameter.grad is not None:
                parameter.grad /= n_samples
        self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        self._step_optimizer(None)
        self._pending = (0, 0, None)

    def _steps_alone(self):
        """Whether the optimizers are known to step without running the network."""
        return all(
            type(optimizer).__module__.startswith("torch.optim")
            and not isinstance(optimizer, torch.optim.LBFGS)
            for optimizer in (getattr(self, f"{name}_") for name in self._optimizers)
        )

    def fit_loop(
        self,
        X: NetInput,
        y: ArrayLike | Tensor | None = None,
        epochs: int | None = None,
        **params: Any,
    ) -> Self:
        """Train for a number of epochs.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples.

        y : array-like of shape (n_samples,), default=None
            Class index of each sample.

        epochs : int, default=None
            Number of epochs, by default ``max_epochs``.

        **params : dict
            As in skorch.

        Returns
        -------
        self : CenterLossNet
            The net.

        Raises
        ------
        ValueError
            If a parameter of the training is invalid, or the training loss is not finite.
        """
        for name in ("lambda_center", "lambda_norm"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and float(value) >= 0):
                raise ValueError(f"{name} must be a number >= 0; got {value!r}.")
        n_batches = self.gradient_accumulation_steps
        if not (isinstance(n_batches, Integral) and n_batches >= 1):
            raise ValueError(
                f"gradient_accumulation_steps must be an integer >= 1; got {n_batches!r}."
            )
        if n_batches > 1 and isinstance(self.optimizer_, torch.optim.LBFGS):
            raise ValueError(
                f"{type(self.optimizer_).__name__} runs the network itself; it takes "
                f"gradient_accumulation_steps=1; got {n_batches}."
            )
        start = self._n_finished = len(self.history)
        self.interrupted_ = self._callbacks_speak = False
        n_epochs = self.max_epochs if epochs is None else epochs
        self._n_epochs = start + n_epochs
        with (
            deterministic_algorithms(self.deterministic),
            trained_together(self, X, y, n_epochs),
        ):
            try:
                if self.checkpoint_dir is None or self.history:
                    return super().fit_loop(X, y, n_epochs, **params)
                return self._fit_loop_with_checkpoints(X, y, n_epochs, **params)
            except KeyboardInterrupt as error:
                is_amid = len(self.history) > self._n_finished
                given_up = self.interrupted_ or self._team is not None
                if self._n_finished == start or (is_amid and given_up):
                    raise GivenUp from error
                del self.history[self._n_finished :]  # an epoch that has trained nothing
                self.interrupted_ = self.interrupted_ or not self._callbacks_speak
                raise

    def _fit_loop_with_checkpoints(self, X, y, n_epochs, **params):
        """Train as ``fit_loop`` does, from the last checkpoint on if there is one."""
        if not (isinstance(self.checkpoint_every, Integral) and self.checkpoint_every > 0):
            raise ValueError(
                f"checkpoint_every must be an integer >= 1; got {self.checkpoint_every!r}."
            )
        checkpoints = Checkpoints(self, self.get_dataset(X, y), n_epochs)
        self._n_finished = checkpoints.resume(self)
        self._checkpoints = checkpoints
        try:
            super().fit_loop(X, y, n_epochs - self._n_finished, **params)
        except KeyboardInterrupt:
            if self._callbacks_speak and not self.interrupted_:  # one has found enough
                checkpoints.delete()
            raise
        finally:
            del self._checkpoints
        checkpoints.delete()
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a hook of the net and its callbacks, and end training if it is interrupted.

        Parameters
        ----------
        method_name : str
            Name of the hook.

        **cb_kwargs : dict
            Its arguments.
        """
        ends = method_name == "on_epoch_end"
        if method_name == "on_epoch_begin" and self._checkpoints is not None:
            self._checkpoints.before_epoch(self)
        if ends:
            self._n_finished = len(self.history)
        self._callbacks_speak = ends
        try:
            super().notify(method_name, **cb_kwargs)
        finally:
            if ends:  # also where a callback ends training
                log_epoch(self.history[-1], self._n_epochs)
        if ends and self.interrupted_:
            raise KeyboardInterrupt  # as skorch's callbacks end training
        self._callbacks_speak = False
        if ends and self._checkpoints is not None:
            self._checkpoints.after_epoch(self)

    def run_single_epoch(
        self,
        iterator: Iterable[Any] | None,
        training: bool,
        prefix: Literal["train", "valid"],
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Run one epoch of training or validation and record its mean loss.

        Parameters
        ----------
        iterator : iterable or None
            The batches; None skips the epoch.

        training : bool
            Whether this epoch trains.

        prefix : {"train", "valid"}
            Prefix of the names in the history.

        step_fn : callable
            Runs one batch and returns a dict with its loss.

        **fit_params : dict
            Further arguments of ``step_fn``.

        Raises
        ------
        ValueError
            If the training loss is not finite.
        """
        if iterator is None:
            return
        self._pending = (0, 0, None)
        if training:
            self._set_training(True)
        self._forget_casts()
        team = self._team
        if team is not None:
            iterator = team.batches(iterator, training)
        records = self._records_batches()
        if records and team is not None:
            step_fn = team.with_joint_loss(step_fn)
        names = [f"{prefix}_loss", f"{prefix}_batch_size"]
        batches = self.history[-1]["batches"]
        n_before = len(batches)
        total, n_samples = 0, 0
        try:
            if records:
                super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            else:
                for batch in iterator:
                    size = len(batch[1]) if team is None else team.n_own
                    loss = step_fn(batch, **fit_params)["loss"].detach()
                    # One transfer from the device an epoch, not one a batch. At once, so
                    # that no interrupt can part the sum from the number.
                    total, n_samples = torch.add(total, loss, alpha=size), n_samples + size
            if self._pending[0]:
                self._step_on_pending()
        except KeyboardInterrupt:
            # Other processes would wait for this one for ever.
            if self.interrupted_ or team is not None:
                raise
            if not training:  # the history wants its losses: once more
                self.interrupted_ = True
                del batches[n_before:]
                self.run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
                return
            if records:
                batches[:] = [row for row in batches if names[1] in row]
                n_samples = sum(row[names[1]] for row in batches)
                self.history.record(f"{prefix}_batch_count", len(batches))
            if n_samples <= self._pending[1]:
                raise
            self.interrupted_ = True
        if records:
            losses, sizes = np.transpose(self.history[-1, "batches", :, tuple(names)])
            sizes = sizes if team is None else team.sizes
            loss = float(np.average(losses, weights=sizes))
        else:
            if team is not None:
                total, n_samples = team.joint_sums(total, n_samples)
            loss = float(total) / n_samples
        if team is not None and training:
            team.share_buffers()
        if training and not np.isfinite(loss):
            raise ValueError(
                f"The training loss is {loss} in epoch {len(self.history)}. Likely causes: "
                f"a learning rate too large (lr={self.lr}), inputs that are not scaled "
                "(StandardScaler helps) or not finite, a lambda_center too large "
                f"(lambda_center={self.lambda_center}), {self._further_causes()}or centers "
                f"that diverge (center_update={self.center_update!r})."
            )
        name = f"{prefix}_loss"
        earlier = [row[name] for row in self.history[:-1] if name in row]
        self.history.record(name, loss)
        self.history.record(f"{name}_best", loss < min(earlier, default=np.inf))

    def _further_causes(self):
        """Return what else, if used, may have made the loss infinite."""
        causes = []
        if self.lambda_norm:
            causes.append(f"a lambda_norm too large (lambda_norm={self.lambda_norm}), ")
        if self.center is not None and not isinstance(self.center, str):
            largest = self.module_.center.predict().abs().max().item()
            causes.append(f"first centers too far out (center, up to {largest:.3g}), ")
        device_type = torch.device(self.device or "cpu").type
        if torch.is_autocast_enabled(device_type):
            dtype = torch.get_autocast_dtype(device_type)
            largest = torch.finfo(dtype).max
            causes.append(f"autocast to {dtype}, which ends at {largest:.3g}, ")
        return "".join(causes)

    def _records_batches(self):
        """Whether a callback looks at batches, as they come or later in the history."""
        readers = (Checkpoint, PassthroughScoring, TrainEndCheckpoint)
        return self._listens("on_batch_begin", "on_batch_end") or any(
            isinstance(callback, readers) for _, callback in self.callbacks_
        )

    def _listens(self, *hooks):
        """Whether a callback, or this net, does anything when skorch calls a hook."""
        lookers = [(self, NeuralNetClassifier)]
        lookers += [(callback, Callback) for _, callback in self.callbacks_]
        return any(
            getattr(type(looker), hook) is not getattr(base, hook) or hook in vars(looker)
            for looker, base in lookers
            for hook in hooks
        )

    def get_iterator(self, dataset: Dataset[Any], training: bool = False) -> Any:
        """Return batches, larger ones where nothing is trained.

        Parameters
        ----------
        dataset : torch.utils.data.Dataset
            The samples.

        training : bool, default=False
            Whether the batches are for training.

        Returns
        -------
        iterator : iterable
            Yields batches.
        """
        iterator = super().get_iterator(dataset, training=training)
        if training and isinstance(iterator, TensorBatches) and iterator.device is None:
            iterator.device = self.device
        chosen = hasattr(self, "iterator_valid__batch_size")
        if not training and not chosen and isinstance(iterator, TensorBatches):
            iterator.batch_size = self._inference_batch_size()
        return iterator

    def _inference_batch_size(self):
        on_cpu = torch.device(self.device or "cpu").type == "cpu"
        numbers = INFERENCE_NUMBERS if on_cpu else INFERENCE_NUMBERS_ELSEWHERE
        return max(self.batch_size, numbers // self._width)

    def _inference_batches(self, X):
        """Return batches of samples, for arrays without the search for their parameters."""
        prefixes = ("dataset__", "iterator_valid__")
        if (
            type(X) is np.ndarray
            and type(self).get_dataset is NeuralNetClassifier.get_dataset
            and type(self).get_iterator is CenterLossNet.get_iterator
            and self.dataset is ArrayDataset
            and self.iterator_valid is TensorBatches
            and not any(name.startswith(prefixes) for name in vars(self))
        ):
            return TensorBatches(ArrayDataset(X), self._inference_batch_size())
        return self.get_iterator(self.get_dataset(X))

    def forward_iter(
        self, X: NetInput, training: bool = False, device: str = "cpu", **infer_params: Any
    ) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Yield what the module makes of each batch, as skorch does.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples.

        training : bool, default=False
            Whether the module is in training mode.

        device : str, default="cpu"
            Where the outputs go.

        **infer_params : dict
            Arguments of the module: ``with_logits=False`` leaves the logits out.

        Yields
        ------
        output : tuple of (tensor, tensor)
            Logits, or None, and features of a batch.
        """
        plain = type(self).evaluation_step is NeuralNetClassifier.evaluation_step
        if training or not plain:
            yield from super().forward_iter(X, training=training, device=device)
            return
        if not self.initialized_:
            self.check_is_fitted()
        if self.module_.training:
            self._set_training(False)  # once, where skorch does it for each batch
        self._forget_casts()
        for batch in self._inference_batches(X):
            with torch.no_grad():
                output = self._fast("infer")(unpack_data(batch)[0], **infer_params)
            yield tuple(  # type: ignore[misc]
                None if part is None else part.to(device) for part in output
            )

    def without_optimizer(self) -> Self:
        """Return a net that shares everything with this one but the optimizer.

        Returns
        -------
        net : CenterLossNet
            A net that predicts alike. If it trains on, its optimizer starts anew.
        """
        net = object.__new__(type(self))
        vars(net).update(vars(self))  # type: ignore[attr-defined]
        if self.initialized_:
            net.optimizer_, net._compiled = None, {}
        return net

    def ensure_optimizer(self) -> None:
        """Build the optimizer if there is none, as after :meth:`without_optimizer`."""
        if self.optimizer_ is None:
            self.initialize_optimizer()

    def __getstate__(self):
        # skorch pickles modules on its own, for nets that move from a GPU to a machine
        # without one. On a CPU that only keeps cloudpickle, and so joblib's workers and
        # notebooks, from carrying modules that no other process can import.
        on_cpu = torch.device(self.device or "cpu").type == "cpu"
        state = vars(self).copy() if on_cpu else super().__getstate__()
        # First, so that pickle comes to them before it needs them.
        parts = self.module_.modules() if self.initialized_ else ()
        required = Required.by(self, *parts)
        state = {"_required": required, "_versions": versions(), **state}
        for of_training in ("_checkpoints", "_team"):
            state.pop(of_training, None)
        if "_compiled" in state:
            state["_compiled"] = {}
        if "history_" in state:
            state["history_"] = History(without_batches(state["history_"]))
        # A dict an epoch is three times as large as the numbers in it.
        if "history_" in state and len({tuple(row) for row in state["history_"]}) == 1:
            rows = state.pop("history_")
            columns = zip(*(row.values() for row in rows))
            state["history_columns"] = dict(zip(rows[0], map(list, columns)))
        return state

    def __setstate__(self, state):
        # Of a net pickled before a parameter came, that parameter is what it is by default.
        arguments = signature(type(self).__init__).parameters.values()
        values = {
            argument.name: argument.default
            for argument in arguments
            if argument.default is not Parameter.empty
        }
        state = {**values, "_compiled": {}, **state}
        warn_of_versions(state.pop("_versions", {}))
        state.pop("_required", None)
        columns = state.pop("history_columns", None)
        if columns is not None:
            rows = zip(*columns.values())
            state["history_"] = History(dict(zip(columns, row)) for row in rows)
        if "__cuda_dependent_attributes__" in state:
            super().__setstate__(state)
        else:
            vars(self).update(state)


def as_indices(y: ArrayLike | Tensor) -> NDArray[Any]:
    """Return labels as an array, or raise ValueError if they are no integers."""
    indices = np.asarray(y.cpu() if isinstance(y, Tensor) else y)
    if indices.dtype.kind not in "iu":
        raise ValueError(
            f"y must hold class indices, integers from 0 on; got dtype {indices.dtype}. "
            "CenterLossClassifier takes labels of any kind."
        )
    return indices


class GivenUp(BaseException):
    """A KeyboardInterrupt that skorch must not take for the end of training."""


def is_dense(tensor: Tensor) -> bool:
    """Return whether the numbers of a tensor fill its memory, in an order torch has."""
    formats = [torch.contiguous_format] + [torch.channels_last] * (tensor.ndim == 4)
    return any(tensor.is_contiguous(memory_format=order) for order in formats)

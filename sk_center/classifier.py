"""The scikit-learn side: a classifier trained with center loss."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator

from sk_center._classifier.build import find_max_epochs
from sk_center._classifier.changing import ChangingClassesMixin
from sk_center._classifier.inputs import (
    check_streams,
    check_training_data,
    check_validation,
    classes_of_stream,
)
from sk_center._classifier.net_params import NetParamsMixin
from sk_center._classifier.predictions import PredictionMixin
from sk_center._classifier.saving import SavingMixin
from sk_center._classifier.training import train
from sk_center._utils.callbacks import CallbackSupportMixin, Task
from sk_center._utils.compat import Interval, StrOptions, fit_context
from sk_center._utils.state import restored_on_error
from sk_center._utils.user_warning import warn_user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.utils.data import Dataset

    from sk_center._utils.torch_types import FirstCenters, Module
    from sk_center._utils.types import Label

__all__ = ["CenterLossClassifier"]


class CenterLossClassifier(
    NetParamsMixin,
    PredictionMixin,
    ChangingClassesMixin,
    SavingMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Neural network classifier whose classes are compact clouds around centers.

    It minimizes cross entropy plus ``lambda_center`` times center loss [1]_, so that the
    features of a class gather around one center. A sample is assigned to the nearest
    center; from its distances to the centers :class:`~sk_center.OpenSetClassifier` decides
    whether to reject it as a sample of none of the classes.

    Parameters
    ----------
    module : "auto", torch module class or instance, or callable, default="auto"
        Maps a batch to features of shape (n_samples, D); the classifier adds the
        softmax head and the centers, and finds D by a dry run. ``"auto"`` is
        :class:`~sk_center.networks.MLP` for 2-D X and
        :class:`~sk_center.networks.ConvNet` for 4-D X (n_samples, channels, height,
        width). A class is called with the ``module__`` parameters; an instance is copied,
        so every fit starts from its weights, and takes no such parameters; a function is
        used as it is, or called with them if there are any. Modules get float32.

    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Sizes of the dense layers of the ``"auto"`` networks; the last is the number of
        features D. ``"auto"`` is (512, 128) for tables and (128,), behind convolutions, for
        images. Wider and more layers can learn more and take more time: (2048, 128) and
        (512, 512, 128) take 2.5 times as long as the default on 16 columns. One layer alone
        is a linear map of a table. D = 2 can be plotted, but loses much accuracy with many
        classes; from 16 on D hardly matters.

    lambda_center : float, default=0.1
        Weight of the center loss, at least 0. Larger values make clouds more compact, and
        too large ones cost accuracy; 0 is plain softmax training. On digits and LETTER 0.03
        to 1 gave equal results, and softmax training lost 0.4 to 0.7 points of OSCR: search
        it on a log scale, with :class:`~sk_center.LeaveClassesOut`.

    anchors : array-like of shape (n_classes, D), "simplex", callable or None, default=None
        Centers that do not move, and minus the distances to them as the logits: class
        anchor clustering [2]_, except that center loss squares the distance to the anchor.
        ``"simplex"`` is the corners of a regular simplex of radius 10, which needs D of at
        least n_classes - 1; a callable gets the shape (n_classes, D) and returns such an
        array: ``lambda shape: simplex_etf(shape, radius=3)`` gives a simplex of another
        radius, see :func:`~sk_center.centers.simplex_etf`. None lets centers move.

    negative_label : int, float or str, default=None
        Label of negative samples, which belong to none of the classes but are of the kind
        to be rejected. They are used only to train the network, by ``negative_loss`` (see
        below): they are not among ``classes_``, have no center, and
        :class:`~sk_center.OpenSetClassifier` does not calibrate with them. None means that
        there are no negative samples.

    predict_with : {"center", "softmax"}, default="center"
        Whether predictions come from the distances to the centers or from the softmax
        head. With center loss both are about equally accurate; with ``lambda_center=0`` the
        centers are less accurate, and the softmax head is the fair baseline.

    max_epochs : "auto" or int, default="auto"
        Passes over the data, at least 1; training time is proportional to them. Too few
        cost accuracy and leave clouds wide; beyond some number more gain little. ``"auto"``
        is 40, or 20 with ``lambda_orientation``, which sees each image twice in a pass.

    lr : float, default=0.003
        Largest learning rate of the optimizer, above 0. Larger values learn faster but less
        precisely, or end in a loss that is not finite, which is an error; smaller ones take
        more epochs. Tune it first.

    lr_schedule : {"cosine"} or None, default="cosine"
        Course of the learning rate over the steps of a ``fit``: ``"cosine"`` rises to
        ``lr`` in the first tenth of them and falls to zero like half a cosine, so that
        training converges. None keeps ``lr``, which takes about three times as many epochs,
        at a smaller ``lr``, for the same accuracy. The rate is also ``lr`` in
        ``partial_fit`` and with ``early_stopping``, where the number of steps is unknown,
        and a :class:`skorch.callbacks.LRScheduler` among ``callbacks`` sets its own rate
        instead.

    batch_size : "auto" or int, default="auto"
        Samples of a training step, at least 1. ``"auto"`` is 32 up to 1024 samples, 64 up
        to 4096, and 128 beyond. Larger batches make epochs faster with fewer steps, and so
        take more epochs or a larger ``lr``. Prediction chooses its own batch size.

    optimizer : torch optimizer class, default=torch.optim.Adam
        Takes the ``optimizer__`` parameters, such as ``optimizer__weight_decay``. Another
        class needs another ``lr``.

    callbacks : list of skorch callbacks, "disable" or None, default=None
        Copied for each fit; parameters are reached as ``callbacks__<name>__<parameter>``.
        ``"disable"`` also leaves out those of skorch, and does not go with
        ``early_stopping``.

    class_weight : dict or "balanced", default=None
        Positive weights of the classes in both terms of the loss, multiplied with
        ``sample_weight``, used only in training. ``"balanced"`` gives every class the same
        total weight.

    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the data, stop when their loss no
        longer falls, and return to the best epoch. It costs that share of the training
        data, and the learning rate stays ``lr``: use it if ``max_epochs`` is more than
        needed. Otherwise all data are used for training.

    validation_fraction : float, default=0.1
        Share of the data held out, in (0, 1), stratified by class, with
        ``early_stopping=True``. A larger share stops less often by chance, and leaves less
        to train: 0.3 lost half a point of OSCR on digits and LETTER.

    n_iter_no_change : int, default=10
        Epochs without a smaller validation loss after which early stopping stops, at least
        1. Larger values train longer, smaller ones may stop by chance.

    warm_start : bool, default=False
        Whether ``fit`` continues from the last fit instead of starting again, with a new
        schedule. ``lr``, ``lr_schedule``, ``max_epochs``, ``batch_size``,
        ``lambda_center``, ``lambda_norm`` and ``verbose`` may change in between, and so may
        parameters that do not belong to the network: ``class_weight``, ``predict_with``,
        and ``negative_label`` if there was one. Changes of others, such as ``alpha`` and
        ``lambda_orientation``, take effect in a fit that starts again. Copies and pickles
        keep the optimizer only with ``warm_start=True``, or after ``partial_fit``.

    device : str or torch.device, default="auto"
        Where to compute. ``"auto"`` is the accelerator that torch finds, such as CUDA, MPS
        or XPU, else the CPU, see :class:`~sk_center.CenterLossNet`; ``net_.device`` holds
        the choice.

    random_state : int, RandomState instance or None, default=None
        Seed of the first weights, the order of batches, dropout and the validation
        split. With an int, two fits on one CPU are equal to the last bit, and the global
        generators of torch and numpy are unchanged.

    verbose : int or bool, default=0
        Whether to print a line per epoch: 0, the least, does not, 1 does. In any case the
        logger ``"sk_center"`` of :mod:`logging` gets such a line at level INFO.

    **skorch_params : dict
        Every other parameter of :class:`~sk_center.CenterLossNet`, which describes them, by
        its skorch name; a misspelled one is an error that names the closest valid one.

        - Network and optimizer: ``module__<name>``, ``optimizer__<name>``.
        - Loss: ``criterion__label_smoothing``, ``lambda_norm``, ``lambda_orientation``, for
          images by the ``"auto"`` network 1, and for negative samples ``negative_loss``,
          here ``"entropic"``, ``negative_loss__weight`` and ``negative_loss__min_norm``.
        - Centers and logits: ``alpha``, ``center_update``, ``center``, ``head``,
          ``metric``. ``alpha`` rarely matters, since ``fit`` ends with the exact class
          means.
        - Data: ``train_split``, ``iterator_train__num_workers``,
          ``iterator_train__resident``, ``dataset``.
        - Speed and memory: ``compile``, ``precision``, ``gradient_accumulation_steps``,
          ``deterministic``.
        - ``checkpoint_dir``, ``checkpoint_every``: a fit that was killed resumes when it is
          called again.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    centers_ : ndarray of shape (n_classes, D)
        Mean features of each class over the training data, float32. After
        ``partial_fit`` the moving averages; infinite for a class not seen so far.

    tau_ : float
        Temperature that turns distances into probabilities, see Notes.

    net_ : CenterLossNet
        The trained skorch net.

    module_ : CenterModule
        Its module, a :class:`~sk_center.networks.CenterModule`: called with a batch it
        returns logits and features.

    history_ : skorch.history.History
        Losses of each epoch.

    n_iter_ : int
        Number of epochs trained.

    n_features_in_ : int
        ``X.shape[1]`` in ``fit``; not set for a Dataset.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, if all column names of X are strings.

    See Also
    --------
    OpenSetClassifier : Rejects samples of none of the classes.
    LeaveClassesOut : Tunes rejection with the known classes alone.
    CenterLossNet : The skorch net underneath.
    sk_center.losses.center_loss : The loss, for a training loop of your own.

    Notes
    -----
    The loss is that of equation 5 of [1]_, as means over a batch: see the formula in
    :class:`~sk_center.CenterLossNet`.

    With d the Euclidean distances to the centers, ``decision_function`` is -d,
    ``predict`` the nearest center and ``predict_proba`` ``softmax(-d / tau)``: one score
    drives all three. tau is chosen after training so that these probabilities match
    those of the softmax head on the training data (least cross entropy), because the
    likelihood of the training labels would make them overconfident.

    If ``torch.distributed`` is initialized, as under ``torchrun``, call ``fit`` on every
    process with the same data: each trains on its part of every batch, and all end with the
    same estimator.

    The effect of larger and smaller parameters was measured on digits of scikit-learn, with
    6 known and 4 unknown classes, LETTER, with 13 known letters and 13 unknown ones, and
    MNIST, over several draws of the classes. OSCR is :func:`~sk_center.metrics.oscr_score`,
    and a point is 0.01.

    From scikit-learn 1.9 on, ``set_callbacks`` takes its callbacks, such as
    :class:`sklearn.callback.ProgressBar`. Each epoch is a task; a callback that scores gets
    a classifier with the centers of that epoch, which takes a pass over the data.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao. "A discriminative feature learning
       approach for deep face recognition". ECCV 2016.
    .. [2] D. Miller, N. Sünderhauf, M. Milford, F. Dayoub. "Class anchor clustering: a loss
       for distance-based open set recognition". WACV 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sk_center import CenterLossClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> classifier = CenterLossClassifier(random_state=0).fit(X[::2], y[::2])
    >>> classifier.score(X[1::2], y[1::2]) > 0.9
    True

    A wine with all values tripled gets probabilities as high as those of a real one, but it
    is far from all centers:

    >>> wine, nonsense = X[0], 3 * X[0]
    >>> classifier.predict_proba([wine, nonsense]).max(axis=1).round(2)
    array([1.  , 0.98], dtype=float32)
    >>> -classifier.decision_function([wine, nonsense]).max(axis=1).round()
    array([ 1., 27.], dtype=float32)
    """

    n_iter_: int
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _parameter_constraints: dict = {
        "module": [StrOptions({"auto"}), torch.nn.Module, callable],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "lambda_center": [Interval(Real, 0, None, closed="left")],
        "anchors": ["array-like", StrOptions({"simplex"}), callable, None],
        "negative_label": [Real, str, None],
        "predict_with": [StrOptions({"center", "softmax"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"cosine"}), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "optimizer": [callable],
        "callbacks": [list, StrOptions({"disable"}), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        module: Literal["auto"] | Module = "auto",
        *,
        hidden_layer_sizes: Literal["auto"]
        | Sequence[int]
        | NDArray[np.integer[Any]] = "auto",
        lambda_center: float = 0.1,
        anchors: FirstCenters | None = None,
        negative_label: Label | None = None,
        predict_with: Literal["center", "softmax"] = "center",
        max_epochs: int | Literal["auto"] = "auto",
        lr: float = 0.003,
        lr_schedule: Literal["cosine"] | None = "cosine",
        batch_size: int | Literal["auto"] = "auto",
        optimizer: Callable[..., Optimizer] = torch.optim.Adam,
        callbacks: list[Any] | Literal["disable"] | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **skorch_params: Any,
    ) -> None:
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.lambda_center = lambda_center
        self.anchors = anchors
        self.negative_label = negative_label
        self.predict_with = predict_with
        self.max_epochs = max_epochs
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.callbacks = callbacks
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self._store_net_params(skorch_params, TypeError)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike | Tensor | Dataset[Any],
        y: ArrayLike | Tensor | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train the network and find the centers.

        Parameters
        ----------
        X : array-like or tensor of shape (n_samples, n_features) or \
                (n_samples, channels, height, width), or map-style torch Dataset
            Training samples. A ``np.memmap`` or a Dataset is read batch by batch and
            need not fit in memory.

        y : array-like of shape (n_samples,), default=None
            Class labels of any kind that scikit-learn takes. With a Dataset they may be
            left out: they are then its ``targets``, or found by one pass over it.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights in both terms of the loss and in the centers. Only
            their ratios matter.

        Returns
        -------
        self : CenterLossClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the data, a parameter or the training loss is invalid. The result of an
            earlier ``fit`` is then kept.

        Warns
        -----
        UserWarning
            If y holds no sample of a ``negative_label`` that is given.

        UserWarning
            If training was interrupted. Ctrl-C ends training after the current batch, and
            the classifier is fitted nevertheless: ``n_iter_`` is the number of epochs.
            Before the first batch is done, and for the second time during validation or the
            computation of the centers, Ctrl-C raises KeyboardInterrupt, and the result of
            an earlier ``fit`` is kept.
        """
        n_epochs = None if self.max_epochs == "auto" else self.max_epochs
        context = self._init_callback_context(max_subtasks=n_epochs)
        with restored_on_error(self):
            if self.early_stopping and self.callbacks == "disable":
                raise ValueError("early_stopping=True needs callbacks; got 'disable'.")
            goes_on = self.warm_start and hasattr(self, "net_")
            classes = self.classes_ if goes_on else None
            data = check_training_data(self, X, y, sample_weight, classes, not goes_on)
            n_classes = len(self.classes_)
            counts = np.bincount(data[1], minlength=n_classes)
            if missing := self.classes_[counts[:n_classes] == 0].tolist():
                raise ValueError(
                    "With warm_start=True, y must have the classes of the last fit, "
                    f"{self.classes_.tolist()}; {missing} are missing. partial_fit takes a "
                    "part of the classes."
                )
            if self.negative_label is not None and len(counts) == n_classes:
                warn_user(f"y holds no sample of negative_label={self.negative_label!r}.")
            if self.early_stopping and "train_split" not in self._net_params():
                labels = [*self.classes_.tolist(), self.negative_label]
                check_validation(counts, labels, self.validation_fraction)
            context.max_subtasks = find_max_epochs(self)
            task = Task(context, self, X, y, sample_weight).begin()
            train(self, data, task, goes_on)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike | Tensor | Dataset[Any],
        y: ArrayLike | Tensor | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on the given samples, continuing an earlier fit.

        The centers are then the moving averages of training, not the class means over all
        data, of which only the last part is available.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Training samples, as in :meth:`fit`.

        y : array-like of shape (n_samples,), default=None
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All classes that will ever appear; needed in the first call.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, not normalized, since each call sees only some of them.

        Returns
        -------
        self : CenterLossClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If ``classes`` is missing in the first call or differs from the fitted ones,
            y holds a label that is not among them, or a parameter cannot be used here:
            ``early_stopping=True`` or ``class_weight="balanced"``.

        Warns
        -----
        UserWarning
            If training was interrupted, see :meth:`fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from sk_center import CenterLossClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = CenterLossClassifier(random_state=0)
        >>> for rows in np.split(np.random.default_rng(0).permutation(150), 10):
        ...     classifier = classifier.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        >>> classifier.n_iter_, classifier.score(X, y) > 0.9
        (10, True)
        """
        context = self._init_callback_context(task_name="partial-fit")
        task = Task(context, self, X, y, sample_weight).begin()
        with restored_on_error(self):
            check_streams(self)
            goes_on = hasattr(self, "net_")
            classes = classes_of_stream(self, classes)
            data = check_training_data(
                self, X, y, sample_weight, classes, not goes_on, streams=True
            )
            train(self, data, task, goes_on, epochs=1, streams=True)
        return self

"""The scikit-learn side: a classifier trained with center loss."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from copy import deepcopy
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import Tensor
from torch.utils.data import Dataset, Subset

from sk_center._classifier.outputs import OUTPUTS, BatchOutputs, collect, needs_logits
from sk_center._training.epochs import EpochTasks, snapshot, telling
from sk_center._training.net_params import (
    NetParamsMixin,
    check_callback_names,
    check_prefixed,
)
from sk_center._training.state import WARM_PARAMETERS, seeded, unchanged_on_error
from sk_center._utils.callbacks import CallbackSupportMixin, Task, with_callbacks
from sk_center._utils.labels import check_no_label_missing, equals_label
from sk_center._utils.processes import check_agreement, from_rank_0, joint_sum, own_rows
from sk_center._utils.state import restored_on_error
from sk_center._utils.versions import Required
from sk_center.batches import (
    LabelledDataset,
    TensorBatches,
    check_dataset,
    labels_of,
    sample_of,
)
from sk_center.centers import (
    UPDATE_RULES,
    add_class_sums,
    distances,
    means_of_sums,
)
from sk_center.losses import objectosphere_loss
from sk_center.net import NEGATIVE_LOSSES, CenterLossNet
from sk_center.networks import HEADS, METRICS, MLP, PRECISIONS, ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from skorch.history import History
    from torch.optim import Optimizer

    from sk_center._utils.torch_types import FirstCenters, Module
    from sk_center._utils.types import (
        Head,
        Label,
        Metric,
        NegativeLoss,
        Precision,
        UpdateRule,
    )
    from sk_center.networks import CenterModule

__all__ = ["CenterLossClassifier"]

TEMPERATURE_SAMPLES = 5_000
# Weights that float32 holds together with what they are multiplied with.
SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-30, 1e30
NET_DEFAULTS = {
    "iterator_train": TensorBatches,
    "iterator_valid": TensorBatches,
    "criterion": torch.nn.CrossEntropyLoss,
}


class CenterLossClassifier(
    NetParamsMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    BaseEstimator,
):
    """Neural network classifier whose classes are compact clouds around centers.

    It minimizes cross entropy plus ``lambda_center`` times center loss [1]_, so that
    the features of a class gather around one center. A sample belongs to the nearest
    center; how far it lies from all of them tells how unlike the training data it is,
    which :class:`~sk_center.OpenSetClassifier` turns into "none of the classes I know".

    Parameters
    ----------
    module : "auto", torch module class or instance, or callable, default="auto"
        Maps a batch to features of shape (n_samples, D); the classifier adds the
        softmax head and the centers, and finds D by a dry run. ``"auto"`` is
        :class:`~sk_center.networks.MLP` for 2-D X and
        :class:`~sk_center.networks.ConvNet` for 4-D X (n_samples, channels, height,
        width). A class is called with the ``module__`` parameters; an instance is
        copied, so its weights are the start of every fit, and takes no such parameters; a
        function is used as it is, or, where there are ``module__`` parameters, called with
        them to make the module. Modules get float32.

    lambda_center : float, default=0.1
        Weight of the center loss, at least 0. Larger makes clouds more compact, at some
        size at the price of accuracy; 0 is plain softmax training. On digits, LETTER and
        MNIST 0.01 to 0.3 did alike, 0 lost 1 to 3 points of OSCR and 1 up to 1.5: search it
        on a log scale, with :class:`~sk_center.LeaveClassesOut`.

    alpha : float, default=0.9
        Share of the old center that each batch retains, in [0, 1). Larger makes centers
        calmer and slower; near 1 they stay behind the features. It seldom matters, since
        ``fit`` ends with the exact class means: 0 to 0.99 did alike on digits and LETTER,
        0.999 lost accuracy. After ``partial_fit`` the centers are these moving averages.

    center_update : {"ema", "sum", "wen", "cumulative", "fixed"}, default="ema"
        How batches move the centers during training, see :class:`~sk_center.Center`.
        ``"sum"`` and ``"wen"`` did as well as ``"ema"``, but the former diverges with large
        batches; ``"cumulative"`` remembers early features and lost accuracy. ``"fixed"``
        makes anchors of ``center``, which is to be given then.

    hidden_layer_sizes : sequence of int, default=(512, 128)
        Sizes of the dense layers of the ``"auto"`` networks; the last is the number of
        features D. Wider and more layers learn more and take more time: (2048, 128) and
        (512, 512, 128) 2.5 times the default on 16 columns. One layer alone is a linear map
        of a table. D of 2 can be drawn, and costs much accuracy with many classes; from 16
        on D hardly matters.

    center : array-like of shape (n_classes, D), "simplex" or callable, default=None
        The first centers, see :class:`~sk_center.Center`. With ``center_update="fixed"``
        they are anchors: ``"simplex"`` gives the corners of a regular simplex of radius 10,
        which takes D of at least n_classes - 1, and
        ``lambda shape: simplex_etf(shape, radius=3)`` those of another radius, see
        :func:`~sk_center.centers.simplex_etf`. None would make anchors of random points
        near zero. Otherwise no need to give any: the first batch of a class finds its
        center, also in place of what a callable gave.

    head : {"linear", "distance"}, default="linear"
        What the cross entropy is of: a dense layer on the features, or minus the distances
        to the centers. With anchors the latter is class anchor clustering [2]_, but for
        center loss, which squares the distance to the anchor. With centers that move it
        cost accuracy.

    metric : {"euclidean", "cosine"}, default="euclidean"
        ``"cosine"`` brings features and centers to length one, so that a distance is
        ``sqrt(2 - 2 * cosine)``: only directions count. Center loss is small then, and
        takes a ``lambda_center`` of about 1 to 10.

    precision : {"float32", "bf16"}, default="float32"
        Precision the network computes features in. ``"bf16"``, which is torch's autocast,
        takes about half the time of wide layers where the processor has instructions for
        it, gains nothing for small ones, and did not change accuracy or OSCR. Centers,
        distances and logits stay in float32.

    lambda_norm : float, default=0.0
        Weight of ``1/2 * mean(|features|^2)``, center loss with all centers at zero, at
        least 0; larger makes features smaller. With ``lambda_center=0`` it tells how much
        of what center loss gains comes from small features alone; beside center loss it
        gained nothing.

    negative_label : int, float or str, default=None
        Label of negative samples: of none of the classes, but of the kind to be rejected.
        They train the network by ``negative_loss`` and nothing else: they are not among
        ``classes_``, have no center, and :class:`~sk_center.OpenSetClassifier` does not
        calibrate with them. None: there are none.

    negative_loss : {"background", "entropic", "objectosphere"}, default="entropic"
        What negative samples are trained for.

        - ``"background"``: a logit of their own. It is subtracted from the others in
          :meth:`logits`. It takes ``head="linear"``.
        - ``"entropic"``: equal probabilities for all classes [3]_.
        - ``"objectosphere"``: the same, features of length zero, and of at least
          ``negative_loss__min_norm=50`` for known samples, with
          ``negative_loss__weight=1e-4`` [3]_. A larger weight pushes negatives nearer to
          the origin and known samples further from it, a larger norm the latter.

    predict_with : {"center", "softmax"}, default="center"
        What predictions come from: the distances to the centers, or the softmax head. With
        center loss both are about as accurate; at ``lambda_center=0`` centers are not, and
        the softmax head is the honest baseline.

    max_epochs : int, default=100
        Passes over the data, at least 1; time grows with them. Too few cost accuracy and
        leave clouds wide, more gain ever less: OSCR on LETTER was 88.3 % after 5 epochs,
        94.5 after 40, 95.1 after 100 and 95.5 after 200. See ``early_stopping``.

    lr : float, default=0.001
        Learning rate of the optimizer, above 0. Larger learns faster and ends less exact,
        or in a loss that is not finite, which is an error; smaller takes more epochs. Of
        0.0001 and 0.01 each lost 6 points of OSCR on LETTER after 40 epochs: tune it first.

    batch_size : int, default=64
        Samples of a training step, at least 1. Larger makes fewer and faster steps of an
        epoch, and so takes more epochs or a larger ``lr``: 256 took 0.6 of the time and
        lost a point of accuracy on LETTER, but nothing with ``lr=0.004``; 16 took 2.6 times
        as long. Prediction chooses a size of its own.

    optimizer : torch optimizer class, default=torch.optim.Adam
        Takes the ``optimizer__`` parameters, such as ``optimizer__weight_decay``. Another
        class wants another ``lr``.

    callbacks : list of skorch callbacks, "disable" or None, default=None
        Copied for each fit; parameters are reached as ``callbacks__<name>__<parameter>``.
        ``"disable"`` also leaves out those of skorch, and does not go with
        ``early_stopping``.

    class_weight : dict or "balanced", default=None
        Positive weights of the classes in both terms of the loss, multiplied with
        ``sample_weight``, in training and nowhere else. ``"balanced"`` makes every class
        weigh the same.

    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the data, stop when their loss no
        longer falls, and return to the best epoch. It ends ``max_epochs`` early where fewer
        do, and costs that share of the training data. Otherwise all data train.

    validation_fraction : float, default=0.1
        Share of the data held out, in (0, 1), stratified by class, with
        ``early_stopping=True``. Larger stops less by chance, and leaves less to train: 0.3
        lost half a point of OSCR on digits and LETTER.

    n_iter_no_change : int, default=10
        Epochs without a smaller validation loss after which early stopping stops, at least
        1. Larger trains longer, smaller may stop by chance: 3, 10 and 30 stopped after 41,
        86 and 148 epochs of digits, and 10 and 30 did alike.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit instead of starting anew. ``lr``,
        ``max_epochs``, ``batch_size``, ``lambda_center``, ``lambda_norm`` and ``verbose``
        may change in between, and so may what is no parameter of the network:
        ``class_weight``, ``predict_with``, and ``negative_label`` where there was one.
        Changes of others, such as ``alpha``, wait for a fit that starts anew.
        Copies and pickles keep the optimizer only with it, or after ``partial_fit``.

    device : str or torch.device, default="auto"
        Where to compute. ``"auto"`` is CUDA where there is one, else the CPU.

    random_state : int, RandomState instance or None, default=None
        Seed of the first weights, the order of batches, dropout and the validation
        split. With an int, two fits on one CPU are equal to the last bit, and the global
        generators of torch and numpy are left as they were.

    verbose : int or bool, default=0
        Whether to print a line an epoch: 0, the least, does not, 1 does. In any case the
        logger ``"sk_center"`` of :mod:`logging` gets such a line at level INFO.

    **skorch_params : dict
        Every other parameter of :class:`~sk_center.CenterLossNet` by its skorch name:
        ``module__<name>``, ``optimizer__<name>``, ``criterion__label_smoothing``,
        ``iterator_train__num_workers``, ``train_split`` and so on; a misspelled one is an
        error that names the nearest. Of speed and memory are
        ``compile=True``, ``gradient_accumulation_steps``, ``deterministic=True`` and
        ``iterator_train__resident``, whether the data lie on a GPU. With
        ``checkpoint_dir`` a fit that was killed goes on when it is called again.

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
        Column names, where X had names that are strings.

    See Also
    --------
    OpenSetClassifier : Rejects samples of none of the classes.
    LeaveClassesOut : Tunes rejection with the known classes alone.
    CenterLossNet : The skorch net underneath.
    sk_center.losses.center_loss : The loss, for a training loop of your own.

    Notes
    -----
    The loss is that of equation 5 of [1]_, as means over a batch: the formula stands in
    :class:`~sk_center.CenterLossNet`.

    With d the Euclidean distances to the centers, ``decision_function`` is -d,
    ``predict`` the nearest center and ``predict_proba`` ``softmax(-d / tau)``: one score
    drives all three. tau is chosen after training so that these probabilities match
    those of the softmax head on the training data (least cross entropy), because the
    likelihood of the training labels would make them overconfident.

    Where ``torch.distributed`` is initialized, as under ``torchrun``, ``fit`` is called on
    every process with the same data, each trains on its part of every batch, and all end
    with the same estimator.

    What larger and smaller parameters do was measured on digits of scikit-learn, with 6
    known and 4 unknown classes, LETTER, with 13 known letters and 13 unknown ones, and
    MNIST, over several draws of the classes. OSCR is that of
    :func:`~sk_center.metrics.oscr_score`, and a point of it 0.01.

    From scikit-learn 1.9 on, ``set_callbacks`` takes its callbacks, such as
    :class:`sklearn.callback.ProgressBar`. Each epoch is a task; a callback that scores gets
    a classifier with the centers of that epoch, which takes a pass over the data.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao. "A discriminative feature learning
       approach for deep face recognition". ECCV 2016.
    .. [2] D. Miller, N. Sünderhauf, M. Milford, F. Dayoub. "Class anchor clustering: a loss
       for distance-based open set recognition". WACV 2021.
    .. [3] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sk_center import CenterLossClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> classifier = CenterLossClassifier(max_epochs=20, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), classifier).fit(X[::2], y[::2])
    >>> pipe.score(X[1::2], y[1::2]) > 0.9
    True

    Of a wine with three times as much of everything the probabilities are as sure as of
    one that is there, but it is far from all centers:

    >>> wine, nonsense = X[0], 3 * X[0]
    >>> pipe.predict_proba([wine, nonsense]).max(axis=1).round(2)
    array([0.98, 0.96], dtype=float32)
    >>> -pipe.decision_function([wine, nonsense]).max(axis=1).round()
    array([ 2., 51.], dtype=float32)
    """

    classes_: NDArray[Any]
    centers_: NDArray[np.float32]
    tau_: float
    net_: CenterLossNet
    n_iter_: int
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _parameter_constraints: dict = {
        "module": [StrOptions({"auto"}), torch.nn.Module, callable],
        "lambda_center": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, 1, closed="left")],
        "center_update": [StrOptions(set(UPDATE_RULES))],
        "hidden_layer_sizes": ["array-like"],
        "center": ["array-like", StrOptions({"simplex"}), callable, None],
        "head": [StrOptions(set(HEADS))],
        "metric": [StrOptions(set(METRICS))],
        "precision": [StrOptions(set(PRECISIONS))],
        "lambda_norm": [Interval(Real, 0, None, closed="left")],
        "negative_label": [Real, str, None],
        "negative_loss": [StrOptions(set(NEGATIVE_LOSSES))],
        "predict_with": [StrOptions({"center", "softmax"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
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
        lambda_center: float = 0.1,
        alpha: float = 0.9,
        center_update: UpdateRule = "ema",
        hidden_layer_sizes: Sequence[int] | NDArray[np.integer[Any]] = (512, 128),
        center: FirstCenters | None = None,
        head: Head = "linear",
        metric: Metric = "euclidean",
        precision: Precision = "float32",
        lambda_norm: float = 0.0,
        negative_label: Label | None = None,
        negative_loss: NegativeLoss = "entropic",
        predict_with: Literal["center", "softmax"] = "center",
        max_epochs: int = 100,
        lr: float = 0.001,
        batch_size: int = 64,
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
        self.lambda_center = lambda_center
        self.alpha = alpha
        self.center_update = center_update
        self.hidden_layer_sizes = hidden_layer_sizes
        self.center = center
        self.head = head
        self.metric = metric
        self.precision = precision
        self.lambda_norm = lambda_norm
        self.negative_label = negative_label
        self.negative_loss = negative_loss
        self.predict_with = predict_with
        self.max_epochs = max_epochs
        self.lr = lr
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

    @with_callbacks
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
            If the data, a parameter or the training loss is invalid. What an earlier
            ``fit`` found is then still there.

        Warns
        -----
        UserWarning
            If y holds no sample of a ``negative_label`` that is given.

        UserWarning
            If training was interrupted. Ctrl-C ends the epoch at hand after the batch at
            hand and training with it, and the classifier is fitted all the same:
            ``n_iter_`` tells the number of epochs. Before the first batch is trained, and a
            second time while the epoch is judged or the centers are found, Ctrl-C raises
            KeyboardInterrupt, and what an earlier ``fit`` found is still there.
        """
        self._validate_params()
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        task = Task(context, self, X, y, sample_weight).begin()
        with restored_on_error(self):
            if self.early_stopping and self.callbacks == "disable":
                raise ValueError("early_stopping=True needs callbacks; got 'disable'.")
            goes_on = self.warm_start and hasattr(self, "net_")
            classes = self.classes_ if goes_on else None
            inputs, y, weight = self._check_training_data(
                X, y, sample_weight, classes=classes, reset=not goes_on
            )
            n_classes = len(self.classes_)
            counts = np.bincount(y, minlength=n_classes)
            if not counts[:n_classes].all():
                raise ValueError(
                    "With warm_start=True, y must have the classes of the last fit, "
                    f"{self.classes_.tolist()}; "
                    f"{self.classes_[counts[:n_classes] == 0].tolist()} are missing. "
                    "partial_fit takes a part of the classes."
                )
            if self.negative_label is not None and len(counts) == n_classes:
                warnings.warn(
                    f"y holds no sample of negative_label={self.negative_label!r}.",
                    UserWarning,
                    stacklevel=3,
                )
            if self.early_stopping and "train_split" not in self._net_params():
                self._check_validation(counts)
            self._train(inputs, y, weight, task, epochs=None, goes_on=goes_on)
        return self

    @with_callbacks
    def partial_fit(
        self,
        X: ArrayLike | Tensor | Dataset[Any],
        y: ArrayLike | Tensor | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on the given samples, going on from what is fitted.

        The centers are then the moving averages of training, not the class means over
        all data, of which only the last part is at hand.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Training samples, as in :meth:`fit`.

        y : array-like of shape (n_samples,), default=None
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All classes that will ever appear; needed in the first call.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, taken as they are: each call sees but a part of them.

        Returns
        -------
        self : CenterLossClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If ``classes`` is missing in the first call or differs from the fitted ones,
            y holds a label that is not among them, or a parameter does not go with it:
            ``early_stopping=True`` and ``class_weight="balanced"`` do not.

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
        self._validate_params()
        context = self._init_callback_context(task_name="partial-fit")
        task = Task(context, self, X, y, sample_weight).begin()
        with restored_on_error(self):
            if self.early_stopping:
                raise ValueError("partial_fit does not go with early_stopping=True.")
            if self.class_weight == "balanced":
                raise ValueError(
                    "partial_fit does not go with class_weight='balanced', which takes all "
                    "labels; give the weights as a dict."
                )
            goes_on = hasattr(self, "net_")
            classes = self._check_classes(classes)
            inputs, y, weight = self._check_training_data(
                X, y, sample_weight, classes=classes, reset=not goes_on, streams=True
            )
            self._train(inputs, y, weight, task, epochs=1, goes_on=goes_on, streams=True)
        return self

    def outputs(
        self, X: ArrayLike | Tensor | Dataset[Any], names: Iterable[str] = OUTPUTS
    ) -> dict[str, NDArray[Any]]:
        """Return several outputs of one pass through the network.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        names : iterable of str, default=("labels", "features", "logits", \
                "probabilities", "distances")
            What to return. Nothing else is computed, and each costs the memory of its
            array.

            - ``"labels"``: what :meth:`predict` returns;
            - ``"features"``: what :meth:`transform` returns;
            - ``"logits"``: what :meth:`logits` returns;
            - ``"probabilities"``: what :meth:`predict_proba` returns;
            - ``"distances"``: what :meth:`center_distances` returns.

        Returns
        -------
        outputs : dict of ndarray
            The outputs by name, a row for each sample, equal to those of the methods.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If a name is none of those above, or X is empty, of another shape than in
            ``fit``, or not finite.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sk_center import CenterLossClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = CenterLossClassifier(max_epochs=5, random_state=0).fit(X, y)
        >>> outputs = classifier.outputs(X, ("labels", "features"))
        >>> {name: values.shape for name, values in outputs.items()}
        {'labels': (150,), 'features': (150, 128)}
        """
        names = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in names if name not in OUTPUTS]
        if unknown or not names:
            raise ValueError(f"names must be some of {OUTPUTS}; got {names!r}.")
        found = self._infer(X, names)
        if "labels" in found:
            found["labels"] = self.classes_[found["labels"]]
        return {name: found[name] for name in names}

    def predict(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[Any]:
        """Return the class of the nearest center, or of the softmax head.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self.outputs(X, ("labels",))["labels"]

    def decision_function(
        self, X: ArrayLike | Tensor | Dataset[Any]
    ) -> NDArray[np.float32]:
        """Return minus the distance to each center; larger is closer.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        decision : ndarray of shape (n_samples, n_classes) or (n_samples,)
            For two classes the distance to the first minus the distance to the second,
            positive for the second. With ``predict_with="softmax"`` the logits, and for
            two classes their difference.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        scores = self._infer(X, ("scores",))["scores"]
        if scores.shape[1] > 2:
            return scores
        with np.errstate(over="ignore", invalid="ignore"):
            decision = scores[:, 1] - scores[:, 0]
        # Infinitely far from both is equally far.
        return np.where(np.isnan(decision), decision.dtype.type(0), decision)

    def predict_proba(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return ``softmax(-distance / tau_)``, or the probabilities of the softmax head.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probability of each class.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("probabilities",))["probabilities"]

    def predict_log_proba(
        self, X: ArrayLike | Tensor | Dataset[Any]
    ) -> NDArray[np.float32]:
        """Return the logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Log-probability of each class.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def logits(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return what the softmax head makes of the features, before the softmax.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        logits : ndarray of shape (n_samples, n_classes)
            Logits, whatever ``predict_with`` is; where there is a background class, minus
            its own.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("logits",))["logits"]

    def center_distances(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return the Euclidean distance of each sample to each center.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_classes)
            Distances in feature space, whatever ``predict_with`` is.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("distances",))["distances"]

    def transform(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return the features of the network, the space in which the centers lie.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        features : ndarray of shape (n_samples, D)
            Features, float32.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("features",))["features"]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self):
        # First, so that pickle comes to it before it needs the classes.
        state = {"_required": Required.by(self), **super().__getstate__()}
        if "net_" not in state:
            return state
        # What an optimizer remembers is larger than the network, and of use to those alone
        # who train on.
        if not (self.warm_start or self._streams):
            state["net_"] = self.net_.without_optimizer()
        if np.array_equal(self.centers_, self._centers_of_net()):
            del state["centers_"]  # the module has them
        return state

    def __setstate__(self, state):
        state = {name: value for name, value in state.items() if name != "_required"}
        super().__setstate__(state)
        if "net_" in state and "centers_" not in state:
            self.centers_ = self._centers_of_net()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    @property
    def module_(self) -> CenterModule:
        """The trained torch module: features, head and centers."""
        return self.net_.module_

    @property
    def history_(self) -> History:
        """The losses of each epoch."""
        return self.net_.history_

    @property
    def _n_features_out(self):
        return self.centers_.shape[1]

    def _centers_of_net(self):
        """The centers in the module, as an array of its own."""
        return self.module_.center.predict().cpu().numpy()

    def _check_is_fitted(self):
        """Raise NotFittedError where needed; the check takes as long as a small network."""
        if not hasattr(self, "net_"):
            check_is_fitted(self)

    def _known_logits(self, logits):
        """The logits of the classes, minus that of the background where there is one."""
        n_classes = len(self.classes_)
        if logits.shape[1] == n_classes:
            return logits
        return logits[:, :n_classes] - logits[:, n_classes:]

    def _infer(self, X, names):
        """Return outputs by name of one pass through the network; labels as indices."""
        self._check_is_fitted()
        X = self._check_inputs(X, reset=False)
        by_center = self.predict_with == "center"
        centers = torch.from_numpy(self.centers_)
        passes = self.net_.forward_iter(X, with_logits=needs_logits(names, by_center))
        batches = (
            BatchOutputs(
                None if logits is None else self._known_logits(logits.float()),
                features.float(),
                centers,
                self.tau_,
                by_center,
            )
            for logits, features in passes
        )
        return collect(batches, names, len(X))

    def _check_inputs(self, X, y="no_validation", reset=True):
        """Return X as something the net takes, or (X, y) where y is given."""
        if isinstance(X, Dataset):
            self._check_sample_shape(tuple(np.shape(sample_of(check_dataset(X)[0]))), reset)
            if reset:
                for name in ("n_features_in_", "feature_names_in_"):
                    vars(self).pop(name, None)
            return LabelledDataset(X) if isinstance(y, str) else (X, y)
        if isinstance(y, str):
            plain = self._check_plain(X)
            if plain is not None:
                return plain
        if isinstance(X, torch.Tensor):
            X = X.detach().cpu()
            X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
        # A memmap keeps its dtype: converting it would read all of it into memory.
        dtype = "numeric" if isinstance(X, np.memmap) else [np.float32, np.uint8]
        checked = validate_data(self, X, y, dtype=dtype, allow_nd=True, reset=reset)
        array = checked if isinstance(y, str) else checked[0]
        self._check_sample_shape(array.shape[1:], reset)
        return checked

    def _check_plain(self, X):
        """Return a finite array in float32, or None if X needs scikit-learn's checks.

        For a few samples, those outlast a small network.
        """
        if not (
            type(X) is np.ndarray
            and X.dtype in (np.float32, np.float64)
            and X.shape[1:] == self._sample_shape
            and len(X) > 0
            and not hasattr(self, "feature_names_in_")
        ):
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            X = X.astype(np.float32, copy=False)
            return X if np.isfinite(X.sum()) else None  # scikit-learn looks closer

    def _check_sample_shape(self, shape, reset):
        """Remember the shape of a sample, or compare it with the one seen in fit."""
        if reset:
            self._sample_shape = shape
        elif shape != self._sample_shape:
            raise ValueError(
                f"X has samples of shape {shape}, but {type(self).__name__} is expecting "
                f"{self._sample_shape} features as input."
            )

    def _check_training_data(
        self, X, y, sample_weight, classes=None, reset=True, streams=False
    ):
        """Return the net's input, class indices and weights (or None)."""
        if isinstance(X, Dataset) and y is None:
            y = labels_of(check_dataset(X))
        if isinstance(y, torch.Tensor):
            y = y.cpu().numpy()
        check_no_label_missing(y)
        X, y = self._check_inputs(X, y, reset=reset)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if len(X) != len(y):
            raise ValueError(f"X has {len(X)} samples, y has {len(y)}.")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, y, dtype=np.float64, ensure_non_negative=True
            )
            kept = np.flatnonzero(sample_weight)
            if len(kept) == 0:
                raise ValueError(
                    "Sample weights must contain at least one non-zero number."
                )
            if len(kept) < len(y):  # no weight is no sample: it must not make a class
                y, sample_weight = y[kept], sample_weight[kept]
                X = Subset(X, kept) if isinstance(X, Dataset) else X[kept]
        negative = equals_label(y, self.negative_label)
        if classes is None:
            classes = np.unique(y[~negative])
        unknown = np.setdiff1d(y[~negative], classes)
        if len(unknown):
            raise ValueError(
                f"y holds the labels {unknown.tolist()}, which are not among the classes "
                f"{classes.tolist()}."
            )
        if len(classes) < 2:
            raise ValueError(
                "The number of classes has to be greater than one; got 1 class, "
                f"{classes.tolist()}. (Samples with sample_weight 0 do not count.)"
            )
        self.classes_ = classes
        y = np.where(negative, len(classes), np.searchsorted(classes, y))
        return X, y, self._combine_weights(y, sample_weight, streams)

    def _combine_weights(self, y, sample_weight, streams):
        """Return the weights of samples and classes together, or None.

        Negative samples, of the index after the last class, have no class weight. The
        mean is one, but in a stream, of whose weights only a part is known.
        """
        if sample_weight is not None and not streams:
            sample_weight = sample_weight / sample_weight.max()  # no sum can overflow
        if self.class_weight is not None:
            known = y[y < len(self.classes_)]
            per_class = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[known]
            )
            if not (np.isfinite(per_class).all() and per_class.min() > 0):
                raise ValueError(
                    f"class_weight must be positive; got {self.class_weight!r}. To leave a "
                    "class out, leave its samples out."
                )
            per_class = np.append(per_class, 1)
            with np.errstate(over="ignore"):
                sample_weight = per_class[y] * (
                    1 if sample_weight is None else sample_weight
                )
        if sample_weight is None:
            return None
        if not streams:
            sample_weight = sample_weight / sample_weight.max()
            sample_weight /= sample_weight.mean()
        elif sample_weight.max() > LARGEST_WEIGHT:
            raise ValueError(
                "sample_weight, times class_weight, must be at most "
                f"{LARGEST_WEIGHT:g} in partial_fit, which takes weights as they are; got "
                f"{sample_weight.max():g}."
            )
        # Rounded to nothing they would leave a class without center.
        return sample_weight.clip(min=SMALLEST_WEIGHT)

    def _check_validation(self, counts):
        """Raise ValueError if a part of every class cannot be held out."""
        n_samples, n_classes = counts.sum(), len(counts)
        n_held_out = np.ceil(self.validation_fraction * n_samples)
        if counts.min() < 2 or not n_classes <= n_held_out <= n_samples - n_classes:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} "
                f"cannot hold out a part of every class: {n_samples} samples of "
                f"{n_classes} classes, {counts.min()} of class "
                f"{[*self.classes_.tolist(), self.negative_label][counts.argmin()]!r}."
            )

    def _check_classes(self, classes):
        """Return the classes that partial_fit works with."""
        if not hasattr(self, "net_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return np.unique(np.asarray(classes))
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={np.unique(classes).tolist()} differ from those of the first "
                f"call, {self.classes_.tolist()}."
            )
        return self.classes_

    def _train(self, X, y, weight, task, epochs, goes_on, streams=False):
        """Train the net, then find centers_ and tau_."""
        check_agreement(classes=self.classes_.tolist())
        rng = from_rank_0(
            lambda: check_random_state(self._seed if goes_on else self.random_state)
        )
        net = self.net_ if goes_on else self._make_net(rng)
        device = torch.device(net.device)
        if isinstance(X, Dataset):
            dataset = LabelledDataset(X, y, weight)
        else:
            dataset = net.get_dataset(
                X if weight is None else {"X": X, "sample_weight": weight}, y
            )
        with (
            torch.inference_mode(False),  # gradients, also where the caller has none
            torch.enable_grad(),
            seeded(rng.randint(2**31 - 1), device),
            unchanged_on_error(net, goes_on),
        ):
            # Class means will be at hand after training, but of a stream, and these need
            # the moving averages earlier.
            track = streams or self.head == "distance" or self.center_update == "cumulative"
            wanted = {**vars(self), "track_centers": track}
            changed = {
                name: wanted[name]
                for name in WARM_PARAMETERS
                if wanted[name] != getattr(net, name)
            }
            if changed:
                net.set_params(**changed)
            if not goes_on:
                net.measure(dataset, y)
                net.initialize()
            start = len(net.history_)
            data = dataset, y, weight, streams
            epoch_tasks = EpochTasks(
                task, lambda: self._result(snapshot(net), *data, deepcopy(rng))
            )
            wanted = not streams and hasattr(self, "_skl_callbacks")
            with telling(net, epoch_tasks) if wanted else nullcontext():
                net.partial_fit(dataset, y, epochs=epochs)
            result = self._result(net, *data, rng)
            task.end(result)
        vars(self).update(result)
        if net.interrupted_:
            warnings.warn(
                f"Training was interrupted in epoch {self.n_iter_} of "
                f"{start + (epochs or self.max_epochs)}; what it found so far is kept. Fit "
                "again with warm_start=True, or call partial_fit, to go on from there.",
                UserWarning,
                stacklevel=4,
            )

    def _result(self, net, dataset, y, weight, streams, rng):
        """Return what a fit finds, as attributes, once the net is trained."""
        centers, tau = self._place_centers(net, dataset, y, weight, streams)
        return {
            "net_": net,
            "centers_": centers,
            "tau_": tau,
            "n_iter_": len(net.history_),
            "_seed": rng.randint(2**31 - 1),
            "_streams": streams,
        }

    def _place_centers(self, net, dataset, y, weight, streams):
        """Return the centers and the temperature of the trained net."""
        known = np.flatnonzero(y < len(self.classes_))
        y, weight = y[known], None if weight is None else weight[known]
        n_rows = min(len(y), TEMPERATURE_SAMPLES, max(2**22 // len(self.classes_), 100))
        rows = np.linspace(0, len(y) - 1, n_rows).astype(int)
        center = net.module_.center
        if streams:
            centers, seen = center.predict().cpu().numpy(), center.known.cpu().numpy()
            outputs = net.forward_iter(Subset(dataset, known[rows]), with_logits=False)
            parts = [features for _, features in outputs]
            # Where all samples are negative there is none.
            kept = (
                torch.cat(parts) if parts else center.center.new_empty(0, centers.shape[1])
            )
        else:
            own = own_rows(len(y))
            if len(known[own]) < len(dataset):
                dataset = Subset(dataset, known[own])
            outputs = net.forward_iter(dataset, with_logits=False)
            # At once: small pieces would lie between the batches and keep their memory.
            kept = torch.zeros(len(rows), center.feature_dim, dtype=center.center.dtype)
            first, last = np.searchsorted(rows, [own.start, own.stop])
            features = keep_rows(outputs, rows[first:last] - own.start, kept[first:last])
            sums = np.zeros((len(self.classes_), center.feature_dim))
            add_class_sums(sums, features, y[own], None if weight is None else weight[own])
            sums = joint_sum(torch.from_numpy(sums), net.device).numpy()
            centers = means_of_sums(sums, y, weight)
            kept = joint_sum(kept, net.device)
            seen = np.ones(len(centers), dtype=bool)
        if not streams and center.update != "fixed":
            center.center.copy_(torch.from_numpy(centers))
            # Centers that no batch has moved are knowledge now, for a stream to go on from.
            center.informed |= not (self.lambda_center or net.track_centers)
        if self.metric == "cosine":
            norms = np.linalg.norm(centers, axis=1, keepdims=True)
            centers /= np.where(norms > 0, norms, 1)
        centers[~seen] = np.inf  # no sample so far: infinitely far from everything
        with torch.no_grad():
            logits = net.module_.logits(kept.to(net.device)).cpu().float()
        logits = self._known_logits(logits)
        d = distances(kept, torch.from_numpy(centers[seen])).numpy()
        logits = logits.numpy()[:, seen].astype(float)
        # Features whose squares overflow have moved no center: their class is not seen yet.
        finite = all(np.isfinite(part).all() for part in (centers[seen], d, logits))
        if not (finite and seen[y].all()):
            raise ValueError(
                "The features of the trained network are not finite, or so large that the "
                "squares of distances are not. Scale the inputs (StandardScaler helps) or "
                f"lower lr={self.lr}."
            )
        if not len(y):
            return centers, getattr(self, "tau_", 1.0)
        weight = None if weight is None else weight[rows]
        p = softmax(logits, axis=1)
        return centers, from_rank_0(lambda: match_temperature(d, p, weight))

    def _make_net(self, rng):
        """Build the skorch net from the parameters."""
        params = self._net_params()
        module = self.module
        if isinstance(module, str):
            module, shape = self._default_module()
            params = {**shape, **params}
        elif isinstance(module, torch.nn.Module):
            arguments = [name for name in params if name.startswith("module__")]
            # skorch would make a new module, and lose the weights of this one.
            if arguments:
                raise ValueError(
                    f"{arguments[0]} is an argument of a module class; got an instance as "
                    f"module. Pass its class, {type(module).__name__}, or make the "
                    "instance with that argument."
                )
            module = deepcopy(module).cpu()
        if isinstance(module, type):
            check_prefixed(params, "module", module)
        check_prefixed(params, "optimizer", self.optimizer, also=("param_groups",))
        check_prefixed(params, "negative_loss", objectosphere_loss, also=("weight",))
        for prefix in ("iterator_train", "iterator_valid", "criterion"):
            check_prefixed(params, prefix, params.get(prefix, NET_DEFAULTS[prefix]))
        for name in ("criterion", "iterator_train", "iterator_valid", "dataset"):
            if name in params and not callable(params[name]):
                raise ValueError(f"{name} must be a class; got {params[name]!r}.")
        callbacks = deepcopy(self.callbacks)
        check_callback_names(params, callbacks)
        if self.early_stopping:
            callbacks = [*(callbacks or []), ("early_stopping", self._stopping())]
            split = ValidSplit(
                self.validation_fraction,
                stratified=True,
                random_state=rng.randint(2**31 - 1),
            )
            params.setdefault("train_split", split)
        return CenterLossNet(
            module,
            lambda_center=self.lambda_center,
            alpha=self.alpha,
            center_update=self.center_update,
            center=self.center,
            head=self.head,
            metric=self.metric,
            precision=self.precision,
            lambda_norm=self.lambda_norm,
            negative_loss=None if self.negative_label is None else self.negative_loss,
            n_classes=len(self.classes_),
            max_epochs=self.max_epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            callbacks=callbacks,
            device=find_device(self.device),
            verbose=self.verbose,
            **params,
        )

    def _stopping(self):
        """Return the callback that stops training early."""
        return EarlyStopping(patience=self.n_iter_no_change, load_best=True)

    def _default_module(self):
        """Return the class of the ``"auto"`` network and its parameters for the data."""
        shape = self._sample_shape
        sizes = np.ravel(self.hidden_layer_sizes)
        if not len(sizes) or not np.issubdtype(sizes.dtype, np.integer) or sizes.min() < 1:
            raise ValueError(
                "hidden_layer_sizes must hold at least one integer, all >= 1; got "
                f"{self.hidden_layer_sizes!r}."
            )
        params = {"module__hidden_layer_sizes": tuple(sizes.tolist())}
        if len(shape) == 1:
            return MLP, {**params, "module__in_features": shape[0]}
        if len(shape) == 3:
            return ConvNet, {**params, "module__image_shape": tuple(shape)}
        raise ValueError(
            "module='auto' takes X of shape (n_samples, n_features) or (n_samples, "
            f"channels, height, width); got samples of shape {tuple(shape)}. Reshape X or "
            "pass a module."
        )


def keep_rows(
    outputs: Iterable[tuple[Tensor | None, Tensor]], rows: NDArray[np.intp], kept: Tensor
) -> Iterator[Tensor]:
    """Yield the features of each batch, and store those of some rows.

    Parameters
    ----------
    outputs : iterable of pairs
        Logits, which may be None, and features of each batch.

    rows : ndarray of shape (n_rows,)
        Indices of the samples to keep, ascending.

    kept : tensor of shape (n_rows, D)
        Gets the features of these samples.

    Yields
    ------
    features : tensor of shape (n_batch, D)
        Features of a batch.
    """
    start = 0
    for _, features in outputs:
        first, last = np.searchsorted(rows, [start, start + len(features)])
        kept[first:last] = features[rows[first:last] - start]
        start += len(features)
        yield features


def find_device(device: str | torch.device) -> str:
    """Return the torch device that ``device`` names; ``"auto"`` is CUDA or the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or a torch device; got {device!r}."
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={device!r} needs a CUDA device, and torch finds none; 'auto' takes "
            "the CPU then."
        )
    return str(found)


def match_temperature(
    distances: NDArray[Any],
    probabilities: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
) -> float:
    """Find the temperature at which distances speak like given probabilities.

    Parameters
    ----------
    distances : ndarray of shape (n_samples, n_classes)
        Finite, non-negative distances.

    probabilities : ndarray of shape (n_samples, n_classes)
        Probabilities to match.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    tau : float
        The temperature of least cross entropy from ``probabilities`` to
        ``softmax(-distances / tau)``, within five decades around the mean distance.
    """
    distances = distances.astype(np.float64)
    scale = distances.mean()
    if not scale > 0:
        return 1.0
    distances = distances - distances.min(axis=1, keepdims=True)  # no exp can overflow
    expected = np.average((probabilities * distances).sum(axis=1), weights=sample_weight)

    def cross_entropy(log_beta):
        beta = np.exp(log_beta) / scale
        log_norm = np.log(np.exp(-beta * distances).sum(axis=1))
        return beta * expected + np.average(log_norm, weights=sample_weight)

    decades = 5 * np.log(10)
    found = minimize_scalar(cross_entropy, bounds=(-decades, decades), method="bounded")
    return float(scale / np.exp(found.x))

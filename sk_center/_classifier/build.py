"""Build the skorch net of a classifier from the parameters of the classifier."""

import math
from copy import deepcopy

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from sk_center._classifier.net_params import check_callback_names, check_prefixed
from sk_center._classifier.splits import EncodedSplit
from sk_center._utils.devices import find_device
from sk_center._utils.user_warning import warn_of_fit
from sk_center.batches import TensorBatches
from sk_center.losses import objectosphere_loss
from sk_center.net import CenterLossNet
from sk_center.networks import MLP, ConvNet

# Parameters of the classifier that the net takes under the same name.
SHARED = ("lambda_center", "lr", "optimizer", "verbose")
# The smallest and the largest batch that is chosen by the number of samples.
BATCH_SIZES = (32, 128)
NET_DEFAULTS = {
    "iterator_train": TensorBatches,
    "iterator_valid": TensorBatches,
    "criterion": torch.nn.CrossEntropyLoss,
}


def build_net(classifier, rng, n_samples):
    """Return a net that is not initialized yet."""
    find_device(classifier.device)  # or raise an error
    params = classifier._net_params()
    module = find_module(classifier, params)
    params["lambda_orientation"] = find_lambda_orientation(classifier)
    set_anchors(classifier.anchors, params)
    if classifier.negative_label is None:
        params.pop("negative_loss", None)
    else:
        params.setdefault("negative_loss", "entropic")
    check_net_params(params, module, classifier.optimizer)
    callbacks = deepcopy(classifier.callbacks)
    check_callback_names(params, callbacks)
    if classifier.early_stopping:
        callbacks = [*(callbacks or []), ("early_stopping", stopping(classifier))]
        split = ValidSplit(
            classifier.validation_fraction,
            stratified=True,
            random_state=rng.randint(2**31 - 1),
        )
        params.setdefault("train_split", split)
    if callable(params.get("train_split")) and not isinstance(
        params["train_split"], ValidSplit
    ):
        params["train_split"] = EncodedSplit(
            params["train_split"], classifier.classes_, classifier.negative_label
        )
    return CenterLossNet(
        module,
        n_classes=len(classifier.classes_),
        callbacks=callbacks,
        device=classifier.device,
        **{name: getattr(classifier, name) for name in SHARED},
        **resolved(classifier, n_samples),
        **params,
    )


def resolved(classifier, n_samples):
    """Return parameters of the net that depend on the data or on others."""
    batch_size = classifier.batch_size
    if batch_size == "auto":
        batch_size = auto_batch_size(n_samples)
    # With early stopping the number of steps is not known in advance.
    lr_schedule = None if classifier.early_stopping else classifier.lr_schedule
    return {
        "batch_size": batch_size,
        "lr_schedule": lr_schedule,
        "max_epochs": find_max_epochs(classifier),
    }


def find_max_epochs(classifier):
    """Return the number of epochs, half as many if one sees each image in two ways."""
    if classifier.max_epochs != "auto":
        return classifier.max_epochs
    return 20 if find_lambda_orientation(classifier) else 40


def find_lambda_orientation(classifier):
    """Return the weight of the orientation loss, 1 for the ``"auto"`` network of images."""
    is_image = isinstance(classifier.module, str) and len(classifier._sample_shape) == 3
    return classifier._net_params().get("lambda_orientation", float(is_image))


def auto_batch_size(n_samples):
    """Return the power of two from the square root of the number of samples on."""
    exponent = math.ceil(math.log2(n_samples) / 2)
    return int(np.clip(2**exponent, *BATCH_SIZES))


def stopping(classifier):
    """Return the callback that stops training early."""
    return EarlyStopping(patience=classifier.n_iter_no_change, load_best=True)


def find_module(classifier, params):
    """Return the module of the net, and add the arguments of an ``"auto"`` one."""
    module = classifier.module
    if isinstance(module, str):
        module, arguments = default_module(
            classifier._sample_shape, classifier.hidden_layer_sizes
        )
        params.update({**arguments, **params})
    elif isinstance(module, torch.nn.Module):
        arguments = [name for name in params if name.startswith("module__")]
        # skorch would make a new module, and lose the weights of this one.
        if arguments:
            raise ValueError(
                f"{arguments[0]} is an argument of a module class; got an instance as "
                f"module. Pass its class, {type(module).__name__}, or make the instance "
                "with that argument."
            )
        module = deepcopy(module).cpu()
    return module


def default_module(shape, hidden_layer_sizes):
    """Return the class of the ``"auto"`` network and its parameters for the data."""
    if isinstance(shape, dict):
        raise ValueError(
            f"module='auto' takes one input; got X with the inputs {[*shape]}. Pass a "
            "module that takes them by name."
        )
    params = {}
    if not isinstance(hidden_layer_sizes, str):  # "auto" is what the network takes itself
        sizes = np.asarray(hidden_layer_sizes, dtype=object)  # the network checks them
        params["module__hidden_layer_sizes"] = tuple(sizes.ravel().tolist())
    if len(shape) == 1:
        return MLP, {"module__in_features": shape[0], "module__standardize": True, **params}
    if len(shape) == 3:
        if shape[0] == shape[1] > shape[2] <= 4:
            warn_of_fit(
                f"Images of shape {tuple(shape)} have {shape[0]} channels and a width of "
                f"{shape[2]}. If the channels come last, give np.moveaxis(X, 3, 1)."
            )
        return ConvNet, {"module__image_shape": tuple(shape), **params}
    hint = " Gray images are X[:, None]." if len(shape) == 2 else ""
    raise ValueError(
        "module='auto' takes X of shape (n_samples, n_features) or (n_samples, channels, "
        f"height, width); got samples of shape {tuple(shape)}.{hint} Reshape X or pass a "
        "module."
    )


def set_anchors(anchors, params):
    """Let the net have fixed centers, and distances to them as logits."""
    if anchors is None:
        return
    for name in ("center", "center_update"):
        if name in params:
            raise ValueError(
                f"{name} does not go with anchors, which are centers that do not move; "
                f"got {name}={params[name]!r}."
            )
    params.update(center=anchors, center_update="fixed")
    params.setdefault("head", "distance")


def check_net_params(params, module, optimizer):
    """Raise ValueError if a prefixed parameter is not an argument of its target."""
    if isinstance(module, type):
        check_prefixed(params, "module", module)
    check_prefixed(params, "optimizer", optimizer, also=("param_groups",))
    check_prefixed(params, "negative_loss", objectosphere_loss, also=("weight",))
    for prefix in ("iterator_train", "iterator_valid", "criterion"):
        check_prefixed(params, prefix, params.get(prefix, NET_DEFAULTS[prefix]))
    for name in ("criterion", "iterator_train", "iterator_valid", "dataset"):
        if name in params and not callable(params[name]):
            raise ValueError(f"{name} must be a class; got {params[name]!r}.")

"""Train the net of a classifier, then find its centers and its temperature."""

from contextlib import nullcontext
from copy import deepcopy

import torch
from sklearn.utils import check_random_state
from torch.utils.data import Dataset

from sk_center._classifier.build import build_net, resolved
from sk_center._training.after_training import centers_and_temperature
from sk_center._training.sklearn_callbacks import EpochTasks, snapshot, telling
from sk_center._training.state import WARM_PARAMETERS, seeded, unchanged_on_error
from sk_center._utils.devices import device_of
from sk_center._utils.processes import check_agreement, from_rank_0
from sk_center._utils.user_warning import warn_user
from sk_center.batches.datasets import LabelledDataset


def train(classifier, data, task, goes_on, epochs=None, streams=False):
    """Train a classifier on checked data and set its fitted attributes."""
    X, y, weight = data
    if goes_on:
        classifier._check_classes_of_net("Training that goes on")
    check_agreement(classes=classifier.classes_.tolist())
    seed = classifier._seed if goes_on else classifier.random_state
    rng = from_rank_0(lambda: check_random_state(seed))
    net = classifier.net_ if goes_on else build_net(classifier, rng, len(y))
    if isinstance(X, Dataset):
        dataset = LabelledDataset(X, y, weight)
    else:
        X = X if weight is None else {"X": X, "sample_weight": weight}
        dataset = net.get_dataset(X, y)

    def result(net, rng):
        tau = getattr(classifier, "tau_", 1.0)
        centers, tau = centers_and_temperature(net, dataset, y, weight, streams, tau)
        return {
            "net_": net,
            "centers_": centers,
            "tau_": tau,
            "n_iter_": len(net.history_),
            "_seed": rng.randint(2**31 - 1),
            "_streams": streams,
        }

    seed = rng.randint(2**31 - 1)
    # The seed identifies a checkpoint; without one, any checkpoint is continued.
    net.seed_ = None if classifier.random_state is None else seed

    with (
        torch.inference_mode(False),  # gradients, even if the caller has turned them off
        torch.enable_grad(),
        seeded(seed, device_of(net)),
        unchanged_on_error(net, goes_on),
    ):
        update_net(net, classifier, len(y), streams)
        if not goes_on:
            net.measure(dataset, y)
            net.initialize()
        start = len(net.history_)
        tasks = EpochTasks(task, lambda: result(snapshot(net), deepcopy(rng)))
        tells = not streams and hasattr(classifier, "_skl_callbacks")
        with telling(net, tasks) if tells else nullcontext():
            net.partial_fit(dataset, y, epochs=epochs)
        found = result(net, rng)
        task.end(found)
    vars(classifier).pop("_trained_classes", None)
    vars(classifier).update(found)
    if net.interrupted_:
        warn_user(
            f"Training was interrupted in epoch {classifier.n_iter_} of "
            f"{start + (epochs or net.max_epochs)}; what it found so far is kept. "
            "Fit again with warm_start=True, or call partial_fit, to go on from there."
        )


def update_net(net, classifier, n_samples, streams):
    """Set the parameters of a net that may change between two fits."""
    # After training the class means replace the moving averages, except in a stream, which
    # needs them.
    track = streams or net.head == "distance" or net.center_update == "cumulative"
    wanted = {"lambda_norm": 0.0, **vars(classifier), **resolved(classifier, n_samples)}
    wanted["track_centers"] = track
    changed = {
        name: wanted[name] for name in WARM_PARAMETERS if wanted[name] != getattr(net, name)
    }
    if changed:
        net.set_params(**changed)

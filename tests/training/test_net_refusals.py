"""What a net refuses: labels, losses, weights of terms."""

import re

import numpy as np
import pytest
import torch
from net_cases import WatchBatches, X, fitted, y
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils.data import TensorDataset


@pytest.mark.parametrize("callbacks", [None, [WatchBatches()]])
def test_loss_that_is_not_finite_is_an_error(callbacks):
    """Check that the error names the epoch, the learning rate and other causes."""
    with pytest.raises(ValueError, match=r"loss is .* in epoch [12]\..*lr=1e\+20") as error:
        fitted(lr=1e20, callbacks=callbacks)
    assert "lambda_center=0.1" in str(error.value)


def test_reduction_of_the_criterion():
    """Check that a sum as criterion is what is minimized."""
    torch.manual_seed(0)
    mean = fitted(lambda_center=0, max_epochs=1, lr=1e-9)
    torch.manual_seed(0)
    total = fitted(lambda_center=0, max_epochs=1, lr=1e-9, criterion__reduction="sum")
    sizes = np.array([128, 22])
    expected = mean.history[0, "train_loss"] * (sizes @ sizes) / sizes.sum()
    assert_allclose(total.history[0, "train_loss"], expected, rtol=0.05)


@pytest.mark.parametrize("label", [-100, -1, 3])
@pytest.mark.parametrize("track", [True, False])
def test_no_label_is_passed_over(label, track):
    """Check that the label which torch's cross entropy skips is an error too."""
    labels = torch.tensor(y)
    labels[5] = label
    samples = TensorDataset(torch.tensor(X), labels)  # whose labels nobody reads before
    with pytest.raises((ValueError, IndexError)):
        fitted(samples, None, lambda_center=0, track_centers=track, n_classes=3)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize(
    ("label", "params", "accepted"),
    [
        (-1, {}, "[0, 2)"),
        (3, {"n_classes": 3}, "[0, 3)"),
        (2, {"n_classes": 2, "lambda_center": 0, "track_centers": False}, "[0, 2)"),
        (
            3,
            {"n_classes": 2, "negative_loss": "entropic"},
            "[0, 3), the last for negatives",
        ),
    ],
)
def test_labels_outside_the_classes_are_refused(label, params, accepted, kind):
    """Check that fit and partial_fit name such a label before they train."""
    labels = np.where(y == 2, 1, y)
    net = fitted(y=labels, **params)
    before = net.module_.head.weight.detach().clone()
    labels[5] = label
    match = re.escape(f"y must hold class indices in {accepted}; got {label}.")
    with pytest.raises(ValueError, match=match):
        fitted(y=kind(labels), **params)
    with pytest.raises(ValueError, match=match):
        net.fit(X, kind(labels))
    with pytest.raises(ValueError, match=match):
        net.partial_fit(X, kind(labels))
    assert_array_equal(net.module_.head.weight.detach(), before)


@pytest.mark.parametrize("labels", [y.astype(str), y.astype(float), y == 0])
def test_labels_that_are_no_integers_are_refused(labels):
    """Check that the error says who takes such labels."""
    with pytest.raises(ValueError, match=r"integers from 0 on; got dtype .*Classifier"):
        fitted(y=labels)


@pytest.mark.parametrize("name", ["lambda_center", "lambda_norm"])
@pytest.mark.parametrize("value", [-0.1, np.nan, "0.1", None])
def test_weights_of_the_loss_are_validated(name, value):
    """Check that a negative weight, which would blow features up, is refused."""
    match = rf"'{name}' .* a float in the range \[0.*Got {value!r}"
    with pytest.raises(ValueError, match=match):
        fitted(**{name: value})
    net = fitted().set_params(**{name: value})
    with pytest.raises(ValueError, match=match):
        net.partial_fit(X, y)

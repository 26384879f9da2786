"""Tests of training that goes on: partial_fit, warm starts, early stopping."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback
from small_classifiers import X, X_new, fitted, names, small, y


def test_partial_fit_equals_epochs_of_fit():
    """Check that calls of partial_fit train as the epochs of a warm start do."""
    model = small()
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert len(model.history_) == model.n_iter_ == 3
    warm = small(max_epochs=1, warm_start=True, lr_schedule=None)
    for _ in range(3):
        warm.fit(X, y)
    assert len(warm.history_) == 3
    # A warm start puts the centers at the class means after each fit; weights of the
    # first epoch are the same.
    assert model.history_[0, "train_loss"] == warm.history_[0, "train_loss"]
    assert_array_equal(model.module_.center.predict(), model.centers_)


def test_partial_fit_on_a_stream():
    """Check that it learns from a stream, whose first part lacks a class."""
    model = small(lr=0.02)
    order = np.random.default_rng(0).permutation(len(y))
    first = np.flatnonzero(y < 2)
    model.partial_fit(X[first], names[first], classes=np.unique(names))
    assert set(model.predict(X)) <= {"setosa", "versicolor"}
    assert_array_equal(model.predict_proba(X)[:, 2], 0)
    assert np.isinf(model.centers_[2]).all()
    for _ in range(15):
        for part in np.array_split(order, 3):
            model.partial_fit(X[part], names[part])
    assert np.isfinite(model.centers_).all()
    assert model.score(X, names) > 0.9


def test_partial_fit_sample_by_sample():
    """Check that one sample at a time is a batch like any other."""
    order = np.random.default_rng(0).permutation(len(y))[:20]
    params = {"batch_size": 1, "module__standardize": False}
    model = small(**params)
    for i in order[:18]:
        model.partial_fit(X[i : i + 1], y[i : i + 1], classes=[0, 1, 2])
    model.partial_fit(X[order[18:]], y[order[18:]])
    # An epoch ends with two samples at once, since a last batch of one joins another.
    params |= {"iterator_train__shuffle": False, "lr_schedule": None}
    epoch = small(max_epochs=1, **params)
    epoch.fit(X[order], y[order])
    assert_array_equal(model.transform(X_new), epoch.transform(X_new))
    assert model.n_iter_ == 19


def test_weights_in_partial_fit():
    """Check that partial_fit takes weights as they are, and no balanced classes."""
    heavy, light = small(optimizer=torch.optim.SGD), small(optimizer=torch.optim.SGD)
    heavy.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.ones(len(y)))
    light.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.full(len(y), 1e-6))
    start = small(optimizer=torch.optim.SGD, lr=1e-12)
    start.partial_fit(X, y, classes=[0, 1, 2])
    assert_allclose(light.transform(X), start.transform(X), rtol=1e-3, atol=1e-4)
    assert np.abs(heavy.transform(X) - start.transform(X)).max() > 0.01
    with pytest.raises(ValueError, match="class_weight='balanced'"):
        small(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_partial_fit_refuses_other_classes():
    """Check the errors of partial_fit, after which the model is as it was."""
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        small().partial_fit(X, y)
    with pytest.raises(ValueError, match="early_stopping"):
        small(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
    model = small().partial_fit(X[y < 2], y[y < 2], classes=[0, 1])
    before = model.predict_proba(X_new)
    with pytest.raises(ValueError, match=r"labels \[2\], which are not among the classes"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\] differ"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="X has 3 features"):
        model.partial_fit(X[:, :3], y.clip(max=1))
    assert_array_equal(model.predict_proba(X_new), before)


def test_warm_start_goes_on():
    """Check that a warm start adds epochs to the same net, with changed parameters."""
    model = small(warm_start=True, max_epochs=4).fit(X, y)
    net, first = model.net_, model.history_[0, "train_loss"]
    model.set_params(max_epochs=2, lr=0.003).fit(X, y)
    assert model.net_ is net
    assert model.n_iter_ == len(model.history_) == 6
    assert model.history_[4, "train_loss"] < first
    assert model.net_.optimizer_.param_groups[0]["lr"] == 0.003
    with pytest.raises(ValueError, match="not among the classes"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match=r"classes of the last fit, .* \[2\] are missing"):
        model.fit(X[y < 2], y[y < 2])
    cold = clone(model).set_params(warm_start=False)
    assert cold.fit(X, y).fit(X, y).n_iter_ == 2


def test_early_stopping():
    """Check that it stops, returns to the best epoch, and holds data out."""
    labels = np.random.default_rng(0).permutation(y)  # to be learned by heart only
    model = small(early_stopping=True, n_iter_no_change=3, max_epochs=200, lr=0.02)
    model.fit(X, labels)
    losses = model.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == model.n_iter_ == best + 1 + 3
    # The weights are those of the best epoch: one that ends there has the same.
    again = small(early_stopping=True, max_epochs=best + 1, lr=0.02).fit(X, labels)
    assert_array_equal(again.transform(X_new), model.transform(X_new))
    assert "valid_loss" not in fitted().history_[-1]


def test_validation_fraction():
    """Check how many samples of each class early stopping holds out."""
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
            for part in (dataset_train, dataset_valid):
                seen.append(np.bincount([int(label) for _, label in part]))

    small(
        early_stopping=True, validation_fraction=0.3, callbacks=[Look()], max_epochs=1
    ).fit(X, y)
    assert_array_equal(seen, [[35, 35, 35], [15, 15, 15]])

"""Tests of errors and warnings of CenterLossClassifier."""

import pickle
from inspect import signature

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from small_classifiers import (
    Samples,
    X,
    assert_same_model,
    digits,
    fitted,
    images,
    names,
    small,
    y,
)
from torch import nn
from torch.utils.data import TensorDataset

from sk_center import CenterLossClassifier, CenterLossNet

BAD = {
    "NaN": (np.where(np.eye(150, 4), np.nan, X), y, "Input X contains NaN"),
    "inf": (np.where(np.eye(150, 4), np.inf, X), y, "Input X contains infinity"),
    "too large": (
        np.where(np.eye(150, 4), 1e300, X.astype(float)),
        y,
        "infinity or a value too large",
    ),
    "one class": (X, np.zeros(150), r"greater than one; got 1 class, \[0"),
    "short y": (X, y[:-1], r"inconsistent numbers of samples: \[150, 149\]"),
    "continuous y": (X, X[:, 0], "Unknown label type: continuous"),
    "y of two columns": (X, np.c_[y, y], "y should be a 1d array"),
    "no y": (X, None, "requires y to be passed"),
    "empty": (X[:0], y[:0], "0 sample"),
    "no features": (X[:, :0], y, "0 feature"),
    "one row": (X[0], y[:1], "Expected 2D array|1D array"),
    "strings": (np.full((150, 4), "a"), y, "could not convert string to float"),
    "y with NaN": (X, np.where(y == 0, np.nan, y), "y holds a missing label, nan at"),
    "empty dataset": (Samples(X[:0], y[:0]), y[:0], "empty Dataset"),
    "dataset of samples in tuples": (TensorDataset(torch.zeros(9, 4)), None, "y is needed"),
    "iterable dataset": (
        torch.utils.data.ChainDataset([]),
        y,
        "must be a map-style Dataset.*partial_fit",
    ),
    "dataset without y": (Samples(X), None, "y is needed"),
    "dataset, short y": (Samples(X), y[:-1], "X has 150 samples, y has 149"),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # scikit-learn's
@pytest.mark.parametrize("name", BAD)
def test_bad_data(name):
    """Check that bad data is one clear error, and costs nothing that was fitted."""
    bad_X, bad_y, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        small().fit(bad_X, bad_y)
    model = small().fit(X, y)
    state = {key: id(value) for key, value in vars(model).items()}
    with pytest.raises(ValueError, match=message):
        model.fit(bad_X, bad_y)
    assert {key: id(value) for key, value in vars(model).items()} == state
    assert_same_model(model, fitted())


def test_sparse_data():
    """Check that sparse X is refused, and what is said to come before the network."""
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match=r"Sparse data was passed.*Put a TruncatedSVD"):
        small().fit(csr_array(X), y)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        fitted().predict(csr_array(X))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), "sample_weight.shape == "),
        (-np.ones(150), "Negative values"),
        (np.full(150, np.nan), "sample_weight contains NaN"),
    ],
)
def test_bad_weights(weight, message):
    """Check the errors for weights."""
    with pytest.raises(ValueError, match=message):
        small().fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lambda_center", -1),
        ("lambda_center", "a"),
        ("alpha", 1),
        ("alpha", -0.1),
        ("center_update", "mean"),
        ("hidden_layer_sizes", ()),
        ("hidden_layer_sizes", (8, 0)),
        ("hidden_layer_sizes", (8, 2.5)),
        ("predict_with", "head"),
        ("max_epochs", 0),
        ("lr", 0),
        ("batch_size", 0),
        ("optimizer", "adam"),
        ("callbacks", 3),
        ("class_weight", "even"),
        ("early_stopping", "yes"),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("warm_start", 2),
        ("device", 0),
        ("random_state", -1),
        ("module", 3),
        ("module", "mlp"),
        ("verbose", "loud"),
    ],
)
def test_bad_parameter(name, value):
    """Check that the error names the parameter and the value that it got."""
    model = small().fit(X, y)
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"(?s){name}.*(?i:got) .*") as error:
        model.fit(X, y)
    assert repr(value) in str(error.value)
    default = {
        **signature(CenterLossNet).parameters,
        **signature(CenterLossClassifier).parameters,
    }
    model.set_params(**{name: small().get_params().get(name, default[name].default)})
    assert_same_model(model, fitted())


@pytest.mark.parametrize(
    ("module", "got"),
    [
        (lambda X: X[:, 0], r"a tensor of shape \(2,\)"),
        (lambda X: X[:, :, None], r"a tensor of shape \(2, 4, 1\)"),
        (lambda X: (X, X), "tuple"),
        (lambda X: X.long(), r"a tensor of dtype torch\.int64"),
    ],
)
def test_module_must_give_features(module, got):
    """Check that the error says what the module should give and what it gave."""
    with pytest.raises(ValueError, match=rf"module must map .* \(2, D\); got {got}"):
        small(module=module).fit(X, y)


def test_loss_that_is_not_finite():
    """Check that the error names the epoch and causes, and the old model stays."""
    model = small().fit(X, y)
    model.lr = 1e20
    with pytest.raises(ValueError, match=r"loss is .* in epoch [12]\..*lr=1e\+20"):
        model.fit(X, y)
    assert_same_model(model, fitted())


def test_failed_training_step_is_undone():
    """Check that weights, optimizer and history are back after training failed midway."""
    model = small(warm_start=True).fit(X, y)
    model.lr = 1e20
    with pytest.raises(ValueError, match=r"loss is .* in epoch (9|10)\."):
        model.fit(X, y)
    assert_same_model(model, fitted())
    assert len(model.history_) == model.n_iter_ == 8
    one = small(warm_start=True).fit(X, y).fit(X, y)
    model.lr = one.lr
    assert_same_model(model.fit(X, y), one)


def test_keyboard_interrupt():
    """Check that Ctrl-C in the middle of an epoch ends the call and keeps the model."""

    class Interrupted(nn.Linear):
        def forward(self, X):
            if self.training:
                raise KeyboardInterrupt
            return super().forward(X)

    model = small().fit(X, y)
    model.set_params(module=Interrupted(4, 3))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    model.set_params(module="auto")
    assert_same_model(model, fitted())


def test_callback_that_fails():
    """Check that the model is as before where a callback raises."""

    class Failing(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("out of memory")

    model = small().fit(X, y)
    model.set_params(callbacks=[Failing()])
    with pytest.raises(RuntimeError, match="out of memory"):
        model.fit(X, y)
    model.set_params(callbacks=None)
    assert_same_model(model, fitted())


@pytest.mark.parametrize(
    "method",
    [
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "center_distances",
        "transform",
    ],
)
def test_not_fitted_and_wrong_width(method):
    """Check the errors of every method before fit and for X of another width."""
    with pytest.raises(NotFittedError):
        getattr(CenterLossClassifier(), method)(X)
    for bad, message in [(X[:, :3], "X has 3 features"), (X * np.nan, "contains NaN")]:
        with pytest.raises(ValueError, match=message):
            getattr(fitted(), method)(bad)


def test_a_class_of_one_sample():
    """Check that a class with one sample trains and is predicted for it."""
    rows = np.r_[0:100, 149]
    model = small(max_epochs=60).fit(X[rows], y[rows])
    assert model.center_distances(X[149:150])[0, 2] == pytest.approx(0, abs=1e-3)
    assert model.predict(X[149:150]) == 2


@pytest.mark.parametrize(
    ("rows", "fraction", "message"),
    [
        (np.r_[0:100, 149], 0.1, "101 samples of 3 classes, 1 of class 'virginica'"),
        (np.r_[0:150:10], 0.1, "15 samples of 3 classes, 5 of class 'setosa'"),
        (np.r_[0:150:25], 0.9, "6 samples of 3 classes, 2 of class 'setosa'"),
    ],
)
def test_early_stopping_with_too_few_samples(rows, fraction, message):
    """Check that what is too small to hold a part out is a clear error."""
    model = small(early_stopping=True, validation_fraction=fraction)
    with pytest.raises(ValueError, match=f"fraction={fraction} cannot .*{message}"):
        model.fit(X[rows], names[rows])
    # A split of the user's own needs no such share.
    model.set_params(train_split=ValidSplit(2, stratified=True), max_epochs=1)
    model.fit(X[:100], names[:100])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"early_stopping": True, "callbacks": "disable"}, "needs callbacks"),
        ({"callbacks__stop__patience": 7}, "names no callback"),
        ({"criterion": 3}, "criterion must be a class; got 3"),
        ({"iterator_train": 3}, "iterator_train must be a class; got 3"),
        ({"iterator_train__drop_last": True}, "does not go with TensorBatches"),
        ({"class_weight": {0: -5}}, "class_weight must be positive"),
        ({"class_weight": {0: 0}}, "class_weight must be positive"),
        ({"class_weight": {0: np.nan}}, "class_weight must be positive"),
        ({"class_weight": {7: 2}}, "class_weight"),
    ],
)
def test_parameters_that_do_not_go_together(params, message):
    """Check the errors for parameters that are wrong in fit only."""
    with pytest.raises(ValueError, match=message):
        small(**params).fit(X, y)


def test_pickle_is_lean():
    """Check that a pickle holds hardly more than the network, the centers and classes."""
    X, y = load_digits(return_X_y=True)
    model = CenterLossClassifier(max_epochs=30, random_state=0).fit(X[:300] / 16, y[:300])
    tensors = model.module_.state_dict().values()
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    needed += model.centers_.nbytes + model.classes_.nbytes
    assert len(pickle.dumps(model)) < 1.05 * needed
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_pickle_trains_on_as_the_original(how):
    """Check that the optimizer is kept where it is of use, and training goes on alike."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = CenterLossClassifier(
        hidden_layer_sizes=(16,),
        max_epochs=2,
        random_state=0,
        warm_start=how == "warm_start",
    )

    def go_on(model):
        if how == "warm_start":
            return model.fit(X, y)
        return model.partial_fit(X, y, classes=np.arange(10))

    go_on(model)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(go_on(copy).transform(X), go_on(model).transform(X))


def test_pickle_trains_on_with_a_new_optimizer():
    """Check that what was pickled without its optimizer trains on all the same."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = CenterLossClassifier(hidden_layer_sizes=(16,), max_epochs=2, random_state=0)
    copy = pickle.loads(pickle.dumps(model.fit(X, y)))
    before = copy.transform(X)
    copy.partial_fit(X, y)
    assert len(copy.history_) == 3
    assert not np.array_equal(copy.transform(X), before)
    assert_array_equal(model.transform(X), before)  # the original has what it had
    assert model.net_.optimizer_ is not None
    with pytest.raises(ValueError, match="training loss is nan"):
        pickle.loads(pickle.dumps(model)).set_params(lr=1e30).partial_fit(X, y)


@pytest.mark.parametrize("head", ["linear", "distance"])
def test_stream_after_training_without_center_loss(head):
    """Check that partial_fit goes on from the class means that fit found."""
    model = small(lambda_center=0, head=head).fit(X, y)
    means = model.centers_.copy()
    assert_array_equal(model.module_.center.predict(), means)
    model.partial_fit(X[y == 0], y[y == 0])
    assert_array_equal(model.centers_[1:], means[1:])
    moved = np.linalg.norm(model.centers_[0] - means[0])
    assert 0 < moved < 0.5 * np.linalg.norm(means[0] - means[1])


@pytest.mark.parametrize("predict_with", ["center", "softmax"])
def test_predict_is_the_largest_decision(predict_with):
    """Check that the quick ways of predict agree with decision_function."""
    model = small(predict_with=predict_with).fit(X, y)
    rng = np.random.default_rng(0)
    many = rng.normal(scale=3, size=(20_000, X.shape[1]))
    expected = model.classes_[model.decision_function(many).argmax(axis=1)]
    assert_array_equal(model.predict(many), expected)
    # float32 passes without scikit-learn's checks, float64 does not.
    assert_array_equal(model.predict(many.astype(np.float32)), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_undefined_numbers_are_refused_without_checks_too(value):
    """Check that float32 arrays, which skip the slow checks, must be finite."""
    model = small().fit(X, y)
    bad = X.astype(np.float32)
    bad[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.predict(bad)
    # The sum overflows, the numbers do not.
    large = np.full((4, X.shape[1]), np.finfo(np.float32).max / 2, dtype=np.float32)
    assert len(model.transform(large)) == 4


def test_pickle_is_the_network_and_little_more():
    """Check that a pickle holds no optimizer, no batches, no array twice."""
    model = small(max_epochs=100, hidden_layer_sizes=(64, 64)).fit(X, y)
    needed = sum(tensor.nbytes for tensor in model.module_.state_dict().values())
    needed += model.classes_.nbytes
    data = pickle.dumps(model)
    assert len(data) < needed + 17_000
    again = pickle.loads(data)
    assert_array_equal(again.centers_, model.centers_)
    assert again.centers_.dtype == model.centers_.dtype
    again.centers_[:] = 0  # an array of its own
    assert_array_equal(again.module_.center.predict(), model.centers_)
    assert again.history_ == model.history_
    # A stream has seen no sample of some classes, which the module cannot say.
    stream = small().partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    again = pickle.loads(pickle.dumps(stream))
    assert_array_equal(again.centers_, stream.centers_)
    assert np.isinf(again.centers_[1]).all()


def test_speed_parameters_reach_the_net():
    """Check the settings of speed and memory by their names of skorch."""
    model = small(
        gradient_accumulation_steps=2,
        deterministic=True,
        iterator_train__resident=True,
        compile=True,
        compile__backend="eager",
        max_epochs=30,
    )
    assert model.fit(X, y).score(X, y) > 0.9
    assert clone(model).get_params()["gradient_accumulation_steps"] == 2
    with pytest.raises(ValueError, match="resident"):
        small(iterator_train__residnt=True).fit(X, y)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("predict_with", ["center", "softmax"])
def test_predictions_of_boolean_classes_are_booleans(predict_with, as_list):
    """Check the dtype of what is learned and predicted where labels are True and False."""
    labels = y == 0
    model = small(predict_with=predict_with)
    model.fit(X, labels.tolist() if as_list else labels)
    assert model.classes_.dtype == model.predict(X).dtype == bool
    assert (model.predict(X) == labels).mean() > 0.9


def test_large_unsigned_labels_keep_their_dtype():
    """Check labels above the largest signed integer, which float64 would round."""
    labels = np.array([2**64 - 1, 2**64 - 2, 3], dtype=np.uint64)
    for streams in (False, True):
        model = small(max_epochs=20)
        if streams:
            model.partial_fit(X, labels[y], classes=labels)
        model.set_params(warm_start=streams).fit(X, labels[y])
        found = model.predict(X)
        assert found.dtype == model.classes_.dtype == np.uint64
        assert (found == labels[y]).mean() > 0.9


def test_complex_labels_are_refused():
    """Check that labels whose imaginary part would be lost are an error."""
    with pytest.raises(ValueError, match=r"(?i)complex|unknown label type"):
        small().fit(X, y + 1j)


@pytest.mark.parametrize("form", [pd.DataFrame, np.ndarray.astype])
def test_anchors_as_data_frame_or_objects(form):
    """Check that anchors are taken in whatever numbers come."""
    points = 3 * np.eye(3, 4)
    given = form(points, object) if form is np.ndarray.astype else form(points)
    model, expected = small(anchors=given).fit(X, y), small(anchors=points).fit(X, y)
    assert_array_equal(model.logits(X), expected.logits(X))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("learning_rate", "lr"),
        ("learning_rate_init", "lr"),
        ("epochs", "max_epochs"),
        ("n_epochs", "max_epochs"),
        ("max_iter", "max_epochs"),
        ("tol", "n_iter_no_change"),
        ("patience", "n_iter_no_change"),
        ("weight_decay", "optimizer__weight_decay"),
        ("optimizer__learning_rate", "optimizer__lr"),
    ],
)
def test_names_of_other_packages(name, meant):
    """Check that what another package calls a parameter leads to ours."""
    with pytest.raises((TypeError, ValueError), match=f"{name}.*did you mean '{meant}'"):
        small(**{name: 1}).fit(X, y)


def test_drop_last_is_no_misspelling():
    """Check that the message says who chooses samples, and who takes the argument."""
    with pytest.raises(
        ValueError, match=r"^drop_last does not .*DataLoader in its place takes it"
    ):
        small(iterator_train__drop_last=True).fit(X, y)


def test_columns_of_text_are_named():
    """Check that the message says which columns hold what is no number."""
    frame = pd.DataFrame(X).assign(shop="north", city=["south"] + ["north"] * (len(X) - 1))
    frame.columns = frame.columns.astype(str)
    with pytest.raises(ValueError, match=r"in the columns \['shop', 'city'\] of X"):
        small().fit(frame, y)


def test_gray_images_without_a_channel():
    """Check that the message says where the axis of channels goes."""
    with pytest.raises(ValueError, match=r"Gray images are X\[:, None\]"):
        small().fit(images[:, 0], digits)


def test_channels_that_come_last():
    """Check the warning that says how to bring them to the front."""
    last = np.moveaxis(np.repeat(images[:, :1], 3, axis=1), 1, 3)
    with pytest.warns(UserWarning, match=r"shape \(6, 6, 3\).*np.moveaxis\(X, 3, 1\)"):
        small(max_epochs=1).fit(last, digits)


def test_module_that_does_not_take_x():
    """Check that an input size that is wrong is an error that shows that of X."""
    module = nn.Linear(7, 2)
    with pytest.raises(ValueError, match=r"module cannot take a batch of shape \(2, 4\)"):
        small(module=module).fit(X, y)


def test_search_over_parameters_of_the_net():
    """Check that parameters that go through are searched, listed, set and cloned."""
    grid = {"lambda_norm": [0.0, 0.1], "lambda_center": [0.1, 1], "alpha": [0.5]}
    search = GridSearchCV(small(max_epochs=2), grid, cv=2).fit(X, y)
    best = search.best_estimator_
    assert {name: best.get_params()[name] for name in grid} == search.best_params_
    assert best.net_.lambda_norm == search.best_params_["lambda_norm"]
    assert clone(best).get_params() == best.get_params()
    with pytest.raises(ValueError, match="'precision' parameter of CenterLossClassifier"):
        small(precision="half").fit(X, y)


def test_parameter_validation_can_be_skipped():
    """Check that scikit-learn's switch reaches the classifier, whose net still checks."""
    with config_context(skip_parameter_validation=True):
        with pytest.raises(ValueError, match="precision must be one of"):
            small(precision="half").fit(X, y)
        assert hasattr(small(early_stopping=0).fit(X, y), "net_")

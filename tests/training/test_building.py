"""Tests of the parts of a net: what may be a module, what it gets, what is told."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EpochScoring
from skorch.dataset import Dataset
from skorch.exceptions import SkorchTrainingImpossibleError
from skorch.helper import SliceDict, predefined_split

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
rng = np.random.default_rng(0)
# Five words belong to each class; the last ones of a text are padding, of any word.
labels = np.arange(240) % 3
ids = rng.integers(0, 5, (240, 7)) + 5 * labels[:, None]
mask = np.arange(7) < rng.integers(3, 8, (240, 1))
ids[~mask] = rng.integers(0, 15, (~mask).sum())
TEXTS = {"input_ids": ids, "attention_mask": mask}


class Body(torch.nn.Module):
    """A linear layer whose output is scaled by an argument of the fit."""

    def __init__(self, width, scale=1.0):
        super().__init__()
        self.linear = torch.nn.Linear(4, width)

    def forward(self, X, scale=1.0):
        """Return the features."""
        return scale * self.linear(X)


class Encoder(torch.nn.Module):
    """A small encoder of texts, of torch's own layers."""

    def __init__(self, n_words=15, width=16):
        super().__init__()
        self.words = torch.nn.Embedding(n_words, width)
        layer = torch.nn.TransformerEncoderLayer(width, 2, 32, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, input_ids, attention_mask=None):
        """Return the mean of the words that are no padding."""
        padding = None if attention_mask is None else ~attention_mask
        states = self.encoder(self.words(input_ids), src_key_padding_mask=padding)
        if attention_mask is None:
            return states.mean(dim=1)
        weight = attention_mask[..., None].to(states.dtype)
        return (states * weight).sum(dim=1) / weight.sum(dim=1)


def encoder(**params):
    """Return a classifier of texts."""
    params = {"max_epochs": 6, "lr": 0.01, "random_state": 0, **params}
    return CenterLossClassifier(Encoder, module__n_words=15, **params)


@pytest.mark.parametrize(
    ("module", "width"), [(partial(Body, width=5), 5), (lambda: Body(3), 3)]
)
def test_factories_make_a_module(module, width):
    """Check that what takes no argument is called to make the module, anew each time."""
    net = CenterLossNet(module, max_epochs=1).fit(X, y)
    assert type(net.module_.body) is Body
    assert net.module_.center.feature_dim == width
    first = net.module_.body
    assert net.fit(X, y).module_.body is not first
    classifier = CenterLossClassifier(module, max_epochs=1).fit(X, y)
    assert classifier.transform(X).shape == (150, width)


def test_partial_takes_further_arguments():
    """Check that module__ parameters join those of the partial."""
    net = CenterLossNet(partial(Body, scale=2), module__width=6, max_epochs=1).fit(X, y)
    assert net.module_.center.feature_dim == 6


def test_arguments_of_fit_reach_forward():
    """Check that the module gets them in training, as skorch passes them."""
    nets = []
    for params in ({}, {"scale": 0.0}):
        torch.manual_seed(0)
        nets.append(CenterLossNet(Body, module__width=3, max_epochs=2).fit(X, y, **params))
    weights = [net.module_.body.linear.weight for net in nets]
    torch.manual_seed(0)
    start = torch.nn.Linear(4, 3).weight
    assert torch.equal(weights[1], start)
    assert not torch.equal(weights[0], start)


def test_callback_that_is_no_callback_of_skorch():
    """Check that an object with the hooks is called, whatever its class."""
    calls = []

    class Watch:
        def __getattr__(self, name):
            if not name.startswith("on_"):
                raise AttributeError(name)
            return lambda net, **kwargs: calls.append(name)

        def initialize(self):
            return self

        def set_params(self, **params):
            return self

    params = {"max_epochs": 1, "batch_size": 75}
    CenterLossNet(Body, module__width=3, callbacks=[("w", Watch())], **params).fit(X, y)
    assert calls.count("on_grad_computed") == 2
    assert calls.count("on_batch_end") == 2
    assert calls[-1] == "on_train_end"


def test_token_ids_reach_an_embedding():
    """Check that integers stay integers, in the classifier and in the net."""
    classifier = encoder().fit(ids, labels)
    assert classifier.score(ids, labels) > 0.8
    net = CenterLossNet(Encoder, lr=0.01, max_epochs=6).fit(ids, labels)
    assert (net.predict(ids) == labels).mean() > 0.8


@pytest.mark.parametrize("module", ["auto", partial(Body, width=3)])
def test_integers_are_converted_for_layers_that_take_none(module):
    """Check that a table of integers trains the same as one of floats."""
    params = {"module": module, "max_epochs": 2, "random_state": 0}
    whole = (10 * X).astype(int)
    one = CenterLossClassifier(**params).fit(whole, y)
    other = CenterLossClassifier(**params).fit(whole.astype(np.float32), y)
    assert_array_equal(one.transform(whole), other.transform(whole.astype(np.float32)))


@pytest.mark.parametrize("kind", [dict, SliceDict])
def test_several_inputs_go_to_forward_by_name(kind):
    """Check that padding is no part of a text, with weights and in a stream too."""
    texts = kind(**TEXTS)
    classifier = encoder().fit(texts, labels)
    assert (classifier.predict(texts) == labels).mean() > 0.9
    other = np.where(mask, ids, 0)
    assert_array_equal(
        classifier.predict_proba(texts),
        classifier.predict_proba(kind(input_ids=other, attention_mask=mask)),
    )
    classifier.fit(texts, labels, sample_weight=np.linspace(0, 1, 240))
    assert (classifier.partial_fit(texts, labels).predict(texts) == labels).mean() > 0.9
    net = CenterLossNet(Encoder, lr=0.01, max_epochs=6).fit(texts, labels)
    assert (net.predict(texts) == labels).mean() > 0.9
    with pytest.raises(ValueError, match=r"expecting \{'input_ids': \(7,\)"):
        classifier.predict(kind(input_ids=ids))


@pytest.mark.filterwarnings("ignore:Hardly any outsider")
def test_several_inputs_are_searched_and_rejected():
    """Check that scikit-learn splits a SliceDict, and OpenSetClassifier takes one."""
    texts = SliceDict(**TEXTS)
    search = GridSearchCV(encoder(), {"lambda_center": [0, 0.1]}, cv=2).fit(texts, labels)
    assert search.best_score_ > 0.8
    model = OpenSetClassifier(encoder(), false_rejection_rate=0.1, cv=0.3, random_state=0)
    model.fit(texts, labels)
    expected = model.p_known(texts)
    assert_array_equal(model.fit(TEXTS, labels).p_known(TEXTS), expected)
    tensors = {name: torch.from_numpy(part) for name, part in TEXTS.items()}
    assert_array_equal(model.fit(tensors, labels).p_known(tensors), expected)


@pytest.mark.parametrize("wrap", [lambda model: model, OpenSetClassifier])
@pytest.mark.parametrize("kind", [tuple, list])
def test_inputs_without_names_are_told(kind, wrap):
    """Check that a tuple of arrays, or a list, is asked for as a dict."""
    texts = kind(TEXTS.values())
    with pytest.raises(ValueError, match=r"of 2 inputs; give several inputs as a dict"):
        wrap(encoder()).fit(texts, labels)


@pytest.mark.parametrize(
    ("module", "samples", "message"),
    [
        (torch.nn.Linear(7, 5), X, "takes 7 features, and X has 4"),
        (
            torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten()),
            np.zeros((150, 1, 8, 8), np.float32),
            "takes 3 channels, and X has 1",
        ),
        (
            torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten()),
            np.zeros((150, 8, 8), np.float32),
            r"takes 1 channels, and X has 8; gray images are X\[:, None\]",
        ),
        (
            torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(5, 2)),
            X,
            r"batch of shape \(2, 4\) and dtype torch.float32, the form of X: mat1",
        ),
    ],
)
def test_wrong_input_size_is_told(module, samples, message):
    """Check that the error names the size that the first layer takes, and that of X."""
    with pytest.raises(ValueError, match=message):
        CenterLossNet(module).fit(samples, y)


@pytest.mark.parametrize("last", [torch.nn.Softmax(1), torch.nn.LogSoftmax(1)])
def test_module_that_ends_in_a_softmax_warns(last):
    """Check that the user is told, at their line, that features are expected."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), last)
    with pytest.warns(UserWarning, match="module ends in a softmax") as caught:
        CenterLossClassifier(module, max_epochs=1).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("classes", [[1, 2, 4], ["a", "b", "c"], [10**15, 5, 2**62]])
def test_labels_of_a_given_validation_set_are_encoded(classes):
    """Check the accuracy on a validation set against predictions for it."""
    named = np.array(classes)[y]
    held = Dataset(X[::3], named[::3])
    scoring = EpochScoring("accuracy", lower_is_better=False, name="accuracy")
    model = CenterLossClassifier(
        max_epochs=5,
        random_state=0,
        predict_with="softmax",
        callbacks=[scoring],
        train_split=predefined_split(held),
    ).fit(X, named)
    expected = (model.predict(X[::3]) == named[::3]).mean()
    assert model.history_[-1, "accuracy"] == expected > 0.5


def test_unknown_label_in_a_given_validation_set():
    """Check that a label that training lacks is an error that names it."""
    model = CenterLossClassifier(train_split=predefined_split(Dataset(X, y + 1)))
    with pytest.raises(ValueError, match=r"validation set of train_split, .*\[3\]"):
        model.fit(X, y)


@pytest.mark.parametrize("items", [1, 3])
def test_dataset_whose_items_are_no_pairs(items):
    """Check that a Dataset of other than pairs is told so, as skorch does."""
    data = torch.utils.data.TensorDataset(*[torch.from_numpy(X)] * items)
    with pytest.raises(
        ValueError, match=r"returns \d+ values|only 1 item|exactly 2 values"
    ):
        CenterLossNet(Body(4), n_classes=3).fit(data)


def test_criterion_that_takes_no_reduction():
    """Check that a criterion without one loss per sample is refused by its name."""

    class Loss(torch.nn.Module):
        """The mean of all losses, whatever is asked for."""

        def forward(self, logits, y):
            """Return one number."""
            return torch.nn.functional.cross_entropy(logits, y)

    with pytest.raises(TypeError, match=r"criterion must take reduction='none'.*Loss"):
        CenterLossNet(Body(4), criterion=Loss).fit(X, y)


def test_net_that_was_never_fitted_is_pickled():
    """Check that a net can be pickled before there is a history."""
    net = pickle.loads(pickle.dumps(CenterLossNet(Body(4), max_epochs=1)))
    assert len(net.fit(X, y).history) == 1


def test_net_trimmed_for_prediction_does_not_train():
    """Check that partial_fit refuses a net without what training needs, as skorch does."""
    net = CenterLossNet(Body(4), max_epochs=1).fit(X, y)
    net.trim_for_prediction()
    with pytest.raises(SkorchTrainingImpossibleError, match="trimmed for prediction"):
        net.partial_fit(X, y)

"""Tests of the orientation loss, by which a network learns which way up images are."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from sk_center import CenterLossClassifier, CenterLossNet, load, save, to_onnx
from sk_center.networks import ConvNet

digits = load_digits()
X = digits.images[:200, None].astype(np.float32)
y = digits.target[:200]
NETWORK = {"module__channels": (4, 8), "module__augment": None, "hidden_layer_sizes": (6,)}


def small(**params):
    """Return a classifier of images that trains in a blink."""
    defaults = {"max_epochs": 2, "random_state": 0, **NETWORK}
    return CenterLossClassifier(**{**defaults, **params})


def net(**params):
    """Return a net of images that is initialized, with three classes."""
    torch.manual_seed(0)
    made = CenterLossNet(
        ConvNet,
        module__image_shape=(1, 8, 8),
        module__channels=(4, 8),
        module__hidden_layer_sizes=(6,),
        module__augment=None,
        n_classes=3,
        **{"lambda_orientation": 0.7, "center_update": "fixed", **params},
    )
    made.measure(X[:2], np.zeros(2, dtype=int))
    return made.initialize()


@pytest.mark.parametrize("params", [{}, {"metric": "cosine"}])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_formula(params, weighted):
    """Check the loss of a step against numpy in float64."""
    trained = net(lambda_center=0.3, **params)
    trained.module_.eval()  # else the statistics of batch normalization move
    batch, labels = torch.from_numpy(X[:12]), torch.arange(12) % 3
    weight = torch.rand(12) + 0.5
    given = {"X": batch, "sample_weight": weight} if weighted else batch
    loss, (logits, features) = trained._loss_of(given, labels)
    w = weight.double().numpy() if weighted else np.ones(12)
    labels = labels.numpy()
    with torch.no_grad():
        f, f_turned = (
            trained.module_(torch.from_numpy(images.copy()))[1].double().numpy()
            for images in (X[:12], X[:12, :, ::-1, ::-1])
        )
        centers = trained.module_.center.predict().double().numpy()

    def entropy(layer, f, labels):
        f = f * np.sqrt(6) if params else f
        weight, bias = (part.detach().double().numpy() for part in layer.parameters())
        return -log_softmax(f @ weight.T + bias, axis=1)[np.arange(12), labels]

    head, orientation = trained.module_.head, trained.module_.orientation
    known = entropy(head, f, labels) + 0.3 / 2 * ((f - centers[labels]) ** 2).sum(axis=1)
    upright = entropy(orientation, f, labels)
    turned = entropy(orientation, f_turned, labels + 4)  # after that of negative samples
    expected = (w * known).mean() + 0.7 * (w * (upright + turned)).mean() / 2
    assert_allclose(float(loss.detach()), expected, rtol=1e-5)
    assert_allclose(features.detach().numpy(), f, rtol=1e-4, atol=1e-5)
    assert logits.shape == (12, 3)


@pytest.mark.parametrize(("weight", "expected"), [(0.5, 20), (0, 40)])
def test_number_of_epochs(weight, expected):
    """Check that epochs in which each image comes twice are half as many by default."""
    model = small(max_epochs="auto", lambda_orientation=weight).fit(X[:40], y[:40])
    assert model.n_iter_ == model.net_.max_epochs == expected


def test_images_train_with_it_by_default():
    """Check that the default network of images has it, and tables and own modules not."""
    assert small().fit(X, y).net_.lambda_orientation == 1
    assert small(lambda_orientation=0).fit(X, y).module_.orientation is None
    flat = CenterLossClassifier(hidden_layer_sizes=(4,), max_epochs=1)
    flat.fit(X.reshape(200, 64), y)
    assert flat.net_.lambda_orientation == 0
    own = {name: value for name, value in NETWORK.items() if name.startswith("module__")}
    own |= {"module__image_shape": (1, 8, 8), "module__hidden_layer_sizes": (6,)}
    model = CenterLossClassifier(ConvNet, max_epochs=1, random_state=0, **own).fit(X, y)
    assert model.module_.orientation is None
    model.set_params(lambda_orientation=0.5).fit(X, y)
    assert model.module_.orientation.out_features == 22


def test_images_upside_down_move_no_center():
    """Check that the first step takes a center to the mean of the upright images."""
    trained = net(center_update="cumulative")
    labels = torch.zeros(9, dtype=torch.int64)
    _, (_, features) = trained._loss_of(torch.from_numpy(X[:9]), labels)
    expected = features.detach().mean(dim=0)
    assert_allclose(trained.module_.center.predict()[0], expected, rtol=1e-5, atol=1e-6)


def test_callback_gets_as_many_outputs_as_samples():
    """Check that a callback that looks at batches sees an output for each sample."""
    sizes = []

    class Watch(Callback):
        def on_batch_end(self, net, batch=None, y_pred=None, training=None, **kwargs):
            sizes.append((len(batch[1]), *map(len, y_pred)))

    small(callbacks=[Watch()], max_epochs=1, batch_size=64).fit(X, y)
    assert sizes == [(64, 64, 64)] * 3 + [(8, 8, 8)]


@pytest.mark.parametrize("negative_loss", ["background", "entropic", "objectosphere"])
def test_negative_samples(negative_loss):
    """Check that negative samples are a further class of the second head."""
    labels = np.where(y < 5, y, -1)
    params = {"negative_label": -1, "negative_loss": negative_loss}
    model = small(**params, class_weight="balanced").fit(X, labels)
    assert model.classes_.tolist() == [0, 1, 2, 3, 4]
    assert model.module_.orientation.out_features == 12
    assert np.isfinite(model.history_[:, "train_loss"]).all()


def test_saved_continued_and_exported(tmp_path):
    """Check that files, further training and ONNX take such a model."""
    model = small().fit(X, y)
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    for other in (model, loaded):
        other.partial_fit(X, y)
        assert not other.module_.orientation.weight.isnan().any()
    assert to_onnx(model, tmp_path / "model.onnx") is None


def test_changed_in_a_trained_net():
    """Check that a weight of zero counts at once, and one above zero in a new net."""
    torch.manual_seed(0)
    trained = net(lambda_orientation=0).set_params(lambda_orientation=1)
    trained.partial_fit(X[:20], y[:20] % 3)
    assert trained.module_.orientation is None
    trained = net().set_params(lambda_orientation=0)
    before = trained.module_.orientation.weight.detach().clone()
    trained.partial_fit(X[:20], y[:20] % 3)
    assert torch.equal(trained.module_.orientation.weight, before)


def test_it_needs_images():
    """Check that samples that are no images are refused, with what is accepted."""
    model = CenterLossClassifier(lambda_orientation=1)
    message = r"takes images.*got lambda_orientation=1 .*\(64,\)"
    with pytest.raises(ValueError, match=message):
        model.fit(X.reshape(200, 64), y)
    with pytest.raises(ValueError, match="'lambda_orientation' parameter"):
        small(lambda_orientation=-1).fit(X, y)


def test_second_head_learns_class_and_orientation():
    """Check that it tells both of digits that it has not seen."""
    images, labels = digits.images[:, None].astype(np.float32), digits.target
    classifier = small(max_epochs=8, module__channels=(16, 32), hidden_layer_sizes=(128,))
    module = classifier.fit(images[:1000], labels[:1000]).module_.eval()
    upright = torch.from_numpy(images[1000:])
    right = []
    for batch, start in ((upright, 0), (upright.flip((2, 3)), 11)):
        with torch.no_grad():
            found = module.orientation_logits(module(batch)[1]).argmax(dim=1).numpy()
        right.append((found == labels[1000:] + start).mean())
    # A digit that looks the same upside down can be told in half of the cases.
    assert min(right) > 0.6
    assert np.mean(right) > 0.75

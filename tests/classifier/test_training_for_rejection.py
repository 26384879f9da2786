"""Tests of what trains for rejection: negatives, anchors, cosine metric, norm penalty."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch.utils.data import TensorDataset

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier
from sk_center.centers import simplex_etf
from sk_center.metrics import auroc_score
from sk_center.networks import MLP

NEGATIVE_LOSSES = ["background", "entropic", "objectosphere"]
X_all, y_all = load_digits(return_X_y=True)
X_all = (X_all / 16).astype(np.float32)
# Four digits are known, 4 and 5 are negatives, the others are outsiders.
X = X_all[y_all < 6][:500]
y = np.where(y_all < 4, y_all, -7)[y_all < 6][:500]


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (32, 8), "max_epochs": 8, "lr": 0.01}
    return CenterLossClassifier(**{**defaults, "random_state": 0, **params})


def batch(n_samples=12, n_classes=3, n_features=4, n_logits=None, seed=0):
    """Return logits, features, labels of which n_classes is negative, and weights."""
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(np.arange(n_samples) % (n_classes + 1))
    logits = torch.from_numpy(rng.normal(size=(n_samples, n_logits or n_classes))).float()
    features = torch.from_numpy(rng.normal(size=(n_samples, n_features))).float()
    return logits, features, labels, torch.from_numpy(rng.uniform(size=n_samples)).float()


def net(**params):
    """Return an initialized net of three classes and four features."""
    torch.manual_seed(0)
    made = CenterLossNet(
        MLP,
        module__in_features=5,
        module__hidden_layer_sizes=(4,),
        n_classes=3,
        center_update="fixed",
        **params,
    )
    made.measure(np.zeros((4, 5), np.float32), np.arange(4) % 3)
    return made.initialize()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("negative_loss", NEGATIVE_LOSSES)
def test_loss_of_a_batch_with_negatives(negative_loss, weighted):
    """Check the loss of a batch against the formulas in numpy float64."""
    params = {"lambda_center": 0.7, "lambda_norm": 0.3}
    if negative_loss == "objectosphere":
        params |= {"negative_loss__weight": 0.2, "negative_loss__min_norm": 2.5}
    trained = net(negative_loss=negative_loss, **params)
    background = negative_loss == "background"
    logits, features, labels, weight = batch(n_logits=4 if background else 3)
    given = {"X": None, "sample_weight": weight} if weighted else None
    found = trained.get_loss((logits, features), labels, given, training=False)
    f, c = features.double().numpy(), trained.module_.center.predict().double().numpy()
    log_p = log_softmax(logits.double().numpy(), axis=1)
    w = weight.double().numpy() if weighted else np.ones(12)
    total = 0.0
    for i, label in enumerate(labels.tolist()):
        norm = np.linalg.norm(f[i])
        loss = 0.3 / 2 * norm**2
        if label < 3:
            loss += -log_p[i, label] + 0.7 / 2 * ((f[i] - c[label]) ** 2).sum()
        else:
            loss += -log_p[i, 3] if background else -log_p[i].mean()
        if negative_loss == "objectosphere":
            loss += 0.2 * (max(2.5 - norm, 0) ** 2 if label < 3 else norm**2)
        total += w[i] * loss / 12
    assert_allclose(float(found), total, rtol=1e-5)


def test_constants_of_the_objectosphere():
    """Check that its defaults are a norm of 50 and a weight of 1e-4."""
    losses = []
    for params in ({}, {"negative_loss__weight": 1e-4, "negative_loss__min_norm": 50.0}):
        trained = net(negative_loss="objectosphere", **params)
        logits, features, labels, _ = batch()
        losses.append(float(trained.get_loss((logits, features), labels)))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative"])
@pytest.mark.parametrize("negative_loss", NEGATIVE_LOSSES)
def test_negatives_never_move_a_center(negative_loss, update):
    """Check that centers are those of a batch without the negatives, to the last bit."""
    logits, features, labels, weight = batch(n_logits=4)
    logits = logits if negative_loss == "background" else logits[:, :3]
    centers = []
    for rows in (np.arange(12), np.flatnonzero(labels.numpy() < 3)):
        trained = net(negative_loss=negative_loss)
        trained.module_.center.update = update
        given = {"X": None, "sample_weight": weight[rows]}
        trained.get_loss((logits[rows], features[rows]), labels[rows], given, training=True)
        centers.append(trained.module_.center.predict().numpy())
    assert_array_equal(*centers)


@pytest.mark.parametrize("predict_with", ["center", "softmax"])
@pytest.mark.parametrize("negative_loss", NEGATIVE_LOSSES)
def test_negatives_are_no_class(negative_loss, predict_with):
    """Check classes, shapes and centers of a classifier that trains with negatives."""
    model = small(
        negative_label=-7, negative_loss=negative_loss, predict_with=predict_with
    ).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    known = y >= 0
    assert (model.predict(X[known]) == y[known]).mean() > 0.9
    assert model.predict_proba(X).shape == model.logits(X).shape == (500, 4)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    features = model.transform(X).astype(float)
    means = [features[y == k].mean(axis=0) for k in range(4)]
    assert_allclose(model.centers_, means, rtol=1e-3, atol=1e-5)
    assert 0 < model.tau_ < np.inf
    with torch.no_grad():
        raw, _ = model.module_.eval()(torch.from_numpy(X))
    if negative_loss == "background":
        raw = raw[:, :4] - raw[:, 4:]
    assert_allclose(model.logits(X), raw, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("negative_loss", NEGATIVE_LOSSES)
def test_negatives_are_pushed_away(negative_loss):
    """Check that training makes logits and norms of negatives what the loss asks for."""
    # As large as a norm may grow in a few epochs.
    options = {"negative_loss__min_norm": 5.0, "negative_loss__weight": 0.1}
    options = options if negative_loss == "objectosphere" else {}
    model = small(
        negative_label=-7,
        negative_loss=negative_loss,
        lambda_center=0,
        max_epochs=30,
        **options,
    ).fit(X, y)
    known = y >= 0
    logits = model.logits(X)
    if negative_loss == "background":  # a logit above that of the background
        assert (logits[known].max(axis=1) > 0).mean() > 0.95
        assert (logits[~known].max(axis=1) < 0).mean() > 0.95
        return
    log_p = log_softmax(logits, axis=1)
    assert -log_p[~known].mean() < 1.1 * np.log(4)
    assert -log_p[known].mean() > 2 * np.log(4)
    if negative_loss == "objectosphere":
        norms = np.linalg.norm(model.transform(X), axis=1)
        assert np.median(norms[known]) > 4
        assert np.median(norms[~known]) < 1


def test_negatives_help_a_softmax():
    """Check that two negative digits tell the softmax of digits it never saw."""
    outsiders = X_all[y_all >= 6]
    X_test = np.concatenate([X_all[y_all < 4][-200:], outsiders])
    y_test = np.concatenate([y_all[y_all < 4][-200:], np.full(len(outsiders), 9)])
    areas = []
    for negative_label in (None, -7):
        model = small(lambda_center=0, negative_label=negative_label, max_epochs=30)
        rows = y >= (0 if negative_label is None else -7)
        model.fit(X[rows], y[rows])
        score = model.logits(X_test).max(axis=1)
        areas.append(auroc_score(y_test, score, labels=model.classes_))
    assert areas[1] > areas[0] + 0.03


def test_strings_weights_and_streams_with_negatives():
    """Check that negatives go with string labels, weights, early stopping, streams."""
    names = np.where(y < 0, "junk", np.char.add("digit ", y.astype(str)))
    model = small(negative_label="junk", class_weight="balanced", early_stopping=True)
    model.fit(X, names, sample_weight=np.random.default_rng(0).uniform(size=len(y)))
    assert model.classes_.tolist() == [f"digit {k}" for k in range(4)]
    costs = {f"digit {k}": k + 1.0 for k in range(4)}
    model.set_params(class_weight=costs, early_stopping=False).fit(X, names)
    assert (model.predict(X[y >= 0]) == names[y >= 0]).mean() > 0.9
    stream = small(negative_label="junk")
    for _ in range(5):
        stream.partial_fit(X, names, classes=model.classes_)
    assert stream.classes_.tolist() == model.classes_.tolist()
    assert (stream.predict(X[y >= 0]) == names[y >= 0]).mean() > 0.9
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    from_data = small(negative_label=-7).fit(data)
    assert_array_equal(from_data.classes_, [0, 1, 2, 3])
    assert (from_data.predict(X[y >= 0]) == y[y >= 0]).mean() > 0.9


def test_negatives_without_a_weight_do_not_train():
    """Check that negatives of weight zero are as good as not there."""
    weight = (y >= 0).astype(float)
    model = small(negative_label=-7)
    with pytest.warns(UserWarning, match="no sample of negative_label=-7"):
        model.fit(X, y, sample_weight=weight)
    with pytest.warns(UserWarning, match="no sample of negative_label=-7"):
        other = small(negative_label=-7).fit(X[y >= 0], y[y >= 0])
    assert_allclose(model.centers_, other.centers_, rtol=1e-5)


@pytest.mark.parametrize("label", ["junk", 17, None])
def test_label_that_is_not_there(label):
    """Check that a negative label that names no sample warns, None does not."""
    model = small(negative_label=label, max_epochs=1)
    if label is not None:
        with pytest.warns(UserWarning, match=f"negative_label={label!r}"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    assert_array_equal(model.classes_, [-7, 0, 1, 2, 3])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"negative_loss": "hate"}, "'negative_loss' parameter of CenterLossClassifier"),
        ({"head": "round"}, "'head' parameter of CenterLossClassifier"),
        ({"metric": "taxi"}, "'metric' parameter of CenterLossClassifier"),
        ({"center": "complex"}, "'center' parameter of CenterLossClassifier"),
        ({"lambda_norm": -1}, "'lambda_norm' parameter of CenterLossClassifier"),
        ({"negative_loss__norm": 3}, "'negative_loss__min_norm'"),
        (
            {"head": "distance", "negative_loss": "background", "negative_label": -7},
            "negative_loss='background' takes head='linear'",
        ),
        ({"center": "simplex", "hidden_layer_sizes": (8, 2)}, "D >= C - 1"),
    ],
)
def test_bad_parameters_raise(params, message):
    """Check that the errors name the parameter and what it takes."""
    model = small(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_net_asks_for_what_negatives_take():
    """Check that the skorch net names a wrong loss, and asks for the classes."""
    with pytest.raises(ValueError, match=r"'negative_loss' .*'entropic'.* Got 'hate'"):
        net(negative_loss="hate")
    asks = CenterLossNet(MLP, module__in_features=64, negative_loss="entropic")
    with pytest.raises(ValueError, match="n_classes must be an integer"):
        asks.fit(X, np.arange(len(X)) % 3)


# Anchors, cosine metric, norm penalty


def test_class_anchor_clustering():
    """Check the loss at the anchors: cross entropy of minus the distances, and the pull."""
    trained = net(head="distance", center="simplex", lambda_center=0.5)
    anchors = simplex_etf((3, 4)).double().numpy()
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 5))).float()
    labels = torch.arange(9) % 3
    output = trained.module_(inputs)
    found = trained.get_loss(output, labels, training=True)
    features = output[1].detach().double().numpy()
    d = cdist(features, anchors)
    own = d[np.arange(9), labels]
    # The tuplet loss: log(1 + sum over other classes of exp(d_y - d_j)).
    others = np.exp(own[:, None] - d)
    others[np.arange(9), labels] = 0
    tuplet = np.log1p(others.sum(axis=1)).mean()
    assert_allclose(float(found.detach()), tuplet + 0.5 * (own**2).mean() / 2, rtol=1e-5)
    assert_allclose(trained.module_.center.predict(), anchors, rtol=1e-6)


def test_training_with_anchors():
    """Check that clouds come to lie at their anchors, and centers_ are class means."""
    model = small(anchors="simplex", max_epochs=30).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.95
    features = model.transform(X).astype(float)
    means = [features[y == label].mean(axis=0) for label in model.classes_]
    assert_allclose(model.centers_, means, rtol=1e-3, atol=1e-4)
    anchors = simplex_etf((5, 8)).numpy()
    assert_array_equal(cdist(means, anchors).argmin(axis=1), np.arange(5))
    assert_allclose(model.logits(X), -cdist(features, anchors), rtol=1e-4)


def test_anchors_are_fixed_centers_and_distances_to_them():
    """Check anchors against the three parameters of the net that they stand for."""
    of_net = {"center": "simplex", "center_update": "fixed", "head": "distance"}
    expected = small(**of_net).fit(X, y)
    corners = simplex_etf((5, 8)).numpy()
    for anchors in ("simplex", corners, simplex_etf):
        model = small(anchors=anchors).fit(X, y)
        assert_array_equal(model.logits(X), expected.logits(X))
        assert_array_equal(model.module_.center.predict(), corners)
    # A dense layer for the cross entropy can still be had.
    assert small(anchors="simplex", head="linear").fit(X, y).module_.head is not None


@pytest.mark.parametrize("params", [{"center": "simplex"}, {"center_update": "ema"}])
def test_anchors_refuse_what_moves_them(params):
    """Check that the message names the parameter that anchors stand for."""
    (name,) = params
    with pytest.raises(ValueError, match=rf"{name} does not go with anchors.*got {name}="):
        small(anchors="simplex", **params).fit(X, y)


@pytest.mark.parametrize("update", ["ema", "cumulative"])
def test_distance_head_with_centers_that_move(update):
    """Check that minus the distances to moving centers can be trained."""
    model = small(head="distance", center_update=update, max_epochs=20).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.95
    # The logits are those of the final centers, the class means.
    assert_allclose(model.logits(X), -model.center_distances(X), rtol=1e-4, atol=1e-4)
    assert_allclose(model.tau_, 1, rtol=0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_cosine_distances(stream):
    """Check that distances are those of directions: sqrt(2 - 2 cos)."""
    model = small(metric="cosine", max_epochs=20)
    if stream:
        for _ in range(10):
            model.partial_fit(X, y, classes=np.unique(y))
    else:
        model.fit(X, y)
    features = model.transform(X).astype(float)
    assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert_allclose(np.linalg.norm(model.centers_, axis=1), 1, rtol=1e-5)
    cosine = 1 - cdist(features, model.centers_, "cosine")
    expected = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    assert_allclose(model.center_distances(X), expected, atol=2e-4)
    assert (model.predict(X) == y).mean() > 0.95
    if not stream:
        means = np.array([features[y == label].mean(axis=0) for label in model.classes_])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        assert_allclose(model.centers_, means, atol=1e-4)


def test_norm_penalty_makes_features_small():
    """Check that features shrink, and that the weight may change in a warm start."""
    norms = []
    for lambda_norm in (0, 0.1, 1):
        model = small(lambda_center=0, lambda_norm=lambda_norm, max_epochs=20).fit(X, y)
        norms.append(np.linalg.norm(model.transform(X), axis=1).mean())
    assert norms[0] > 2 * norms[1] > 3 * norms[2]
    warm = small(lambda_center=0, warm_start=True, max_epochs=20).fit(X, y)
    warm.set_params(lambda_norm=1).fit(X, y)
    assert np.linalg.norm(warm.transform(X), axis=1).mean() < norms[0] / 2


def test_defaults_add_nothing():
    """Check that a default fit is the one with every option at its neutral value."""
    neutral = {"lambda_norm": 0.0, "head": "linear", "metric": "euclidean", "center": None}
    one, other = small().fit(X, y), small(**neutral, negative_loss="background").fit(X, y)
    assert_array_equal(one.decision_function(X), other.decision_function(X))


# Negatives around OpenSetClassifier


class Recorder(CenterLossClassifier):
    """A classifier that keeps what each fit was given."""

    fits = ()

    def fit(self, X, y=None, sample_weight=None):
        type(self).fits = (*type(self).fits, (np.asarray(X), np.asarray(y)))
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("cv", [0.3, StratifiedKFold(3)])
@pytest.mark.parametrize("piped", [False, True])
def test_negatives_train_and_never_calibrate(piped, cv):
    """Check who trains and who calibrates where the estimator knows negatives."""
    Recorder.fits = ()
    inner = Recorder(
        hidden_layer_sizes=(32, 8), max_epochs=5, negative_label=-7, random_state=0
    )
    estimator = make_pipeline(MinMaxScaler((0, 1)), inner) if piped else inner
    scores = ["center_distance", "mahalanobis"]
    model = OpenSetClassifier(estimator, conformity_score=scores, cv=cv, random_state=0)
    model.fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    for _, labels in Recorder.fits:
        assert (labels == -7).sum() == (y == -7).sum()
    counts = np.bincount(y[y >= 0])
    calibrate = np.ceil(0.3 * counts) if cv == 0.3 else counts
    assert model.calibration_.n_samples_.sum() == calibrate.sum()
    assert len(Recorder.fits) == (1 if cv == 0.3 else 4)
    assert model.p_values(X).shape == (500, 4)
    assert set(model.predict(X)) <= {-1, 0, 1, 2, 3}
    # The score learns from known samples alone.
    features = model.transform(Recorder.fits[-1][0] if not piped else X)
    labels = Recorder.fits[-1][1] if not piped else y
    if cv == 0.3 and not piped:
        _, mahalanobis = model.score_.scores_
        means = [features[labels == k].mean(axis=0) for k in range(4)]
        assert_allclose(mahalanobis.means_, means, rtol=1e-3, atol=1e-4)


def test_frozen_estimator_with_negatives():
    """Check that a frozen estimator's negatives are left aside, and others named."""
    estimator = FrozenEstimator(small(negative_label=-7).fit(X, y))
    model = OpenSetClassifier(estimator, cv=0.3, random_state=0).fit(X, y)
    expected = clone(model).fit(X[y >= 0], y[y >= 0])
    assert_array_equal(model.calibration_.n_samples_, expected.calibration_.n_samples_)
    with pytest.raises(ValueError, match=r"labels \[17\], which are not among the classes"):
        clone(model).fit(X, np.where(y == 3, 17, y))
    # The outlier label may be that of the negatives.
    assert clone(model).set_params(outlier_label=-7).fit(X, y).outlier_label_ == -7


def test_labels_of_other_estimators_are_classes():
    """Check that without a negative_label every label is a class."""
    model = OpenSetClassifier(LogisticRegression(max_iter=200), cv=0.3, random_state=0).fit(
        X, y
    )
    assert_array_equal(model.classes_, [-7, 0, 1, 2, 3])

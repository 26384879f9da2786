"""Tests of CenterLossClassifier: its numbers, and weights of samples and classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits, make_classification
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import X, X_new, assert_same_model, features_of, fitted, small, y
from torch import nn

from sk_center import CenterLossClassifier
from sk_center._training.after_training import match_temperature


def test_decision_is_minus_the_distance_to_the_centers():
    """Check decision_function, predict and center_distances against scipy's cdist."""
    model = fitted()
    _, features = features_of(model, X_new)
    expected = cdist(features, model.centers_)
    assert_allclose(model.center_distances(X_new), expected, rtol=1e-5)
    assert_allclose(model.decision_function(X_new), -expected, rtol=1e-5)
    assert_array_equal(model.predict(X_new), expected.argmin(axis=1))
    assert model.decision_function(X_new).shape == (40, 3)


def test_transform_gives_the_features():
    """Check transform against the module itself, and that the shape is (n, D)."""
    model = fitted()
    assert model.transform(X_new).shape == (40, 4)
    assert_allclose(model.transform(X_new), features_of(model, X_new)[1], rtol=1e-6)


def test_probabilities_are_softmax_of_distances():
    """Check predict_proba and predict_log_proba against scipy's softmax."""
    model = fitted()
    scores = -cdist(features_of(model, X_new)[1], model.centers_) / model.tau_
    assert_allclose(model.predict_proba(X_new), softmax(scores, axis=1), rtol=1e-4)
    assert_allclose(model.predict_log_proba(X_new), log_softmax(scores, axis=1), rtol=1e-4)
    assert_allclose(model.predict_proba(X_new).sum(axis=1), 1, rtol=1e-6)


def test_two_classes():
    """Check that decision, labels and probabilities of two classes rank alike."""
    X, y = make_classification(300, 4, random_state=0)
    model = small(max_epochs=3).fit(X, y)
    distances = cdist(features_of(model, X)[1], model.centers_)
    decision = model.decision_function(X)
    assert decision.shape == (300,)
    assert_allclose(decision, distances[:, 0] - distances[:, 1], rtol=1e-4, atol=1e-5)
    assert_array_equal(model.predict(X), (decision > 0).astype(int))
    p = model.predict_proba(X)[:, 1]
    assert_allclose(p, 1 / (1 + np.exp(-decision / model.tau_)), rtol=1e-4)
    assert (np.diff(p[np.argsort(decision)]) >= 0).all()


def test_softmax_head():
    """Check predict_with="softmax" against the head's logits; distances stay."""
    model = fitted(predict_with="softmax", lambda_center=0)
    logits, features = features_of(model, X_new)
    assert_allclose(model.decision_function(X_new), logits, rtol=1e-5, atol=1e-6)
    assert_allclose(model.predict_proba(X_new), softmax(logits, axis=1), rtol=1e-5)
    assert_array_equal(model.predict(X_new), logits.argmax(axis=1))
    expected = cdist(features, model.centers_)
    assert_allclose(model.center_distances(X_new), expected, rtol=1e-5)
    two = small(predict_with="softmax").fit(X[y < 2], y[y < 2])
    logits, _ = features_of(two, X_new)
    expected = logits[:, 1] - logits[:, 0]
    assert_allclose(two.decision_function(X_new), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("module", ["auto", "batch norm"])
def test_centers_are_the_class_means(weighted, module):
    """Check centers_ against the (weighted) means of the features in eval mode."""
    if module == "batch norm":
        module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    weight = np.random.default_rng(0).exponential(size=len(y)) if weighted else None
    model = small(module=module).fit(X, y, sample_weight=weight)
    _, features = features_of(model, X)
    for k, center in enumerate(model.centers_):
        of_class = None if weight is None else weight[y == k]
        expected = np.average(features[y == k], axis=0, weights=of_class)
        assert_allclose(center, expected, rtol=1e-4, atol=1e-5)
    # The net that goes on training goes on from there.
    assert_array_equal(model.module_.center.predict(), model.centers_)
    assert model.centers_.dtype == np.float32


def test_center_loss_makes_compact_clouds():
    """Check that the larger lambda, the smaller the clouds against their distances."""

    def spread(lambda_center):
        model = small(lambda_center=lambda_center, max_epochs=100).fit(X, y)
        own = model.center_distances(X)[np.arange(len(y)), y]
        return own.mean() / cdist(model.centers_, model.centers_).max()

    found = [spread(lambda_center) for lambda_center in (0, 0.1, 1, 10)]
    assert (np.diff(found) < 0).all()
    assert found[0] > 1.5 * found[-1]


def test_temperature_is_of_least_cross_entropy():
    """Check tau against a fine grid of temperatures in float64."""
    rng = np.random.default_rng(0)
    d = rng.exponential(size=(50, 4)) * 7
    p = softmax(-d / 1.3 + rng.normal(size=d.shape), axis=1)
    weight = rng.exponential(size=50)
    for given in (None, weight):
        taus = np.geomspace(0.1, 10, 20_001)
        losses = [
            -np.average((p * log_softmax(-d / tau, axis=1)).sum(axis=1), weights=given)
            for tau in taus[::20]
        ]
        coarse = taus[::20][np.argmin(losses)]
        assert_allclose(match_temperature(d, p, given), coarse, rtol=5e-3)
    exact = softmax(-d / 1.3, axis=1)
    assert_allclose(match_temperature(d, exact), 1.3, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_temperature_of_a_model(weighted):
    """Check that tau_ matches the head on the training data, with their weights."""
    weight = np.where(y == 2, 20.0, 1.0) if weighted else None
    model = small(max_epochs=4).fit(X, y, sample_weight=weight)
    logits, features = features_of(model, X)
    d, p = cdist(features, model.centers_), softmax(logits, axis=1)

    def cross_entropy(tau):
        own = -(p * log_softmax(-d / tau, axis=1)).sum(axis=1)
        return np.average(own, weights=weight)

    taus = np.geomspace(model.tau_ / 2, model.tau_ * 2, 2001)
    expected = taus[np.argmin([cross_entropy(tau) for tau in taus])]
    assert_allclose(model.tau_, expected, rtol=2e-3)


def test_temperature_without_distances():
    """Check that clouds that coincide still give a temperature."""
    assert match_temperature(np.zeros((5, 2)), np.full((5, 2), 0.5)) == 1


def test_probabilities_speak_like_the_head():
    """Check that the log-loss on new data is near that of the softmax head."""
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), CenterLossClassifier(random_state=0))
    model.fit(X[::2], y[::2])
    center = log_loss(y[1::2], model.predict_proba(X[1::2]))
    model[-1].predict_with = "softmax"
    softmax_head = log_loss(y[1::2], model.predict_proba(X[1::2]))
    assert center < softmax_head + 0.02


def test_scale_of_weights_does_not_matter():
    """Check that only the ratios of sample weights count."""
    weight = np.random.default_rng(0).exponential(size=len(y))
    one = small().fit(X, y, sample_weight=weight)
    other = small().fit(X, y, sample_weight=weight * 1024)
    assert_same_model(one, other)
    assert np.abs(one.predict_proba(X_new) - fitted().predict_proba(X_new)).max() > 1e-3


def test_samples_of_no_weight_do_not_exist():
    """Check that weight zero removes a sample, and a class that has no other."""
    weight = np.where(y == 1, 0.0, 1.0)
    model = small().fit(X, y, sample_weight=weight)
    assert_array_equal(model.classes_, [0, 2])
    # With weights too: without any, the loss is summed in another order.
    without = small().fit(X[y != 1], y[y != 1], sample_weight=np.ones(100))
    assert_same_model(model, without)
    with pytest.raises(ValueError, match="at least one non-zero"):
        small().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="greater than one; got 1 class"):
        small().fit(X, y, sample_weight=(y == 1).astype(float))


def test_class_weight():
    """Check that class weights train as sample weights do, "balanced" as computed."""
    few = np.r_[0:50, 50:75, 100:110]
    by_class = {0: 1.0, 1: 2.0, 2: 5.0}
    balanced = 85 / 3 / np.array([50, 25, 10])
    for class_weight, weight in [
        (by_class, np.array([1.0, 2, 5])[y[few]]),
        ("balanced", balanced[y[few]]),
    ]:
        model = small(class_weight=class_weight).fit(X[few], y[few])
        expected = small().fit(X[few], y[few], sample_weight=weight)
        assert_allclose(model.transform(X_new), expected.transform(X_new), rtol=1e-3)
        assert_allclose(model.centers_, expected.centers_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 2.0, 2: 5.0}])
def test_class_weight_acts_on_training_alone(class_weight):
    """Check that predictions are those of the nearest center, whatever classes weigh."""
    few = np.r_[0:50, 50:75, 100:110]
    model = small(class_weight=class_weight).fit(X[few], y[few])
    away = cdist(model.transform(X_new).astype(float), model.centers_)
    assert_array_equal(model.predict(X_new), away.argmin(axis=1))
    assert_allclose(model.decision_function(X_new), -away, rtol=1e-5)
    assert_allclose(
        model.predict_proba(X_new), softmax(-away / model.tau_, axis=1), rtol=1e-4
    )

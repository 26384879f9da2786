"""Features, centers and regions that are drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from drawing import KNOWN, legend, problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, FeatureSpaceDisplay


def test_features_are_drawn_as_they_are():
    """Check the points of two dimensions, by class, their centers, names and colors."""
    model, X, y = problem()
    drawn = FeatureSpaceDisplay.from_estimator(model, X, y)
    assert_array_equal(drawn.labels, KNOWN)
    for name, scatter in zip(KNOWN, drawn.scatters_, strict=True):
        assert_allclose(scatter.get_offsets(), X[y == name])
        assert scatter.get_label() == name
    assert_allclose(drawn.outsider_scatter_.get_offsets(), X[~np.isin(y, KNOWN)])
    means = [X[y == name].mean(axis=0) for name in KNOWN]
    assert_allclose(drawn.center_scatter_.get_offsets(), means)
    names = [*KNOWN, "center", "outsiders", "accepted if predicted so"]
    assert legend(drawn.ax_) == names
    assert drawn.ax_.get_xlabel() == "feature 1"
    assert drawn.ax_.get_ylabel() == "feature 2"
    colors = np.concatenate([scatter.get_facecolor() for scatter in drawn.scatters_])
    assert len(np.unique(colors, axis=0)) == 3


@pytest.mark.parametrize("guarantee", ["marginal", "predicted", "class"])
def test_regions_are_what_is_accepted(guarantee):
    """Check the regions of the predicted classes against is_outlier, and what is filled."""
    model, X, y = problem(guarantee=guarantee, false_rejection_rate=0.2)
    drawn = FeatureSpaceDisplay.from_estimator(model, X, y, grid_resolution=40)
    assert drawn.xx0.shape == drawn.xx1.shape == (40, 40)
    grid = np.column_stack([drawn.xx0.ravel(), drawn.xx1.ravel()])
    accepted = drawn.accepted.reshape(-1, len(KNOWN))
    index = np.searchsorted(KNOWN, model.estimator_.predict(grid))
    inside = accepted[np.arange(len(grid)), index]
    if guarantee == "class":
        inside = accepted.any(axis=1)
    assert 0 < inside.mean() < 1
    assert_array_equal(inside, ~model.is_outlier(grid))
    assert (grid.min(axis=0) < X.min(axis=0)).all()
    assert (grid.max(axis=0) > X.max(axis=0)).all()
    assert len(drawn.surfaces_) == len(KNOWN)
    for k, surface in enumerate(drawn.surfaces_):
        filled = [
            path.contains_point(point) for path in surface.get_paths() for point in grid
        ]
        assert_array_equal(filled, accepted[:, k])


def test_more_features_are_projected():
    """Check the projection against scikit-learn's PCA of the class means."""
    model, X, y = problem(n_features=6)
    drawn = FeatureSpaceDisplay.from_estimator(model, X, y)
    means = np.array([X[y == name].mean(axis=0) for name in KNOWN])
    pca = PCA(2).fit(means)
    assert_allclose(drawn.features, pca.transform(X))
    assert_allclose(drawn.center_scatter_.get_offsets(), pca.transform(means))
    assert drawn.ax_.get_xlabel() == "principal component 1 of the centers"
    assert drawn.accepted is drawn.surfaces_ is None


def test_two_centers_have_one_component():
    """Check that the other axis is the leading component of the features across it."""
    model, X, y = problem(n_features=6, known=KNOWN[:2])
    drawn = FeatureSpaceDisplay.from_estimator(model, X, y)
    means = np.array([X[y == name].mean(axis=0) for name in KNOWN[:2]])
    apart = means[1] - means[0]
    along = apart / np.linalg.norm(apart)
    centered = X - means.mean(axis=0)
    first = centered @ along
    assert_allclose(np.abs(drawn.features[:, 0]), np.abs(first))
    across = centered - first[:, None] * along
    second = np.linalg.eigh(np.cov(across.T))[1][:, -1]
    assert_allclose(np.abs(drawn.features[:, 1]), np.abs(across @ second))


@pytest.mark.filterwarnings("ignore:Samples far from all")
def test_regions_take_a_score_of_features():
    """Check when regions are left out."""
    model, X, y = problem(score="max_softmax")
    assert FeatureSpaceDisplay.from_estimator(model, X, y).accepted is None
    model, X, y = problem()
    assert FeatureSpaceDisplay.from_estimator(model, X, y, regions=False).accepted is None


def test_any_classifier_shows_its_features():
    """Check that a plain classifier is drawn by what its last step sees."""
    _, X, y = problem()
    known = np.isin(y, KNOWN)
    pipeline = make_pipeline(StandardScaler(), GaussianNB()).fit(X[known], y[known])
    drawn = FeatureSpaceDisplay.from_estimator(pipeline, X, y)
    assert_allclose(drawn.features, pipeline[0].transform(X))
    assert drawn.accepted is None
    assert legend(drawn.ax_) == [*KNOWN, "center", "outsiders"]


def test_centers_of_center_loss():
    """Check that a center-loss classifier is drawn with its own centers."""
    model, X, y = problem()
    known = np.isin(y, KNOWN)
    network = CenterLossClassifier(hidden_layer_sizes=(8, 2), max_epochs=2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), network)
    model = clone(model).set_params(estimator=pipeline).fit(X[known], y[known])
    centers = model.estimator_[-1].centers_
    for estimator in (model, model.estimator_):
        drawn = FeatureSpaceDisplay.from_estimator(estimator, X, y)
        assert_allclose(drawn.features, model.transform(X))
        assert_allclose(drawn.center_scatter_.get_offsets(), centers)


def drawn_of(features, y, labels=None):
    """Draw what a plain classifier of some labels, all by default, gets as inputs."""
    known = np.unique(y) if labels is None else labels
    classifier = GaussianNB().fit(np.eye(len(known), np.shape(features)[1]), known)
    return FeatureSpaceDisplay.from_estimator(classifier, features, y)


def test_labels_that_are_numbers():
    """Check that their names are drawn, and outsiders where there are any."""
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(40, 2)), rng.integers(3, size=40)
    drawn = drawn_of(features, y)
    assert legend(drawn.ax_) == ["0", "1", "2", "center"]
    assert drawn.outsider_scatter_ is None
    drawn = drawn_of(features, y, [0, 2])
    assert legend(drawn.ax_) == ["0", "2", "center", "outsiders"]
    assert_allclose(drawn.scatters_[1].get_offsets(), features[y == 2])
    assert_allclose(drawn.outsider_scatter_.get_offsets(), features[y == 1])


def test_class_without_samples_or_center():
    """Check that it is named, has no center, and a region."""
    model, X, y = problem(n_features=6)
    there = y != "bee"
    drawn = FeatureSpaceDisplay.from_estimator(model, X[there], y[there])
    assert legend(drawn.ax_)[:3] == KNOWN
    assert np.isnan(drawn.centers[1]).all()
    assert np.isfinite(drawn.centers[[0, 2]]).all()
    model, X, y = problem()
    there = y != "bee"
    drawn = FeatureSpaceDisplay.from_estimator(model, X[there], y[there])
    assert drawn.accepted[..., 1].any()


def test_styles_of_features():
    """Check that each kind of artist takes keywords, aliases too."""
    model, X, y = problem()
    drawn = FeatureSpaceDisplay.from_estimator(
        model,
        X,
        y,
        grid_resolution=30,
        scatter_kwargs={"s": 3},
        outsider_kwargs={"c": "red"},
        center_kwargs={"marker": "o", "s": 7},
        region_kwargs={"alpha": 0.7},
    )
    assert all(scatter.get_sizes() == [3] for scatter in drawn.scatters_)
    assert_allclose(drawn.outsider_scatter_.get_edgecolor()[0], [1, 0, 0, 1])
    assert drawn.center_scatter_.get_sizes() == [7]
    assert all(surface.get_alpha() == 0.7 for surface in drawn.surfaces_)


def test_features_that_cannot_be_drawn():
    """Check the errors of features of one dimension, of NaN, and of no known sample."""
    y = ["ant", "bee"]
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        drawn_of([[0.0], [1.0]], y)
    with pytest.raises(ValueError, match="no known sample, and there are no centers"):
        drawn_of(np.eye(2, 3), y, ["cat", "dog"])
    with pytest.raises(ValueError, match="NaN"):
        drawn_of([[0.0, 1], [1, np.nan]], y)
    with pytest.raises(ValueError, match="NaN"):
        drawn_of(np.ma.array(np.eye(2), mask=np.eye(2)), y)


def test_features_of_a_tensor():
    """Check that features may be a tensor with a gradient."""
    features = torch.eye(2, dtype=torch.bfloat16, requires_grad=True)
    assert_array_equal(drawn_of(features, [0, 1]).features, np.eye(2))


def test_colors_of_many_classes():
    """Check that up to a hundred classes get colors that differ, none of them gray."""
    for n_classes in (2, 10, 18, 19, 100):
        y = np.arange(n_classes)
        drawn = drawn_of(np.column_stack([y, y]), y)
        colors = np.concatenate([scatter.get_facecolor() for scatter in drawn.scatters_])
        assert len(np.unique(colors, axis=0)) == n_classes
        assert (np.ptp(colors[:, :3], axis=1) > 0.1).all()
        plt.close("all")

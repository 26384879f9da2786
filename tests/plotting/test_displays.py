"""What all displays have in common."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawing import KNOWN, problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import (
    DistanceDisplay,
    FalseRejectionDisplay,
    FeatureSpaceDisplay,
    OpenSetClassifier,
    OpenSetConfusionMatrixDisplay,
    OpenSetRocDisplay,
    OSCRCurveDisplay,
)

DISPLAYS = [
    DistanceDisplay,
    FalseRejectionDisplay,
    FeatureSpaceDisplay,
    OSCRCurveDisplay,
    OpenSetConfusionMatrixDisplay,
    OpenSetRocDisplay,
]
every_display = pytest.mark.parametrize("display", DISPLAYS)


def predictions(display, model, X, y):
    """Return the arguments of from_predictions that are the same as model, X and y."""
    labels = model.classes_
    score, closed = model.score_samples(X), model.estimator_.predict(X)
    outlier = {"outlier_label": model.outlier_label_}
    given = {
        DistanceDisplay: ([closed, score], {"thresholds": model.score_thresholds_}),
        FalseRejectionDisplay: ([model.predict(X)], {"allowed": 0.05, **outlier}),
        FeatureSpaceDisplay: ([X], {}),
        OSCRCurveDisplay: ([closed, score], {}),
        OpenSetConfusionMatrixDisplay: ([model.predict(X)], outlier),
        OpenSetRocDisplay: ([score], {}),
    }
    args, kwargs = given[display]
    return [y, *args], {"labels": labels, **kwargs}


@every_display
def test_from_estimator_is_from_predictions(display):
    """Check that both ways to make a display draw the same data."""
    model, X, y = problem()
    one = display.from_estimator(model, X, y)
    args, kwargs = predictions(display, model, X, y)
    other = display.from_predictions(*args, **kwargs)
    grid = {"name", "estimator_name", "xx0", "xx1", "accepted"}
    shown = [name for name in vars(one) if not name.endswith("_") and name not in grid]
    assert shown
    for name in shown:
        expected = getattr(one, name)
        if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
            assert_allclose(getattr(other, name), expected)
        else:
            assert_array_equal(getattr(other, name), expected)


@every_display
def test_takes_what_wraps_the_classifier(display):
    """Check that Pipelines and searches draw what the classifier inside draws."""
    model, X, y = problem()
    model = clone(model).set_params(false_rejection_rate=0.1)
    known = np.isin(y, KNOWN)
    pipeline = make_pipeline(StandardScaler(), model).fit(X[known], y[known])
    search = GridSearchCV(pipeline, {"opensetclassifier__cv": [0.5]}, cv=2)
    search.fit(X[known], y[known])
    expected = display.from_estimator(pipeline[-1], pipeline[0].transform(X), y)
    for estimator in (pipeline, search):
        drawn = display.from_estimator(estimator, X, y)
        for name, value in vars(expected).items():
            if isinstance(value, np.ndarray) and value.dtype != object:
                assert_array_equal(getattr(drawn, name), value)


@every_display
def test_draws_where_told(display):
    """Check that plot returns itself, makes a figure or draws on what it is given."""
    model, X, y = problem()
    drawn = display.from_estimator(model, X, y)
    assert plt.get_fignums() == [1]
    assert drawn.figure_ is plt.figure(1)
    assert drawn.figure_.get_layout_engine() is not None  # cuts no label off
    if display is DistanceDisplay:
        figure, ax = plt.subplots()
        assert drawn.plot(axes=ax) is drawn
        assert_array_equal(drawn.axes_, [ax])
    else:
        figure, ax = plt.subplots()
        assert drawn.plot(ax=ax) is drawn
        assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert plt.get_fignums() == [1, 2]
    figure.draw_without_rendering()


@every_display
def test_needs_an_open_set_classifier(display):
    """Check that another estimator is refused by name, and one that is not fitted."""
    for estimator in (StandardScaler(), OpenSetClassifier(GaussianNB())):
        with pytest.raises(TypeError, match=r"fitted OpenSetClassifier.*got"):
            display.from_estimator(estimator, [[0.0, 1.0]], ["ant"])


@every_display
def test_wrong_length(display):
    """Check that labels of another number than the samples are refused."""
    model, X, y = problem()
    args, kwargs = predictions(display, model, X, y)
    wrong = r"inconsistent numbers of samples|must have the shape"
    with pytest.raises(ValueError, match=wrong):
        display.from_estimator(model, X, y[:-1])
    with pytest.raises(ValueError, match=wrong):
        display.from_predictions(args[0][:-1], *args[1:], **kwargs)
    assert plt.get_fignums() == []


@every_display
def test_without_matplotlib(display, monkeypatch):
    """Check that a missing matplotlib is said before anything is computed."""
    model, X, y = problem()
    args, kwargs = predictions(display, model, X, y)
    drawn = display.from_predictions(*args, **kwargs)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name = display.__name__
    with pytest.raises(ImportError, match=f"{name}.from_estimator needs matplotlib"):
        display.from_estimator(None, None, None)
    kwargs = dict.fromkeys(kwargs)
    with pytest.raises(ImportError, match=f"{name}.from_predictions needs matplotlib"):
        display.from_predictions(*[None] * len(args), **kwargs)
    # That of the confusion matrix is scikit-learn's, in its words.
    with pytest.raises(ImportError, match=r"plot (needs|requires) matplotlib"):
        drawn.plot()


def test_import_is_light():
    """Check that neither matplotlib nor torch is imported before something is drawn."""
    code = (
        "import sys, sk_center.plotting; from sk_center import FeatureSpaceDisplay;"
        "print([name for name in ('matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("display", [d for d in DISPLAYS if d is not FeatureSpaceDisplay])
def test_one_pass(display, monkeypatch):
    """Check that a display sends the samples through the model once."""
    model, X, y = problem()
    passes = []
    judge = OpenSetClassifier.judge

    def counted(self, X):
        passes.append(len(X))
        return judge(self, X)

<<<<<<< HEAD
@pytest.mark.parametrize("known", [KNOWN, KNOWN[:2]])
def test_regions_are_what_is_accepted(known):
    """Check the grid against is_outlier and predict_set, and what is filled."""
    model, X, y = problem(known=known)
    # Rates that p-values equal: such a point is turned down.
    rates = dict(zip(known, 2 / (model.calibration_.n_samples_ + 1)))
    model.set_params(false_rejection_rate=rates)
    X_train, _, y_train, _ = samples()
    chosen = np.isin(y_train, known)
    model.fit(X_train[chosen], y_train[chosen])
    drawn = FeatureSpaceDisplay.from_estimator(model, X, y, grid_resolution=40)
    assert drawn.xx0.shape == drawn.xx1.shape == (40, 40)
    grid = np.column_stack([drawn.xx0.ravel(), drawn.xx1.ravel()])
    accepted = drawn.accepted.reshape(-1, len(known))
    assert 0 < accepted.any(axis=1).mean() < 1
    assert (model.p_values(grid) == model.thresholds_).any()
    assert_array_equal(accepted, model.predict_set(grid))
    assert_array_equal(accepted.any(axis=1), ~model.is_outlier(grid))
    assert (grid.min(axis=0) < X.min(axis=0)).all()
    assert (grid.max(axis=0) > X.max(axis=0)).all()
    assert len(drawn.surfaces_) == len(known)
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


def test_slices_go_through_the_centers():
    """Check the regions of more features: disks around the centers, by their radius."""
    model, X, y = problem(n_features=6)
    drawn = FeatureSpaceDisplay.from_estimator(
        model, X, y, regions=True, grid_resolution=50
    )
    pca = PCA(2).fit(drawn_centers := [X[y == name].mean(axis=0) for name in KNOWN])
    grid = np.stack([drawn.xx0, drawn.xx1], axis=-1)
    for k, center in enumerate(drawn_centers):
        # The score measures from the training means, which lie off the slice.
        off = center - model.score_.centers_[k]
        points = (grid - pca.transform([center])[0]) @ pca.components_ + off
        inside = np.linalg.norm(points, axis=2) <= -model.score_thresholds_[k]
        assert_array_equal(drawn.accepted[..., k], inside)
        assert 0 < inside.mean() < 1
    assert "slice" in legend(drawn.ax_)[-1]


def test_regions_take_a_score_of_features():
    """Check when regions are left out, and that asking for them then is an error."""
    model, X, y = problem(score="max_softmax")
    assert FeatureSpaceDisplay.from_estimator(model, X, y).accepted is None
    with pytest.raises(ValueError, match=r"needs features and nothing.*MaxSoftmax\(\)"):
        FeatureSpaceDisplay.from_estimator(model, X, y, regions=True)
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
    assert legend(drawn.ax_) == [*KNOWN, "center", "unknown"]
    with pytest.raises(ValueError, match=r"takes an OpenSetClassifier.*got Pipeline"):
        FeatureSpaceDisplay.from_estimator(pipeline, X, y, regions=True)


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


def test_features_at_hand():
    """Check given centers, labels by default, and number labels."""
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(40, 2)), rng.integers(3, size=40)
    drawn = FeatureSpaceDisplay.from_predictions(y, features)
    assert legend(drawn.ax_) == ["0", "1", "2", "center"]
    assert drawn.unknown_scatter_ is None
    centers = [[0.0, 1.0], [2.0, 3.0]]
    drawn = FeatureSpaceDisplay.from_predictions(
        y, features, labels=[2, 0], centers=centers
    )
    assert legend(drawn.ax_) == ["2", "0", "center", "unknown"]
    assert_allclose(drawn.center_scatter_.get_offsets(), centers)
    assert_allclose(drawn.scatters_[0].get_offsets(), features[y == 2])
    assert_allclose(drawn.unknown_scatter_.get_offsets(), features[y == 1])


def test_class_without_samples_or_center():
    """Check that it is named, has no center, and no slice where that needs one."""
    model, X, y = problem(n_features=6)
    there = y != "bee"
    drawn = FeatureSpaceDisplay.from_estimator(model, X[there], y[there], regions=True)
    assert legend(drawn.ax_)[:3] == KNOWN
    assert np.isnan(drawn.centers[1]).all()
    assert np.isfinite(drawn.centers[[0, 2]]).all()
    assert_array_equal(drawn.accepted.any(axis=(0, 1)), [True, False, True])
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
        unknown_kwargs={"c": "red"},
        center_kwargs={"marker": "o", "s": 7},
        region_kwargs={"alpha": 0.7},
    )
    assert all(scatter.get_sizes() == [3] for scatter in drawn.scatters_)
    assert_allclose(drawn.unknown_scatter_.get_edgecolor()[0], [1, 0, 0, 1])
    assert drawn.center_scatter_.get_sizes() == [7]
    assert all(surface.get_alpha() == 0.7 for surface in drawn.surfaces_)


def test_features_that_cannot_be_drawn():
    """Check the errors of features of one dimension, of centers, and of none to go by."""
    y = ["ant", "bee"]
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        FeatureSpaceDisplay.from_predictions(y, [[0.0], [1.0]])
    with pytest.raises(
        ValueError, match=r"centers must have the shape.*\(2, 2\); got \(1, 2\)"
    ):
        FeatureSpaceDisplay.from_predictions(y, [[0.0, 1], [1, 0]], centers=[[0, 0]])
    with pytest.raises(ValueError, match="no known sample, and there are no centers"):
        FeatureSpaceDisplay.from_predictions(y, np.eye(2, 3), labels=["cat"])
    with pytest.raises(ValueError, match="NaN"):
        FeatureSpaceDisplay.from_predictions(y, [[0.0, 1], [1, np.nan]])


def test_colors_of_many_classes():
    """Check that up to a hundred classes get colors that differ, none of them gray."""
    for n_classes in (2, 10, 18, 19, 100):
        y = np.arange(n_classes)
        drawn = FeatureSpaceDisplay.from_predictions(y, np.column_stack([y, y]))
        colors = np.concatenate([scatter.get_facecolor() for scatter in drawn.scatters_])
        assert len(np.unique(colors, axis=0)) == n_classes
        assert (np.ptp(colors[:, :3], axis=1) > 0.1).all()
        plt.close("all")


def test_distances_are_minus_the_scores():
    """Check the histograms against numpy's and the lines against the thresholds."""
    model, X, y = problem()
    edges = np.linspace(0, 100, 21)
    drawn = DistanceDisplay.from_estimator(model, X, y, bins=edges)
    unknown = ~np.isin(y, KNOWN)
    for k, name in enumerate(KNOWN):
        away = np.linalg.norm(X - model.score_.centers_[k], axis=1)
        for bars, chosen in (
            (drawn.member_bars_[k], y == name),
            (drawn.unknown_bars_[k], unknown),
        ):
            heights = np.array([bar.get_height() for bar in bars])
            expected = np.histogram(away[chosen], edges)[0]
            assert_allclose(heights * chosen.sum(), expected, atol=1e-9)
            assert expected.sum() == chosen.sum() > 0
            assert_allclose([bar.get_x() for bar in bars], edges[:-1])
        line = drawn.threshold_lines_[k]
        assert_allclose(line.get_xdata(), -model.score_thresholds_[k])
        down = ~model.predict_set(X)[:, k]
        shares = [f"{down[chosen].mean():.0%}" for chosen in (y == name, unknown)]
        title = f"turned down: {shares[0]} of members, {shares[1]} of unknown"
        assert drawn.axes_[k].get_title(loc="right") == title
        assert drawn.axes_[k].get_title(loc="left") == name
    assert legend(drawn.axes_[0]) == ["unknown", "members", "threshold"]
    assert len({ax.get_xlim() for ax in drawn.axes_}) == 1


def test_far_samples_do_not_stretch_the_bins():
    """Check that bars sum to one whatever is far, infinite or not a number."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 9], 200)
    scores = -rng.exponential(size=(600, 2))
    scores[0, 0], scores[1, 0], scores[401, 1] = -np.inf, np.nan, -1e6
    drawn = DistanceDisplay.from_predictions(
        y, scores, labels=[0, 1], thresholds=[-1.0, -np.inf]
    )
    for bars in [*drawn.member_bars_, *drawn.unknown_bars_]:
        assert_allclose(sum(bar.get_height() for bar in bars), 1)
        assert bars[-1].get_x() < 20
    assert drawn.member_bars_[0][-1].get_height() >= 2 / 200
    # A class that turns nothing down has no line.
    assert drawn.threshold_lines_[1] is None
    titles = [ax.get_title(loc="right") for ax in drawn.axes_]
    assert titles[1] == "turned down: 0% of members, 0% of unknown"
    down = 1 - np.mean(scores[:200, 0] >= -1)
    assert titles[0].startswith(f"turned down: {down:.0%} of members")


def test_what_has_no_score_is_turned_down():
    """Check the share where a score is not a number."""
    drawn = DistanceDisplay.from_predictions(
        [0, 0, 1, 9],
        [[1, 0], [np.nan, 0], [0, 1], [0, 0.0]],
        labels=[0, 1],
        thresholds=[1, 1],
    )
    title = drawn.axes_[0].get_title(loc="right")
    assert title == "turned down: 50% of members, 100% of unknown"


def test_distances_of_some_classes():
    """Check the choice of classes and of axes, their order, and what is refused."""
    model, X, y = problem()
    drawn = DistanceDisplay.from_estimator(model, X, y, classes=["cat", "ant"])
    assert [ax.get_title(loc="left") for ax in drawn.axes_] == ["cat", "ant"]
    assert_allclose(drawn.threshold_lines_[0].get_xdata(), -model.score_thresholds_[2])
    _, ax = plt.subplots()
    drawn.plot(ax, classes=["bee"])
    assert drawn.axes_.tolist() == [ax]
    with pytest.raises(ValueError, match=r"axes must hold 3 Axes.*got 1"):
        drawn.plot(ax)
    with pytest.raises(ValueError, match=r"classes must be among .*got \['dog'\]"):
        drawn.plot(classes=["dog"])


def test_distances_without_members_or_unknown():
    """Check that a histogram of no sample is left out."""
    model, X, y = problem()
    known = np.isin(y, KNOWN)
    drawn = DistanceDisplay.from_estimator(model, X[known], y[known])
    assert drawn.unknown_bars_ == [None] * 3
    assert legend(drawn.axes_[0]) == ["members", "threshold"]
    drawn = DistanceDisplay.from_estimator(model, X[~known], y[~known])
    assert drawn.member_bars_ == [None] * 3
    drawn = DistanceDisplay.from_estimator(model, X[y == "ant"], y[y == "ant"])
    assert drawn.axes_[1].get_title(loc="right") == "turned down: no sample"
    drawn.plot(classes=["bee"])


def test_distances_take_one_column_for_each_class():
    """Check the errors of shapes."""
    with pytest.raises(ValueError, match=r"scores must .* = \(2, 3\); got \(2, 2\)"):
        DistanceDisplay.from_predictions(
            [0, 1], np.zeros((2, 2)), labels=[0, 1, 2], thresholds=[0, 0, 0]
        )
    with pytest.raises(ValueError, match="thresholds must hold one number for each of 2"):
        DistanceDisplay.from_predictions(
            [0, 1], np.zeros((2, 2)), labels=[0, 1], thresholds=[0]
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_oscr_curve(weighted):
    """Check the line against oscr_curve and the legend against oscr_score."""
    model, X, y = problem()
    weight = np.random.default_rng(0).uniform(size=len(y)) if weighted else None
    drawn = OSCRCurveDisplay.from_estimator(model, X, y, sample_weight=weight)
    given = y, model.estimator_.predict(X), model.score_samples(X)
    options = {"labels": KNOWN, "sample_weight": weight}
    ccr, fpr, _ = oscr_curve(*given, **options)
    assert_array_equal(drawn.line_.get_xydata(), np.column_stack([fpr, ccr]))
    area = oscr_score(*given, **options)
    assert legend(drawn.ax_) == [f"OpenSetClassifier (OSCR = {area:.2f})"]


@pytest.mark.parametrize("display", [OSCRCurveDisplay, OpenSetRocDisplay])
def test_curves_share_axes(display):
    """Check the legend and the style of two curves on the same axes."""
    model, X, y = problem()
    args, kwargs = predictions(display, model, X, y)
    first = display.from_predictions(*args, **kwargs)
    second = display.from_estimator(
        model, X, y, name="mine", ax=first.ax_, curve_kwargs={"ls": "--", "color": "red"}
    )
    assert len(first.ax_.lines) == 2
    names = [text.split(" (")[0] for text in legend(first.ax_)]
    assert names == ["Classifier", "mine"]
    assert second.line_.get_color() == "red"
    assert second.line_.get_linestyle() == "--"
    assert first.ax_.get_legend().get_lines()[1].get_color() == "red"
    assert first.line_.get_color() != "red"
    second.plot(name="yours")
    assert legend(second.ax_)[0].startswith("yours (")


@pytest.mark.parametrize("display", [OSCRCurveDisplay, OpenSetRocDisplay])
def test_curves_without_a_name_or_area(display):
    """Check the legend of a display that is made by hand."""
    y, area = ("tpr", "roc_auc") if display is OpenSetRocDisplay else ("ccr", "oscr")
    rates = {"fpr": np.array([0, 1]), y: np.array([0, 1])}
    assert legend(display(**rates).plot().ax_) == []
    assert legend(display(**rates, name="mine").plot().ax_) == ["mine"]
    assert legend(display(**rates, **{area: 0.5}).plot().ax_)[0].endswith("= 0.50")
    labeled = display(**rates).plot(curve_kwargs={"label": "mine"})
    assert legend(labeled.ax_) == ["mine"]


def test_oscr_curve_takes_a_log_axis():
    """Check that the axis of a drawn curve can be made logarithmic, as documented."""
    model, X, y = problem()
    drawn = OSCRCurveDisplay.from_estimator(model, X, y)
    drawn.ax_.set(xscale="log", xlim=(0.001, 1))
    drawn.figure_.draw_without_rendering()
    assert drawn.ax_.get_xlim() == (0.001, 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_roc_is_that_of_scikit_learn(weighted):
    """Check the line, the area and the legend against RocCurveDisplay."""
    model, X, y = problem()
    weight = np.random.default_rng(0).uniform(size=len(y)) if weighted else None
    drawn = OpenSetRocDisplay.from_estimator(model, X, y, sample_weight=weight)
    expected = RocCurveDisplay.from_predictions(
        np.isin(y, KNOWN),
        model.score_samples(X),
        sample_weight=weight,
        name="OpenSetClassifier",
        drop_intermediate=False,
    )
    assert isinstance(drawn, RocCurveDisplay)
    assert_allclose(drawn.line_.get_xydata(), expected.line_.get_xydata())
    assert_allclose(drawn.roc_auc, expected.roc_auc)
    assert legend(drawn.ax_) == legend(expected.ax_)
    assert drawn.ax_.get_xlabel() == "unknown samples accepted (FPR)"


def test_roc_takes_the_options_of_scikit_learn():
    """Check that chance and spines are passed on."""
    model, X, y = problem()
    drawn = OpenSetRocDisplay.from_estimator(
        model, X, y, plot_chance_level=True, despine=True
    )
    assert_array_equal(drawn.chance_level_.get_xydata(), [[0, 0], [1, 1]])
    assert legend(drawn.ax_)[1] == "Chance level (AUC = 0.5)"
    assert not drawn.ax_.spines["top"].get_visible()


@pytest.mark.parametrize("display", [OSCRCurveDisplay, OpenSetRocDisplay])
def test_curves_take_both_sides(display):
    """Check that the absence of known or of unknown samples is an error."""
    model, X, y = problem()
    known = np.isin(y, KNOWN)
    with pytest.raises(ValueError, match="y_true holds no unknown sample"):
        display.from_estimator(model, X[known], y[known])
    with pytest.raises(ValueError, match="y_true holds no known sample"):
        display.from_estimator(model, X[~known], y[~known])


def test_infinite_scores_have_a_curve():
    """Check that scores of minus infinity are drawn, as those that look least known."""
    y, score = [0, 1, 7, 7], [2.0, 1.0, -np.inf, 1.5]
    drawn = OpenSetRocDisplay.from_predictions(y, score, labels=[0, 1])
    assert_allclose(drawn.roc_auc, 0.75)
    drawn = OSCRCurveDisplay.from_predictions(y, [0, 1, 0, 0], score, labels=[0, 1])
    assert_allclose(drawn.oscr, 0.75)


def test_false_rejections_without_refit():
    """Check the curve against classifiers that are fitted with each rate."""
    model, X, y = problem()
    rates = [0.0, 0.04, 0.05, 0.1, 0.3]
    drawn = FalseRejectionDisplay.from_estimator(model, X, y, rates=rates)
    known = np.isin(y, KNOWN)
    X_train, _, y_train, _ = samples()
    chosen = np.isin(y_train, KNOWN)
    expected = [
        clone(model)
        .set_params(false_rejection_rate=rate)
        .fit(X_train[chosen], y_train[chosen])
        .is_outlier(X[known])
        .mean()
        for rate in rates
    ]
    assert expected[-1] > expected[1] > 0
    (line,) = drawn.lines_
    assert_array_equal(line.get_xydata(), np.column_stack([rates, expected]))
    assert line.get_drawstyle() == "steps-post"
    assert drawn.n_samples == known.sum()
    assert legend(drawn.ax_)[0] == f"OpenSetClassifier (n = {known.sum()})"


def test_p_values_that_equal_the_rate():
    """Check that a sample is rejected from the rate on that its p-value equals."""
    p_values = [[k / 20, 1 / 20] for k in range(1, 5)]
    drawn = FalseRejectionDisplay.from_predictions([0] * 4, p_values, labels=[0, 1])
    for k in range(1, 5):
        assert drawn.rejected[50 * k - 1] == (k - 1) / 4
        assert drawn.rejected[50 * k] == k / 4


def test_false_rejections_of_each_class():
    """Check one line for each class, from the p-values of its members."""
    model, X, y = problem()
    there = y != "bee"
    X, y = X[there], y[there]
    drawn = FalseRejectionDisplay.from_estimator(model, X, y, by_class=True)
    assert_array_equal(drawn.labels, ["ant", "cat"])
    counts = []
    for name, line in zip(["ant", "cat"], drawn.lines_, strict=True):
        largest = model.p_values(X[y == name]).max(axis=1)
        counts.append(len(largest))
        expected = [(largest <= rate).mean() for rate in drawn.rates]
        assert_array_equal(line.get_xdata(), np.arange(201) / 1000)
        assert_array_equal(line.get_ydata(), expected)
        assert line.get_label() == f"{name} (n = {len(largest)})"
    assert drawn.band_.get_label() == f"95 % of binomial draws (n = {min(counts)})"


def test_band_is_binomial():
    """Check the band against scipy's quantiles, and the diagonal."""
    model, X, y = problem()
    rates = [0.0, 0.01, 0.05, 0.1, 0.2]
    drawn = FalseRejectionDisplay.from_estimator(model, X, y, rates=rates)
    n = np.isin(y, KNOWN).sum()
    (path,) = drawn.band_.get_paths()
    for k, rate in enumerate(rates):
        ends = path.vertices[path.vertices[:, 0] == rate, 1]
        low, high = binom(n, rate).ppf([0.025, 0.975]) / n
        # As steps, the band also passes the ends of the rate before.
        assert np.isclose(ends, low).any()
        assert np.isclose(ends, high).any()
        before = binom(n, rates[max(k - 1, 0)]).ppf(0.025) / n
        assert_allclose(ends.min(), min(before, low), atol=1e-12)
        assert_allclose(ends.max(), high)
    assert_array_equal(drawn.diagonal_.get_xydata(), np.column_stack([rates, rates]))


def test_false_rejections_share_axes():
    """Check that a second curve repeats neither the diagonal nor the same band."""
    model, X, y = problem()
    first = FalseRejectionDisplay.from_estimator(model, X, y)
    second = FalseRejectionDisplay.from_estimator(model, X, y, name="mine", ax=first.ax_)
    assert second.diagonal_ is None
    assert second.band_ is None
    n = first.n_samples
    band = f"95 % of binomial draws (n = {n})"
    found = legend(first.ax_)
    assert sorted(found) == sorted(
        [f"OpenSetClassifier (n = {n})", f"mine (n = {n})", "promised at most", band]
    )
    third = FalseRejectionDisplay.from_estimator(model, X[:100], y[:100], ax=first.ax_)
    assert third.band_ is not None


def test_false_rejections_that_cannot_be_drawn():
    """Check the errors of rates and of samples that are all unknown."""
    p_values = [[0.5, 0.1], [0.2, 0.3]]
    draw = FalseRejectionDisplay.from_predictions
    for rates in ([0.1, 0.1], [-0.1, 0.5], [0.5, 1.5], [np.nan, 0.1]):
        with pytest.raises(ValueError, match=r"rates must rise within \[0, 1\]; got"):
            draw([0, 1], p_values, labels=[0, 1], rates=rates)
    with pytest.raises(ValueError, match=r"no known sample: its labels are \[7, 8\]"):
        draw([7, 8], p_values, labels=[0, 1])
    # A string is no number, however it reads.
    with pytest.raises(ValueError, match="no known sample"):
        draw(["0", "1"], p_values, labels=[0, 1])
    with pytest.raises(ValueError, match="p_values must have the shape"):
        draw([0, 1], p_values, labels=[0, 1, 2])


@pytest.mark.parametrize(
    ("labels", "outlier_label", "unknown"),
    [
        (["cat", "dog"], "outsider", ["fox", "gnu"]),
        ([3, 5], -1, [4, 9]),
        ([3, 5], 0.5, [4.25, -1]),
        ([0.5, 1.5], -1, [2, 3]),
        ([3, 5], "outsider", ["fox", 7]),
        ([False, True], -1, [2, 3]),
    ],
)
def test_confusion_matrix_by_hand(labels, outlier_label, unknown):
    """Check the entries and names for labels of all kinds, mixed ones too."""
    (a, b), (x, z), out = labels, unknown, outlier_label
    kind = object if isinstance(out, str) and not isinstance(a, str) else None
    y_true = np.array([a, a, a, b, b, x, x, z, z, z], dtype=kind)
    y_pred = np.array([a, a, out, a, b, b, out, out, a, out], dtype=kind)
    drawn = OpenSetConfusionMatrixDisplay.from_predictions(
        y_true, y_pred, labels=labels, outlier_label=out
    )
    assert_array_equal(drawn.confusion_matrix, [[2, 0, 1], [1, 1, 0], [1, 1, 3]])
    for axis in (drawn.ax_.get_xticklabels(), drawn.ax_.get_yticklabels()):
        assert [text.get_text() for text in axis] == [str(a), str(b), str(out)]
    assert [text.get_text() for text in drawn.text_[2]] == ["1", "1", "3"]


def test_confusion_matrix_is_that_of_scikit_learn():
    """Check a fitted classifier against scikit-learn, on labels made one by hand."""
    model, X, y = problem()
    merged = np.where(np.isin(y, KNOWN), y, "outsider")
    weight = np.random.default_rng(0).uniform(size=len(y))
    for normalize in ("true", None):
        drawn = OpenSetConfusionMatrixDisplay.from_estimator(
            model, X, y, sample_weight=weight, normalize=normalize, colorbar=False
        )
        expected = confusion_matrix(
            merged,
            model.predict(X),
            labels=[*KNOWN, "outsider"],
            sample_weight=weight,
            normalize=normalize,
        )
        assert_allclose(drawn.confusion_matrix, expected)
        assert_allclose(drawn.im_.get_array(), expected)
    assert isinstance(drawn, ConfusionMatrixDisplay)
    assert drawn.display_labels == [*KNOWN, "outsider"]


def test_confusion_matrix_without_unknown():
    """Check that a row without samples is zero, and the column still there."""
    model, X, y = problem(known=KNOWN[:2])
    known = np.isin(y, KNOWN[:2])
    for normalize in (None, "true"):
        drawn = OpenSetConfusionMatrixDisplay.from_estimator(
            model, X[known], y[known], normalize=normalize
        )
        assert_array_equal(drawn.confusion_matrix[2], [0, 0, 0])
        assert drawn.confusion_matrix[:2, 2].sum() > 0


def test_confusion_matrix_without_rejection():
    """Check that rows and columns of no sample at all are there."""
    drawn = OpenSetConfusionMatrixDisplay.from_predictions(
        ["cat"], ["cat"], labels=["cat", "dog"], outlier_label="outsider"
    )
    assert_array_equal(drawn.confusion_matrix, np.diag([1, 0, 0]))


def test_confusion_matrix_of_other_predictions():
    """Check the errors of labels that cannot be."""
    draw = OpenSetConfusionMatrixDisplay.from_predictions
    with pytest.raises(ValueError, match=r"y_pred must hold labels.*got \['gnu'\]"):
        draw(["cat"], ["gnu"], labels=["cat"], outlier_label="outsider")
    with pytest.raises(ValueError, match="outlier_label must not be one of labels"):
        draw(["cat"], ["cat"], labels=["cat"], outlier_label="cat")
=======
    monkeypatch.setattr(OpenSetClassifier, "judge", counted)
    display.from_estimator(model, X, y)
    assert passes == [len(X)]
>>>>>>> 45646ed (Draw what decides: one threshold on the score of the predicted class)

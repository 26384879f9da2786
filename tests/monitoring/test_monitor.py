"""Tests of the monitor: its alarms where nothing changes, and where something does."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import MonitorDisplay, OpenSetClassifier, RejectionMonitor, load, save
from sk_center.monitoring.monitor import POINTS
from sk_center.scores import CenterDistance

MEANS = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
FITTED = GaussianNB().fit(
    np.repeat(MEANS, 2, axis=0) + [[0.5, 1], [-0.5, -1]] * 3, [0, 0, 1, 1, 2, 2]
)


def draw(n, rng, step=None):
    """Return samples of three classes; with a step of few values."""
    y = rng.integers(3, size=n)
    X = MEANS[y] + rng.normal(size=(n, 2))
    return (X if step is None else np.round(X / step) * step), y


def outsiders(n, rng):
    """Return samples of no class."""
    return 5 + rng.normal(size=(n, 2))


def fitted(n, rng, step=None, **params):
    """Return a model of fixed centers, with new calibration samples."""
    params = {"conformity_score": CenterDistance(centers=MEANS), **params}
    return OpenSetClassifier(FrozenEstimator(FITTED), **params).fit(*draw(n, rng, step))


def false_alarms(n_streams, n_samples, rate, **params):
    """Return how many streams without change raise each alarm."""
    count = np.zeros(2, dtype=int)
    for seed in range(n_streams):
        rng = np.random.default_rng(seed)
        # Small and large calibration sets in turn, of many values and of few.
        n = (19, 40, 200)[seed % 3]
        step = (None, 1.0)[seed % 2]
        model = fitted(n, rng, step, **params)
        monitor = RejectionMonitor(model, false_alarm_rate=rate, random_state=seed).fit()
        monitor.update(draw(n_samples, rng, step)[0])
        monitor.update(*draw(n_samples // 10, rng, step))
        alarm = monitor.alarm_
        count += [alarm["stream"], alarm["known"]]
    return count


def test_false_alarms_are_as_rare_as_allowed():
    """Check short streams, each with new calibration samples, by an exact bound."""
    count = false_alarms(100, 200, 0.2)
    for found in count:
        assert binomtest(int(found), 100, 0.2, alternative="greater").pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of few samples and few values
@pytest.mark.parametrize(("rate", "guarantee"), [(0.01, "predicted"), (0.2, "marginal")])
def test_long_streams_without_change_raise_as_few_alarms_as_allowed(rate, guarantee):
    """Check 1,000 streams of 2,000 samples, each with new calibration samples."""
    rates = {"false_rejection_rate": 0.2, "guarantee": guarantee}
    count = false_alarms(1000, 2000, rate, **rates)
    for found in count:
        assert binomtest(int(found), 1000, rate, alternative="greater").pvalue > 1e-3


def test_stream_notices_outsiders_and_shifts_in_both_directions():
    """Check that without labels each change raises the same alarm, and none raises none."""
    rng = np.random.default_rng(0)
    model = fitted(500, rng)
    X = draw(600, rng)[0]
    some = np.concatenate([X[:400], outsiders(200, rng)])[rng.permutation(600)]
    closer = MEANS[FITTED.predict(X)] + 0.6 * (X - MEANS[FITTED.predict(X)])
    for new, alarm in ((X, False), (some, True), (X + 0.7, True), (closer, True)):
        monitor = RejectionMonitor(model, random_state=0).fit().update(new)
        assert monitor.alarm_ == {"stream": alarm, "known": False, "outsiders": False}
        assert (monitor.statistic_["stream"] >= 100) or not alarm


def test_labels_tell_shifts_from_outsiders():
    """Check that a shift of one class names it, and that outsiders are no shift."""
    rng = np.random.default_rng(0)
    model = fitted(500, rng)
    X, y = draw(400, rng)
    shifted = X + np.outer(y == 1, [0, 1.5])
    mixed = np.concatenate([X, outsiders(100, rng)])
    labels = np.concatenate([y, np.full(100, 77)])
    order = rng.permutation(500)
    for new, known, found in (
        ((X, y), False, False),
        ((shifted, y), True, False),
        ((mixed[order], labels[order]), False, True),
    ):
        monitor = RejectionMonitor(model, outsider_rate=0.05, random_state=0).fit()
        monitor.update(*new)
        assert monitor.alarm_ == {"stream": False, "known": known, "outsiders": found}
        frame = monitor.to_frame()
        assert frame["alarm"].loc["class"].tolist() == [False, known, False]
        assert frame.loc["class", "class"].tolist() == [0, 1, 2]
        assert frame.loc["class", "n_samples"].tolist() == np.bincount(y).tolist()
        assert (frame["alarm"] == (frame["alarmed_at"] > 0)).all()
    without = RejectionMonitor(model, random_state=0).fit().update(*new)
    assert without.statistic_["outsiders"] == 1


@pytest.mark.filterwarnings("ignore:More calibration samples")
def test_other_mixture_of_classes_is_no_shift_of_a_class():
    """Check that a class that becomes frequent raises the alarm of the stream alone."""
    rng = np.random.default_rng(0)
    model = fitted(600, rng, conformity_score=CenterDistance(centers=MEANS * [1.4, 1]))
    X, y = draw(1500, rng)
    often = (X[y == 1], y[y == 1])
    monitor = RejectionMonitor(model, random_state=0).fit().update(often[0]).update(*often)
    assert monitor.alarm_ == {"stream": True, "known": False, "outsiders": False}


def test_samples_may_come_in_any_batches(tmp_path):
    """Check one at a time against at once, decisions, a pickle and a file between."""
    rng = np.random.default_rng(0)
    model = fitted(60, rng, guarantee="predicted", false_rejection_rate=0.2)
    X, y = draw(120, rng)
    y[::7] = 9
    params = {"outsider_rate": 0.1, "random_state": 3}
    once = RejectionMonitor(model, **params).fit().update(X).update(X, y)
    each = RejectionMonitor(model, **params).fit()
    for i in range(120):
        each.update(model.judge(X[i : i + 1])).update(X[i : i + 1], y[i : i + 1])
        if i == 40:
            each = pickle.loads(pickle.dumps(each))
        if i == 80:
            save(each, tmp_path / "monitor")
            each = load(tmp_path / "monitor", trusted=["sklearn.naive_bayes.GaussianNB"])
    assert each.statistic_ == once.statistic_
    assert each.to_frame().equals(once.to_frame())
    order = np.lexsort(each.history_.T[1::-1])
    assert_array_equal(each.history_[order], once.history_)


def test_memory_does_not_grow():
    """Check the size of a pickle, and the points that are kept of a long stream."""
    rng = np.random.default_rng(0)
    monitor = RejectionMonitor(fitted(50, rng), random_state=0).fit()
    sizes = []
    for _ in range(2):
        monitor.update(draw(4 * POINTS, rng)[0])
        sizes.append(len(pickle.dumps(monitor)))
    assert abs(sizes[1] - sizes[0]) < 100
    assert len(monitor.history_) == POINTS
    steps = np.diff(monitor.history_[:, 1])
    assert (steps == 8).all()
    assert_allclose(np.exp(monitor.history_[-1, 2]), monitor.statistic_["stream"])


@pytest.mark.filterwarnings(
    "ignore:Samples far from all|These( predicted)? classes have too few"
)
def test_reference_samples_take_the_place_of_calibration_samples():
    """Check after folds, under the guarantee of classes, and of a stream with outsiders."""
    rng = np.random.default_rng(0)
    X, y = draw(300, rng)
    for params in ({"cv": 3}, {"cv": "auto"}, {"guarantee": "class", "cv": 0.2}):
        model = OpenSetClassifier(GaussianNB(), conformity_score="max_softmax", **params)
        monitor = RejectionMonitor(model.fit(X, y), random_state=0)
        with pytest.raises(ValueError, match=f"new to the model.*{next(iter(params))}="):
            monitor.fit()
        monitor.fit(*draw(200, rng)).update(draw(400, rng)[0]).update(*draw(400, rng))
        assert not any(monitor.alarm_.values())
    model = fitted(300, rng)

    def mixed(n):
        return np.concatenate([draw(n, rng)[0], outsiders(n, rng)])[rng.permutation(2 * n)]

    assert RejectionMonitor(model, random_state=0).fit().update(mixed(100)).alarm_["stream"]
    monitor = RejectionMonitor(model, random_state=0).fit(mixed(200)).update(mixed(200))
    assert not monitor.alarm_["stream"]
    with pytest.raises(ValueError, match=r"fit\(X, y\)"):
        monitor.update(*draw(9, rng))


def test_model_may_be_inside_a_pipeline():
    """Check that the steps before the model act on samples of both kinds."""
    rng = np.random.default_rng(0)
    X, y = draw(300, rng)
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="mahalanobis", cv=0.5, random_state=0
    )
    pipe = make_pipeline(StandardScaler(), model).fit(X * 1000, y)
    monitor = RejectionMonitor(pipe, random_state=0).fit()
    new, labels = draw(200, rng)
    monitor.update(new * 1000).update(new * 1000, labels)
    assert not any(monitor.alarm_.values())
    assert monitor.update(new).alarm_["stream"]


def test_errors_say_what_to_do():
    """Check what is refused."""
    rng = np.random.default_rng(0)
    model, (X, y) = fitted(60, rng), draw(20, rng)
    monitor = RejectionMonitor(model)
    with pytest.raises(NotFittedError):
        monitor.update(X)
    with pytest.raises(ValueError, match="y goes with X"):
        monitor.fit(y=y)
    with pytest.raises(TypeError, match="fitted OpenSetClassifier"):
        RejectionMonitor(GaussianNB()).fit()
    with pytest.raises(ValueError, match="false_alarm_rate"):
        RejectionMonitor(model, false_alarm_rate=1.0).fit()
    with pytest.raises(ValueError, match="got a Decision"):
        monitor.fit().update(model.judge(X), y)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        monitor.update(X, y[1:])
    with pytest.raises(TypeError, match="fitted RejectionMonitor"):
        MonitorDisplay.from_estimator(model)


def test_display_shows_questions_that_have_samples():
    """Check lines, their ends and the level of the alarm."""
    rng = np.random.default_rng(0)
    monitor = RejectionMonitor(fitted(60, rng), false_alarm_rate=0.1, random_state=0).fit()
    display = MonitorDisplay.from_estimator(monitor.update(draw(30, rng)[0]))
    assert [line.get_label() for line in display.lines_] == ["stream"]
    n, power = display.lines_[0].get_data()
    assert (n[0], power[0], n[-1]) == (0, 0, 30)
    assert_allclose(10 ** power[-1], monitor.statistic_["stream"])
    assert_allclose(display.alarm_line_.get_ydata(), 1)
    both = MonitorDisplay.from_estimator(
        monitor.update(*draw(5, rng)), line_kwargs={"lw": 3}
    )
    assert [line.get_label() for line in both.lines_] == ["stream", "known"]
    assert both.lines_[0].get_linewidth() == 3


def test_texts_and_frames_are_watched():
    """Check sparse texts through a vectorizer, and data frames, with and without labels."""
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue", "grey", "pink", "gold"])
    y = rng.integers(2, size=400)
    texts = np.array([" ".join(words[rng.integers(4, size=5) + 2 * k]) for k in y])
    model = OpenSetClassifier(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), cv=0.5, random_state=0
    )
    monitor = RejectionMonitor(model.fit(texts[:200], y[:200]), random_state=0).fit()
    monitor.update(texts[200:]).update(texts[200:], y[200:])
    assert not any(monitor.alarm_.values())
    strange = np.array(["ice " * n for n in range(1, 40)])
    assert monitor.update(strange).alarm_["stream"]
    X, y = draw(300, rng)
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0).fit(frame, y)
    monitor = RejectionMonitor(model, random_state=0).fit()
    new, labels = draw(200, rng)
    new = pd.DataFrame(new, columns=["a", "b"])
    monitor.update(new).update(new, pd.Series(labels))
    assert not any(monitor.alarm_.values())
    assert clone(monitor).get_params()["false_alarm_rate"] == 0.01


def test_added_classes_take_other_reference_samples():
    """Check that calibration samples do not serve after a class was added."""
    rng = np.random.default_rng(0)
    X, y = draw(300, rng)
    model = OpenSetClassifier(
        NearestCentroid(), conformity_score="center_distance", cv=0.2, random_state=0
    )
    model.fit(X, y).add_classes(outsiders(40, rng), np.full(40, 3))
    monitor = RejectionMonitor(model, random_state=0)
    with pytest.raises(ValueError, match="classes were added after calibration"):
        monitor.fit()
    monitor.fit(*draw(200, rng)).update(*draw(200, rng))
    assert not any(monitor.alarm_.values())

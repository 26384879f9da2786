"""Tests of classes added and removed, and thresholds set anew, without training."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import GUARANTEES, METHODS, net
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, OpenSetClassifier, load, save
from sk_center.scores import KNeighbors

MEANS = np.array([[0.0, 0], [5, 0], [0, 5], [5, 5], [10, 0]])
NEAREST = KNeighbors(1, pooled=True, normalize=False)


def sample(y, seed):
    """Return samples of five clouds that touch each other."""
    rng = np.random.default_rng(seed)
    y = np.asarray(y)
    return MEANS[y] + rng.normal(size=(len(y), 2)), y


def fitted(estimator=None, seed=0, n=60, **params):
    """Return a model that knows the first three clouds."""
    params = {"conformity_score": "center_distance", "random_state": 0, **params}
    estimator = NearestCentroid() if estimator is None else estimator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how many outsiders it rejects
        model = OpenSetClassifier(estimator, **params)
        return model.fit(*sample(np.repeat([0, 1, 2], n), seed))


def evidence(model, X):
    """Return what decides of two added classes: half of the best former score counts."""
    scores = -np.linalg.norm(X[:, None] - model.estimator_.centroids_, axis=2)
    former = model.calibration_._by_group()[0]
    median, threshold = former[len(former) // 2], model.score_thresholds_[0]
    floor = threshold - 2 * (median - threshold)
    return scores[:, 3:].max(axis=1) - 0.5 * np.maximum(scores[:, :3].max(axis=1), floor)


def answers(model, X):
    """Return what all methods say of samples."""
    return {name: getattr(model, name)(X) for name in METHODS}


@pytest.mark.parametrize("n", [1, 3, 30, 200])
@pytest.mark.filterwarnings("ignore:The added classes")
def test_class_guarantee_keeps_former_classes(n):
    """Check that under "class" former calibrations stay to the bit, and rejections fall."""
    model = fitted(guarantee="class", n=120)
    X, _ = sample(np.repeat([0, 1, 2], 300), 1)
    before, p_before, former = model.is_outlier(X), model.p_values(X), model.calibration_
    model.add_classes(*sample(np.repeat([3, 4], n), 2))
    groups = model.calibration_._by_group()
    for k in range(3):
        assert_array_equal(groups[model.groups_[k]], former._by_group()[k])
        for name in ("thresholds_", "score_thresholds_"):
            found = getattr(model.calibration_, name)[model.groups_[k]]
            assert found == getattr(former, name)[k]
    assert_array_equal(model.p_values(X)[:, :3], p_before)
    assert not (model.is_outlier(X) & ~before).any()
    assert_array_equal(model.classes_, np.arange(5))
    assert before.any()


@pytest.mark.filterwarnings("ignore:The added classes")
@pytest.mark.parametrize("score", [NEAREST, "center_distance"], ids=["pooled", "center"])
@pytest.mark.parametrize("n", [1, 3, 30])
def test_marginal_guarantee_keeps_former_classes(score, n):
    """Check that p-values of former known samples only rise, whatever class wins them."""
    model = fitted(conformity_score=score)
    X, _ = sample(np.repeat([0, 1, 2], 300), 1)
    before = model.judge(X)
    model.add_classes(*sample(np.repeat([3, 4], n), 2))
    after = model.judge(X)
    assert (after.p_known >= before.p_known).all()
    assert not (after.rejected & ~before.rejected).any()
    assert (after.predicted > 2).any()
    assert before.rejected.any()


@pytest.mark.parametrize(
    "guarantee", ["marginal", pytest.param("class", marks=pytest.mark.slow)]
)
def test_bound_holds_for_added_classes(guarantee):
    """Check rates of former and added classes over many held-out calibration sets."""
    former, added = [], []
    for seed in range(70):
        model = fitted(seed=seed, guarantee=guarantee, false_rejection_rate=0.2, cv=0.5)
        model.add_classes(*sample(np.repeat([3, 4], 16), 1000 + seed))
        old = model.judge(sample(np.repeat([0, 1, 2], 40), 2000 + seed)[0])
        new = model.judge(sample(np.repeat([3, 4], 60), 3000 + seed)[0])
        former.append(old.rejected.mean())
        added.append(new.rejected.mean())
    for rates in (former, added):
        error = np.std(rates) / np.sqrt(len(rates))
        assert np.mean(rates) <= 0.2 + 3 * error
    if guarantee == "marginal":  # and the rate is used
        assert np.mean(added) > 0.1


def test_held_out_samples_calibrate_an_added_class():
    """Check thresholds of a group of added classes against those of its own samples."""
    model = fitted(cv=0.5)
    X, y = sample(np.repeat([3, 4], 40), 2)
    model.add_classes(X, y)
    assert_array_equal(model.groups_, [0, 0, 0, 1, 1])
    assert_array_equal(model.calibration_.n_samples_, [90, 40])
    assert_array_equal(model.calibration_report_.n_samples, [30, 30, 30, 20, 20])
    # Each centroid is the mean of the half that does not calibrate.
    own = evidence(model, X)
    assert np.isin(model.calibration_._by_group()[1].round(6), own.round(6)).all()
    second = model.calibration_._by_group()[1]
    assert_array_equal(model.score_thresholds_[3:], second[1])  # floor(0.05 * 41) = 2
    assert model.calibration_report_.rate_kept[3:].max() <= 0.2


@pytest.mark.filterwarnings("ignore:The added classes")
@pytest.mark.parametrize("estimator", [NearestCentroid(), net()], ids=["nc", "net"])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_former_prediction_sets_stay(estimator, n):
    """Check that classes join the set of a former known sample, and none leaves it."""
    model = fitted(estimator, n=300, error_rate=0.02)
    X, _ = sample(np.repeat([0, 1, 2], 300), 1)
    before, known = model.predict_set(X), ~model.is_outlier(X)
    model.add_classes(*sample(np.repeat([3, 4], n), 2))
    after = model.predict_set(X)
    assert not (before & ~after[:, :3]).any()
    sizes = after.sum(axis=1)
    assert (sizes[known] >= 1).all()
    assert (sizes == 1).mean() > 0.5


def test_score_of_any_class_does_not_withhold_added_ones():
    """Check that labels alone are the sets where the score is the same for all classes."""
    model = fitted(KNeighborsClassifier(), conformity_score=NEAREST, ambiguous=-2)
    model.add_classes(*sample(np.repeat([3, 4], 60), 2))
    X, y = sample(np.repeat([3, 4], 100), 3)
    assert (model.predict(X) == y).mean() > 0.8


def test_added_class_joins_sets_by_its_own_samples():
    """Check that accepted samples of added classes seldom have sets without their class."""
    missed = []
    for seed in range(40):
        model = fitted(seed=seed, error_rate=0.1, cv=0.5)
        model.add_classes(*sample(np.repeat([3, 4], 16), 1000 + seed))
        X, y = sample(np.repeat([3, 4], 60), 3000 + seed)
        lacks = ~model.predict_set(X)[np.arange(len(y)), y]
        missed.append((lacks & ~model.is_outlier(X)).mean())
    assert np.mean(missed) <= 0.1 + 3 * np.std(missed) / np.sqrt(len(missed))


def test_marginal_decision_between_groups():
    """Check the decision between former and added classes, one sample at a time."""
    model = fitted(cv=0.5, false_rejection_rate=0.1)
    X, y = sample(np.repeat([3, 4], 40), 2)
    model.add_classes(3 * X - 2 * MEANS[y], y)  # clouds that are wider
    X = np.random.default_rng(3).uniform(-4, 13, size=(300, 2))
    away = -np.linalg.norm(X[:, None] - model.estimator_.centroids_, axis=2)
    groups = [model.calibration_._by_group()[g] for g in (0, 1)]
    found, relabelled = model.judge(X), 0
    for i, s in enumerate(away):
        best = {0: s[:3].argmax(), 1: 3 + s[3:].argmax()}
        seen = [s[best[0]], evidence(model, X[[i]])[0]]
        p = [(1 + (groups[g] <= seen[g]).sum()) / (1 + len(groups[g])) for g in (0, 1)]
        accepting = [best[g] for g in (0, 1) if p[g] > 0.1]
        assert found.p_known[i] == max(p)
        assert found.rejected[i] == (not accepting)
        if accepting:
            label = max(accepting, key=lambda k: s[k])
            relabelled += label != s.argmax()
            assert found.labels[i] == label
    assert relabelled
    assert 0 < found.rejected.mean() < 1
    explained = model.explain(X[found.labels != found.predicted])
    assert len(explained) == (found.labels != found.predicted).sum()


@pytest.mark.parametrize("score", ["mahalanobis", "center_distance", "auto"])
def test_wide_added_class_accepts_nothing_far_away(score):
    """Check that no sample gains by being still farther from tight former classes."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1], 60)
    X = MEANS[y] + 0.1 * rng.normal(size=(120, 2))
    model = OpenSetClassifier(
        NearestCentroid(), conformity_score=score, cv=0.2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    wide = [30.0, 30.0] + 5 * rng.normal(size=(60, 2))
    model.add_classes(wide, np.full(60, 2))
    assert (model.predict(wide) == 2).mean() > 0.8
    angle = np.linspace(0, 2 * np.pi, 30)[:, None]
    for radius in (100, 1e3, 1e6):
        assert model.is_outlier(radius * np.hstack([np.cos(angle), np.sin(angle)])).all()


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_few_samples_warn_once(guarantee):
    """Check that three samples and one have a threshold, with one warning each."""
    model = fitted(guarantee=guarantee)
    with pytest.warns(
        UserWarning, match=r"\[3\] have [23] calibration samples .* takes 19"
    ):
        model.add_classes(*sample([3] * 3, 2))
    with pytest.warns(UserWarning, match=r"\[4\] have too few samples") as seen:
        model.add_classes(*sample([4], 2))
    assert [w.filename for w in seen] == [__file__]
    assert_array_equal(model.predict(MEANS), np.arange(5))
    assert np.isfinite(model.score_thresholds_).all()
    assert model.is_outlier([[60.0, -50.0]]).all()
    assert (model.calibration_report_.n_samples[3:] == [3, 0]).all()


def test_few_samples_are_filled_up_as_former_ones_vary():
    """Check calibration samples of five, and of 25 later, against quantiles of others."""
    model = fitted()
    X, y = sample([3] * 5, 2)
    with pytest.warns(UserWarning, match="5 calibration samples .* more outsiders"):
        model.add_classes(X, y)
    former, found = model.calibration_._by_group()
    # Each centroid is the mean of the other four, and half of the best former score counts.
    away = -np.linalg.norm(X - (X.sum(axis=0) - X) / 4, axis=1)
    own = away - 0.5 * -np.linalg.norm(X[:, None] - MEANS[:3], axis=2).min(axis=1)
    share = np.arange(1, 15) / 15
    filled = np.median(own) + 0.7 * (np.quantile(former, share) - np.median(former))
    assert len(found) == 19
    assert_allclose(found, np.sort(np.concatenate([own, filled])), atol=0.3)
    assert model.score_thresholds_[3] == found[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # there are enough now
        model.add_classes(*sample([4] * 20, 3))
    second = model.calibration_._by_group()[1]
    assert len(second) == 39
    assert np.isin(found, second).all()
    assert model.score_thresholds_[3] == second[1]
    assert_array_equal(model.calibration_report_.n_samples[3:], [5, 20])


def test_held_out_samples_and_confidence_take_no_others():
    """Check that exact bounds, and those with a confidence, rest on samples alone."""
    model = fitted(cv=0.5).add_classes(*sample([3] * 80, 2))
    assert model.calibration_.n_samples_[1] == 40
    model = fitted(n=200, confidence=0.9).add_classes(*sample([3] * 50, 2))
    assert model.calibration_.n_samples_[1] == 50


@pytest.mark.parametrize(
    ("estimator", "guarantee", "cv"),
    [
        *((NearestCentroid(), guarantee, 0.2) for guarantee in GUARANTEES),
        (KNeighborsClassifier(), "predicted", 3),
        (net(), "marginal", 3),
        (net(), "class", 0.2),
    ],
)
def test_removing_what_was_added_restores_all(estimator, guarantee, cv):
    """Check that adding and removing classes gives the answers from before."""
    model = fitted(estimator, guarantee=guarantee, conformity_score="auto", cv=cv)
    X, _ = sample(np.repeat(np.arange(5), 20), 5)
    before = answers(model, X)
    model.add_classes(*sample(np.repeat([3, 4], 30), 2))
    accepted = model.predict(MEANS[3:])
    assert_array_equal(accepted, [3, 4])
    model.remove_classes([3, 4])
    for name, found in answers(model, X).items():
        if found.dtype.kind == "f":
            assert_allclose(found, before[name], rtol=1e-5, atol=1e-6)
        else:
            assert_array_equal(found, before[name])


@pytest.mark.parametrize("guarantee", ["predicted", "class"])
def test_removed_class_is_an_outsider(guarantee):
    """Check that samples of a removed class are rejected, and other thresholds stay."""
    model = fitted(guarantee=guarantee)
    before = model.score_thresholds_
    X = sample([1] * 50, 3)[0]
    assert (model.predict(X) == 1).mean() > 0.9
    model.remove_classes([1])
    assert model.is_outlier(X).mean() > 0.9
    assert_array_equal(model.score_thresholds_, before[[0, 2]])
    assert_array_equal(model.classes_, [0, 2])


def test_pooled_samples_go_with_their_class():
    """Check that the nearest sample of any class is none of a removed class."""
    model = fitted(KNeighborsClassifier(), conformity_score=NEAREST).remove_classes([2])
    assert model.is_outlier(sample([2] * 50, 3)[0]).mean() > 0.9
    assert model.is_outlier(sample([0] * 50, 3)[0]).mean() < 0.2


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "LogisticRegression cannot add or remove classes .* before"),
        (net(predict_with="softmax"), "predict_with='center'"),
        (NearestCentroid(shrink_threshold=0.1), "shrink_threshold=None"),
    ],
)
def test_estimators_that_cannot_grow(estimator, message):
    """Check that an estimator that cannot grow is named, and nothing has changed."""
    model = fitted(estimator, conformity_score="mahalanobis", cv=0.2)
    before = copy.copy(vars(model))
    with pytest.raises(ValueError, match=message):
        model.add_classes(*sample([3] * 30, 2))
    with pytest.raises(ValueError, match=message):
        model.remove_classes([1])
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)


def test_scores_that_cannot_grow():
    """Check that scores of all classes together are named, and nothing has changed."""
    for score, message in (("gen", "GEN cannot add"), ("energy", "softmax head takes")):
        model = fitted(net(), conformity_score=score, cv=0.2)
        before = copy.copy(vars(model))
        with pytest.raises(ValueError, match=message):
            model.add_classes(*sample([3] * 30, 2))
        assert all(vars(model)[name] is before[name] for name in before)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (MEANS, [3, 3, 1, 3, 3], r"new classes alone.*; got 1\."),
        (MEANS, [3, 3, -1, 3, 3], r"new classes alone.*; got -1\."),
        (MEANS, list("abcde"), "of the kind of the known classes, such as 0; got 'a'"),
        (MEANS[:, :1], [3] * 5, "features"),
        (MEANS * np.nan, [3] * 5, "NaN"),
        (MEANS, [3] * 4, "inconsistent"),
    ],
)
def test_invalid_samples_are_refused(X, y, message):
    """Check that each kind of invalid sample is named, and the model stays."""
    model = fitted()
    before = copy.copy(vars(model))
    with pytest.raises(ValueError, match=message):
        model.add_classes(X, y)
    assert all(vars(model)[name] is before[name] for name in before)
    with pytest.raises(NotFittedError):
        clone(model).add_classes(MEANS, [3] * 5)


def test_invalid_classes_to_remove_are_refused():
    """Check that unknown classes, and too many, are named."""
    model = fitted()
    with pytest.raises(ValueError, match=r"known ones; got \[7\]"):
        model.remove_classes([1, 7])
    with pytest.raises(ValueError, match="At least two classes must remain"):
        model.remove_classes([1, 2])
    assert_array_equal(model.classes_, [0, 1, 2])
    model.add_classes(*sample(np.repeat([3, 4], 30), 2)).remove_classes([0, 1])
    with pytest.raises(ValueError, match=r"classes=\[2\] are all that were known before"):
        model.remove_classes([2])


def test_rates_of_added_classes_come_from_the_dict():
    """Check that a dict of rates must name an added class, and that its rate is kept."""
    rates = {0: 0.05, 1: 0.1, 2: 0.2}
    model = fitted(guarantee="class", n=120, false_rejection_rate=rates)
    X, y = sample([3] * 40, 2)
    with pytest.raises(ValueError, match=r"\[3\] are missing"):
        model.add_classes(X, y)
    model.set_params(false_rejection_rate={0: 0.05, 1: 0.1, 2: 0.2, 3: 0.3})
    model.add_classes(X, y)
    assert_allclose(model.thresholds_, [0.05, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("estimator", [NearestCentroid(), KNeighborsClassifier(), net()])
def test_grown_models_are_kept_and_loaded(estimator, tmp_path):
    """Check that pickles and files of a grown model answer as it does."""
    frozen = FrozenEstimator(
        make_pipeline(StandardScaler(), estimator).fit(*sample(np.arange(120) % 3, 9))
    )
    model = fitted(frozen, conformity_score="auto")
    model.add_classes(*sample(np.repeat([3, 4], 30), 2))
    X, _ = sample(np.repeat(np.arange(5), 10), 5)
    before = answers(model, X)
    save(model, tmp_path / "model")
    trusted = [
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._classification.KNeighborsClassifier",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._nearest_centroid.NearestCentroid",
    ]
    kept = [pickle.loads(pickle.dumps(model)), load(tmp_path / "model", trusted=trusted)]
    for other in kept:
        for name, found in answers(other, X).items():
            assert_array_equal(found, before[name])
        other.remove_classes([3])
        assert_array_equal(other.classes_, [0, 1, 2, 4])
    # The frozen classifier of the user still knows three classes.
    assert_array_equal(frozen.classes_, [0, 1, 2])


def test_frames_strings_and_searches():
    """Check data frames, names, labels of other lengths, and a search, in one model."""
    names = np.array(["a", "b", "c", "d much longer", "e"])
    X, y = sample(np.arange(180) % 3, 0)
    frame = pd.DataFrame(X, columns=["u", "v"])
    pipe = make_pipeline(StandardScaler(), KNeighborsClassifier())
    pipe.set_output(transform="pandas")
    search = GridSearchCV(pipe, {"kneighborsclassifier__n_neighbors": [3, 5]}, cv=2)
    model = OpenSetClassifier(search, cv=0.2, random_state=0).fit(frame, names[y])
    X, y = sample(np.repeat([3, 4], 30), 2)
    new = pd.DataFrame(X, columns=["u", "v"])
    model.add_classes(new, pd.Series(names[y]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of names that are missing
        found = model.predict(pd.DataFrame(MEANS, columns=["u", "v"]))
    assert_array_equal(found, names)
    assert_array_equal(model.feature_names_in_, ["u", "v"])


def test_texts():
    """Check sparse texts with labels that are strings."""
    subjects = {"card": "lost card", "rate": "exchange rate", "loan": "home loan"}
    rng = np.random.default_rng(0)
    filler = ["please", "help", "with", "my", "the", "a", "now", "thanks", "today"]

    def texts(subject, n=40):
        words = [rng.choice(filler, 3) for _ in range(n)]
        return [f"{' '.join(some)} {subject}" for some in words]

    X = [text for subject in subjects.values() for text in texts(subject)]
    vocabulary = TfidfVectorizer().fit([*X, "top up phone"])
    y = np.repeat([*subjects], 40)
    pipe = make_pipeline(FrozenEstimator(vocabulary), KNeighborsClassifier())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = OpenSetClassifier(pipe, cv=0.5, random_state=0).fit(X, y)
    assert model.predict(texts("top up phone", 10)).tolist() == ["outsider"] * 10
    model.add_classes(texts("top up phone"), ["top up"] * 40)
    assert (model.predict(texts("top up phone", 10)) == "top up").mean() > 0.7
    assert (model.predict(texts("lost card", 10)) == "card").mean() > 0.7


def test_center_loss_classifier_grows_by_its_centers():
    """Check centers, probabilities and what a head cannot do any more."""
    model = fitted(net(), conformity_score="center_distance", cv=0.5)
    inner = model.estimator_
    X, y = sample([3] * 40, 2)
    model.add_classes(X, y)
    more = model.estimator_
    assert_array_equal(more.centers_[:3], inner.centers_)
    assert more.tau_ == inner.tau_
    assert len(inner.classes_) == 3
    away = more.center_distances(X)
    assert_allclose(
        away[:, 3], np.linalg.norm(more.transform(X) - more.centers_[3], axis=1), rtol=1e-4
    )
    assert_array_equal(more.predict(X), away.argmin(axis=1))
    assert more.predict_proba(X).shape == (40, 4)
    with pytest.raises(ValueError, match=r"classes were added or removed: \[0, 1, 2, 3\]"):
        more.logits(X)
    with pytest.raises(ValueError, match="Training that goes on takes the classes"):
        more.partial_fit(X, y)
    model.recalibrate(*sample(np.repeat(np.arange(4), 30), 3))
    assert model.predict_set(X).shape == (40, 4)
    again = more.fit(*sample(np.arange(40) % 4, 1))
    assert again.logits(X).shape == (40, 4)


def test_cosine_centers_have_length_one():
    """Check that the center of an added class lies on the sphere that the others do."""
    model = fitted(net(metric="cosine"), cv=0.2)
    model.add_classes(*sample([3] * 40, 2))
    assert_allclose(np.linalg.norm(model.estimator_.centers_, axis=1), 1, rtol=1e-5)


def test_recalibration_is_a_calibration_by_the_new_samples():
    """Check thresholds against ranks among the scores of the new samples alone."""
    model = fitted()
    estimator, score = model.estimator_, model.score_
    X, y = sample(np.repeat([0, 1, 2], 40), 4)
    X = X + 0.5  # they have drifted
    scores = np.sort(model.score_samples(X))
    assert model.recalibrate(X, y) is model
    assert model.estimator_ is estimator
    assert model.score_ is score
    assert_allclose(model.score_thresholds_, scores[5], rtol=1e-9)  # floor(0.05 * 121) = 6
    assert_array_equal(model.calibration_report_.n_samples, [40, 40, 40])
    new, _ = sample(np.repeat([0, 1, 2], 400), 5)
    assert model.is_outlier(new + 0.5).mean() < 0.08


@pytest.mark.filterwarnings("ignore:The added classes")
def test_classes_of_one_sample_and_of_more_are_two_groups():
    """Check that calibration samples of later classes join those of earlier ones alone."""
    model = fitted(cv=0.5)
    model.add_classes(*sample([4], 2))
    assert_array_equal(model.groups_, [0, 0, 0, 1])
    former, copied = model.calibration_._by_group()
    assert_array_equal(former, copied)
    model.add_classes(*sample([3] * 6, 3))
    X, y = sample([3] * 40, 4)
    model.remove_classes([4]).add_classes(X + 20, y + 2)
    assert_array_equal(model.groups_, [0, 0, 0, 1, 1])
    assert_array_equal(model.calibration_.n_samples_, [90, 59])  # 6 + 13 + 40


@pytest.mark.filterwarnings("ignore:The added classes")
def test_recalibration_joins_former_and_added_classes():
    """Check that all classes are one group after a calibration by samples of all."""
    model = fitted().add_classes(*sample([3] * 5, 2))
    model.recalibrate(*sample(np.repeat(np.arange(4), 30), 4))
    assert_array_equal(model.groups_, 0)
    assert_array_equal(model.calibration_.n_samples_, [120])


def test_recalibration_names_what_is_wrong():
    """Check unknown labels, too few samples and classes without any."""
    model = fitted()
    before = copy.copy(vars(model))
    with pytest.raises(ValueError, match="known classes; got 3"):
        model.recalibrate(*sample([0, 1, 2, 3], 4))
    with pytest.raises(ValueError, match=r"X holds 3 samples, .* at least 19\. Give more"):
        model.recalibrate(*sample([0, 1, 2], 4))
    assert all(vars(model)[name] is before[name] for name in before)
    with pytest.warns(UserWarning, match=r"no sample of the classes \[2\]"):
        model.recalibrate(*sample([0, 1] * 30, 4))


def test_growing_is_deterministic():
    """Check that two copies grow alike, to the bit."""
    found = []
    for _ in range(2):
        model = fitted(CenterLossClassifier(max_epochs=2, random_state=0))
        model.add_classes(*sample(np.repeat([3, 4], 12), 2))
        found.append(answers(model, sample(np.arange(50) % 5, 3)[0]))
    for name in METHODS:
        assert_array_equal(found[0][name], found[1][name])

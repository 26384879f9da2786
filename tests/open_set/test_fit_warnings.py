"""The warnings of fit, and where it says nothing."""

import warnings

import numpy as np
import pytest
import torch
from fit_cases import CENTERED, quiet
from numpy.testing import assert_array_equal
from open_set_problems import (
    FAR,
    GUARANTEES,
    MEANS,
    METHODS,
    clouds,
    frozen,
    net,
    queries,
)
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from sk_center import OpenSetClassifier

SHARE = "have too few calibration samples"


def fit_and_warnings(model, X, y):
    """Fit, and return the texts of the warnings, which all are at this file's lines."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert {warning.filename for warning in found} <= {__file__}
    return [str(warning.message) for warning in found]


def test_rare_classes_share_a_threshold():
    """Check who joins, one warning that names the rare ones alone, and p-values."""
    X, y = clouds((60, 40, 6))
    labels = np.array(["first", "second", "third"])
    estimator = FrozenEstimator(LogisticRegression().fit(X, labels[y]))
    model = OpenSetClassifier(
        estimator, conformity_score=CENTERED, guarantee="class", random_state=0
    )
    texts = [text for text in fit_and_warnings(model, X, labels[y]) if SHARE in text]
    assert len(texts) == 1
    # "second" has enough: it joins, since one rare class cannot be a group of its own.
    assert (
        "fewer than 19, and share one threshold with larger classes that join them: 'third'"
        in texts[0]
    )
    assert "guarantee='marginal' takes no more than 19 samples in all" in texts[0]
    assert "second" not in texts[0]
    assert_array_equal(model.groups_, [0, 1, 1])
    assert_array_equal(model.calibration_.n_samples_, [60, 46])
    own = -np.linalg.norm(X - MEANS[y], axis=1)
    scores = -np.linalg.norm(queries()[:, None] - MEANS, axis=2)
    for k, members in enumerate((own[y == 0], own[y > 0], own[y > 0])):
        p = [(1 + (members <= s).sum()) / (len(members) + 1) for s in scores[:, k]]
        assert_array_equal(model.p_values(queries())[:, k], p)
    assert model.is_outlier(FAR).all()
    assert not model.is_outlier(MEANS).any()


def test_rare_predicted_classes_share_a_threshold():
    """Check that under guarantee="predicted" classes are counted as they are predicted."""
    X, y = clouds((60, 40, 6))
    estimator = frozen(GaussianNB())
    model = OpenSetClassifier(
        estimator, conformity_score=CENTERED, guarantee="predicted", random_state=0
    )
    counts = np.bincount(estimator.predict(X))
    assert counts[2] < 19 <= counts[:2].min()
    texts = [text for text in fit_and_warnings(model, X, y) if SHARE in text]
    assert len(texts) == 1
    assert texts[0].startswith("These predicted classes")
    assert texts[0].split(": ")[1].startswith("2. ")
    assert_array_equal(model.groups_, [0, 1, 1])
    assert_array_equal(model.calibration_.n_samples_, [counts[0], counts[1] + counts[2]])


def test_marginal_guarantee_pools_rare_classes_without_a_word():
    """Check that one threshold for all takes no class of many samples."""
    X, y = clouds((8, 7, 6))
    model = OpenSetClassifier(
        frozen(GaussianNB()), conformity_score=CENTERED, random_state=0
    )
    assert not any(SHARE in text for text in fit_and_warnings(model, X, y))
    assert_array_equal(model.groups_, [0, 0, 0])
    assert model.is_outlier(FAR).all()
    model.set_params(guarantee="class")
    texts = [text for text in fit_and_warnings(model, X, y) if SHARE in text]
    assert len(texts) == 1
    assert "share one threshold: 0, 1, 2" in texts[0]
    assert_array_equal(model.groups_, [0, 0, 0])


@quiet
def test_least_rate_of_classes_that_share_a_threshold():
    """Check that the least rate of classes that calibrate together holds."""
    X, y = clouds((60, 40, 6))
    model = OpenSetClassifier(
        frozen(GaussianNB()),
        conformity_score=CENTERED,
        guarantee="class",
        false_rejection_rate={0: 0.3, 1: 0.2, 2: 0.1},
        random_state=0,
    )
    with pytest.warns(UserWarning, match=r"fewer than 9, .*larger classes .*: 2\."):
        model.fit(X, y)
    assert_array_equal(model.thresholds_, [0.3, 0.1, 0.1])


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_too_few_samples_raise(guarantee):
    """Check that too few samples in all are an error that says how many it takes."""
    X, y = clouds((20, 20, 20))
    model = OpenSetClassifier(GaussianNB(), cv=0.2, guarantee=guarantee, random_state=0)
    message = r"12 .*too few.*=0.05 takes at least 19.*12 in all the smallest rate is 0.077"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"=0.01 takes at least 99"):
        model.set_params(false_rejection_rate=0.01, cv=3).fit(X, y)
    model.set_params(false_rejection_rate=0.05, confidence=0.9, cv=0.5)
    with pytest.raises(ValueError, match=r"30 .*=0.05 at confidence=0.9 takes at least 45"):
        model.fit(X, y)


@pytest.mark.parametrize("cv", [0.5, 3])
def test_fit_is_quiet(cv, capfd):
    """Check that nothing is printed and the global generators are left alone."""
    X, y = load_iris(return_X_y=True)
    model = OpenSetClassifier(net(max_epochs=3), cv=cv, random_state=0)
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
        for method in METHODS:
            getattr(model, method)(X)
    assert capfd.readouterr() == ("", "")
    for before, after in zip(numpy_state, np.random.get_state()):  # noqa: NPY002
        assert_array_equal(before, after)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_probes_that_the_estimator_cannot_take_do_no_harm():
    """Check that fit looks far away only where the estimator goes."""
    X, y = clouds()
    for step in (FunctionTransformer(np.log1p), OneHotEncoder(sparse_output=False)):
        shifted = (X - X.min()).round()
        model = OpenSetClassifier(
            make_pipeline(step, LogisticRegression(max_iter=500)),
            conformity_score="max_softmax",
            cv=0.2,
            random_state=0,
        )
        shifted = np.minimum(shifted, 5)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            assert model.fit(shifted, y).predict(shifted).shape == y.shape
            assert model.fit(shifted.astype(int), y).predict(shifted).shape == y.shape


@pytest.mark.parametrize("refit", [True, False])
def test_a_search_warns_of_rare_classes_once(refit):
    """Check one warning over the folds of a search: that of the fit of all data, if any."""
    X, y = clouds((90, 60, 12))
    labels = np.array(["first", "second", "third"])[y]
    model = OpenSetClassifier(
        GaussianNB(), conformity_score=CENTERED, guarantee="class", random_state=0
    )
    model.set_params(cv=0.5, random_state=0)
    grid = {"estimator__var_smoothing": [1e-9, 1e-8]}
    search = GridSearchCV(model, grid, cv=2, refit=refit)
    texts = [text for text in fit_and_warnings(search, X, labels) if SHARE in text]
    assert len(texts) == 1
    if refit:
        assert texts == [t for t in fit_and_warnings(clone(model), X, labels) if SHARE in t]


def test_cross_validation_warns_of_rare_classes_once():
    """Check one warning over the folds of a cross-validation."""
    X, y = clouds((90, 60, 12))
    model = OpenSetClassifier(
        GaussianNB(), conformity_score=CENTERED, guarantee="class", random_state=0
    )
    with pytest.warns(UserWarning, match=SHARE) as found:
        cross_val_score(model.set_params(cv=0.5), X, y, cv=2)
    assert sum(SHARE in str(warning.message) for warning in found) == 1


@pytest.mark.parametrize("calibration", ["gaussian", "weibull"])
def test_confidence_is_refused_before_training(calibration):
    """Check that a calibration that guarantees nothing refuses it before the estimator."""

    class Untrained(GaussianNB):
        """A classifier that must not be trained."""

        def fit(self, X, y):
            """Fail."""
            pytest.fail("trained")

    model = OpenSetClassifier(
        Untrained(), calibration=calibration, confidence=0.9, random_state=0
    )
    with pytest.raises(ValueError, match=r"confidence=0.9 takes calibration='conformal'"):
        model.set_params(conformity_score=CENTERED).fit(*clouds())

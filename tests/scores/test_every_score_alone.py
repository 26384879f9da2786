"""Tests of every score without an estimator: parts, batches, wrong input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from sk_center.scores import (
    BaseScore,
    CenterDistance,
    Combined,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    PerClass,
)
from sk_center.scores.registry import SCORES, make_score

pytestmark = pytest.mark.filterwarnings("ignore:The relative Mahalanobis distance")

N_CLASSES = 4
SCORES_ALONE = {
    **{name: make_score(name) for name in SCORES},
    "class covariance": Mahalanobis("class", relative=True, normalize=True),
    "nearest": KNeighbors(1),
    "pooled": KNeighbors(1, pooled=True, scale="discriminant", space="inputs"),
    "white": KNeighbors(3, scale="whiten"),
    "tree": KNeighbors(2, algorithm="kd_tree"),
    "city block": KNeighbors(2, metric="cityblock"),
    "directions": InputDensity(n_directions=3, normalize=True, pooled=True),
    "mixture": PerClass(GaussianMixture(random_state=0)),
    "sum": Combined(
        ["knn", "log_odds", InputDensity(pooled=True)],
        how="sum",
        weights=[1.0, 0.5, 2.0],
        limits=[None, (-2, 0), None],
    ),
    "min": Combined(["mahalanobis", "max_logit", "center_distance"]),
}


def parts_of(n_samples, seed=0):
    """Return parts of samples of four classes, and class indices."""
    rng = np.random.default_rng(seed)
    y = rng.integers(N_CLASSES, size=n_samples)
    y[:N_CLASSES] = range(N_CLASSES)
    inputs = rng.normal(size=(n_samples, 6)) * [1, 2, 3, 1, 2, 3] + 4 * np.eye(6)[y]
    features = np.tanh(inputs / 3) @ np.linspace(-1, 1, 30).reshape(6, 5)
    logits = features @ np.linspace(-3, 2, 20).reshape(5, N_CLASSES) + np.eye(N_CLASSES)[0]
    probabilities = softmax(logits, axis=1)
    parts = {"inputs": inputs, "features": features, "logits": logits}
    return {**parts, "raw_inputs": 3 * inputs + 1, "probabilities": probabilities}, y


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SCORES_ALONE)
def test_one_class_a_row_and_any_batch(name, dtype):
    """Check that one class, all classes, one row and many give the same scores."""
    train, y = parts_of(300)
    parts, index = parts_of(50, seed=1)
    train, parts = (
        {k: part.astype(dtype) for k, part in given.items()} for given in (train, parts)
    )
    score = clone(SCORES_ALONE[name]).fit(train, y)
    every = score.scores_of(parts)
    own = score.scores_of(parts, index)
    assert every.shape == (50, N_CLASSES)
    assert own.dtype == every.dtype == dtype
    assert np.isfinite(every).all()
    # Some 30 roundings of numbers of the size of the largest scores.
    tolerance = 64 * np.finfo(dtype).eps * np.abs(every).max()
    assert_allclose(own, every[np.arange(50), index], rtol=0, atol=tolerance)
    rows = [
        score.scores_of({k: part[i : i + 1] for k, part in parts.items()}, index[i : i + 1])
        for i in range(50)
    ]
    assert_allclose(np.concatenate(rows), own, rtol=0, atol=tolerance)
    if not score.per_class:
        assert_array_equal(np.ptp(every, axis=1), 0)


@pytest.mark.parametrize("name", SCORES_ALONE)
def test_rows_that_are_not_finite_are_least_typical(name):
    """Check that rows of infinities score -inf, and of NaN that is no missing value."""
    train, y = parts_of(300)
    score = clone(SCORES_ALONE[name]).fit(train, y)
    parts, index = parts_of(6, seed=1)
    expected = score.scores_of(parts, index)[[0, 3, 4, 5]]
    for bad in (np.inf, np.nan):
        lost = {k: part.copy() for k, part in parts.items()}
        for part in lost.values():
            part[1, :], part[2, 0] = bad, bad
        for found in (score.scores_of(lost, index), score.scores_of(lost)):
            if bad == np.inf or not score.allow_nan:
                assert (found[1:3] == -np.inf).all()
        own = score.scores_of(lost, index)
        assert_allclose(own[[0, 3, 4, 5]], expected, rtol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_a_name_is_the_default_instance(name):
    """Check that a score by its name is the same as an instance without arguments."""
    train, y = parts_of(100)
    by_name = Combined([name], how="sum").fit(train, y).scores_of(train)
    by_instance = Combined([SCORES[name]()], how="sum").fit(train, y).scores_of(train)
    assert_array_equal(by_name, by_instance)
    assert make_score(name).get_params() == SCORES[name]().get_params()


def test_what_is_no_score_raises():
    """Check that the error of a misspelled score names the nearest one."""
    with pytest.raises(ValueError, match=r"got 'mahalonobis'; did you mean 'mahalanobis'"):
        make_score("mahalonobis")
    with pytest.raises(ValueError, match=r"must be one of .*got 3\."):
        make_score(3)


@pytest.mark.parametrize("score", [Mahalanobis(), KNeighbors(), CenterDistance()], ids=repr)
def test_numbers_of_any_kind(score):
    """Check that objects, frames and tensors of numbers do as arrays do, others raise."""
    pd, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    parts, y = parts_of(60)
    X = np.round(8 * parts["features"]) / 8  # which bfloat16 holds as it is
    expected = clone(score).fit(X, y).score_classes(X)
    tensor = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    kinds = (X.astype(object), X.tolist(), pd.DataFrame(X), tensor)
    for given in kinds:
        found = clone(score).fit(given, y).score_classes(given)
        assert_allclose(found, expected, rtol=1e-12)
        assert_array_equal(clone(score).fit(X, y).score_labels(given, y)[:3].shape, (3,))
    narrow = clone(score).fit(tensor.bfloat16(), y).score_classes(tensor.bfloat16())
    assert narrow.dtype == np.float32
    assert_allclose(narrow, expected, rtol=1e-5, atol=1e-5)
    for bad in ([["a", "b"], ["c", "d"]], np.array([[object()], [None]])):
        with pytest.raises(ValueError, match=r"X must hold numbers; got values .* Encode"):
            clone(score).fit(bad, [0, 1])


def test_continuous_labels_raise():
    """Check that fit takes no numbers that are no classes."""
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        Mahalanobis().fit(np.eye(3), [0.1, 0.2, 0.3])


SPARSE = (
    CenterDistance(),
    KNeighbors(1),
    KNeighbors(2, normalize=False),
    KNeighbors(2, metric="cosine", pooled=True),
)


@pytest.mark.parametrize("score", SPARSE, ids=repr)
def test_sparse_samples(score):
    """Check that sparse samples give the scores of the same dense ones."""
    rng = np.random.default_rng(0)
    X = rng.random((90, 30)) * (rng.random((90, 30)) < 0.2)
    y, new = np.arange(90) % 3, X[:40] + 0.5 * (rng.random((40, 30)) < 0.1)
    found = clone(score).fit(csr_array(X), y)
    dense = clone(score)
    if score.get_params().get("normalize") == "auto" and score.metric == "euclidean":
        dense.set_params(normalize=True)
    expected = dense.fit(X, y).score_classes(new)
    assert_allclose(found.score_classes(csr_array(new)), expected, rtol=1e-7, atol=1e-7)
    labels = np.arange(40) % 3
    own = found.score_labels(csr_array(new), labels)
    assert_allclose(own, expected[np.arange(40), labels], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "score", [Mahalanobis(), InputDensity(), PerClass(GaussianMixture())]
)
def test_sparse_samples_that_a_score_does_not_take(score):
    """Check that the error names the step that helps."""
    with pytest.raises(ValueError, match=r"takes dense arrays only: put .*TruncatedSVD"):
        score.fit(csr_array(np.eye(4)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"scale must be None for sparse .*TruncatedSVD"):
        KNeighbors(scale="whiten").fit(csr_array(np.eye(4)), [0, 0, 1, 1])


class Interrupted(BaseScore):
    """A score whose second fit is interrupted."""

    def _fit(self, y, features):
        if hasattr(self, "mean_"):
            self.mean_ = np.nan
            raise KeyboardInterrupt
        self.mean_ = features.mean()

    def _score_classes(self, features):
        return features - self.mean_


def test_interrupted_fit_leaves_the_score_as_it_was():
    """Check that what an earlier fit learned is there after an interruption."""
    score = Interrupted().fit([[1.0, 0], [3, 0]], [0, 1])
    expected = score.score_classes([[2.0, 0]])
    with pytest.raises(KeyboardInterrupt):
        score.fit([[7.0], [9], [2]], ["a", "b", "c"])
    assert score.mean_ == 1
    assert_array_equal(score.classes_, [0, 1])
    assert_array_equal(score.score_classes([[2.0, 0]]), expected)


@pytest.mark.parametrize("n_classes", [3, 12])
def test_relative_distance_of_few_classes_warns_once(n_classes):
    """Check that fit warns at the line of the user, also from inside of a combination."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 4)), np.arange(120) % n_classes
    for score in (Mahalanobis(relative=True), Combined([Mahalanobis(relative=True)])):
        if n_classes >= 10:
            score.fit(X, y)
            continue
        with pytest.warns(UserWarning, match="of 3 classes sees few directions") as caught:
            score.fit(X, y)
        assert [warning.filename for warning in caught] == [__file__]

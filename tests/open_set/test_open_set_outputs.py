"""Tests of what estimators are asked for, and of samples in every form."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import METHODS, Nearest, clouds, net, queries
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sk_center import OpenSetClassifier
from sk_center.open_set.outputs import outputs_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def model_of(estimator, **params):
    """Return an open-set classifier of the same split in every test."""
    return OpenSetClassifier(estimator, **{"cv": 0.5, "random_state": 0, **params})


def check_same(model, given, twin, new, rtol=0.0):
    """Check that all methods say the same of two forms of the same samples."""
    for method in METHODS:
        found, expected = getattr(model, method)(given), getattr(twin, method)(new)
        if method == "score_samples":
            assert_allclose(found, expected, rtol=max(rtol, 1e-9))
        else:
            assert_array_equal(found, expected)


NUMBERS = {
    "list": lambda X: X.tolist(),
    "object array": lambda X: X.astype(object),
    "frame": lambda X: pd.DataFrame(X, columns=["a", "b", "c", "d"]),
    "frame of objects": lambda X: pd.DataFrame(
        X, columns=["a", "b", "c", "d"], dtype=object
    ),
    "nullable": lambda X: pd.DataFrame(X, columns=list("abcd")).astype("Float64"),
    "one object column": lambda X: pd.DataFrame(X, columns=list("abcd")).astype(
        {"b": object}
    ),
    "boolean column": lambda X: pd.DataFrame(X, columns=list("abcd")).astype({"d": bool}),
}


@pytest.mark.parametrize("score", ["auto", "mahalanobis"])
@pytest.mark.parametrize("form", NUMBERS)
def test_numbers_in_any_container_get_the_same_score(form, score):
    """Check object arrays, frames, nullable and boolean columns against floats."""
    X, y = clouds()
    X, new = (np.column_stack([A, A[:, 0] > 0]) for A in (X, queries()))
    for estimator in (LogisticRegression(), make_pipeline(StandardScaler(), GaussianNB())):
        twin = model_of(estimator, conformity_score=score).fit(X, y)
        model = clone(twin).fit(NUMBERS[form](X), y.tolist() if form == "list" else y)
        assert repr(model.score_) == repr(twin.score_)
        check_same(model, NUMBERS[form](new), twin, new)


def test_polars_frames():
    """Check that a frame and a series of polars do as arrays."""
    pl = pytest.importorskip("polars")
    X, y = clouds()
    twin = model_of(LogisticRegression()).fit(X, y)
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    model = clone(twin).fit(frame, pl.Series(y))
    check_same(model, pl.DataFrame(queries(), schema=["a", "b", "c"]), twin, queries())


def test_frame_keeps_its_names():
    """Check names of features, and columns that are selected by name, in every split."""
    X, y = clouds()
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=np.arange(150)[::-1])
    new = pd.DataFrame(queries(), columns=["a", "b", "c"])
    select = make_column_transformer((StandardScaler(), ["a", "b"]))
    for cv in (0.5, 2):
        model = model_of(make_pipeline(select, GaussianNB()), cv=cv).fit(frame, y)
        twin = model_of(make_pipeline(StandardScaler(), GaussianNB()), cv=cv)
        check_same(model, new, twin.fit(X[:, :2], y), queries()[:, :2])
        assert_array_equal(model.feature_names_in_, ["a", "b", "c"])
        assert model.n_features_in_ == 3


def test_row_of_a_frame():
    """Check that scikit-learn says how to pass one row, in each score's way to it."""
    X, y = clouds()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for score in ("auto", "max_softmax", "input_density"):
        model = model_of(GaussianNB(), conformity_score=score).fit(frame, y)
        with pytest.raises(ValueError, match="a DataFrame containing a single row"):
            model.predict(frame.iloc[0])


class ArrayLike:
    """What numpy makes an array of, without rows of its own."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def test_inputs_without_rows():
    """Check that samples that only numpy can read do."""
    X, y = clouds()
    model = model_of(GaussianNB()).fit(ArrayLike(X), y)
    assert_array_equal(model.predict(ArrayLike(X)), model.predict(X))


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array])
@pytest.mark.parametrize("cv", [0.5, 4])
def test_sparse(cv, make):
    """Check that sparse samples do where the estimator and the score take them."""
    X, y = clouds()
    twin = model_of(
        LogisticRegression(tol=1e-6), conformity_score="max_softmax", cv=cv
    ).fit(X, y)
    model = clone(twin).fit(make(X), y)
    new = queries()
    assert_allclose(model.score_samples(make(new)), twin.score_samples(new), rtol=1e-5)
    assert_array_equal(model.predict(make(new)), twin.predict(new))
    assert 0 < model.is_outlier(make(new)).sum() < len(new)


def texts(n, seed=0):
    """Return short texts of three intents, and others of none."""
    rng = np.random.default_rng(seed)
    words = [
        ["book", "flight", "ticket", "plane", "airport", "travel", "seat", "luggage"],
        ["balance", "bank", "account", "money", "transfer", "card", "loan", "savings"],
        ["play", "music", "song", "artist", "album", "radio", "volume", "next"],
        ["weather", "rain", "snow", "sunny", "cold", "warm", "forecast", "today"],
    ]
    y = rng.integers(4, size=n)
    return [" ".join(rng.choice(words[k], size=5)) for k in y], y


def test_texts_through_tf_idf():
    """Check lists of strings, a Series of them, and that the default rejects others."""
    X, y = texts(800)
    known = y < 3
    train = [x for x, k in zip(X, known) if k]
    pipe = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = OpenSetClassifier(pipe, random_state=0, cv=0.2).fit(train, y[known])
    new, labels = texts(300, seed=1)
    rejected = model.is_outlier(new)
    assert rejected[labels == 3].mean() > 0.9
    assert rejected[labels < 3].mean() < 0.1
    assert_array_equal(model.is_outlier(pd.Series(new)), rejected)
    assert_array_equal(model.is_outlier(np.array(new)), rejected)
    assert_array_equal(model.is_outlier(np.array(new, dtype=object)), rejected)
    alone = [model.p_known([text])[0] for text in new[:20]]
    assert_array_equal(alone, model.p_known(new)[:20])


def test_score_that_takes_no_sparse_samples_says_what_to_put_before():
    """Check that the error names a step that makes them dense, or other scores."""
    X, y = texts(300)
    pipe = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression())
    model = OpenSetClassifier(pipe, conformity_score="mahalanobis", random_state=0, cv=0.2)
    with pytest.raises(ValueError, match=r"sparse.*TruncatedSVD.*'max_softmax'"):
        model.fit(X, y)


@pytest.mark.parametrize("form", ["tensor", "bfloat16", "with gradients"])
def test_tensors(form):
    """Check that tensors of torch, also of few digits or with gradients, are numbers."""
    X, y = clouds()
    X, new = X.astype(np.float32), queries().astype(np.float32)
    if form == "bfloat16":  # what has so few digits anyway
        X, new = (torch.from_numpy(A).bfloat16().float().numpy() for A in (X, new))
    make = {
        "tensor": torch.from_numpy,
        "bfloat16": lambda A: torch.from_numpy(A).bfloat16(),
        "with gradients": lambda A: torch.from_numpy(A).requires_grad_(),
    }[form]
    for estimator, score in (
        (net(max_epochs=3), "auto"),
        (net(max_epochs=3), "input_density"),
        (LogisticRegression(), "mahalanobis"),
    ):
        twin = model_of(estimator, conformity_score=score).fit(X, y)
        model = clone(twin).fit(make(X), y)
        check_same(model, make(new), twin, new, rtol=1e-4)


def test_torch_dataset():
    """Check that a Dataset, of which not all fits in memory, calibrates as its array."""
    X, y = clouds()
    X, new = X.astype(np.float32), queries().astype(np.float32)
    data, new_data = (torch.utils.data.TensorDataset(torch.from_numpy(A)) for A in (X, new))
    model = model_of(
        FrozenEstimator(net(max_epochs=3).fit(X, y)), conformity_score="mahalanobis"
    )
    check_same(clone(model).fit(data, y), new_data, model.fit(X, y), new)
    for cv in (0.5, 3):
        model = model_of(net(max_epochs=3), cv=cv).fit(data, y)
        assert model.predict(new_data).shape == (len(new),)


def test_images():
    """Check that images pass through a network, and inputs are rows of their pixels."""
    X, y = load_digits(return_X_y=True)
    known = np.isin(y, [0, 1, 4])
    X, y = (X[known] / 16).astype(np.float32)[:240], y[known][:240]
    flat = model_of(net(module=torch.nn.Flatten()), conformity_score="input_density")
    images = clone(flat)
    flat.fit(X[:200], y[:200])
    images.fit(X[:200].reshape(-1, 1, 8, 8), y[:200])
    check_same(images, X.reshape(-1, 1, 8, 8), flat, X, rtol=1e-4)
    assert images.score(X[200:].reshape(-1, 1, 8, 8), y[200:]) > 0.7
    assert images.is_outlier(np.full((1, 1, 8, 8), 20.0, dtype=np.float32)).all()


def test_missing_values_are_up_to_the_estimator():
    """Check that NaN passes where the estimator takes it, and else is its error."""
    X, y = clouds()
    holes = X.copy()
    holes[::7, 0] = np.nan
    for score in ("max_softmax", "auto"):
        model = model_of(DecisionTreeClassifier(max_depth=3), conformity_score=score)
        assert model.fit(holes, y).p_values(holes).shape == (150, 3)
    model = model_of(HistGradientBoostingClassifier(max_iter=5)).fit(holes, y)
    assert model.is_outlier(queries() + np.array([0, 50, 50])).all()
    with pytest.raises(ValueError, match="NaN"):
        model_of(GaussianNB()).fit(holes, y)
    with pytest.raises(ValueError, match="NaN"):
        model_of(GaussianNB()).fit(X, y).predict(holes)


VOTES = [("tree", DecisionTreeClassifier(max_depth=4)), ("nb", GaussianNB())]


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(VOTES),
        VotingClassifier(VOTES, voting="soft"),
        VotingClassifier(VOTES, voting="soft", flatten_transform=False),
        StackingClassifier(VOTES, cv=3),
    ],
    ids=["hard", "soft", "not flattened", "stacking"],
)
def test_predictions_of_ensembles_are_not_taken_for_features(ensemble, search):
    """Check that the score of a vote is that of a classifier without features."""
    X, y = clouds((120, 120, 120))
    X_new = np.random.default_rng(0).uniform(-6, 8, size=(500, 3))
    expected = model_of(GaussianNB(), conformity_score="knn").fit(X, y)
    if search:
        name = "final_estimator" if isinstance(ensemble, StackingClassifier) else "nb"
        ensemble = GridSearchCV(ensemble, {name: [GaussianNB()]}, cv=2)
    model = model_of(ensemble, conformity_score="knn").fit(X, y)
    assert_array_equal(model.p_values(X_new), expected.p_values(X_new))
    assert model.is_outlier(X_new).mean() > 0.5


class Oversampler(BaseEstimator):
    """A step that resamples for training, as imbalanced-learn has them."""

    def fit_resample(self, X, y):
        """Repeat the samples of all classes to the size of the largest."""
        most = np.bincount(y).max()
        rows = np.concatenate([np.resize(np.flatnonzero(y == k), most) for k in set(y)])
        return X[rows], y[rows]


class ResamplingPipeline(Pipeline):
    """A Pipeline whose samplers act on training alone."""

    def fit(self, X, y):
        """Transform and resample, and fit the last step."""
        for _, step in self.steps[:-1]:
            if hasattr(step, "fit_resample"):
                X, y = step.fit_resample(X, y)
            else:
                X = step.fit(X, y).transform(X)
        self.steps[-1][1].fit(X, y)
        return self

    def predict(self, X):
        """Predict with the steps that transform."""
        return self.steps[-1][1].predict(self.steps[0][1].transform(X))

    def __getitem__(self, index):
        if not isinstance(index, slice):
            return self.steps[index][1]
        return type(self)(self.steps[index])


def test_steps_that_resample_act_on_training_alone():
    """Check a Pipeline with a sampler before the classifier against one without."""
    X, y = clouds((100, 60, 60))
    sampler = ResamplingPipeline(
        [
            ("scale", StandardScaler()),
            ("sample", Oversampler()),
            ("nb", GaussianNB(priors=[1 / 3] * 3)),
        ]
    )
    model = model_of(sampler, conformity_score="center_distance").fit(X, y)
    scaled = model.estimator_[0].transform(queries())
    predicted = model.estimator_.predict(queries())
    own = np.linalg.norm(scaled - model.score_.centers_[predicted], axis=1)
    assert_allclose(model.score_samples(queries()), -own)
    for method in METHODS:
        assert len(getattr(model, method)(queries())) == len(queries())


def test_features_are_what_the_last_step_sees():
    """Check that a score of features sees what a Pipeline hands its classifier."""
    X, y = clouds()
    pipe = make_pipeline(StandardScaler(), LinearSVC(random_state=0))
    for estimator in (pipe, FrozenEstimator(clone(pipe).fit(X, y))):
        model = model_of(estimator, conformity_score="center_distance").fit(X, y)
        seen = model.estimator_[:-1].transform(queries())
        away = cdist(seen, model.score_.centers_)
        own = away[np.arange(len(seen)), model.estimator_.predict(queries())]
        assert_allclose(model.score_samples(queries()), -own)
    alone = model_of(make_pipeline(GaussianNB()), conformity_score="mahalanobis").fit(X, y)
    twin = model_of(GaussianNB(), conformity_score="mahalanobis").fit(X, y)
    check_same(alone, queries(), twin, queries())
    encoder = OneHotEncoder(sparse_output=False)
    words = np.array(["red", "green", "blue"])[y][:, None]
    model = model_of(
        make_pipeline(encoder, LogisticRegression()), conformity_score="mahalanobis"
    )
    assert model.fit(words, y).predict(words).shape == y.shape


@pytest.mark.parametrize("wrap", ["plain", "pipeline", "frozen pipeline"])
def test_features_of_a_network_are_those_it_learned(wrap):
    """Check that a score of features gets what transform returns, wherever the net is."""
    X, y = clouds()
    estimator = make_pipeline(StandardScaler(), net()) if "pipeline" in wrap else net()
    estimator = FrozenEstimator(estimator.fit(X, y)) if "frozen" in wrap else estimator
    model = model_of(estimator, conformity_score="center_distance").fit(X, y)
    features = model.estimator_.transform(queries()).astype(float)
    predicted = model.estimator_.predict(queries())
    own = np.linalg.norm(features - model.score_.centers_[predicted], axis=1)
    assert_allclose(model.score_samples(queries()), -own, rtol=2e-6, atol=2e-5)


def test_estimator_that_exposes_nothing():
    """Check that an estimator does that has no attributes of scikit-learn's."""

    class Bare(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.nearest_ = Nearest().fit(X, y)
            return self

        def predict(self, X):
            return self.nearest_.predict(X)

    X, y = clouds()
    model, twin = (model_of(estimator).fit(X, y) for estimator in (Bare(), Nearest()))
    assert_array_equal(model.classes_, [0, 1, 2])
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "feature_names_in_")
    check_same(model, queries(), twin, queries())


def test_forest_in_a_frame_of_strings_and_numbers():
    """Check that columns of words are encoded before the score sees them."""
    X, y = clouds((150, 150, 150))
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "word": np.array(list("xyz"))[y]})
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["word"]), remainder="passthrough"
    )
    forest = RandomForestClassifier(8, random_state=0)
    model = model_of(make_pipeline(encode, forest)).fit(frame, y)
    far = frame[:5].assign(a=50.0)
    assert model.is_outlier(far).all()
    with pytest.raises(ValueError, match=r"must hold numbers|could not convert"):
        model_of(forest).fit(frame, y)


@pytest.mark.parametrize(
    "estimator",
    [
        ExtraTreesClassifier(7, max_depth=3, random_state=0),
        LogisticRegression(max_iter=1000),
        RandomForestClassifier(7, max_depth=3, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_by_probability(estimator, n_classes):
    """Check that labels taken from probabilities are those of predict."""
    X, y = clouds()
    X, y = X[y < n_classes], y[y < n_classes]
    estimator = clone(estimator).fit(X, y)
    found = outputs_of(estimator, queries(), ["labels", "probabilities"])
    assert_array_equal(found["labels"], estimator.predict(queries()))


def test_labels_of_equal_probabilities():
    """Check that the label is that of predict where probabilities round to equal ones."""
    X, y = clouds()
    estimator = LogisticRegression().fit(X[y < 2], y[y < 2])
    estimator.coef_[:], estimator.intercept_[:] = 0, 1e-20
    found = outputs_of(estimator, X, ["labels", "probabilities"])
    assert_array_equal(found["probabilities"], 0.5)
    assert_array_equal(found["labels"], estimator.predict(X))
    assert_array_equal(found["labels"], 1)


def test_frame_of_texts_is_refused():
    """Check the error for texts in a frame, of which a vectorizer sees the column names."""
    texts = np.array(["red apple", "green apple", "red car", "fast car"] * 10)
    pipe = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = OpenSetClassifier(pipe, conformity_score="max_softmax", cv=0.5)
    frame = pd.DataFrame({"text": texts})
    model.fit(frame["text"], np.arange(40) % 4 // 2)
    assert len(model.predict(frame["text"])) == 40
    with pytest.raises(ValueError, match="TfidfVectorizer, which made 1 rows of a Data"):
        model.predict(frame)

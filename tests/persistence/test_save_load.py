"""Files that run no code: what comes back, and what is written when something fails."""

import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from numpy.testing import assert_array_equal
from saved_models import (
    FRAME,
    IMAGES,
    NAMES,
    Net,
    Unusual,
    X,
    Y,
    assert_alike,
    doubled,
    minus_norm,
    plain,
    round_trip,
    small,
    small_open_set,
)
from sklearn import config_context
from sklearn._loss._loss import CyHalfMultinomialLoss
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.svm import OneClassSVM

from sk_center import load, save
from sk_center.centers import simplex_etf
from sk_center.networks import ConvNet, RandomAffine
from sk_center.scores import (
    CenterDistance,
    Combined,
    Energy,
    FunctionScore,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    OpenMax,
    ViM,
)
from sk_center.scores.registry import SCORES

CLASSIFIERS = {
    "default": {},
    "distance head": {"head": "distance"},
    "cosine": {"metric": "cosine", "lambda_norm": 0.1},
    "center array": {"center": np.eye(3, 2, dtype=np.float32), "center_update": "wen"},
    "center list": {"center": [[0, 1], [1, 0], [1, 1]], "center_update": "fixed"},
    "simplex": {"center": "simplex", "center_update": "sum"},
    "anchors": {"anchors": "simplex"},
    "callable center": {"center": simplex_etf, "center_update": "cumulative"},
    "class_weight": {"class_weight": {0: 1.0, 1: np.float32(2), np.int64(2): 3}},
    "balanced": {"class_weight": "balanced", "predict_with": "softmax"},
    "background": {"negative_label": 2, "negative_loss": "background"},
    "entropic": {"negative_label": 2, "negative_loss": "entropic"},
    "objectosphere": {
        "negative_label": 2,
        "negative_loss": "objectosphere",
        "negative_loss__min_norm": 3.0,
    },
    "bf16": {"precision": "bf16"},
    "early_stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "RandomState": {"random_state": np.random.RandomState(3)},
    "DataLoader": {"iterator_train": torch.utils.data.DataLoader},
    "criterion": {
        "criterion__weight": torch.tensor([1.0, 2.0, 3.0]),
        "criterion__label_smoothing": 0.1,
    },
    "optimizer": {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": np.float64(0.9),
        "optimizer__param_groups": [("head*", {"lr": 0.1})],
    },
    "sizes": {
        "hidden_layer_sizes": np.array([4, 3], dtype=np.int16),
        "lr": np.float32(0.01),
    },
    "sizes as list": {"hidden_layer_sizes": [4, 3], "module__dropout": 0.5},
    "split": {"train_split": skorch.dataset.ValidSplit(3, stratified=True)},
    "accumulation": {"gradient_accumulation_steps": 2, "deterministic": True},
}


@pytest.mark.parametrize("params", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifier(params, tmp_path):
    """Check that a classifier comes back with all its parameters, to the last bit."""
    model = small(**params).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert plain(loaded.get_params()) == plain(model.get_params())
    assert vars(loaded).keys() == vars(model).keys()
    lean = [{**row, "batches": []} for row in model.history_]
    assert [{"batches": [], **row} for row in loaded.history_] == lean
    assert_alike(clone(model).fit(X, Y), clone(loaded).fit(X, Y), X)


LABELS = {
    "uint8": Y.astype(np.uint8),
    "int16 with gaps": (Y * 100 - 50).astype(np.int16),
    "float": Y * 2.0,
    "strings": NAMES[Y],
    "objects": NAMES.astype(object)[Y],
    "wide strings": NAMES.astype("U100")[Y],
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels(y, tmp_path):
    """Check that labels come back of the same dtype."""
    model = small_open_set().fit(X, y)
    loaded = round_trip(model, tmp_path)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.estimator_.classes_.dtype == model.estimator_.classes_.dtype
    assert_alike(model, loaded, X)


@pytest.mark.parametrize(
    ("module", "kwargs"),
    [
        (Net, {"module": Net}),
        (Net, {"trusted": [Net]}),
        (Net, {"trusted": ("saved_models.Net",)}),
        (Net(width=5), {"module": Net(width=5)}),
        (Unusual, {"module": Unusual}),
        (Unusual(), {"module": Unusual()}),
        (doubled, {"module": doubled}),
        (doubled, {"trusted": [doubled]}),
    ],
)
def test_own_module(module, kwargs, tmp_path):
    """Check that a module of the user comes back with its weights."""
    params = {"module__width": 5} if module is Net else {}
    model = small(module=module, **params).fit(X, Y)
    assert_alike(model, round_trip(model, tmp_path, **kwargs), X)


@pytest.mark.parametrize("params", [{}, {"optimizer": torch.optim.SGD}], ids=str)
@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_training_goes_on(how, params, tmp_path):
    """Check that training goes on after loading as it does without saving.

    The weights of a ConvNet lie in another order in memory than those that are saved.
    """
    params = {"module__channels": (3, 2), "module__image_shape": (1, 3, 3), **params}
    model = small(module=ConvNet, warm_start=how == "warm_start", **params)

    def train(model):
        if how == "warm_start":
            model.fit(IMAGES, Y)
        else:
            model.partial_fit(IMAGES, Y, classes=[0, 1, 2])

    train(model)
    loaded = round_trip(model, tmp_path)
    for _ in range(2):
        train(model)
        train(loaded)
    assert_alike(model, loaded, IMAGES)


def test_unseen_class(tmp_path):
    """Check that a center of which no sample was seen stays infinitely far away."""
    model = small().partial_fit(X[:40], Y[:40], classes=[0, 1, 2])
    loaded = round_trip(model, tmp_path)
    assert np.isinf(loaded.centers_[2]).all()
    for one in (model, loaded):
        one.partial_fit(X, Y)
    assert_alike(model, loaded, X)


def test_augmented_images(tmp_path):
    """Check that a ConvNet comes back with what changes its images in training."""
    params = {"module__image_shape": (1, 3, 3), "module__channels": (2,)}
    augment = RandomAffine(shift=1.0, rotation=10.0)
    model = small(module=ConvNet, module__augment=augment, **params).fit(IMAGES, Y)
    loaded = round_trip(model, tmp_path)
    assert loaded.module__augment.ranges == augment.ranges
    assert_alike(model, loaded, IMAGES)
    assert_alike(clone(model).fit(IMAGES, Y), clone(loaded).fit(IMAGES, Y), IMAGES)


def test_callbacks_are_left_out(tmp_path):
    """Check that a model with callbacks is saved without them and their batches."""
    callbacks = [("schedule", skorch.callbacks.LRScheduler())]
    model = small(callbacks=callbacks, callbacks__print_log=None).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert loaded.callbacks is None
    assert "callbacks__print_log" not in loaded.get_params()
    assert all(row["batches"] == [] for row in loaded.history_)


@pytest.mark.filterwarnings("ignore:Hardly any outsider|Samples far from all")
@pytest.mark.parametrize(
    ("score", "calibration"),
    [
        *((score, "conformal") for score in [*sorted(SCORES), "auto"]),
        ("knn", "weibull"),
        ("mahalanobis", "gaussian"),
    ],
)
def test_score_and_calibration(score, calibration, tmp_path):
    """Check that every score comes back, and every calibration."""
    model = small_open_set(conformity_score=score, calibration=calibration).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert repr(loaded) == repr(model)
    assert vars(loaded).keys() == vars(model).keys()
    assert_alike(clone(model).fit(X, Y), clone(loaded).fit(X, Y), X)


@pytest.mark.filterwarnings(
    "ignore:Hardly any outsider|Samples far from all|The relative Mahalanobis"
)
@pytest.mark.parametrize(
    "score",
    [
        Mahalanobis("class", relative=True),
        Mahalanobis(shrinkage=None, normalize=True),
        KNeighbors(1, scale="whiten", pooled=True),
        KNeighbors(1, scale="numeric_whiten", normalize=True),
        InputDensity(n_directions=1, pooled=True),
        Combined(["knn", "gen"], how="sum", weights=[1.0, 0.5], limits=[None, (-2, 0)]),
        KNeighbors(2, normalize=True, metric="cityblock", algorithm="ball_tree"),
        KNeighbors(2, algorithm="faiss"),
        KNeighbors(2, algorithm="brute"),
        Energy(2.0),
        OpenMax(5, alpha=2),
        ViM(1),
        InputDensity(2, shrinkage=0.1),
        Combined([Combined([CenterDistance(), Energy()], how="sum"), Mahalanobis()]),
        GaussianMixture(2, random_state=0, covariance_type="tied"),
        ["knn", "max_softmax"],
    ],
    ids=repr,
)
def test_score_with_parameters(score, tmp_path):
    """Check that scores come back with their parameters."""
    if getattr(score, "algorithm", None) == "faiss":
        pytest.importorskip("faiss")
    model = small_open_set(conformity_score=score).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert plain(loaded.get_params()) == plain(model.get_params())


@pytest.mark.parametrize(
    "params",
    [
        {"false_rejection_rate": {0: 0.2, 1: 0.25, 2: 0.3}, "guarantee": "predicted"},
        {"guarantee": "class"},
        {"confidence": 0.6, "false_rejection_rate": 0.4},
        {"cv": 3, "outlier_label": 99},
        {"cv": StratifiedKFold(3)},
    ],
    ids=str,
)
def test_open_set_parameters(params, tmp_path):
    """Check that parameters of an OpenSetClassifier come back."""
    model = small_open_set(**params).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert repr(loaded) == repr(model)
    assert_array_equal(loaded.outlier_label_, model.outlier_label_)


TREE = "sklearn.tree._tree.Tree"
KD_TREE = [
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
]


@pytest.mark.parametrize(
    ("model", "trusted"),
    [
        (small_open_set(conformity_score=OneClassSVM()), [OneClassSVM]),
        (
            small_open_set(conformity_score=KernelDensity()),
            [KernelDensity, *KD_TREE],
        ),
        (
            small_open_set(conformity_score=LocalOutlierFactor(3, novelty=True)),
            [LocalOutlierFactor, *KD_TREE],
        ),
        (
            small_open_set(
                conformity_score=IsolationForest(n_estimators=2, random_state=0)
            ),
            [IsolationForest, "sklearn.tree._classes.ExtraTreeRegressor", TREE],
        ),
        (
            small_open_set(RandomForestClassifier(2)),
            [RandomForestClassifier, "sklearn.tree._classes.DecisionTreeClassifier", TREE],
        ),
        (
            small_open_set(HistGradientBoostingClassifier(max_iter=2, max_features=0.5)),
            [
                HistGradientBoostingClassifier,
                "numpy.random._generator.Generator",
                # For skops 0.13; scikit-learn 1.6 calls the module "_loss".
                f"{CyHalfMultinomialLoss.__module__}.CyHalfMultinomialLoss",
                "sklearn._loss.link.Interval",
                "sklearn._loss.link.MultinomialLogit",
                "sklearn._loss.loss.HalfMultinomialLoss",
                "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
                "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
            ],
        ),
        (small_open_set(conformity_score=FunctionScore(minus_norm)), [minus_norm]),
    ],
    ids=["svm", "density", "neighbors", "isolation", "forest", "boosting", "function"],
)
def test_trusted(model, trusted, tmp_path):
    """Check that what could harm is loaded if the caller says so, by class or by name."""
    model.fit(X, Y)
    save(model, tmp_path / "model")
    with pytest.raises(ValueError, match="which are not trusted"):
        load(tmp_path / "model")
    assert_alike(model, load(tmp_path / "model", trusted=trusted), X)
    names = [
        name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}"
        for name in trusted
    ]
    assert_alike(model, load(tmp_path / "model", trusted=names), X)


def columns():
    """Return a transformer of a DataFrame."""
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(StandardScaler(), PCA(2)), ["a", "b"]),
            ("names", OneHotEncoder(sparse_output=False), ["c"]),
        ]
    )


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(columns(), small()),
        make_pipeline(columns(), small_open_set()),
        make_pipeline(columns(), small_open_set(make_pipeline(StandardScaler(), small()))),
        small_open_set(make_pipeline(columns(), small())),
        small_open_set(make_pipeline(columns(), LogisticRegression())),
    ],
    ids=["classifier", "open set", "both", "inside", "no network"],
)
def test_pipeline(model, tmp_path):
    """Check that Pipelines of a DataFrame come back, in whatever order they are nested."""
    model = clone(model).fit(FRAME, NAMES[Y])
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, FRAME)
    assert repr(loaded) == repr(model)
    assert_array_equal(loaded.feature_names_in_, model.feature_names_in_, strict=True)


def test_gaps_in_a_table(tmp_path):
    """Check that imputers, which remember dtypes, come back without being trusted."""
    gaps = FRAME.astype({"c": object})
    gaps.iloc[::7] = np.nan
    fill = [
        ("numbers", SimpleImputer(add_indicator=True), ["a", "b"]),
        (
            "names",
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
            ["c"],
        ),
        (
            "bins",
            make_pipeline(SimpleImputer(strategy="most_frequent"), KBinsDiscretizer(2)),
            ["a"],
        ),
    ]
    model = make_pipeline(ColumnTransformer(fill), small()).fit(gaps, Y)
    assert_alike(model, round_trip(model, tmp_path), gaps)


def test_pipeline_without_its_cache(tmp_path):
    """Check that a Pipeline comes back without the folder where it keeps pickles."""
    model = Pipeline([("scale", StandardScaler()), ("net", small())], memory=str(tmp_path))
    loaded = round_trip(model.fit(X, Y), tmp_path)
    assert loaded.memory is None
    assert_alike(model, loaded, X)


@pytest.mark.parametrize("number", [int, np.int64])
def test_text_about_memory(number, tmp_path):
    """Check that a vocabulary may hold the name of the parameter of a Pipeline."""
    words = np.array([f"memory {name}" for name in NAMES[Y]])
    order = {"memory": number(0), "bb": number(1), "long": number(2)}
    text = CountVectorizer(vocabulary=order)
    model = make_pipeline(text, TruncatedSVD(2), small()).fit(words, Y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model", trusted=[CountVectorizer])
    assert_alike(model, loaded, words)


def test_frozen_estimator(tmp_path):
    """Check that a frozen estimator comes back, and is frozen."""
    frozen = FrozenEstimator(small().fit(X, Y))
    loaded = round_trip(small_open_set(frozen).fit(X, Y), tmp_path)
    assert isinstance(loaded.estimator_, FrozenEstimator)
    assert_alike(small_open_set(frozen).fit(X, Y), loaded, X)


def test_set_output_and_requests(tmp_path):
    """Check that what set_output and the metadata requests had set comes back."""
    model, frame = small().set_output(transform="pandas"), FRAME[["a", "b"]]
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight="w")
        loaded = round_trip(model.fit(frame, Y), tmp_path)
        assert loaded.get_metadata_routing().fit.requests["sample_weight"] == "w"
    features = loaded.transform(frame)
    assert isinstance(features, pd.DataFrame)
    assert [*features.columns] == [*model.get_feature_names_out()]

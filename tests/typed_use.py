"""A program that uses sk_center as users do, for type checkers to read and tests to run.

``make lint`` checks it with the flags of ``mypy --strict``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from torch import Tensor, nn

from sk_center import (
    Center,
    CenterLossClassifier,
    CenterLossNet,
    DistanceDisplay,
    Explanation,
    FalseRejectionDisplay,
    FeatureSpaceDisplay,
    LeaveClassesOut,
    MonitorDisplay,
    OpenSetClassifier,
    OpenSetConfusionMatrixDisplay,
    OpenSetRocDisplay,
    OSCRCurveDisplay,
    RejectionMonitor,
    load,
    losses,
    metrics,
    networks,
    save,
    scores,
    to_onnx,
)
from sk_center._utils.types import Scorer


def held(values: NDArray[Any], dtype: type[np.generic]) -> None:
    """Check that an array has the dtype that its hint says."""
    assert np.issubdtype(values.dtype, dtype), values.dtype


class Halves(scores.BaseScore):
    """A score of one's own."""

    needs = ("inputs",)
    learns = False

    def _score_classes(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return -inputs[:, 0]


def centers_in_a_loop_of_ones_own() -> None:
    """Train with the torch pieces."""
    center = Center(feature_dim=2, center_num=3, update="wen", center="simplex")
    features, labels = torch.eye(3, 2), torch.arange(3)
    assert_type(center.forward(features, labels), Tensor)
    assert_type(center.predict(), Tensor)
    assert_type(center.deviation(features, labels), Tensor)
    assert_type(center.known, Tensor)
    assert_type(center.center, Tensor)
    assert_type(losses.center_loss(features, labels, center), Tensor)
    assert_type(losses.center_loss(features, labels, torch.zeros(3, 2)), Tensor)
    assert_type(networks.MLP(2, [4, 2]).eval(), networks.MLP)
    Center(2, 3, center=[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    Center(2, 3, center=torch.zeros)
    Center(2, 3, center=np.zeros((3, 2)))


def classifier(X: NDArray[np.float64], y: NDArray[Any]) -> CenterLossClassifier:
    """Fit a classifier and ask it."""
    fitted = CenterLossClassifier(
        lambda_center=0.1,
        anchors=None,
        hidden_layer_sizes=(8, 3),
        max_epochs=3,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.01,
        class_weight={"setosa": 2, "versicolor": 1, "virginica": 1},
        device="cpu",
        random_state=0,
    ).fit(X, y)
    assert_type(fitted, CenterLossClassifier)
    assert_type(fitted.predict(X), NDArray[Any])
    for values in (
        assert_type(fitted.predict_proba(X), NDArray[np.float32]),
        assert_type(fitted.predict_log_proba(X), NDArray[np.float32]),
        assert_type(fitted.decision_function(X), NDArray[np.float32]),
        assert_type(fitted.center_distances(X), NDArray[np.float32]),
        assert_type(fitted.logits(X), NDArray[np.float32]),
        assert_type(fitted.transform(X), NDArray[np.float32]),
        assert_type(fitted.centers_, NDArray[np.float32]),
        *assert_type(fitted.outputs(X, ("features",)), dict[str, NDArray[Any]]).values(),
    ):
        held(values, np.float32)
    assert_type(fitted.partial_fit(X.tolist(), y.tolist()), CenterLossClassifier)
    assert_type(fitted.get_params(), dict[str, Any])
    assert_type(fitted.set_params(lr=0.01), CenterLossClassifier)
    assert_type(fitted.net_, CenterLossNet)
    assert_type(fitted.module_.center, Center)
    assert_type(fitted.tau_, float)
    return fitted


def modules_of_ones_own(X: NDArray[np.float64], y: NDArray[np.int64]) -> None:
    """Give a module in every way."""

    class Body(nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.dense = nn.Linear(4, width)

        def forward(self, X: Tensor) -> Tensor:
            out: Tensor = self.dense(X)
            return out

    def flat(X: Tensor) -> Tensor:
        return X.flatten(1)

    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    CenterLossClassifier(Body, module__width=2, max_epochs=1).fit(data)
    CenterLossClassifier(Body(), max_epochs=1).fit(torch.from_numpy(X), torch.from_numpy(y))
    CenterLossClassifier(flat, max_epochs=1, center="simplex").fit(X, y)
    net = CenterLossNet(Body, max_epochs=1).fit(X.astype(np.float32), y)
    assert_type(net, CenterLossNet)
    assert_type(net.fit_loop(X, y, epochs=1), CenterLossNet)
    for logits, features in net.forward_iter(X):
        assert_type(logits, Tensor | None)
        assert_type(features, Tensor)


def open_set(
    estimator: CenterLossClassifier, X: NDArray[np.float64], y: NDArray[Any]
) -> OpenSetClassifier:
    """Wrap classifiers, calibrate and ask."""
    model = OpenSetClassifier(estimator, false_rejection_rate=0.1, cv=2, random_state=0)
    model = assert_type(model.fit(X, y), OpenSetClassifier)
    assert_type(model.predict(X), NDArray[Any])
    assert_type(model.classes_, NDArray[Any])
    held(assert_type(model.p_values(X), NDArray[np.float64]), np.float64)
    held(assert_type(model.thresholds_, NDArray[np.float64]), np.float64)
    for accepted in (
        assert_type(model.predict_set(X), NDArray[np.bool_]),
        assert_type(model.is_outlier(X), NDArray[np.bool_]),
        assert_type(model.select_outliers(X, fdr=0.2), NDArray[np.bool_]),
    ):
        held(accepted, np.bool_)
    for values in (
        assert_type(model.score_samples(X), NDArray[np.floating[Any]]),
        assert_type(model.predict_proba(X), NDArray[np.floating[Any]]),
        assert_type(model.predict_log_proba(X), NDArray[np.floating[Any]]),
        assert_type(model.decision_function(X), NDArray[np.floating[Any]]),
        assert_type(model.score_thresholds_, NDArray[np.float64]),
    ):
        held(values, np.floating)
    assert_type(model.transform(X), Any)
    monitor = assert_type(RejectionMonitor(model).fit(X, y), RejectionMonitor)
    monitor = assert_type(monitor.update(model.judge(X)), RejectionMonitor)
    assert_type(monitor.statistic_, dict[str, float])
    assert_type(monitor.alarm_, dict[str, bool])
    assert_type(MonitorDisplay.from_estimator(monitor), MonitorDisplay)
    explanation = assert_type(model.explain(X[:1], X, y), list[Explanation])[0]
    assert_type(explanation.rejected, bool)
    held(assert_type(explanation.p_values, NDArray[np.float64]), np.float64)
    held(assert_type(explanation.in_set, NDArray[np.bool_]), np.bool_)
    if explanation.neighbors is not None:
        held(assert_type(explanation.neighbors, NDArray[np.intp]), np.intp)
    return model


def other_parameters(X: NDArray[np.float64], y: NDArray[Any]) -> None:
    """Give parameters of every form, and samples of several."""

    def first_column(X: NDArray[np.float64]) -> ArrayLike:
        return X[:, 0]

    forest = LogisticRegression(max_iter=1000)
    rates = dict.fromkeys(np.unique(y).tolist(), 0.1)
    for model in (
        OpenSetClassifier(forest, false_rejection_rate=rates, guarantee="class", cv=2),
        OpenSetClassifier(forest, calibration="weibull", cv=0.5),
        OpenSetClassifier(forest, conformity_score="knn", cv=KFold(2, shuffle=True)),
        OpenSetClassifier(forest, conformity_score=["knn", scores.Mahalanobis()], cv=None),
        OpenSetClassifier(forest, conformity_score=GaussianMixture(), cv=0.5),
        OpenSetClassifier(forest, conformity_score=first_column, n_jobs=1, cv=0.5),
        OpenSetClassifier(forest, conformity_score=Halves(), outlier_label="none", cv=0.5),
    ):
        held(model.fit(X.tolist(), y.tolist()).p_values(X.tolist()), np.float64)
    score = assert_type(scores.Mahalanobis(shrinkage=None).fit(X, y), scores.Mahalanobis)
    held(assert_type(score.score_classes(X), NDArray[np.floating[Any]]), np.floating)


def judged(model: OpenSetClassifier, X: NDArray[np.float64], y: NDArray[Any]) -> None:
    """Split, search and measure."""
    cv = LeaveClassesOut(1, n_splits=2, random_state=0)
    assert_type(cv.get_n_splits(), int)
    for train, test in cv.split(X, y):
        held(assert_type(train, NDArray[np.intp]), np.intp)
        held(assert_type(test, NDArray[np.intp]), np.intp)
    assert_type(metrics.oscr_scorer, Scorer)
    search = GridSearchCV(
        OpenSetClassifier(LogisticRegression(max_iter=1000), cv=5),
        {"conformity_score": ["knn", "mahalanobis"]},
        cv=cv,
        scoring=metrics.make_open_set_scorer(metrics.fpr_at_tpr, tpr=0.9),
    )
    search.fit(X, y)
    y_true = np.where(np.arange(len(y)) % 2, y, "outsider")
    given = (y_true, model.score_samples(X))
    auroc = metrics.auroc_score(*given, labels=model.classes_)
    assert isinstance(assert_type(auroc, float), float)
    ccr, _, thresholds = metrics.oscr_curve(
        y_true, model.predict(X), model.score_samples(X), labels=model.classes_
    )
    held(assert_type(ccr, NDArray[np.float64]), np.float64)
    held(assert_type(thresholds, NDArray[np.float64]), np.float64)
    assert_type(metrics.openness(2, 3), float)


def drawn(model: OpenSetClassifier, X: NDArray[np.float64], y: NDArray[Any]) -> None:
    """Draw every display."""
    y = np.where(np.arange(len(y)) % 2, y, "outsider")
    features = FeatureSpaceDisplay.from_estimator(model, X, y)
    assert_type(features, FeatureSpaceDisplay)
    assert_type(DistanceDisplay.from_estimator(model, X, y), DistanceDisplay)
    curve = assert_type(OSCRCurveDisplay.from_estimator(model, X, y), OSCRCurveDisplay)
    assert_type(curve.plot(ax=features.ax_), OSCRCurveDisplay)
    curve.ax_.set_title("known, and classified right")
    curve.figure_.savefig("curve.png")
    roc = OpenSetRocDisplay.from_estimator(model, X, y)
    assert_type(roc, OpenSetRocDisplay)
    bound = FalseRejectionDisplay.from_estimator(model, X, y)
    assert_type(bound, FalseRejectionDisplay)
    matrix = OpenSetConfusionMatrixDisplay.from_estimator(model, X, y, normalize="true")
    assert_type(matrix, OpenSetConfusionMatrixDisplay)


def kept(model: OpenSetClassifier, X: NDArray[np.float64]) -> None:
    """Save and load."""
    path = Path("model.safetensors")
    save(model, path)
    loaded: OpenSetClassifier = load(str(path))
    assert (loaded.predict(X) == model.predict(X)).all()


def mistakes(model: OpenSetClassifier) -> None:
    """Make those that a type checker finds; where it did not, its ignore would be unused.

    Nothing runs it.
    """
    from sk_center import OpenSetClasifier  # type: ignore[attr-defined]

    OpenSetClasifier(LogisticRegression())
    CenterLossClassifier(predict_with="centre")  # type: ignore[arg-type]
    CenterLossClassifier(anchors="simplx")  # type: ignore[arg-type]
    OpenSetClassifier("forest")  # type: ignore[arg-type]
    OpenSetClassifier(LogisticRegression(), cutoff=0.05)  # type: ignore[call-arg]
    Center(2)  # type: ignore[call-arg]
    metrics.auroc_score([0, 1], [0.5, 0.6])  # type: ignore[call-arg]
    model.is_outlier(None)  # type: ignore[arg-type]
    model.predict_proba([[1.0]], True)  # type: ignore[call-arg]
    model.predict([[1.0]]).is_outlier()  # type: ignore[attr-defined]
    save("model.safetensors", model)  # type: ignore[arg-type]


def exported(model: OpenSetClassifier) -> None:
    """Write a graph."""
    to_onnx(model, "model.onnx")


def main() -> OpenSetClassifier:
    """Run all but the export, on few samples."""
    X, target = load_iris(return_X_y=True)
    y = np.array(["setosa", "versicolor", "virginica"])[target]
    centers_in_a_loop_of_ones_own()
    modules_of_ones_own(X, target)
    model = open_set(classifier(X, y), X, y)
    other_parameters(X, y)
    judged(model, X, y)
    drawn(model, X, y)
    kept(model, X)
    return model


if __name__ == "__main__":
    exported(main())

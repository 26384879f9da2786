"""A program for an environment without any extra; ``make wheel-test`` runs it in one."""

import pickle

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from sk_center import (
    CenterLossClassifier,
    DistanceDisplay,
    LeaveClassesOut,
    OpenSetClassifier,
    load,
    metrics,
    save,
    scores,
    to_onnx,
)


def names_extra(extra, function, *args):
    """Check that a call says which extra it misses."""
    try:
        function(*args)
    except ImportError as error:
        said = str(error)
    else:
        said = "nothing: some extra is there"
    assert f'pip install "sk-center[{extra}]"' in said, said


def main():
    """Use what needs no extra, and ask for what does."""
    X, y = load_iris(return_X_y=True)
    cv = LeaveClassesOut(n_splits=2, random_state=0)
    for estimator in (
        CenterLossClassifier(max_epochs=5, random_state=0),
        RandomForestClassifier(random_state=0),
    ):
        for train, test in cv.split(X, y):
            model = OpenSetClassifier(estimator, cv=5, random_state=0)
            model.fit(X[train], y[train])
            auroc = metrics.auroc_scorer(model, X[test], y[test])
            assert 0 <= auroc <= 1
            copy = pickle.loads(pickle.dumps(model))
            assert (copy.predict(X) == model.predict(X)).all()
            assert "p-value" in repr(model.explain(X[:1], X[train], y[train])[0])
    names_extra("persistence", save, model, "model.safetensors")
    names_extra("persistence", load, "model.safetensors")
    model = OpenSetClassifier(CenterLossClassifier(max_epochs=1), cv=5).fit(X, y)
    names_extra("onnx", to_onnx, model, "model.onnx")
    names_extra("faiss", scores.KNeighbors(algorithm="faiss").fit, X, y)
    names_extra("plot", DistanceDisplay.from_estimator, model, X, y)


if __name__ == "__main__":
    main()

"""Write the models of format 1 that tests/test_persistence.py loads ever since.

They are to stay as they are: what they are for is that later versions load them. Run from
the root of the repository::

    python tests/data/make_format_1.py
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, OpenSetClassifier, save
from sk_center.networks import ConvNet, RandomAffine

FOLDER = Path(__file__).with_name("format-1")
METHODS = ("predict", "predict_proba", "decision_function", "transform", "p_values")


def models():
    """Yield name, model, training samples and labels."""
    X, y = load_iris(return_X_y=True)
    names = np.array(["", "versicolor", "\N{SNOWMAN}"])[y]
    images = np.repeat(np.repeat(X.reshape(-1, 1, 2, 2), 2, axis=2), 2, axis=3)

    def classifier(**params):
        params = {"hidden_layer_sizes": (8, 4), "max_epochs": 20, "lr": 0.01, **params}
        return CenterLossClassifier(random_state=0, **params)

    def open_set(estimator, **params):
        params = {"false_rejection_rate": 0.1, "random_state": 0, **params}
        return OpenSetClassifier(estimator, **params)

    yield "classifier", classifier(class_weight={0: 1, 1: 2, 2: 1}), X, y
    yield "strings", classifier(head="distance", metric="cosine"), X, names
    yield "warm_start", classifier(warm_start=True, optimizer__weight_decay=1e-4), X, y
    conv = {
        "module__image_shape": (1, 4, 4),
        "module__channels": (4,),
        "module__hidden_layer_sizes": (4,),
        "module__augment": RandomAffine(shift=0.5),
    }
    yield "images", classifier(module=ConvNet, **conv), images, y
    yield "pipeline", make_pipeline(StandardScaler(), open_set(classifier())), X, names
    scores = ["center_distance", "knn", "openmax", "vim", "max_logit", "max_softmax"]
    yield "scores", open_set(classifier(), conformity_score=scores, cv=3), X, y
    for calibration in ("gaussian", "weibull"):
        params = {"conformity_score": "mahalanobis", "calibration": calibration}
        yield calibration, open_set(classifier(), **params), X, y


def main():
    """Write the models, and what they say of some samples."""
    FOLDER.mkdir(exist_ok=True)
    for name, model, X, y in models():
        model.fit(X, y)
        save(model, FOLDER / f"{name}.safetensors")
        X = X[::7].astype(np.float32)
        answers = {
            method: getattr(model, method)(X)
            for method in METHODS
            if hasattr(model, method)
        }
        np.savez_compressed(FOLDER / f"{name}.npz", X=X, **answers)


if __name__ == "__main__":
    main()

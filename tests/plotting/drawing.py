"""A problem to draw, and what its drawing says."""

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from sk_center import OpenSetClassifier

NAMES = np.array(["ant", "bee", "cat", "dog", "elk"])
KNOWN = ["ant", "bee", "cat"]


def samples(n_features=2):
    """Return training and test samples of five classes."""
    X, y = make_blobs([120] * 5, n_features, cluster_std=2.0, random_state=7)
    return train_test_split(X, NAMES[y], test_size=0.4, random_state=0)


def problem(n_features=2, known=KNOWN, score="center_distance", **params):
    """Return a classifier of some known classes, and test samples of those and others."""
    X_train, X, y_train, y = samples(n_features)
    chosen = np.isin(y_train, known)
    params = {"conformity_score": score, "cv": 0.5, "random_state": 0, **params}
    model = OpenSetClassifier(GaussianNB(), **params)
    return model.fit(X_train[chosen], y_train[chosen]), X, y


def legend(ax):
    """Return the texts of the legend, none where there is no legend."""
    shown = ax.get_legend()
    return [] if shown is None else [text.get_text() for text in shown.get_texts()]

"""Samples, classifiers and a rule in loops that tests of open-set classifiers share."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB

from sk_center import CenterLossClassifier

# Three clouds that overlap, of different widths, neither round nor alike along the axes,
# so that scores differ in what they accept.
MEANS = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 2.5, 1.0]])
WIDTHS = np.array([0.5, 1.0, 1.5])
AXES = np.array([0.5, 1.0, 1.5])
FAR = np.full((1, 3), 50.0)
METHODS = ("predict", "p_values", "p_known", "predict_set", "is_outlier", "score_samples")
GUARANTEES = ("marginal", "predicted", "class")


def sample(y, rng):
    """Return samples of the classes y from the three clouds."""
    return MEANS[y] + rng.normal(size=(len(y), 3)) * WIDTHS[y][:, None] * AXES


def clouds(sizes=(60, 50, 40), seed=0):
    """Return samples of the three clouds, shuffled, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return sample(y, rng), y


def queries(seed=1):
    """Return samples in, between and far from the three clouds."""
    rng = np.random.default_rng(seed)
    X = sample(np.repeat(np.arange(3), 20), rng)
    return np.concatenate([X, rng.uniform(-6, 8, size=(60, 3)), FAR])


def net(**params):
    """Return a small center-loss classifier that trains in a moment."""
    params = {"max_epochs": 8, "lr": 0.01, "random_state": 0, **params}
    return CenterLossClassifier(hidden_layer_sizes=(16, 4), **params)


def frozen(estimator, seed=7):
    """Return the estimator, fitted on samples of its own and frozen."""
    return FrozenEstimator(clone(estimator).fit(*clouds((40, 40, 40), seed)))


def rows(X):
    """Return the samples as a set, to compare which ones they are."""
    return {tuple(x) for x in np.asarray(X).tolist()}


def is_among(X, others):
    """Return which samples are among others."""
    others = rows(others)
    return np.array([tuple(x) in others for x in X.tolist()])


def own_of(scores, y):
    """Return the score of each sample for its own class."""
    return scores[np.arange(len(y)), y]


def p_value(calibration_scores, score):
    """Return (1 + #{calibration scores <= s}) / (n + 1)."""
    return (1 + sum(c <= score for c in calibration_scores)) / (len(calibration_scores) + 1)


def reference_p_values(own, y, scores):
    """Return the p-value of each sample for each class, in loops."""
    return np.array(
        [[p_value(own[y == k], s) for k, s in enumerate(row)] for row in scores]
    )


def reference_decision(guarantee, rates, calibration, new):
    """Return p_known, the rejected and the index of the label, one sample at a time.

    ``calibration`` holds scores for all classes, classes and predicted classes of the
    calibration samples, ``new`` scores and predicted classes of the others.
    """
    scores, y, predicted = calibration
    own, top = own_of(scores, y), own_of(scores, predicted)
    found = []
    for s, j in zip(*new):
        if guarantee == "class":
            p = [p_value(own[y == k], s[k]) for k in range(len(rates))]
            accepting = [k for k in range(len(rates)) if p[k] > rates[k]]
            label = j
            if accepting and j not in accepting:
                label = max(accepting, key=lambda k: (p[k], s[k]))
            found.append((max(p), not accepting, label))
        else:
            group = top if guarantee == "marginal" else top[predicted == j]
            p = p_value(group, s[j])
            found.append((p, p <= rates[j], j))
    return [np.array(column) for column in zip(*found)]


def reference_sets(guarantee, rates, calibration, new, error_rate=None):
    """Return the prediction sets, one sample and class at a time, by counts.

    ``calibration`` holds scores for the predicted class, probabilities, classes and
    predicted classes, ``new`` probabilities, predicted classes and the rejected.
    """
    top, probabilities, y, predicted = calibration
    sets = np.zeros(new[0].shape, dtype=bool)
    for i, (row, j, rejected) in enumerate(zip(*new)):
        group = np.full(len(y), True) if guarantee == "marginal" else predicted == j
        n = group.sum()
        lowest = np.sort(top[group])[: int(rates[j] * (n + 1) + 1e-9)]
        accepted = group if not len(lowest) else group & (top >= lowest[-1])
        wrong = [
            probabilities[k, y[k]] for k in np.flatnonzero(accepted & (y != predicted))
        ]
        allowed = int((rates[j] if error_rate is None else error_rate) * (n + 1) + 1e-9)
        for class_, p in enumerate(row):
            enough = 1 + sum(other <= p for other in wrong) > allowed
            sets[i, class_] = not rejected and (class_ == j or enough)
    return sets


class Nearest(ClassifierMixin, BaseEstimator):
    """A classifier by the nearest class mean that has nothing but ``predict``."""

    def fit(self, X, y):
        """Learn the means."""
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict(self, X):
        """Return the class of the nearest mean."""
        away = ((X[:, None] - self.means_) ** 2).sum(axis=2)
        return self.classes_[away.argmin(axis=1)]


class Recorder(GaussianNB):
    """A classifier that keeps what ``fit`` was given."""

    def fit(self, X, y, sample_weight=None, note=None):
        """Keep all, and fit."""
        self.given_ = {"X": X, "y": y, "sample_weight": sample_weight, "note": note}
        return super().fit(X, y, sample_weight)

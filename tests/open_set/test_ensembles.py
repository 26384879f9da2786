"""Ensembles and tools of scikit-learn around and inside an open-set classifier."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from sk_center import OpenSetClassifier

FAR = np.array([[50.0, 50.0], [60.0, -40.0]])
PAIR = [("bayes", GaussianNB()), ("linear", LogisticRegression())]


def irises():
    """Return two features of the irises, and their names."""
    iris = load_iris()
    return iris.data[:, :2], iris.target_names[iris.target]


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(PAIR),
        VotingClassifier(PAIR, voting="soft"),
        StackingClassifier(PAIR),
        AdaBoostClassifier(GaussianNB(), random_state=0),
        BaggingClassifier(GaussianNB(), random_state=0),
        CalibratedClassifierCV(GaussianNB()),
    ],
    ids=lambda ensemble: f"{type(ensemble).__name__}-{getattr(ensemble, 'voting', '')}",
)
def test_around_an_ensemble(ensemble):
    """Check that far samples are rejected, and known ones labelled by the ensemble."""
    X, y = irises()
    model = OpenSetClassifier(ensemble, conformity_score="knn", random_state=0, cv=0.2)
    model.fit(X, y)
    assert model.predict(FAR).tolist() == ["outsider", "outsider"]
    accepted = ~model.is_outlier(X)
    assert accepted.mean() > 0.8
    own = model.estimator_.predict(X)
    np.testing.assert_array_equal(model.predict(X)[accepted], own[accepted])


def test_inside_an_ensemble_as_documented():
    """Check that the errors that the pages name are those that come."""
    X, y = irises()
    inner = OpenSetClassifier(GaussianNB(), random_state=0, cv=0.2)
    voting = VotingClassifier([("open", inner), *PAIR]).fit(X, y)
    with pytest.raises(ValueError, match="must have no negative elements"):
        voting.predict(FAR)
    with pytest.raises(ValueError, match="OpenSetClassifier doesn't support sample_weight"):
        AdaBoostClassifier(inner).fit(X, y)
    soft = VotingClassifier([("open", inner), *PAIR], voting="soft").fit(X, y)
    assert set(soft.predict(FAR)) <= set(y)


def test_line_of_rejection():
    """Check the contour that is documented for scikit-learn's display of boundaries."""
    X, y = irises()
    model = OpenSetClassifier(GaussianNB(), random_state=0, cv=0.2).fit(X, y)
    with pytest.raises(ValueError, match="previously unseen labels"):
        DecisionBoundaryDisplay.from_estimator(model, X, response_method="predict")
    drawn = DecisionBoundaryDisplay.from_estimator(
        model,
        X,
        response_method="score_samples",
        plot_method="contour",
        levels=model.score_thresholds_[:1],
        grid_resolution=30,
    )
    grid = np.column_stack([drawn.xx0.ravel(), drawn.xx1.ravel()])
    below = drawn.response.ravel() < model.score_thresholds_[0]
    assert 0 < below.mean() < 1
    np.testing.assert_array_equal(below, model.is_outlier(grid))

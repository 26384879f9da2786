"""A density or outlier estimator of scikit-learn for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from sk_center._utils.compat import HasMethods, StrOptions
from sk_center._utils.schema import by_class, having
from sk_center.scores.base import ScoreInSpace
from sk_center.scores.mixtures import (
    densities_to_onnx,
    full_factors,
    side_by_side,
)
from sk_center.scores.parts import SPACES
from sk_center.scores.rows import by_class as rows_by_class

if TYPE_CHECKING:
    from sk_center._utils.types import DensityEstimator


class PerClass(ScoreInSpace):
    """The score of a density or outlier estimator, with one clone for each class.

    Parameters
    ----------
    estimator : estimator instance
        Anything with ``fit(X)`` and ``score_samples(X)``, larger for more typical samples:
        :class:`sklearn.mixture.GaussianMixture`, :class:`sklearn.neighbors.KernelDensity`,
        :class:`sklearn.ensemble.IsolationForest`, :class:`sklearn.svm.OneClassSVM`,
        :class:`sklearn.neighbors.LocalOutlierFactor` with ``novelty=True``.

    space : {"features", "inputs", "layers", "raw_inputs"}, default="features"
        The part to which the estimators are fitted.

    Attributes
    ----------
    estimators_ : dict of estimators
        The fitted estimator of each class that had samples, by class index.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    InputDensity : Mixtures of the inputs that suit few samples.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from sk_center.scores import PerClass
    >>> X, y = load_iris(return_X_y=True)
    >>> score = PerClass(GaussianMixture(random_state=0)).fit(X, y)
    >>> typical, outsider = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, outsider]).round(1)
    array([  2.7, -45.3])
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "score_samples"])],
        "space": [StrOptions({*SPACES})],
    }
    _saved_state = {"estimators_": by_class(having("score_samples"))}

    def __init__(
        self,
        estimator: DensityEstimator,
        *,
        space: Literal["features", "inputs", "layers", "raw_inputs"] = "features",
    ) -> None:
        self.estimator = estimator
        self.space = space

    def _fit(self, y, **parts):
        self.estimators_ = {
            k: clone(self.estimator).fit(parts[self.space][rows])
            for k, rows in rows_by_class(y)
        }

    def _regroup(self, kept, y, **parts):
        former, self.estimators_ = self.estimators_, {}
        for k, index in enumerate(kept.tolist()):
            if index in former:
                self.estimators_[k] = former[index]
        for k, rows in rows_by_class(y):
            self.estimators_[k] = clone(self.estimator).fit(parts[self.space][rows])

    def _score_classes(self, **parts):
        X = parts[self.space]
        scores = np.full((len(X), len(self.classes_)), np.nan)
        for k, estimator in self.estimators_.items():
            scores[:, k] = estimator.score_samples(X)
        return scores

    def _score_own(self, index, **parts):
        X, scores = parts[self.space], np.full(len(index), np.nan)
        for k, rows in rows_by_class(index):
            if k in self.estimators_:
                scores[rows] = self.estimators_[k].score_samples(X[rows])
        return scores

    def _to_onnx(self, **values):
        for estimator in self.estimators_.values():
            if type(estimator) is not GaussianMixture:
                raise ValueError(
                    "conformity_score=PerClass must hold a GaussianMixture to be exported; "
                    f"got {estimator!r}."
                )
        X, n_columns = values[self.space].astype(np.float64), self.n_features_in_
        laws = {
            k: (one.weights_, one.means_, full_factors(one, n_columns))
            for k, one in self.estimators_.items()
        }
        return densities_to_onnx(X, *side_by_side(laws), len(self.classes_))

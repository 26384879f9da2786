"""Densities of each class."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.utils._param_validation import HasMethods, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sk_center._utils.types import DensityEstimator
from sk_center._utils.schema import by_class, having
from sk_center.scores.base import BaseScore

__all__ = ["InputDensity", "PerClass"]

# Of so many samples of a class more tell a density little that is new.
MOST_MEMBERS = 10_000


class PerClass(BaseScore):
    """What a density or outlier estimator says, with one clone for each class.

    Parameters
    ----------
    estimator : estimator instance
        Anything with ``fit(X)`` and ``score_samples(X)``, larger for more typical samples:
        :class:`sklearn.mixture.GaussianMixture`, :class:`sklearn.neighbors.KernelDensity`,
        :class:`sklearn.ensemble.IsolationForest`, :class:`sklearn.svm.OneClassSVM`,
        :class:`sklearn.neighbors.LocalOutlierFactor` with ``novelty=True``.

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
    InputDensity : Mixtures that suit few samples, of the inputs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from sk_center.scores import PerClass
    >>> X, y = load_iris(return_X_y=True)
    >>> score = PerClass(GaussianMixture(random_state=0)).fit(X, y)
    >>> typical, odd = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, odd]).round(1)
    array([  2.7, -45.3])
    """

    _parameter_constraints: dict = {"estimator": [HasMethods(["fit", "score_samples"])]}
    _saved_state = {"estimators_": by_class(having("score_samples"))}

    def __init__(self, estimator: DensityEstimator) -> None:
        self.estimator = estimator

    def _fit(self, y, features):
        self.estimators_ = {
            k: clone(self.estimator).fit(features[y == k]) for k in np.unique(y).tolist()
        }

    def _score_classes(self, features):
        return score_by_class(self.estimators_, features, len(self.classes_))


class InputDensity(BaseScore):
    """Log density of the inputs, under a mixture of normal distributions for each class.

    The inputs are what the last step of the estimator sees, before it makes features of
    them. A classifier trained to tell classes apart may map what else sets an outsider
    apart to nothing; the inputs still have it. So this score complements those of features
    and probabilities, where inputs are few numbers, as in a table.

    A class of n samples with d inputs gets a component for every 3 d samples, at most
    ``max_components``, fitted to at most 10,000 of the samples. Inputs are measured by
    their standard deviations, so that units do not matter, or where most of them have the
    same range, as pixels do, by one for all of these. To the variance of each input in a
    component of m samples, ``shrinkage * d / m`` times its variance in all samples is
    added: a class takes no more than one sample.

    A missing input, NaN, counts as the mean of the class that is asked about: it speaks
    neither for nor against it.

    Parameters
    ----------
    max_components : int, default=8
        Largest number of components of a class. More describe classes of several clusters
        or a bent shape, and take time in proportion.

    shrinkage : float, default=0.05
        How much rounder than in the data the components are, at least 0. Larger suits few
        samples.

    Attributes
    ----------
    mixtures_ : dict of :class:`sklearn.mixture.GaussianMixture`
        The fitted mixture of each class that had samples, by class index, in the units of
        the inputs; ``reg_covar`` alone is for inputs of variance one.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    PerClass : Any density, of features.
    sklearn.mixture.GaussianMixture : The mixtures.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_center.scores import InputDensity
    >>> X, y = load_iris(return_X_y=True)
    >>> score = InputDensity().fit(X, y)
    >>> typical, odd = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, odd]).round(1)
    array([  2. , -13.8])
    """

    needs = ("inputs",)
    allow_nan = True
    _parameter_constraints: dict = {
        "max_components": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
    }
    _saved_state = {"mixtures_": by_class(having("score_samples"))}

    def __init__(self, max_components: int = 8, *, shrinkage: float = 0.05) -> None:
        self.max_components = max_components
        self.shrinkage = shrinkage

    def _fit(self, y, inputs):
        X = filled(inputs.astype(np.float64, copy=False), y)
        means, spreads = X.mean(axis=0), spreads_of(X)
        X = (X - means) / spreads
        rng = np.random.RandomState(0)
        self.mixtures_ = {}
        for k in np.unique(y).tolist():
            members = X[y == k]
            if len(members) > MOST_MEMBERS:
                members = members[rng.choice(len(members), MOST_MEMBERS, replace=False)]
            self.mixtures_[k] = stretched(self._mixture(members), means, spreads)

    def _mixture(self, members):
        """Return the fitted mixture of one class."""
        n_samples, n_inputs = members.shape
        n_components = min(max(n_samples // (3 * n_inputs), 1), self.max_components)
        if n_components > 1:  # no more than there are different samples
            n_components = min(n_components, len(np.unique(members, axis=0)))
        ridge = self.shrinkage * n_inputs * n_components / n_samples
        mixture = GaussianMixture(
            n_components,
            # Never nothing, since inputs may be constant in a class.
            reg_covar=max(ridge, 1e-6),
            max_iter=1000,
            random_state=0,
        )
        # A mixture takes two samples; twice the same one has the same density.
        members = members if n_samples > 1 else np.repeat(members, 2, axis=0)
        # These are arrays of numpy, of which array API dispatch would allow no k-means.
        with config_context(array_api_dispatch=False):
            return mixture.fit(members)

    def _score_classes(self, inputs):
        X = inputs
        gaps = np.isnan(X)
        if not gaps.any():
            return score_by_class(self.mixtures_, X, len(self.classes_))
        scores = np.full((len(X), len(self.classes_)), np.nan)
        for k, mixture in self.mixtures_.items():
            mean = (mixture.weights_ @ mixture.means_).astype(X.dtype)
            scores[:, k] = mixture.score_samples(np.where(gaps, mean, X))
        return scores


def filled(X: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return samples without missing values.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples, with NaN where a value is missing.

    y : ndarray of shape (n_samples,)
        Class indices.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The samples, where a missing value is the mean of its class, or that of all
        samples if the class has none, or zero if no sample has one.
    """
    gaps = np.isnan(X)
    if not gaps.any():
        return X
    X, known = X.copy(), np.ma.array(X, mask=gaps)
    means = known.mean(axis=0).filled(0)
    for k in np.unique(y[gaps.any(axis=1)]):
        members = y == k
        mean = known[members].mean(axis=0).filled(means)
        X[members] = np.where(gaps[members], mean, X[members])
    return X


def spreads_of(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each input is measured by.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    spreads : ndarray of shape (n_features,)
        The standard deviations, or one where that is zero. Where most inputs that vary
        have the same range, those of at most this range have one unit, as pixels do: they
        share the root of their mean variance.
    """
    ranges = np.ptp(X, axis=0)
    spreads = np.where(ranges > 0, X.std(axis=0), 0)
    if ranges.any():
        usual = np.median(ranges[ranges > 0])  # which a majority decides
        if np.isclose(ranges[ranges > 0], usual, atol=0).mean() > 0.5:
            alike = (ranges < usual) | np.isclose(ranges, usual, atol=0)
            spreads[alike] = np.sqrt(np.square(spreads[alike]).mean())
    spreads[spreads == 0] = 1
    return spreads


def stretched(
    mixture: GaussianMixture, means: NDArray[np.float64], spreads: NDArray[np.float64]
) -> GaussianMixture:
    """Bring a mixture that was fitted to standardized inputs to their units.

    Parameters
    ----------
    mixture : :class:`sklearn.mixture.GaussianMixture`
        A mixture with full covariances, which changes.

    means, spreads : ndarray of shape (n_inputs,)
        What was subtracted from the inputs, and what they were divided by.

    Returns
    -------
    mixture : :class:`sklearn.mixture.GaussianMixture`
        The same mixture.
    """
    mixture.means_ = means + mixture.means_ * spreads
    mixture.covariances_ *= np.outer(spreads, spreads)
    mixture.precisions_cholesky_ /= spreads[:, None]
    mixture.precisions_ /= np.outer(spreads, spreads)
    return mixture


def score_by_class(
    estimators: dict[int, Any], X: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Return what the estimator of each class says of samples, NaN without one."""
    scores = np.full((len(X), n_classes), np.nan)
    for k, estimator in estimators.items():
        scores[:, k] = estimator.score_samples(X)
    return scores

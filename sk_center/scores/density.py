"""The density of each class under mixtures of normal distributions."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn import config_context
from sklearn.mixture import GaussianMixture

from sk_center._utils.compat import Interval, StrOptions
from sk_center._utils.schema import array, boolean, bounded
from sk_center.scores.base import ScoreInSpace
from sk_center.scores.columns import numeric_columns
from sk_center.scores.mixtures import (
    MANY,
    Mixtures,
    NarrowMixtures,
    densities_to_onnx,
    levels_of,
    log_sum_exp,
    side_by_side,
    weighted_densities,
)
from sk_center.scores.parts import SPACES
from sk_center.scores.principal import principal_directions
from sk_center.scores.rows import (
    blocks,
    class_means,
    length_one,
    regrouped,
)
from sk_center.scores.rows import by_class as rows_by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

# More samples of a class than these tell a density little that is new.
MOST_SAMPLES = 10_000
# Inputs of more columns are projected, to at most and at least so many directions.
WIDE, DIRECTIONS, FEWEST = 50, 32, 5


class InputDensity(ScoreInSpace, name="input_density"):
    """Log density of the inputs, under a mixture of normal distributions for each class.

    The inputs are what the last step of the estimator sees, before it makes features of
    them. A classifier trained to tell classes apart may map what else sets an outsider
    apart to nothing; the inputs still have it. So this score complements those of features
    and probabilities.

    A class of n samples with d inputs gets a component for every 3 d samples, at most
    ``max_components``, fitted to at most 10,000 of the samples. Inputs are measured by
    their standard deviations, so that units do not matter, or where most of them have the
    same range, as pixels do, by one for all of these. To the variance of each input in a
    component of m samples, ``shrinkage * d / m`` times its variance in all samples is
    added: a class takes no more than one sample.

    Wide inputs, such as pixels and embeddings, are brought to length one and projected to
    their principal directions, each measured by its standard deviation; what follows is
    the same, with these for inputs.

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

    n_directions : int, "auto" or None, default="auto"
        Number of principal directions that inputs are projected to, at most half of the
        training samples. None projects nothing. ``"auto"`` projects more than 50 inputs, to
        32 directions, or to half as many as the median class has samples, at least 5, if
        that is fewer: a covariance of more directions cannot be learned from a class.

    normalize : bool or "auto", default="auto"
        Whether to bring every sample to length one first; ``"auto"`` does so with more
        than 50 inputs.

    space : {"features", "inputs", "layers", "raw_inputs"}, default="inputs"
        The part of which the density is.

    pooled : bool, default=False
        Whether every class gets the largest density of all classes, for one score that is
        the same for every class.

    ignore_binary : bool, default=False
        Whether to leave out inputs of at most two values in training, which are mostly
        categories in one-hot code and no matter of normal distributions, unless fewer than
        three others are left. Not with ``normalize``.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weight of each component in the mixture of its class, class by class.

    means_ : ndarray of shape (n_components, n_directions)
        Their means, standardized.

    factors_ : ndarray of shape (n_components, n_directions, n_directions)
        Cholesky factors of their precisions.

    components_ : ndarray of shape (n_components,)
        Class index of each component.

    narrow_ : bool
        Whether samples in float32 are scored in float32, as by :class:`Mahalanobis`.

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
    >>> typical, outsider = X[0], [5.0, 3.4, 3.0, 0.2]
    >>> score.score_samples([typical, outsider]).round(1)
    array([  2. , -13.8])
    """

    allow_nan = True
    _parameter_constraints: dict = {
        "max_components": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "n_directions": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            None,
        ],
        "normalize": ["boolean", StrOptions({"auto"})],
        "space": [StrOptions({*SPACES})],
        "pooled": ["boolean"],
        "ignore_binary": ["boolean"],
    }
    _saved_state = {
        "weights_": bounded(array("f", "components"), np.finfo(np.float64).tiny),
        "means_": array("f", "components", "directions"),
        "factors_": array("f", "components", "directions", "directions"),
        "components_": bounded(array("i", "components"), 0),
        "_levels": array("f", "components"),
        "_fills": array("f", "K", "columns"),
        "_normalizes": boolean,
        "narrow_": boolean,
        "_shift": array("f", "columns"),
        "_spreads": array("f", "directions"),
        "?_axes": array("f", "columns", "directions"),
    }

    def __init__(
        self,
        max_components: int = 8,
        *,
        shrinkage: float = 0.05,
        n_directions: int | Literal["auto"] | None = "auto",
        normalize: bool | Literal["auto"] = "auto",
        space: Literal["features", "inputs", "layers", "raw_inputs"] = "inputs",
        pooled: bool = False,
        ignore_binary: bool = False,
    ) -> None:
        self.max_components = max_components
        self.shrinkage = shrinkage
        self.n_directions = n_directions
        self.normalize = normalize
        self.space = space
        self.pooled = pooled
        self.ignore_binary = ignore_binary

    @property
    def per_class(self) -> bool:  # type: ignore[override]
        """Whether each class has its own density."""
        return not self.pooled

    def _fit(self, y, **parts):
        X, self.narrow_ = filled(parts[self.space], y), False
        self._fills = class_means(X, y, len(self.classes_))
        wide = X.shape[1] > WIDE
        self._normalizes = wide if self.normalize == "auto" else bool(self.normalize)
        if self.ignore_binary and self._normalizes:
            raise ValueError(
                "ignore_binary must be False with normalize: a length is that of all "
                "inputs; got True."
            )
        n_directions = self.n_directions
        if n_directions == "auto":
            sizes = np.unique(y, return_counts=True)[1]
            few = max(int(np.median(sizes)) // 2, FEWEST)
            n_directions = min(few, DIRECTIONS) if wide else None
        self._project(length_one(X) if self._normalizes else X, n_directions)
        Z = self._standardized(X)
        rng = np.random.RandomState(0)
        laws = {}
        for k, rows in rows_by_class(y):
            if len(Z[rows]) > MOST_SAMPLES:
                rows = rows[rng.choice(len(rows), MOST_SAMPLES, replace=False)]
            laws[k] = self._law(Z[rows])
        self.weights_, self.means_, self.factors_, self.components_ = side_by_side(laws)
        self._set_levels()
        self._decide_narrow(X)

    def _set_levels(self):
        self._levels = levels_of(self.weights_, self.factors_) - np.log(self._spreads).sum()

    def _regroup(self, kept, y, **parts):
        X = filled(parts[self.space], y)
        self._fills = regrouped(self._fills, kept, class_means(X, y, len(kept)))
        # Inputs are shifted, projected and measured as before.
        Z, laws = self._standardized(X), {}
        for k, index in enumerate(kept):
            own = self.components_ == index
            if own.any():
                laws[k] = self.weights_[own], self.means_[own], self.factors_[own]
            elif index < 0:
                laws[k] = self._law(Z[y == k])
        self.weights_, self.means_, self.factors_, self.components_ = side_by_side(laws)
        self._set_levels()
        if self.narrow_ and len(y):
            self._decide_narrow(X)

    def _project(self, X, n_directions):
        """Learn how inputs are shifted, projected and measured."""
        vars(self).pop("_axes", None)
        self._shift = X.mean(axis=0, dtype=np.float64)
        selected = None
        if self.ignore_binary:
            counted = numeric_columns(X)
            if not counted.all():
                X, selected = X[:, counted], np.eye(len(counted))[:, counted]
        if n_directions is None:
            self._spreads = spreads_of(X)
            if selected is not None:
                self._axes = selected
            return
        axes, variances = principal_directions(X, n_directions)
        self._axes = axes if selected is None else selected @ axes
        spreads = np.sqrt(variances)
        self._spreads = np.where(spreads > 1e-10 * (spreads.max() or 1), spreads, 1)

    def _law(self, samples):
        """Return weights, means and factors of the fitted mixture of one class."""
        n_samples, n_inputs = samples.shape
        n_components = min(max(n_samples // (3 * n_inputs), 1), self.max_components)
        if n_components > 1:  # no more than there are different samples
            n_components = min(n_components, len(np.unique(samples, axis=0)))
        ridge = self.shrinkage * n_inputs * n_components / n_samples
        mixture = GaussianMixture(
            n_components,
            # Never nothing, since inputs may be constant in a class.
            reg_covar=max(ridge, 1e-6),
            max_iter=1000,
            random_state=0,
        )
        # A mixture takes two samples; twice the same one has the same density.
        samples = samples if n_samples > 1 else np.repeat(samples, 2, axis=0)
        # These are arrays of numpy, of which array API dispatch would allow no k-means.
        with config_context(array_api_dispatch=False):
            mixture.fit(samples)
        return mixture.weights_, mixture.means_, mixture.precisions_cholesky_

    def _standardized(self, X):
        """Return rows as the mixtures take them."""
        dtype = self._dtype(X)
        X = X.astype(dtype, copy=False)
        X = (length_one(X) if self._normalizes else X) - self._fitted("_shift", dtype)
        if not hasattr(self, "_axes"):
            return X / self._fitted("_spreads", dtype)
        return X @ self._cached(
            ("axes", dtype), lambda: (self._axes / self._spreads).astype(dtype)
        )

    def _score_classes(self, **parts):
        X = parts[self.space]
        laws = self.means_, self.factors_, self._levels, self.components_
        narrow = self._dtype(X) is np.float32 and self.means_.shape[1] >= MANY
        kind = NarrowMixtures if narrow else Mixtures
        mixtures = self._cached(kind, lambda: kind(*laws))
        found = np.empty((1 if self.pooled else len(mixtures.classes), len(X)))
        for rows in blocks(len(X), max(mixtures.table.shape)):
            part = self._standardized(X[rows])
            found[:, rows] = mixtures.log_densities(part, self.pooled)
        if np.isnan(X.sum()):
            gaps = np.isnan(X).any(axis=1)
            own = np.array([self._score_class(X[gaps], k) for k in mixtures.classes])
            found[:, gaps] = own.max(axis=0) if self.pooled else own
        if self.pooled:
            return found[0]
        scores = np.full((len(X), len(self.classes_)), np.nan)
        scores[:, mixtures.classes] = found.T
        return scores

    def _score_own(self, index, **parts):
        if self.pooled:
            return self._score_classes(**parts)
        inputs, found = parts[self.space], np.full(len(index), np.nan)
        for k, rows in rows_by_class(index):
            found[rows] = self._score_class(inputs[rows], k)
        return found

    def _score_class(self, X, k):
        """Return the log density of rows in one class, NaN in one without samples."""
        own = slice(*np.searchsorted(self.components_, [k, k + 1]))
        if own.start == own.stop:
            return np.full(len(X), np.nan)
        gaps = np.isnan(X)
        X = np.where(gaps, self._fills[k], X) if gaps.any() else X
        dtype = self._dtype(X)
        laws = [
            self._fitted(name, dtype)[own] for name in ("means_", "factors_", "_levels")
        ]
        found, lines = np.empty(len(X)), [slice(i, i + 1) for i in range(len(laws[0]))]
        for rows in blocks(*X.shape):
            densities = weighted_densities(self._standardized(X[rows]), *laws)
            found[rows] = log_sum_exp(densities, lines)[0]
        return found

    def _check_loaded(self):
        """Raise ValueError unless components are those of classes, in order."""
        if (np.diff(self.components_) < 0).any() or self.components_[-1] >= len(
            self.classes_
        ):
            raise ValueError("components_ must be class indices in order")
        if not hasattr(self, "_axes") and len(self._shift) != self.means_.shape[1]:
            raise ValueError("means_ must have a column for each input")

    def _to_onnx(self, **values):
        X = values[self.space].astype(np.float64)
        X = (X.length_one() if self._normalizes else X) - self._shift
        X = (X @ self._axes if hasattr(self, "_axes") else X) / self._spreads
        laws = self.weights_, self.means_, self.factors_, self.components_
        found = densities_to_onnx(X, *laws, len(self.classes_))
        found = found - np.log(self._spreads).sum()
        if not self.pooled:
            return found
        lowest = np.full((1, len(self.classes_)), -np.inf)
        return X.graph.where(found.isnan(), lowest, found).reduce("Max", 1, keepdims=True)


def filled(X: NDArray[np.floating[Any]], y: NDArray[np.intp]) -> NDArray[np.floating[Any]]:
    """Return samples where a missing value is the mean of its class.

    It is that of all samples where the class has none, and zero where no sample has one.
    """
    gaps = np.isnan(X)
    if not gaps.any():
        return X
    X, known = X.copy(), np.ma.array(X, mask=gaps)
    means = known.mean(axis=0).filled(0)
    for k in np.unique(y[gaps.any(axis=1)]):
        rows = y == k
        mean = known[rows].mean(axis=0).filled(means)
        X[rows] = np.where(gaps[rows], mean, X[rows])
    return X


def spreads_of(X: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the units in which each input is measured.

    They are the standard deviations, or one where that is zero. Where most inputs that vary
    have the same range, those of at most this range have one unit, as pixels do: they share
    the root of their mean variance.
    """
    ranges = np.ptp(X, axis=0)
    spreads = np.where(ranges > 0, X.std(axis=0, dtype=np.float64), 0)
    if ranges.any():
        usual = np.median(ranges[ranges > 0])  # which a majority decides
        if np.isclose(ranges[ranges > 0], usual, atol=0).mean() > 0.5:
            alike = (ranges < usual) | np.isclose(ranges, usual, atol=0)
            spreads[alike] = np.sqrt(np.square(spreads[alike]).mean())
    spreads[spreads == 0] = 1
    return spreads

"""Methods of an open-set classifier that delegate to the wrapped estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_center._utils.compat import estimator_has, safe_set_output

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Method, Samples


def if_estimator_has(name: str) -> Callable[[Method], Method]:
    """Return a decorator for a method that exists if the estimator has it.

    It is that of scikit-learn, except that the method keeps its type.
    """
    return available_if(estimator_has(name))


class DelegationMixin:
    """The methods of the wrapped estimator that do not concern outsiders."""

    estimator: Any
    estimator_: Any

    @if_estimator_has("predict_proba")
    def predict_proba(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the probabilities of the known classes, as the estimator gives them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities, given that the sample is of a known class.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @if_estimator_has("predict_log_proba")
    def predict_log_proba(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the log-probabilities of the known classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithms of :meth:`predict_proba`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @if_estimator_has("decision_function")
    def decision_function(self, X: Samples) -> NDArray[np.floating[Any]]:
        """Return the decision function of the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        decision : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Decision function for the known classes.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @if_estimator_has("transform")
    def transform(self, X: Samples) -> Any:
        """Return the features that the estimator gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Features.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    @if_estimator_has("transform")
    def fit_transform(self, X: Samples, y: ArrayLike, **params: Any) -> Any:
        """Fit and return the features that the estimator gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            Class labels.

        **params : dict
            Parameters of ``fit``.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Features.

        Raises
        ------
        ValueError
            As ``fit`` does.

        AttributeError
            If the estimator has no ``transform``.
        """
        return self.fit(X, y, **params).transform(X)  # type: ignore[attr-defined]

    @if_estimator_has("get_feature_names_out")
    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Get the names of the features that ``transform`` gives.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input features, as the estimator takes them.

        Returns
        -------
        names : ndarray of str
            Names of the features.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        AttributeError
            If the estimator has no such method.
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    @if_estimator_has("transform")
    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """Set what ``transform`` returns, as in scikit-learn's transformers.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Kind of container; None leaves it.

        Returns
        -------
        self : OpenSetClassifier
            This estimator.
        """
        for estimator in (self.estimator, getattr(self, "estimator_", None)):
            if estimator is not None:
                safe_set_output(estimator, transform=transform)
        return self

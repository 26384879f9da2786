"""The prediction methods of a classifier, each with one pass through the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from sk_center._classifier.inputs import check_inputs
from sk_center._classifier.outputs import (
    LAYERS,
    OUTPUTS,
    BatchOutputs,
    collect,
    needs_logits,
)
from sk_center._utils.devices import device_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from numpy.typing import ArrayLike, NDArray
    from skorch.history import History
    from torch import Tensor
    from torch.utils.data import Dataset

    from sk_center.net import CenterLossNet
    from sk_center.networks import CenterModule


class PredictionMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin):
    """Let a classifier predict by its net, centers and temperature."""

    classes_: NDArray[Any]
    centers_: NDArray[np.float32]
    tau_: float
    net_: CenterLossNet
    predict_with: Literal["center", "softmax"]

    def outputs(
        self, X: ArrayLike | Tensor | Dataset[Any], names: Iterable[str] = OUTPUTS
    ) -> dict[str, NDArray[Any]]:
        """Return several outputs of one pass through the network.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        names : iterable of str, default=("labels", "features", "logits", \
                "probabilities", "distances")
            The outputs to return. Nothing else is computed, and each costs the memory of
            its array.

            - ``"labels"``: what :meth:`predict` returns;
            - ``"features"``: what :meth:`transform` returns;
            - ``"logits"``: what :meth:`logits` returns;
            - ``"probabilities"``: what :meth:`predict_proba` returns;
            - ``"distances"``: what :meth:`center_distances` returns;
            - ``"layers"``: what all layers of the network say, where it has a method
              ``with_layers``, see :meth:`sk_center.networks.ConvNet.with_layers`.

        Returns
        -------
        outputs : dict of ndarray
            The outputs by name, a row for each sample, equal to those of the methods.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If a name is not one of those above, the network gives no layers and these are
            asked for, or X is empty, of another shape than in ``fit``, or not finite.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sk_center import CenterLossClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = CenterLossClassifier(max_epochs=5, random_state=0).fit(X, y)
        >>> outputs = classifier.outputs(X, ("labels", "features"))
        >>> {name: values.shape for name, values in outputs.items()}
        {'labels': (150,), 'features': (150, 128)}
        """
        names = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in names if name not in (*OUTPUTS, LAYERS)]
        if unknown or not names:
            raise ValueError(f"names must be some of {(*OUTPUTS, LAYERS)}; got {names!r}.")
        found = self._infer(X, names)
        if "labels" in found:
            found["labels"] = self.classes_[found["labels"]]
        return {name: found[name] for name in names}

    def predict(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[Any]:
        """Return the class of the nearest center, or of the softmax head.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self.outputs(X, ("labels",))["labels"]

    def decision_function(
        self, X: ArrayLike | Tensor | Dataset[Any]
    ) -> NDArray[np.float32]:
        """Return minus the distance to each center; larger is closer.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        decision : ndarray of shape (n_samples, n_classes) or (n_samples,)
            For two classes the distance to the first minus the distance to the second,
            positive for the second. With ``predict_with="softmax"`` the logits, and for
            two classes their difference.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        scores = self._infer(X, ("scores",))["scores"]
        if scores.shape[1] > 2:
            return scores
        with np.errstate(over="ignore", invalid="ignore"):
            decision = scores[:, 1] - scores[:, 0]
        # Infinitely far from both is equally far.
        return np.where(np.isnan(decision), decision.dtype.type(0), decision)

    def predict_proba(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return ``softmax(-distance / tau_)``, or the probabilities of the softmax head.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probability of each class.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("probabilities",))["probabilities"]

    def predict_log_proba(
        self, X: ArrayLike | Tensor | Dataset[Any]
    ) -> NDArray[np.float32]:
        """Return the logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Log-probability of each class.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def logits(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return the logits of the softmax head.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        logits : ndarray of shape (n_samples, n_classes)
            Logits, whatever ``predict_with`` is; where there is a background class, minus
            its own.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("logits",))["logits"]

    def center_distances(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return the Euclidean distance of each sample to each center.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_classes)
            Distances in feature space, whatever ``predict_with`` is.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("distances",))["distances"]

    def transform(self, X: ArrayLike | Tensor | Dataset[Any]) -> NDArray[np.float32]:
        """Return the features of the network, the space in which the centers lie.

        Parameters
        ----------
        X : array-like, tensor or Dataset
            Samples, of the form seen in ``fit``.

        Returns
        -------
        features : ndarray of shape (n_samples, D)
            Features, float32.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        ValueError
            If X is empty, of another shape than in ``fit``, or not finite.
        """
        return self._infer(X, ("features",))["features"]

    def _infer(self, X, names):
        """Return outputs by name of one pass through the network; labels as indices."""
        if not hasattr(self, "net_"):  # the check takes as long as a small network
            check_is_fitted(self)
        X = check_inputs(self, X)
        by_center = self.predict_with == "center"
        if needs_logits(names, by_center):
            self._check_classes_of_net("The softmax head")
        device = device_of(self.net_)
        centers = torch.from_numpy(self.centers_).to(device)
        wanted = {"with_logits": needs_logits(names, by_center)}
        if LAYERS in names:
            if not self._gives_layers:
                raise ValueError(
                    "'layers' needs a module with a method with_layers, as ConvNet has it; "
                    f"{type(self.module_.body).__name__} has none."
                )
            wanted["with_layers"] = True
        passes = self.net_.forward_iter(X, device=device, **wanted)
        batches = (BatchOutputs(given, centers, self.tau_, by_center) for given in passes)
        return collect(batches, names, len(X))

    @property
    def _gives_layers(self):
        """Whether the network tells what all its layers say."""
        return hasattr(self.module_.body, "with_layers")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    @property
    def module_(self) -> CenterModule:
        """The trained torch module: features, head and centers."""
        return self.net_.module_

    @property
    def history_(self) -> History:
        """The losses of each epoch."""
        return self.net_.history_

    @property
    def _n_features_out(self):
        return self.centers_.shape[1]

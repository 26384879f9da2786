"""The plane in which features are drawn."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA


class Plane:
    """The plane in which features are drawn.

    Its two directions are the leading principal components of the centers. Two centers
    have one component, so the other is the leading one of the features across it.
    """

    def __init__(self, features, centers):
        n_features = features.shape[1]
        self.flat = n_features == 2
        if self.flat:
            self.origin, self.directions = np.zeros(2), np.eye(2)
            return
        found = centers[np.isfinite(centers).all(axis=1)]
        if not len(found):
            raise ValueError(
                "y holds no known sample, and there are no centers to place a plane "
                f"by in {n_features} dimensions."
            )
        self.origin = found.mean(axis=0)
        self.directions = np.empty((0, n_features))
        for points, n_most in ((found, len(found) - 1), (features, 2)):
            across = points - self.origin
            across = across - across @ self.directions.T @ self.directions
            n_components = min(n_most, 2 - len(self.directions))
            if n_components:
                components = PCA(n_components, random_state=0).fit(across).components_
                self.directions = np.vstack([self.directions, components])

    def project(self, points):
        """Return points as points of the plane."""
        return (points - self.origin) @ self.directions.T


def grid_around(points, resolution):
    """Return a grid around points, ignoring those with NaN."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = 0.05 * (high - low)
    return np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T)

"""The plane in which features are drawn, and the regions of acceptance in it."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches


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
                "y_true holds no known sample, and there are no centers to place a plane "
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

    def slice_through(self, center, points):
        """Return points of the plane, moved to the parallel plane through a center."""
        return center + (points - self.project(center)) @ self.directions


def accepted_in(plane, points, centers, score, thresholds):
    """Return whether points of a plane score enough for each class."""
    if plane.flat:
        return score.score_classes(points) >= thresholds
    found = np.zeros((len(points), len(centers)), dtype=bool)
    for k in np.flatnonzero(np.isfinite(centers).all(axis=1)):
        # In batches, since there may be thousands of dimensions.
        for batch in gen_batches(len(points), 10_000):
            features = plane.slice_through(centers[k], points[batch])
            found[batch, k] = score.score_classes(features)[:, k] >= thresholds[k]
    return found


def grid_around(points, resolution):
    """Return a grid around points, ignoring those with NaN."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = 0.05 * (high - low)
    return np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T)

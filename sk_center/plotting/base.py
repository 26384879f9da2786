"""What the displays share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_consistent_length, gen_batches

from sk_center._utils.extras import import_extra
from sk_center._utils.nested import transformed
from sk_center.metrics.scorers import _open_set_classifier
from sk_center.scores.distances import given_or_means

if TYPE_CHECKING:
    pass

UNKNOWN_COLOR = "0.5"


class _Plane:
    """The plane that features are drawn in.

    Its two directions are the leading principal components of the centers. Two centers
    have one component, so the other is the leading one of the features across it.
    """

    def __init__(self, features, centers):
        n_features = features.shape[1]
        if n_features == 2:
            self.origin, self.directions = np.zeros(2), np.eye(2)
            self.axis_label, self.region_label = "feature {}", "accepted by the class"
            return
        found = centers[np.isfinite(centers).all(axis=1)]
        if not len(found):
            raise ValueError(
                "y_true holds no known sample, and there are no centers to place a plane "
                f"by in {n_features} dimensions."
            )
        self.axis_label = "principal component {} of the centers"
        self.region_label = "accepted by the class,\nslice through its center"
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


def _accepted(model, plane, points, centers):
    """Return which classes accept the points of a plane."""

    def accepted(features):
        p_values = model.calibration_.p_values(model.score_.score_classes(features))
        return p_values > model.thresholds_

    if centers.shape[1] == 2:
        return accepted(points)
    found = np.zeros((len(points), len(centers)), dtype=bool)
    for k in np.flatnonzero(np.isfinite(centers).all(axis=1)):
        # In batches, since there may be thousands of dimensions.
        for batch in gen_batches(len(points), 10_000):
            features = plane.slice_through(centers[k], points[batch])
            found[batch, k] = accepted(features)[:, k]
    return found


def _grid(points, resolution):
    """Return a grid around points, those of NaN left out."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = 0.05 * (high - low)
    return np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T)


def _features(features):
    """Return features as an array of at least two columns."""
    return check_array(
        features, dtype=np.float64, ensure_min_features=2, input_name="features"
    )


def _centers(centers, features, members):
    """Return given centers, else the mean of the members of each class."""
    check_consistent_length(features, members.T)
    known = members.any(axis=0)
    index = members[:, known].argmax(axis=0)
    return given_or_means(centers, features[known], index, len(members))


def _open_set(estimator, X):
    """Return the open-set classifier inside an estimator, and the X that it sees."""
    model, before = _open_set_classifier(estimator)
    return model, transformed(before, X)


def _members(y_true, labels):
    """Return a mask for each class: which samples have its label."""
    return np.array([y_true == label for label in labels])


def _columns(labels, classes):
    """Return the columns of some classes, of all if None."""
    labels = labels.tolist()
    if classes is None:
        return range(len(labels))
    classes = np.asarray(classes).tolist()
    other = [class_ for class_ in classes if class_ not in labels]
    if other:
        raise ValueError(f"classes must be among {labels[:10]}; got {other}.")
    return [labels.index(class_) for class_ in classes]


def _check_columns(y_true, columns, labels, name):
    """Raise if there is not one row for each sample and one column for each class."""
    shape = (len(y_true), len(labels))
    if columns.shape != shape:
        raise ValueError(
            f"{name} must have the shape (n_samples, n_classes) = {shape}; got "
            f"{columns.shape}."
        )


def _edges(distances, bins):
    """Return bin edges that a few far samples do not stretch."""
    span = (distances.min(), np.quantile(distances, 0.99)) if len(distances) else None
    return np.histogram_bin_edges(distances, bins, range=span)


def _import_matplotlib(caller):
    """Import matplotlib, or say who needs it and which extra brings it."""
    import_extra("matplotlib", "plot", f"{caller} needs")


def _axes(display, ax):
    """Return axes to draw on, new ones if None."""
    _import_matplotlib(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def _class_colors(n_classes):
    """Return a color for each class, none of them gray."""
    from matplotlib import colormaps

    # Ten pairs of a strong and a pale color; the eighth is gray, the color of the unknown.
    pairs = np.delete(np.reshape(colormaps["tab20"].colors, (10, 2, 3)), 7, axis=0)
    if n_classes > 18:
        return colormaps["turbo"](np.linspace(0, 1, n_classes))
    return np.concatenate([pairs[:, 0], pairs[:, 1]])[:n_classes]

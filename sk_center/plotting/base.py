"""Axes, colors and styles that the displays share."""

from __future__ import annotations

import numpy as np

from sk_center._utils.extras import import_extra
from sk_center._utils.nested import judge, open_set_inside
from sk_center.metrics.base import is_known

OUTSIDER_COLOR = "0.5"


def class_masks(y_true, labels):
    """Return a mask for each class: which samples have its label."""
    return np.array([is_known(y_true, labels[[k]]) for k in range(len(labels))])


def class_index(y, classes, name):
    """Return the class index of each label, or raise ValueError if one is not known."""
    known = is_known(y, classes)
    if not known.all():
        raise ValueError(
            f"{name} must hold the known classes, {classes[:10].tolist()}, and no other "
            f"label; got {y[~known][:1].tolist()}."
        )
    order = np.argsort(classes)
    return order[np.searchsorted(classes[order], y)]


def import_matplotlib(caller):
    """Import matplotlib, or raise an error that names the extra to install."""
    import_extra("matplotlib", "plot", f"{caller} needs")


def judged_for(display_class, estimator, X):
    """Return the open-set classifier inside an estimator, and its decisions to draw."""
    import_matplotlib(f"{display_class.__name__}.from_estimator")
    model, _ = open_set_inside(estimator)
    return model, judge(estimator, X)


def axes_for(display, ax, figsize=None):
    """Return axes to draw on, new ones if None, and set them on the display."""
    import_matplotlib(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    ax = plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def styled(kind, defaults, given):
    """Return keywords for a line, patch or points: those given over the defaults."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    artist = {"line": Line2D, "patch": Patch, "points": PathCollection}[kind]
    given = dict(given or {})
    if "c" in given:  # an alias of color that scatter takes, but not its artist
        given["color"] = given.pop("c")
    return {**normalize_kwargs(defaults, artist), **normalize_kwargs(given, artist)}


def class_colors(n_classes):
    """Return a color for each class, none of them gray."""
    from matplotlib import colormaps

    # Ten pairs of a strong and a pale color; the eighth is gray, the color of outsiders.
    pairs = np.delete(np.reshape(colormaps["tab20"].colors, (10, 2, 3)), 7, axis=0)
    if n_classes > 18:
        return colormaps["turbo"](np.linspace(0, 1, n_classes))
    return np.concatenate([pairs[:, 0], pairs[:, 1]])[:n_classes]

"""
What center loss does to features
=================================

Softmax training only separates classes, so each may spread widely. Center loss adds the
squared distance of every sample to the center of its class: classes become compact clouds
with room between them, where most outsiders lie.

Here the last layer of the network has two features, so that they can be plotted.
"""

# %%
# The two pictures
# ----------------
#
# The same network learns the ten digits twice, from the same first weights and in the same
# order: once with cross entropy alone (``lambda_center=0``), once with center loss.
# 60 % of the samples train. The others are drawn, with the name of each class at its
# center.

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, FeatureSpaceDisplay, OpenSetClassifier
from sk_center.metrics import auroc_score

X, y = load_digits(return_X_y=True)
X = X / 16  # pixels between 0 and 1
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.4, stratify=y, random_state=0
)


def draw(model, X, y, ax):
    """Draw features, with the name of each class on its center."""
    display = FeatureSpaceDisplay.from_estimator(
        model,
        X,
        y,
        regions=False,
        ax=ax,
        scatter_kwargs={"s": 13, "alpha": 0.8, "linewidth": 0},
        outsider_kwargs={"s": 13},
        center_kwargs={
            "s": 150,
            "marker": "o",
            "facecolor": "white",
            "edgecolor": "black",
        },
    )
    for label, center in zip(display.labels, display.centers):
        ax.annotate(label, center, ha="center", va="center_baseline", weight="bold", size=9)
    ax.get_legend().remove()
    ax.set(aspect="equal", adjustable="datalim")
    return display


def relative_radius(features, y, centers):
    """Return how far samples are from their center, relative to the next center."""
    between = np.linalg.norm(centers[:, np.newaxis] - centers, axis=2)
    np.fill_diagonal(between, np.inf)
    radii = [
        np.sqrt(np.mean(np.sum((features[y == k] - centers[k]) ** 2, axis=1)))
        for k in range(len(centers))
    ]
    return np.mean(radii / between.min(axis=1))


figure, axes = plt.subplots(1, 2, figsize=(10, 5.4), layout="constrained")
for ax, lambda_center in zip(axes, (0, 0.1)):
    classifier = CenterLossClassifier(
        lambda_center=lambda_center,
        hidden_layer_sizes=(512, 256, 2),
        lr=0.002,
        max_epochs=30,
        random_state=0,
    ).fit(X_train, y_train)
    display = draw(classifier, X_test, y_test, ax)
    loss = "softmax + 0.1 center loss" if lambda_center else "softmax alone"
    share = relative_radius(display.features, y_test, display.centers)
    ax.set_title(f"{loss}\nradius of a cloud: {share:.0%} of the way to the next center")
plt.show()

# %%
# Left, classes are wedges around the middle, where all of them meet. They can be separated
# by straight lines, but the distance to a center means little. Right, each class is a
# cloud: near its center is inside, far from all centers is outside.
#
# The axes differ, since center loss makes all features smaller, too. That alone would not
# help; the size of the clouds relative to the room between them matters.
# The effect of the weight
# ------------------------
#
# Now the network learns six digits, and the other four come as outsiders (gray crosses).
# :class:`~sk_center.OpenSetClassifier` rejects samples too far from the center of their
# predicted class. With ``guarantee="class"`` each class has its own radius, which leaves
# out at most 10 % of its samples; samples in no disc are rejected.

UNKNOWN = [[3, 6, 7, 8], [1, 2, 4, 6], [2, 3, 4, 9], [0, 1, 2, 6], [4, 5, 6, 9]]
LAMBDAS = [0, 0.01, 0.1, 1]
NETWORKS = {
    "2 features": {"hidden_layer_sizes": (256, 64, 2), "lr": 0.003, "max_epochs": 80},
    "128 features (default)": {"max_epochs": 30},
}


def open_set(network, lambda_center, split):
    """Return a model that learned six digits, samples to judge it by, and their names."""
    outside = np.isin(y, UNKNOWN[split])
    X_train, X_test, y_train, y_test = train_test_split(
        X[~outside], y[~outside], test_size=0.3, stratify=y[~outside], random_state=0
    )
    model = OpenSetClassifier(
        CenterLossClassifier(
            lambda_center=lambda_center, random_state=1, **NETWORKS[network]
        ),
        conformity_score="center_distance",
        guarantee="class",
        false_rejection_rate=0.1,
        cv=0.4,
        random_state=0,
    ).fit(X_train, y_train)
    return model, np.concatenate([X_test, X[outside]]), np.concatenate([y_test, y[outside]])


runs = [
    (network, lambda_center, split)
    for network in NETWORKS
    for lambda_center in LAMBDAS
    for split in range(len(UNKNOWN))
]
fitted = dict(zip(runs, Parallel(n_jobs=2)(delayed(open_set)(*run) for run in runs)))

figure, axes = plt.subplots(2, 2, figsize=(10, 10.6), layout="constrained")
for ax, lambda_center in zip(axes.flat, LAMBDAS):
    model, X_new, y_new = fitted["2 features", lambda_center, 0]
    display = draw(model, X_new, y_new, ax)
    radii = -model.score_thresholds_  # scores are minus distances
    for center, radius, scatter in zip(display.centers, radii, display.scatters_):
        color = scatter.get_facecolor()[0]
        disc = plt.Circle(center, radius, color=color, alpha=0.2, linewidth=0, zorder=0)
        ax.add_patch(disc)
    known, rejected = np.isin(y_new, model.classes_), model.is_outlier(X_new)
    ax.set_title(
        f"lambda_center = {lambda_center}\nrejected: {rejected[~known].mean():.0%} of the "
        f"outsiders, {rejected[known].mean():.0%} of the known"
    )
plt.show()

# %%
# The discs shrink relative to the room between them, and outsiders, on which the network
# was not trained, remain in that room.
#
# Distances
# ---------
# The same in numbers. Left, the distance of samples to the nearest center, in radii of its
# disc: beyond 1 they are rejected. Right, how well distance tells known digits from
# outsiders (AUROC), for five choices of the four outsiders (thin lines) and on average
# (thick), also in the default network with its 128 features.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for place, lambda_center in enumerate(LAMBDAS):
    model, X_new, y_new = fitted["2 features", lambda_center, 0]
    distances = model.estimator_.center_distances(X_new) / -model.score_thresholds_
    known = np.isin(y_new, model.classes_)
    sides = {"known digits": ("low", "C0", known), "outsiders": ("high", "0.6", ~known)}
    for name, (side, color, chosen) in sides.items():
        violin = axes[0].violinplot(
            distances[chosen].min(axis=1), [place], widths=0.9, side=side, showextrema=False
        )
        violin["bodies"][0].set(
            facecolor=color, alpha=0.9, label=name if place == 0 else None
        )
axes[0].axhline(1, color="black", linestyle="--", linewidth=1, label="threshold")
axes[0].set(ylabel="distance / radius of the disc", title="distances, 2 features")
axes[0].legend(loc="upper left")

for network, color in zip(NETWORKS, ("C1", "C2")):
    auroc = np.empty((len(LAMBDAS), len(UNKNOWN)))
    for place, lambda_center in enumerate(LAMBDAS):
        for split in range(len(UNKNOWN)):
            model, X_new, y_new = fitted[network, lambda_center, split]
            auroc[place, split] = auroc_score(
                y_new, model.score_samples(X_new), labels=model.classes_
            )
    axes[1].plot(auroc, color=color, linewidth=0.7, alpha=0.6)
    axes[1].plot(auroc.mean(axis=1), "o-", color=color, linewidth=2.5, label=network)
axes[1].set(ylabel="AUROC", title="known digits against outsiders")
axes[1].legend(loc="lower right")
for ax in axes:
    ax.set(xticks=range(len(LAMBDAS)), xticklabels=LAMBDAS, xlabel="lambda_center")
plt.show()

# %%
# Any center loss helps much, and from 0.1 (the default) on little changes. With two
# features there is little room for outsiders; two are for plots, and more are for use. The
# best weight for other data can be found without outsiders:
# :ref:`sphx_glr_auto_examples_plot_tune_without_outsiders.py`.

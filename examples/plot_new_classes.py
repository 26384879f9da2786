"""
New classes among the rejected: inspect, name, add
==================================================

Samples that a model rejects are not all alike. Often many of them are of one new class: a
product, an intent, a digit. Here a classifier of seven digits is in service, 7, 8 and 9
appear among the rejected samples, a person names the groups, and
:meth:`~sk_center.OpenSetClassifier.add_classes` adds them, without training.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.open_set import group_rejected

# %%
# Before: seven classes
# ---------------------
#
# Half of the images train and calibrate, as far as they are of the digits 0 to 6. A part of
# the others comes in later, the rest judges.

X, y = load_digits(return_X_y=True)
X = X / 16
X_train, X_rest, y_train, y_rest = train_test_split(X, y, test_size=0.5, random_state=0)
X_service, X_test, y_service, y_test = train_test_split(
    X_rest, y_rest, test_size=0.4, random_state=0
)
known = y_train < 7
classifier = CenterLossClassifier(max_epochs=40, random_state=0)
model = OpenSetClassifier(classifier, random_state=0).fit(X_train[known], y_train[known])

# %%
# Reject
# ------
#
# The images of the service have no labels. The function
# :func:`~sk_center.open_set.group_rejected` clusters the rejected ones, and names the known
# class that the network would predict for each group.

groups = group_rejected(model, X_service)
rejected = model.is_outlier(X_service)
print(f"{rejected.sum()} of {len(rejected)} images are rejected")
groups.to_frame()

# %%
# The rejected samples in two principal directions. Samples in gray are in no group: too few
# others are similar.

plane = PCA(2, random_state=0).fit_transform(X_service[rejected])
labels = groups.labels[rejected]
fig, ax = plt.subplots(figsize=(6, 4))
for group in range(-1, labels.max() + 1):
    inside = labels == group
    color, name = ("0.8", "no group") if group < 0 else (f"C{group}", f"group {group}")
    ax.scatter(*plane[inside].T, s=15, color=color, label=name)
ax.set(xlabel="first direction", ylabel="second direction", title="rejected images")
ax.legend()

# %%
# Inspect and name
# ----------------
#
# The most central images of each group come first. A person recognizes them at once.

n_groups = len(groups.shares)
fig, axes = plt.subplots(n_groups, 12, figsize=(8, 0.75 * n_groups))
for group, row in enumerate(axes):
    for ax, i in zip(row, groups.rows(group)):
        ax.imshow(X_service[i].reshape(8, 8), cmap="gray_r")
    for ax in row:
        ax.set_axis_off()
    row[0].set_title(f"group {group}", fontsize=8, loc="left")
fig.tight_layout()

# %%
# So the person gives each group a name, and up to thirty of its central images are the
# samples of a class. Here the labels of the images shown above replace the person. Two
# groups may get the same name, and known digits are left out.

rows = [groups.rows(group)[:30] for group in range(n_groups)]
names = [np.bincount(y_service[some[:12]]).argmax() for some in rows]
print("names:", dict(enumerate(map(int, names))))
X_new = X_service[np.concatenate(rows)]
y_new = np.repeat(names, [len(some) for some in rows])
X_new, y_new = X_new[y_new > 6], y_new[y_new > 6]

# %%
# Add
# ---
#
# The network stays as it is; each class gets a center, and its samples calibrate. That
# takes a moment.

before = model.judge(X_test)
model.add_classes(X_new, y_new)
after = model.judge(X_test)
print("classes:", model.classes_)


def summary(decision):
    """Return rates of known digits, and of those that came later."""
    first, later = y_test < 7, y_test >= 7
    accepted = later & ~decision.rejected
    right = (decision.labels == y_test)[accepted].mean() if accepted.any() else 0
    return (
        f"0 to 6: {decision.rejected[first].mean():.1%} rejected, "
        f"{(decision.labels == y_test)[first].mean():.1%} named right; "
        f"7 to 9: {decision.rejected[later].mean():.1%} rejected, "
        f"{right:.1%} of the accepted named right"
    )


print("before:", summary(before))
print("after: ", summary(after))

# %%
# The rates, digit by digit. The bound holds for the first seven as before, and for the
# added ones over images like those that were picked. These were the central ones of their
# groups, so those at the edge are rejected more often: label a random draw of the rejected
# samples to get the bound for all.

fig, ax = plt.subplots(figsize=(7, 3.5))
digits = np.arange(10)
for shift, decision, label in ((-0.2, before, "before"), (0.2, after, "after")):
    rates = [decision.rejected[y_test == k].mean() for k in digits]
    ax.bar(digits + shift, rates, width=0.4, label=label)
ax.axhline(0.05, color="black", linestyle=":", label="allowed for known classes")
ax.set(xlabel="digit", ylabel="share rejected", xticks=digits)
ax.legend()
plt.show()

# %%
# When to train again
# -------------------
#
# The features were learned without the added digits and do not separate them well. With
# enough samples, training again classifies more of them correctly: the benchmark of new
# classes has the numbers.

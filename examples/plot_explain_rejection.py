"""
Why was this sample rejected?
=============================

A rejection may have to be justified. The method
:meth:`~sk_center.OpenSetClassifier.explain` shows its reasons: the score and the
threshold, the p-value of each class, the distances to the centers, and the nearest
training samples. Here are two rejections of handwritten digits: a correct one, of a digit
that the classifier never saw, and a false one, of a known digit, as the allowed rate
permits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, DistanceDisplay, OpenSetClassifier

# %%
# Six digits are known; 3, 6, 7 and 8 are outsiders. With ``cv=5`` every training sample
# calibrates, so that p-values come in fine steps.

X, y = load_digits(return_X_y=True)
X = X / 16
known = ~np.isin(y, [3, 6, 7, 8])
X_train, X_known, y_train, y_known = train_test_split(
    X[known], y[known], test_size=0.3, stratify=y[known], random_state=0
)
X_test = np.concatenate([X_known, X[~known]])
y_test = np.concatenate([y_known, y[~known]])

model = OpenSetClassifier(CenterLossClassifier(), cv=5, n_jobs=2, random_state=0)
model.fit(X_train, y_train)
decision = model.judge(X_test)
is_known = np.isin(y_test, model.classes_)
print(
    f"rejected: {decision.rejected[is_known].mean():.1%} of the known samples, 5 % allowed"
)
print(f"          {decision.rejected[~is_known].mean():.1%} of the outsiders")

# %%
# Three cases: the rejected outsider with the median score; the known sample that is
# rejected by the smallest margin; and, to compare, the known sample with the median score.


def median(cases):
    """Return the case with the median score."""
    return cases[np.argsort(decision.scores[cases])[len(cases) // 2]]


outsider = median(np.flatnonzero(decision.rejected & ~is_known))
false_rejections = np.flatnonzero(decision.rejected & is_known)
false_rejection = false_rejections[decision.p_known[false_rejections].argmax()]
cases = [outsider, false_rejection, median(np.flatnonzero(is_known))]
titles = [
    f"{name} {y_test[case]}"
    for name, case in zip(["outsider", "rejected", "accepted"], cases)
]

# %%
# The model does not keep training samples; given them, each explanation names the
# nearest ones in the space of the features, by their index. Printed, it shows the decision
# and the classes, the most compatible first.

explanations = model.explain(X_test[cases], X_train, y_train)
print(explanations[0])

# %%
# The same for pandas. The p-value of a class is the share of its calibration samples that
# are no more typical than this sample, with the sample itself counted in. ``in_set`` shows
# the classes in the prediction set. The distance is the Euclidean one to the center, for
# every score.

explanations[0].to_frame()

# %%
# And the known sample. With 5 % allowed, one known sample of twenty may look like this.

explanations[1].to_frame()

# %%
# The images. The three cases are framed, each with its nearest training samples: their
# distances, and whether they are of one class, help to judge a case.

figure, axes = plt.subplots(3, 6, figsize=(9, 5.4), layout="constrained")
for row, x, explanation, title in zip(axes, X_test[cases], explanations, titles):
    images = [x, *X_train[explanation.neighbors]]
    distances = explanation.neighbor_distances
    near = [f"{k}, at {d:.2f}" for k, d in zip(explanation.neighbor_labels, distances)]
    for ax, image, text in zip(row, images, [title, *near]):
        ax.imshow(image.reshape(8, 8), cmap="gray_r")
        ax.set_title(text, fontsize="medium")
        ax.set(xticks=[], yticks=[])
    row[0].spines[:].set(color="black", linewidth=3)
figure.suptitle("the sample, and the nearest training samples with their distances")

# %%
# The three cases among all test samples. The decision depends on one number, the score of
# the class that the network predicts, and one threshold. A larger ``false_rejection_rate``
# moves the threshold to the left, a smaller one to the right.

display = DistanceDisplay.from_estimator(model, X_test, y_test)
(ax,) = display.axes_
for explanation, title, style in zip(explanations, titles, (":", "-.", "-")):
    ax.axvline(-explanation.score, color="black", linestyle=style, label=title)
ax.legend(loc="upper right", fontsize="small")

# %%
# The classes, one by one: their p-values on a log scale, and the distances to their
# centers. No class is compatible with the outsider.

figure, axes = plt.subplots(3, 2, figsize=(9, 6.5), sharex="col", layout="constrained")
for row, explanation, title in zip(axes, explanations, titles):
    frame = explanation.to_frame()[::-1]  # the most compatible class on top
    position = np.arange(len(frame))
    row[0].barh(position, frame["p_value"], color="tab:blue")
    row[0].set(xscale="log", xlim=(0.004, 1), ylabel="class", title=f"{title}, p-values")
    row[0].set_xticks([0.01, 0.05, 0.2, 1], ["0.01", "0.05", "0.2", "1"])
    row[1].barh(position, frame["distance"], color="tab:blue")
    row[1].set_title(f"{title}, distances")
    for ax in row:
        ax.set_yticks(position, frame.index)
axes[-1, 0].set_xlabel("p-value")
axes[-1, 1].set_xlabel("distance to the center")
plt.show()

"""
Why was this sample turned away?
================================

A rejection is a claim that somebody will want to check. The method
:meth:`~sk_center.OpenSetClassifier.explain` gives what led to it: the p-value and the
score of each class against its threshold, the distances to the centers, and the nearest
training samples. Here two rejections of handwritten digits are taken apart: a right one,
of a digit that the classifier never saw, and a wrong one, of a true member, which is what
the promised rate allows for.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, DistanceDisplay, OpenSetClassifier

# %%
# Six digits are known; 3, 6, 7 and 8 are outsiders. With ``cv=5`` every training sample
# calibrates, so that each class has about 120 of them and p-values come in fine steps.

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
rejected = model.is_outlier(X_test)
member = np.isin(y_test, model.classes_)
print(f"turned away: {rejected[member].mean():.1%} of the members, 5 % promised")
print(f"             {rejected[~member].mean():.1%} of the outsiders")

# %%
# Three cases: of the outsiders that are turned away the median one, by how known it
# looks; of the members that are turned away the one that came closest to being accepted;
# and, to compare, the median one of all members.

how_known = model.score_samples(X_test)
margin = (model.p_values(X_test) / model.thresholds_).max(axis=1)


def median(cases):
    """Return the case in the middle, by how known it looks."""
    return cases[np.argsort(how_known[cases])[len(cases) // 2]]


outsider = median(np.flatnonzero(rejected & ~member))
false_alarms = np.flatnonzero(rejected & member)
false_alarm = false_alarms[margin[false_alarms].argmax()]
cases = [outsider, false_alarm, median(np.flatnonzero(member))]
titles = [
    f"{name} {y_test[case]}"
    for name, case in zip(["unknown", "rejected", "accepted"], cases)
]

# %%
# The model does not keep training samples; give them, and each explanation names the
# nearest ones in the space of the features, by their index. Printed, it tells what was
# decided, then goes through the classes, the most typical first. A class turns the sample
# down when the p-value is at most the threshold, that is, when the score is below the
# least score. What every class turns down is an outsider.

explanations = model.explain(X_test[cases], X_train, y_train)
print(explanations[0])

# %%
# The same for pandas. A p-value is the share of the calibration samples of that class
# that look no more typical of it than this sample, with the sample itself counted in: the
# smallest possible one is ``1 / (n + 1)``. The score is that of ``conformity_score``; the
# distance is the Euclidean one to the center, whatever the score.

explanations[0].to_frame()

# %%
# And the member: the p-value of its class lies just below the threshold, the others far
# below. With a promise of 5 %, one true member of twenty may look like this.

explanations[1].to_frame()

# %%
# Look at the samples themselves. Framed are the three cases, each with its nearest
# training samples: how far away they are, and whether they are of one class, tells much
# of a case.

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
# How clear is the case? Left the p-value of each class, on a log scale, right the
# distance from it, which is minus the score. Black lines are the thresholds. Only the
# accepted sample passes one of them: the p-value of its class lies beyond, and its
# distance falls short.

figure, axes = plt.subplots(3, 2, figsize=(9, 6.5), sharex="col", layout="constrained")
for row, explanation, title in zip(axes, explanations, titles):
    frame = explanation.to_frame()[::-1]  # the most typical class on top
    position = np.arange(len(frame))
    row[0].barh(position, frame["p_value"], color="tab:blue")
    row[0].set(xscale="log", xlim=(0.004, 1), ylabel="class", title=f"{title}, p-values")
    row[0].set_xticks([0.01, 0.05, 0.2, 1], ["0.01", "0.05", "0.2", "1"])
    row[1].barh(position, -frame["score"], color="tab:blue")
    row[1].set_title(f"{title}, distances")
    for ax, column in zip(row, (frame["threshold"], -frame["score_threshold"])):
        ax.vlines(column, position - 0.45, position + 0.45, "black", linewidth=2.5)
        ax.set_yticks(position, frame.index)
axes[-1, 0].set_xlabel("p-value")
axes[-1, 1].set_xlabel("distance from the class (minus the score)")

# %%
# Among all others: the distances of all test samples from the class that the network
# alone would have named. The outsider lies where other outsiders do, the member just
# beyond the threshold. A larger ``false_rejection_rate`` moves that to the left, a
# smaller one to the right, for all classes or for each of them.

figure, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
for ax, explanation, title in zip(axes, explanations, titles):
    choice = explanation.choice  # of the network, which never rejects
    DistanceDisplay.from_estimator(model, X_test, y_test, axes=[ax], classes=[choice])
    at = -explanation.scores[model.classes_ == choice].item()
    ax.axvline(at, color="black", linewidth=2, label=title)
    ax.set_title(f"class {choice}", loc="left", fontsize="medium")
    ax.legend(loc="upper right", fontsize="small")
axes[0].set_xlabel("")
plt.show()

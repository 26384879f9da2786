"""
Withholding ambiguous samples
=============================

A sample may be of a known class and still be ambiguous: a digit between a 3 and an 8. To
reject it would be wrong, since it is not an outsider. :class:`~sk_center.OpenSetClassifier`
gives such samples a label of their own, beside the one of outsiders, and bounds the rate of
wrong answers. Where errors and withheld answers have a price, Chow's rule sets the
threshold.
"""

# %%
# Rejected and withheld samples
# -----------------------------
#
# Eight digits are known, at a quarter of the resolution so that some are hard to
# distinguish; the other two are outsiders. A prediction set holds the classes that an
# accepted sample may be of. With ``ambiguous`` a label, samples of several classes are
# withheld. A known sample gets a wrong class with probability at most ``error_rate``, and
# is rejected with probability at most ``false_rejection_rate``.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from sk_center import OpenSetClassifier, RiskCoverageDisplay
from sk_center.metrics import aurc_score

X, y = load_digits(return_X_y=True)
coarse = X.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(X), 16)
known = y < 8
X_train, X_test, y_train, y_test = train_test_split(
    coarse[known], y[known], test_size=0.4, stratify=y[known], random_state=0
)

model = OpenSetClassifier(
    LogisticRegression(max_iter=2000),
    false_rejection_rate=0.05,
    error_rate=0.02,
    ambiguous=-2,
    cv=0.4,
    random_state=0,
).fit(X_train, y_train)

for name, samples, truth in (
    ("known digits", X_test, y_test),
    ("outsiders", coarse[~known], y[~known]),
):
    labels = model.predict(samples)
    shares = {
        "right": labels == truth,
        "wrong": (labels >= 0) & (labels != truth),
        "withheld": labels == -2,
        "rejected": labels == -1,
    }
    print(f"{name}:", *(f"{100 * s.mean():.1f} % {k}" for k, s in shares.items()), sep="  ")

# %%
# A withheld sample has a short prediction set: a person has to choose among two or three
# digits.

withheld = np.flatnonzero(model.predict(X_test) == -2)[:10]
sets = model.predict_set(X_test[withheld])
figure, axes = plt.subplots(1, 10, figsize=(11, 1.9), layout="constrained")
for ax, sample, chosen in zip(axes, X_test[withheld], sets):
    ax.imshow(sample.reshape(4, 4), cmap="gray_r")
    ax.set_title(" or ".join(map(str, model.classes_[chosen])), fontsize=8)
    ax.axis("off")
plt.show()

# %%
# Risk and coverage
# -----------------
#
# The fewer answers are given, the fewer of them are wrong. The curve withholds the accepted
# samples of the smallest probability first; its area, AURC, is small if errors are few and
# have small probabilities.
#
# An error costs 1, and a withheld answer a part of that, for the inspection. Chow's rule
# withholds a sample if its error is more probable than that: where the largest
# probability is below 1 - cost. It needs calibrated probabilities, and guarantees nothing;
# the label of ambiguous samples guarantees its rate without them.

accepted = ~model.is_outlier(X_test)
probabilities, truth = model.predict_proba(X_test)[accepted], y_test[accepted]
sure = probabilities.max(axis=1)
predicted = model.classes_[probabilities.argmax(axis=1)]
area = aurc_score(truth, predicted, sure, labels=model.classes_)
print(f"AURC of the probability: {area:.4f}, of chance: {(predicted != truth).mean():.4f}")

display = RiskCoverageDisplay.from_estimator(model, X_test, y_test, name="probability")
for cost in (0.1, 0.3, 0.5):
    answered = sure >= 1 - cost
    risk = (predicted != truth)[answered].mean()
    display.ax_.plot(answered.mean(), risk, "o", label=f"Chow, cost {cost}")
    price = risk * answered.mean() + cost * (~answered).mean()
    everything = (predicted != truth).mean()
    print(
        f"cost {cost}: {price:.3f} a sample, against {everything:.3f} without withholding"
    )
labels = model.predict(X_test)[accepted]
answered = labels >= 0
display.ax_.plot(
    answered.mean(), (labels != truth)[answered].mean(), "k*", label="ambiguous=-2"
)
display.ax_.legend(loc="upper left")
plt.show()

# %%
# Rejection does not change: withholding only affects accepted samples. A withheld outsider
# gets no wrong class either.

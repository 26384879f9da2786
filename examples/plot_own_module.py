"""
A torch module of your own
==========================

Any torch module that maps a batch to features can be trained with center loss: a
:class:`~sk_center.CenterLossClassifier` adds the softmax head and the centers, takes the
parameters of the module as ``module__...`` and the callbacks of skorch, and remains a
scikit-learn classifier that a grid search can clone. Here it is a small residual network
for digits of 8x8 pixels, whose width is searched.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from skorch.callbacks import EpochScoring, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sk_center import CenterLossClassifier, DistanceDisplay, OpenSetClassifier
from sk_center.losses import center_loss

# %%
# The module. It gets images and returns **features**, a tensor of shape (n_samples, D),
# and no logits: the last layer is linear, with neither softmax nor ReLU, so that clouds
# may lie anywhere. The module chooses D; the classifier finds it by a dry run.


class Block(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, channels):
        super().__init__()
        layers = []
        for _ in range(2):
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), conv]
        self.layers = nn.Sequential(*layers)

    def forward(self, X):
        return X + self.layers(X)


class ResidualNet(nn.Sequential):
    """Map images to features, by two residual blocks and a dense layer."""

    def __init__(self, width=16, n_features=32, dropout=0.2):
        super().__init__(
            nn.Conv2d(1, width, 3, padding=1),
            Block(width),
            nn.MaxPool2d(2),
            Block(width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.BatchNorm1d(width * 4),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width * 4, n_features),
        )


print("features:", tuple(ResidualNet()(torch.zeros(5, 1, 8, 8)).shape))

# %%
# Six digits are known; 3, 6, 7 and 8 are outsiders, for the end.

X, y = load_digits(return_X_y=True)
X = (X / 16).reshape(-1, 1, 8, 8).astype(np.float32)
known = ~np.isin(y, [3, 6, 7, 8])
X_train, X_known, y_train, y_known = train_test_split(
    X[known], y[known], test_size=0.3, stratify=y[known], random_state=0
)

# %%
# The classifier, with parameters and callbacks by their skorch names. ``early_stopping``
# holds a tenth of the data out, stops when their loss no longer falls, and returns to the
# best epoch. A callback computes scores on these data after each epoch, here both terms of
# the loss, and another lowers the learning rate when the loss stops falling. The
# net that a callback gets returns logits and features; its labels are indices of classes.


def center_term(net, X, y):
    """Return the center loss of held-out samples."""
    _, features = net.forward(X)
    centers = net.module_.center.predict().to(features.device)
    return center_loss(features, torch.as_tensor(y), centers).item()


def cross_entropy_term(net, X, y):
    """Return the cross entropy of held-out samples."""
    logits, _ = net.forward(X)
    return nn.functional.cross_entropy(logits, torch.as_tensor(y)).item()


classifier = CenterLossClassifier(
    ResidualNet,
    module__dropout=0.2,
    lambda_center=0.1,
    max_epochs=60,
    lr=0.003,
    optimizer=torch.optim.AdamW,
    optimizer__weight_decay=0.01,
    early_stopping=True,
    n_iter_no_change=8,
    callbacks=[
        ("center", EpochScoring(center_term, name="valid_center_loss")),
        ("cross_entropy", EpochScoring(cross_entropy_term, name="valid_cross_entropy")),
        ("accuracy", EpochScoring("accuracy", lower_is_better=False)),
        (
            "schedule",
            LRScheduler(ReduceLROnPlateau, monitor="valid_loss", factor=0.3, patience=3),
        ),
    ],
    random_state=0,
)

# %%
# The parameters of the module are searched as any other.

search = GridSearchCV(classifier, {"module__width": [2, 4, 16]}, cv=3, n_jobs=2)
search.fit(X_train, y_train)
results = search.cv_results_
for width, score in zip(results["param_module__width"], results["mean_test_score"]):
    print(f"width {width:2}: accuracy {score:.3f}")

# %%
# What was built: the module is the body, and the head and the centers have been added.

best = search.best_estimator_
print(best.module_.head)
print(best.module_.center)

# %%
# ``history_`` has a row for each epoch, with all that callbacks recorded. Cross entropy
# alone would drive the classes farther and farther apart, and their clouds with them;
# center loss keeps the clouds from growing. The dotted line is the epoch of the smallest
# held-out loss, to which training returned at the end.

history = best.history_
epoch, valid_loss = history[:, "epoch"], np.array(history[:, "valid_loss"])
term = best.lambda_center * np.array(history[:, "valid_center_loss"])
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
axes[0].plot(epoch, history[:, "train_loss"], label="training")
axes[0].plot(epoch, valid_loss, "--", label="held out")
axes[0].set(title="loss", yscale="log")
axes[1].plot(epoch, history[:, "valid_cross_entropy"], label="cross entropy")
axes[1].plot(epoch, term, "--", label=f"{best.lambda_center} center loss")
axes[1].set(title="its two terms, held out", yscale="log")
axes[1].sharey(axes[0])
axes[2].plot(epoch, history[:, "event_lr"], label="learning rate")
axes[2].set(title="learning rate", yscale="log")
for ax in axes:
    ax.axvline(epoch[valid_loss.argmin()], color="0.6", linestyle=":", label="best epoch")
    ax.set_xlabel("epoch")
    ax.legend()

# %%
# The best classifier is wrapped to reject outsiders. It is trained again on four fifths of
# the data, since the others calibrate. Below, known digits against unknown ones, on test
# samples that were not used before.

model = OpenSetClassifier(best, random_state=0).fit(X_train, y_train)
X_test = np.concatenate([X_known, X[~known]])
y_test = np.concatenate([y_known, y[~known]])
display = DistanceDisplay.from_estimator(model, X_test, y_test)
display.axes_[0].legend(loc="upper center", fontsize="small")
plt.show()

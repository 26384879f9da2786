"""
Build a module that keeps a center per class
============================================

This package grew out of a tutorial on a layer with a variable that updates itself: one
moving average per class, the *center* of the features of that class. Here is the same
lesson for torch, including the mistakes. You build the module, break it in eight ways, fix
it until it agrees with :class:`~sk_center.Center` number by number,
train with it, and end with a classifier that rejects samples of no known class.

You need scikit-learn and a little torch: a module, a loss, an optimizer. All else is
explained where it comes up, and every number is printed by the code above it.
"""

# %%
# 1. A network and its features
# -----------------------------
#
# The data are the handwritten digits that come with scikit-learn, 8 x 8 pixels each. The
# network learns six of the ten, 0 to 5: the *known classes*, whose samples are *known
# samples*. The other four are *outsiders*, samples of none of the known classes. No
# training ever sees them; they return at the end.
#
# Half of the known samples train. A quarter is held out for later, to set thresholds, and
# the last quarter is for judging.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy

from sk_center import Center, CenterLossClassifier, OpenSetClassifier
from sk_center.losses import center_loss
from sk_center.metrics import auroc_score
from sk_center.scores import CenterDistance

X, y = load_digits(return_X_y=True)
X, y = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)

known, outsiders = np.flatnonzero(y < 6), np.flatnonzero(y >= 6)
train, rest = train_test_split(known, test_size=0.5, stratify=y[known], random_state=0)
held_out, test = train_test_split(rest, test_size=0.5, stratify=y[rest], random_state=0)
print(f"{len(train)} train, {len(held_out)} held out, {len(test)} test; ", end="")
print(f"{len(outsiders)} outsiders")

# %%
# The network has two parts. The *body* turns 64 pixels into a few numbers, the
# *features*. The *head* turns features into one number per class; the largest one names
# the class. We give the body only two features. That is too few for good work, but two
# numbers are a point in the plane, and we want to look.


def make_network(seed=0):
    """Return a body that gives two features, and a head for six classes."""
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    return body, nn.Linear(2, 6)


def run_epoch(body, head, optimizer, further_loss=None):
    """Train on each sample once, in batches of 64."""
    for rows in torch.randperm(len(train)).split(64):
        features, labels = body(X[train[rows]]), y[train[rows]]
        loss = cross_entropy(head(features), labels)
        if further_loss is not None:
            loss = loss + further_loss(features, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def features_of(body, rows):
    """Return the features of some samples."""
    with torch.no_grad():
        return body(X[rows])


softmax_body, head = make_network()
optimizer = torch.optim.Adam([*softmax_body.parameters(), *head.parameters()])
for _ in range(100):
    run_epoch(softmax_body, head, optimizer)
right = head(features_of(softmax_body, test)).argmax(dim=1) == y[test]
print(f"{right.float().mean():.1%} of the test digits are named right")

# %%
# Cross entropy is content as soon as the head names the right class. Nothing holds a class
# together, so each spreads over a wide region of its own. The outsiders, gray crosses, lie
# between those regions and in them, and the head gives each of them one of the six names.

COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]


def draw(ax, body, centers=None):
    """Draw the features of test digits and outsiders."""
    ax.scatter(
        *features_of(body, outsiders).T, s=14, marker="x", color="0.6", lw=0.8, zorder=0
    )
    for k, color in enumerate(COLORS):
        ax.scatter(*features_of(body, test[y[test] == k]).T, s=12, color=color, label=k)
    ax.scatter([], [], s=14, marker="x", color="0.6", label="outsider")
    if centers is not None:
        ax.scatter(
            *centers.T, s=130, marker="*", color="black", edgecolor="white", label="center"
        )
    ax.set(xlabel="feature 1", ylabel="feature 2")


figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
draw(ax, softmax_body)
ax.set_title("Trained by cross entropy alone")
figure.legend(loc="outside right upper", title="digit")
plt.show()

# %%
# 2. What we want, and where to keep it
# -------------------------------------
#
# Each class should be one compact cloud, so that "far from all clouds" has a meaning. For
# that, training must know where the middle of each cloud is, its *center*.
#
# The center of a class is the mean of its features. But features move with every step of
# the optimizer, and a pass over all data after every step would take forever. One batch
# alone is too small, and may hold no sample of some class. So we keep a moving average:
# of each batch, a center takes a little,
#
# .. math:: c_k \leftarrow \alpha\, c_k + (1 - \alpha)\, m_k,
#
# where :math:`m_k` is the mean of the samples of class k in the batch. We take
# :math:`\alpha = 0.9`: nine tenths of the old center stay.
#
# Where does a module keep such numbers? There are three places, and torch treats them
# differently. (``"meta"`` is a device without memory, which shows what moves along.)


class Keeper(nn.Module):
    """Keep the same numbers in one of three places."""

    def __init__(self, place):
        super().__init__()
        numbers = torch.zeros(6, 2)
        if place == "attribute":
            self.center = numbers
        elif place == "parameter":
            self.center = nn.Parameter(numbers)
        else:
            self.register_buffer("center", numbers)


print(f"{'':10} in state_dict  moved by .to()  given to the optimizer")
for place in ("attribute", "parameter", "buffer"):
    keeper = Keeper(place)
    saved = "center" in keeper.state_dict()
    trained = len(list(keeper.parameters())) > 0
    moved = keeper.to("meta").center.device.type == "meta"
    print(f"{place:10} {saved!s:14} {moved!s:15} {trained}")

# %%
# A plain attribute is left behind when the model is saved, and when it moves to a GPU. A
# parameter comes along, but belongs to the optimizer: it would be moved by the gradient
# of the loss, with momentum and weight decay, and not by our rule. A **buffer** comes
# along and is left alone. It is what :class:`torch.nn.BatchNorm1d` keeps its running mean
# in, and what we take.

# %%
# 3. A first version
# ------------------
#
# In training mode, ``forward`` updates the centers, one class after the other. It returns
# them as they were *before* the batch, so that no sample is compared with itself.
# ``torch.no_grad`` keeps torch from recording these steps for the gradient.


class FirstCenter(nn.Module):
    """Keep a moving average of the features of each class. First version."""

    def __init__(self, feature_dim, center_num, alpha=0.9):
        super().__init__()
        self.alpha = alpha
        start = nn.init.xavier_uniform_(torch.empty(center_num, feature_dim))
        self.register_buffer("center", start)

    def forward(self, features, labels):
        before = self.center.clone()
        if self.training:
            with torch.no_grad():
                for k in labels.unique():
                    mean = features[labels == k].mean(dim=0)
                    self.center[k] += (1 - self.alpha) * (mean - self.center[k])
        return before


features, labels = features_of(softmax_body, train), y[train]
means = torch.stack([features[labels == k].mean(dim=0) for k in range(6)])

first = FirstCenter(feature_dim=2, center_num=6)
for epoch in range(9):
    away = torch.linalg.vector_norm(first.center - means, dim=1).mean()
    print(f"after {epoch} epochs the centers are {away:6.3f} away from the class means")
    for rows in torch.randperm(len(train)).split(64):
        first(features[rows], labels[rows])

# %%
# It works: from a random start (small uniform numbers, after Glorot) the centers find the
# class means in about five epochs. They get no closer, but fluctuate around them, since
# every batch pulls a little.
#
# ``eval()`` sets one flag, ``training``, to False, on the module and on all modules
# inside it. That is all it does, and all we need: a model in use must not learn from what
# it sees.

first.eval()
kept = first.center.clone()
first(features[:32], labels[:32])
print("moved in eval mode: ", not torch.equal(first.center, kept))
first.train()
first(features[:32], labels[:32])
print("moved in train mode:", not torch.equal(first.center, kept))

# %%
# 4. Eight ways to get it wrong
# -----------------------------
#
# The first version works as long as it is used as intended. Here are eight common mistakes.
#
# **Replace the buffer.** ``self.center = new`` puts another tensor under the old name.
# A reference to the old one, such as that of a head that measures distances to the centers,
# now holds numbers that never change again. Change the numbers in place instead, by ``+=``,
# ``copy_`` or ``index_add_``.

module = FirstCenter(2, 6)
other = module.center
module.center = module.center + 1
print("after center = new, others see it:", torch.equal(other, module.center))
other = module.center
module.center.copy_(module.center + 1)
print("after center.copy_(new):          ", torch.equal(other, module.center))

# %%
# **Let the gradient leak.** Without ``no_grad`` the new center remembers how it was
# computed, and so it does for every batch before. The second batch then wants to go back
# through the first, which is gone.

center = torch.zeros(6, 2)
try:
    for rows in torch.arange(128).split(64):
        features, labels = softmax_body(X[train[rows]]), y[train[rows]]
        loss = (features - center[labels]).square().sum()
        center = center + 0.1 * (features.mean(dim=0) - center)  # no torch.no_grad()
        loss.backward()
except RuntimeError as error:
    print("RuntimeError:", str(error).partition(" (")[0])

# %%
# **Update twice.** A second call for the same batch, say to print something, is a second
# update. The center then keeps 0.81 of what it was instead of 0.9, without any warning. To
# read the centers only, call :meth:`~sk_center.Center.predict` of
# :class:`~sk_center.Center`.

module = FirstCenter(1, 1)
module.center.zero_()
for call in (1, 2):
    module(torch.ones(8, 1), torch.zeros(8, dtype=torch.int64))
    print(f"after call {call} the center went {module.center.item():.2f} of the way")

# %%
# **Keep centers in half precision.** A step is a tenth of the remaining way. When that is
# less than half the gap between two neighboring numbers of the format, the sum rounds
# back to where it was, and the center never moves again. ``Center`` keeps float32
# whatever the features are, also after ``.half()``.

for dtype in (torch.float32, torch.float16, torch.bfloat16):
    center = torch.tensor(10.0, dtype=dtype)
    for _ in range(1000):
        center += 0.1 * (10.03 - center)
    print(f"{dtype!s:15} from 10 towards 10.03: {center.item():.2f}")
print("Center(2, 6).half() keeps", Center(2, 6).half().center.dtype)

# %%
# **Forget duplicates.** A loop over classes is slow where there are thousands, so one
# writes ``center[labels] += step`` for the whole batch (torch calls that ``index_put_``).
# But a class has several samples in it, and of several writes to one row only one survives.
# ``index_add_`` adds them all.

labels, steps = torch.tensor([0, 0, 0, 1]), torch.tensor([[1.0], [1.0], [1.0], [1.0]])
center = torch.zeros(2, 1)
center[labels] += steps
print("center[labels] += steps adds   ", center.flatten().tolist())
center = torch.zeros(2, 1).index_add_(0, labels, steps)
print("center.index_add_(...) adds    ", center.flatten().tolist())

# %%
# **Add up too much.** Now every sample pulls with :math:`1 - \alpha`, where before the
# class did. With n samples of a class in the batch, the distance to go is multiplied by
# :math:`1 - n (1 - \alpha)` each time. Up to n = 10 that is between 0 and 1; at n = 20 it
# is -1, and beyond, each step jumps farther past the mean than the last. It was the rule
# of the old tutorial, and is ``update="sum"`` here; it warns once before that happens.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for n in (5, 20, 40):
        center = Center(1, 1, update="sum", center=[[0.0]])
        away = []
        for _ in range(5):
            center(torch.ones(n, 1), torch.zeros(n, dtype=torch.int64))
            away.append(f"{1 - center.center.item():9.3f}")
        print(f"{n:2} samples a batch, still to go:", *away)
print("\nRuntimeWarning:", str(caught[0].message).partition(" Use")[0])

# %%
# **Take negative labels.** -1 is what scikit-learn calls an outlier. In Python
# ``center[-1]`` is the last row, so samples of no class silently pull the center of class
# 5. ``Center`` refuses labels outside of the classes.

module = FirstCenter(2, 6)
before = module(torch.full((8, 2), 100.0), torch.full((8,), -1))
changed = (module.center != before).any(dim=1)
print(
    "FirstCenter: label -1 moved the center of class", changed.nonzero().flatten().tolist()
)
try:
    Center(2, 6)(torch.full((8, 2), 100.0), torch.full((8,), -1))
except ValueError as error:
    print("Center: ValueError:", error)

# %%
# **Trust a random start.** After t batches a share :math:`\alpha^t` of the center is
# still the random number that it started from, a third after ten batches. Soon the loss
# will pull features to their centers, so features would run after noise.
#
# The cure is to make the first steps larger. Take the step
#
# .. math:: \frac{1 - \alpha}{1 - \alpha^t}
#
# in place of :math:`1 - \alpha`: then the first batch replaces the start altogether, the
# second is averaged with the first, and so on. This is called debiasing; the optimizer
# Adam does it too.

module, debiased = FirstCenter(1, 1), Center(1, 1)
features, labels = torch.full((8, 1), 10.0), torch.zeros(8, dtype=torch.int64)
for t in range(1, 31):
    module(features, labels)
    debiased(features, labels)
    if t in (1, 2, 10, 30):
        print(
            f"after {t:2} batches of mean 10: plain {module.center.item():6.3f}, "
            f"debiased {debiased.center.item():6.3f}"
        )

# %%
# 5. A second version, and the real one
# -------------------------------------
#
# With all of this fixed, the module is still short. A second buffer counts in how many
# batches each class has been. ``unique`` gives the classes of the batch once each, so
# there are no duplicates left to forget.


class MyCenter(nn.Module):
    """Keep a moving average of the features of each class."""

    def __init__(self, feature_dim, center_num, alpha=0.9):
        super().__init__()
        self.alpha = alpha
        start = nn.init.xavier_uniform_(torch.empty(center_num, feature_dim))
        self.register_buffer("center", start)
        self.register_buffer("count", torch.zeros(center_num, dtype=torch.int64))

    def forward(self, features, labels):
        if labels.min() < 0 or labels.max() >= len(self.center):
            raise ValueError(f"labels must lie in [0, {len(self.center)}).")
        before = self.center.clone()
        if self.training:
            self.update(features.float(), labels)
        return before

    @torch.no_grad()
    def update(self, features, labels):
        present, member_of, n = labels.unique(return_inverse=True, return_counts=True)
        sums = features.new_zeros(len(present), features.shape[1])
        means = sums.index_add_(0, member_of, features) / n[:, None]
        self.count[present] += 1
        step = (1 - self.alpha) / (1 - self.alpha ** self.count[present])
        self.center[present] += step[:, None] * (means - self.center[present])


# %%
# Now compare it with :class:`~sk_center.Center`, from the same start, on two hundred
# batches of random sizes. ``assert_close`` raises an error at the first number that differs
# by more than rounding.

mine = MyCenter(2, 6)
theirs = Center(2, 6, center=lambda shape: mine.center.clone())
features, labels = features_of(softmax_body, train), y[train]
for _ in range(200):
    rows = torch.randint(len(train), (int(torch.randint(1, 65, ())),))
    torch.testing.assert_close(
        mine(features[rows], labels[rows]), theirs(features[rows], labels[rows])
    )
print(f"largest difference: {(mine.center - theirs.center).abs().max():.1e}")

# %%
# You have built it. What ``Center`` has beyond this: four further rules, the same centers
# on several processes, rows that are not finite kept out, weights of samples, and a path
# for the loss that never touches the centers of absent classes, even if there are a
# million.

# %%
# 6. Center loss
# --------------
#
# Now the centers get to work. *Center loss* is half the mean squared distance of the
# samples in a batch to the center of their class,
#
# .. math:: L_C = \frac{1}{2 B} \sum_{j=1}^{B} \lVert f_j - c_{y_j} \rVert^2,
#
# for B samples with the features :math:`f_j`. It is one line. The gradient for a feature
# is :math:`(f_j - c_{y_j}) / B`: straight towards the center, the harder the farther
# away. The centers get no gradient; they move by their own rule.


def my_center_loss(features, labels, centers):
    return 0.5 * (features - centers[labels]).square().sum(dim=1).mean()


centers = mine.center
mine_at = features[:32].clone().requires_grad_()
theirs_at = features[:32].clone().requires_grad_()
my_loss = my_center_loss(mine_at, labels[:32], centers)
their_loss = center_loss(theirs_at, labels[:32], centers)
my_loss.backward()
their_loss.backward()
torch.testing.assert_close(my_loss, their_loss)
torch.testing.assert_close(mine_at.grad, theirs_at.grad)
torch.testing.assert_close(mine_at.grad, (features[:32] - centers[labels[:32]]) / 32)
print(f"the same loss, {my_loss:.4f} and {their_loss:.4f}, and the same gradient")

# %%
# torch can also check a gradient against differences of the loss itself, one number at a
# time, in double precision:

at = features[:8].double().requires_grad_()
checked = torch.autograd.gradcheck(lambda at: center_loss(at, labels[:8], centers), at)
print("gradcheck:", checked)

# %%
# :func:`~sk_center.losses.center_loss` takes a tensor of centers, as here, or a
# ``Center``, which it reads and then updates, so that one call a step does all. And a
# class that no batch has shown so far does not pull: its center is still noise.
#
# We train a new network with both losses: cross entropy keeps the classes apart, center
# loss draws each one together. Its weight is called ``lambda_center``; we take 0.3.

body, head = make_network()
center = Center(feature_dim=2, center_num=6)
optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()])

figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
shown = {0: "before", 5: "after 5 epochs", 100: "after 100 epochs"}
for epoch in range(101):
    if epoch in shown:
        ax = axes[list(shown).index(epoch)]
        draw(ax, body, center.predict())
        ax.set_title(shown[epoch])
    run_epoch(body, head, optimizer, lambda f, k: 0.3 * center_loss(f, k, center))
figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", title="digit")
plt.show()

nearest = torch.cdist(features_of(body, test), center.predict()).argmin(dim=1)
right = (nearest == y[test]).float().mean()
print(f"{right:.1%} of the test digits are nearest to the center of their class")

# %%
# At first all digits overlap, and the centers are noise. After five epochs each
# class has a place and a center. In the end the classes are compact clouds, and many
# outsiders remain between them, since they took no part in training.

# %%
# 7. How far is too far?
# ----------------------
#
# The class of a sample is that of the nearest center. But how far may it be? The rule of
# the old tutorial was: class i rejects sample j when
#
# .. math:: p(f_j \mid C_i) < T_i,
#
# when its features are too unlikely for a sample of the class. A sample that every class
# rejects is an outsider. But what is p, and who chooses :math:`T_i`?
#
# Take the samples of the class that were held out, on which the network did not train. Let
# p be the share of them, the new sample counted in, that lie at least as far from the
# center as the new sample does. If that is of the class too, it is as likely as any of them
# to be among the farthest 5 %. So at most 5 % of the samples of the class get a p of 0.05
# or less, and :math:`T_i` becomes a guarantee: the largest *false-rejection rate* of the
# class. It holds for any network, however it was trained. This p is called a conformal
# p-value, and takes five lines.


def p_values(distances, held_out_distances, held_out_labels):
    """Return the p-value of each sample for each class."""
    columns = []
    for k in range(distances.shape[1]):
        own = held_out_distances[held_out_labels == k, k]
        farther = (own >= distances[:, k : k + 1]).sum(axis=1)
        columns.append((1 + farther) / (len(own) + 1))
    return np.stack(columns, axis=1)


def class_means(body):
    """Return the mean features of each class, of the training samples."""
    features = features_of(body, train)
    return torch.stack([features[y[train] == k].mean(dim=0) for k in range(6)])


def share_rejected(body, rows, T=0.05):
    """Return the share of samples that every class rejects."""
    centers = class_means(body)
    away, away_of_held_out = (
        torch.cdist(features_of(body, some), centers).numpy() for some in (rows, held_out)
    )
    p = p_values(away, away_of_held_out, y[held_out].numpy())
    return (p <= T).all(axis=1).mean()


# %%
# How clouds fall in two dimensions is partly luck, so we train both kinds of network
# twice more, from other first weights.


def trained(seed, lambda_center):
    """Return the body of a network after 100 epochs."""
    body, head = make_network(seed)
    center = Center(feature_dim=2, center_num=6)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()])
    for _ in range(100):
        run_epoch(
            body, head, optimizer, lambda f, k: lambda_center * center_loss(f, k, center)
        )
    return body


networks = {
    "cross entropy alone": [softmax_body, trained(1, 0), trained(2, 0)],
    "with center loss": [body, trained(1, 0.3), trained(2, 0.3)],
}
print("share rejected, three networks each")
for name, bodies in networks.items():
    for group, rows in {"known": test, "outsiders": outsiders}.items():
        shares = [share_rejected(body, rows) for body in bodies]
        print(f"{name:20} {group:9}", *(f"{share:6.1%}" for share in shares))

# %%
# Every network keeps the guarantee: at most 5 % of the known samples, up to the noise of a
# small test, are rejected. (Mostly fewer, because a sample that its own class rejects
# may still lie within the circle of another.) With center loss, the same guarantee rejects
# more outsiders.
#
# In the plane one sees why. Each class accepts what lies within a circle around its center.
# On the left the circles must be wide, since the classes are, and cover much that is empty;
# on the right they are small beside the room between them.

figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
for ax, (name, bodies) in zip(axes, networks.items()):
    centers = class_means(bodies[0])
    draw(ax, bodies[0], centers)
    own = torch.cdist(features_of(bodies[0], held_out), centers)
    for k, color in enumerate(COLORS):
        away = np.sort(own[y[held_out] == k, k])
        radius = away[-int(0.05 * (len(away) + 1))]  # farther out, p is at most 0.05
        ax.add_patch(plt.Circle(centers[k], radius, fill=False, color=color, lw=1.5))
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_title(
        f"{name}: {share_rejected(bodies[0], outsiders):.0%} of outsiders rejected"
    )
figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", title="digit")
plt.show()

# %%
# 8. The same in two estimators
# -----------------------------
#
# :class:`~sk_center.CenterLossClassifier` is sections 1 to 6, and
# :class:`~sk_center.OpenSetClassifier` is section 7, both as classifiers of scikit-learn.
# We give them the same layers and the same samples, and compare p-values once more. A
# ``FrozenEstimator`` is trained already: the samples given to ``fit`` only calibrate, that
# is, set thresholds.

X, digits = X.numpy(), np.array([f"digit {k}" for k in y])
classifier = CenterLossClassifier(
    lambda_center=0.3, hidden_layer_sizes=(256, 64, 2), max_epochs=100, random_state=0
)
classifier.fit(X[train], digits[train])
flat = OpenSetClassifier(
    FrozenEstimator(classifier),
    conformity_score=CenterDistance(centers=classifier.centers_),
    guarantee="class",
    false_rejection_rate=0.05,
).fit(X[held_out], digits[held_out])

by_hand = p_values(
    classifier.center_distances(X[test]),
    classifier.center_distances(X[held_out]),
    np.searchsorted(classifier.classes_, digits[held_out]),
)
np.testing.assert_allclose(flat.p_values(X[test]), by_hand)
print("The p-values are those of our five lines. Six outsiders are called:")
print(flat.predict(X[outsiders[:6]]).tolist())

# %%
# We chose two features in order to look. The defaults are for use: 128 features, a score
# that also looks at the pixels and at the confidence of the head, and one threshold for all
# known samples together, which rejects more outsiders than one for each class. ``fit``
# holds a fifth of its samples out and calibrates with them.
#
# How many are rejected depends on a few samples near the threshold. So we also measure how
# well the score separates known samples from outsiders at all thresholds: the AUROC is
# the share of all pairs of a known sample and an outsider in which the known one scores
# higher.

learn, judge = np.union1d(train, held_out), np.concatenate([test, outsiders])
models = {"2 features": flat}
for seed in range(3):
    model = OpenSetClassifier(CenterLossClassifier(), random_state=seed)
    models[f"defaults, seed {seed}"] = model.fit(X[learn], digits[learn])

print("rejected:            known  outsiders  AUROC")
for name, model in models.items():
    shares = [model.is_outlier(X[rows]).mean() for rows in (test, outsiders)]
    auroc = auroc_score(digits[judge], model.score_samples(X[judge]), labels=model.classes_)
    print("{:18} {:7.1%} {:10.1%}  {:.3f}".format(name, *shares, auroc))

# %%
# The two add to your version:
#
# - ``CenterLossClassifier`` takes labels of any kind, data frames, images, weights of
#   samples, your own module and every parameter of skorch. When training ends, it sets
#   the centers to the exact class means, and finds probabilities that agree with the
#   distances.
# - ``OpenSetClassifier`` works around *any* classifier, a random forest too. It brings
#   many scores and combines them, bounds the rate over all known samples or by class, says
#   where a class has too few samples or loses too many, and explains its answers.
# - Both can be cloned, searched, pickled, saved and put into a pipeline.
#
# Next: :ref:`what center loss does to the clouds
# <sphx_glr_auto_examples_plot_center_loss.py>`, :ref:`digits that the classifier never
# saw <sphx_glr_auto_examples_plot_open_set_digits.py>`, and :ref:`a module of your own
# <sphx_glr_auto_examples_plot_own_module.py>`.

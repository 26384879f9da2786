"""Tests of centers that several processes share, against Center on one process."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn.parallel import DistributedDataParallel

from sk_center import Center, ShardedCenter
from sk_center.losses import center_loss

RULES = ("ema", "sum", "wen", "cumulative", "fixed")
N_CLASSES, N_FEATURES = 11, 4
# Where the joint batches are cut: uneven, and with nothing for some.
CUTS = {
    1: [[0, 14]] * 4,
    2: [[0, 9, 14], [0, 1, 14], [0, 14, 14], [0, 0, 14]],
    3: [[0, 4, 9, 14], [0, 14, 14, 14], [0, 0, 1, 14], [0, 6, 6, 14]],
}


def joint_batches():
    """Return batches of features, labels and weights, with rows that are not finite."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(4):
        X = torch.randn(14, N_FEATURES, generator=generator) + 5
        y = torch.randint(9, (14,), generator=generator)
        y[0] = N_CLASSES - 1
        if step == 1:
            X[3] = torch.nan
        weight = torch.rand(14, generator=generator)
        weight[8] = 0
        found.append((X, y, weight))
    return found


def trained(params, weighted, alone):
    """Return state, losses and gradients of a few batches."""
    torch.manual_seed(0)
    if alone:
        rank, size, module = 0, 1, Center(N_FEATURES, N_CLASSES, 0.8, **params)
    else:
        rank, size = dist.get_rank(), dist.get_world_size()
        module = ShardedCenter(N_FEATURES, N_CLASSES, 0.8, **params)
    losses, gradients = [], []
    batches = joint_batches()
    for step, (X, y, weight) in enumerate(batches):
        rows = slice(*CUTS[size][step][rank : rank + 2])
        module.train(step != 2)
        features = X[rows].clone().requires_grad_()
        weight = weight[rows] if weighted else None
        loss = center_loss(features, y[rows], module, weight)
        loss.backward()
        losses.append(loss.item() * len(features))
        gradients.append(features.grad * len(features))
    if alone:
        return module.state_dict(), losses, gradients
    return module.full_state(), losses, gradients, module.own.center.numel()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("update", RULES)
def test_shards_move_as_all_centers_do(update, given, weighted, team):
    """Check centers, counters, losses and gradients, with uneven parts and shards."""
    params = {"update": update}
    if given or update == "fixed":
        params["center"] = np.random.default_rng(0).normal(size=(N_CLASSES, N_FEATURES))
    results = team.run(trained, params, weighted, alone=False)
    state, losses, gradients = trained(params, weighted, alone=True)
    assert sum(result[3] for result in results) == N_CLASSES * N_FEATURES
    assert [result[0] is None for result in results] == [False] + [True] * (
        len(results) - 1
    )
    whole = results[0][0]
    assert set(whole) == set(state)
    seen = slice(None) if "center" in params else state["count"] > 0
    assert_array_equal(whole["count"], state["count"])
    assert_array_equal(whole["informed"], state["informed"])
    assert_allclose(whole["center"][seen], state["center"][seen], rtol=1e-6)
    for step in range(len(losses)):
        parts = [result[1][step] for result in results]
        assert_allclose(sum(parts), losses[step], rtol=1e-5)  # or NaN
        parts = torch.cat([result[2][step] for result in results])
        assert_allclose(parts, gradients[step], rtol=1e-5, atol=1e-6)


def saved(path):
    """Train a little, and save what all processes know."""
    center = ShardedCenter(N_FEATURES, N_CLASSES)
    rank, size = dist.get_rank(), dist.get_world_size()
    X, y, _ = joint_batches()[0]
    center.deviation(X[rank::size], y[rank::size])
    state = center.full_state()
    if rank == 0:
        torch.save(state, path)
        Center(N_FEATURES, N_CLASSES).load_state_dict(state)
    return center.start, center.stop, center.own.center.numpy()


def loaded(path):
    """Return what a process finds in the file."""
    center = ShardedCenter(N_FEATURES, N_CLASSES)
    center.load_full_state(torch.load(path, mmap=True, weights_only=True))
    with pytest.raises(ValueError, match="state must hold centers of the shape"):
        ShardedCenter(N_FEATURES, N_CLASSES + 1).load_full_state(torch.load(path))
    return center.start, center.stop, center.own.center.numpy()


@pytest.mark.slow
def test_other_numbers_of_processes_go_on(teams, tmp_path):
    """Check that what three processes saved, two share."""
    path = tmp_path / "centers.pt"
    before, after = teams[3].run(saved, path), teams[2].run(loaded, path)
    assert [part[:2] for part in before] == [(0, 3), (3, 7), (7, 11)]
    assert [part[:2] for part in after] == [(0, 5), (5, 11)]
    assert_array_equal(*[np.concatenate([p[2] for p in side]) for side in (before, after)])


def wrong(labels):
    """Call the module with labels that are none."""
    center = ShardedCenter(N_FEATURES, N_CLASSES)
    if dist.get_rank():
        labels = [0, 0]
    center.deviation(torch.zeros(2, N_FEATURES), torch.tensor(labels))


@pytest.mark.parametrize("label", [-1, N_CLASSES])
def test_labels_outside_are_told_on_every_process(label, team):
    """Check that a wrong label of one process is an error of all."""
    for succeeded, error in team.outcomes(wrong, [0, label]):
        assert not succeeded
        assert f"[0, {N_CLASSES})" in str(error)
        assert f"got {label}" in str(error)


def refused():
    """Return what is said of parameters that cannot be."""
    said = []
    for params in (
        {"center_num": dist.get_world_size() - 1},
        {"center_num": 5, "center": np.zeros((4, N_FEATURES))},
        {"center_num": 5, "center": np.zeros((4, N_FEATURES)).tolist()},
        {"center_num": 5, "center": "simplex"},
        {"center_num": 5, "center": torch.zeros},
    ):
        with pytest.raises(ValueError, match="center") as error:
            ShardedCenter(N_FEATURES, **params)
        said.append(str(error.value))
    return said


def test_parameters_are_validated(team):
    """Check that a process without rows, and centers of no such shape, are refused."""
    for few, *shapes, name, function in team.run(refused):
        assert "center_num must be an integer >= " in few
        assert all("center must have the shape" in shape for shape in shapes)
        assert "center must be an array or None" in name
        assert "center must be an array or None" in function


def own_rows_of(center):
    """Return the first centers of this process, and where they lie among all."""
    sharded = ShardedCenter(N_FEATURES, N_CLASSES, center=center)
    return sharded.own.predict(), slice(sharded.start, sharded.stop)


@pytest.mark.parametrize("kind", [np.ndarray.tolist, torch.tensor, np.asarray])
def test_first_centers_of_every_kind(kind, team):
    """Check that each process takes its rows of a list, a tensor and an array."""
    center = np.random.default_rng(0).normal(size=(N_CLASSES, N_FEATURES))
    for own, rows in team.run(own_rows_of, kind(center)):
        assert_allclose(own, center[rows], rtol=1e-6)


class Embedding(torch.nn.Module):
    """A network with shared centers, as one would train it."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(N_FEATURES, N_FEATURES)
        self.center = ShardedCenter(N_FEATURES, N_CLASSES)

    def forward(self, X, y):
        """Return the loss."""
        return center_loss(self.body(X), y, self.center)


def under_ddp():
    """Return weights and loss after some steps by torch's data-parallel training."""
    torch.manual_seed(0)
    model = Embedding()
    buffers = [name for name, _ in model.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, buffers)
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(dist.get_rank())
    y = torch.arange(8) % N_CLASSES
    losses = []
    for _ in range(30):
        X = torch.eye(N_CLASSES, N_FEATURES)[y] + 0.1 * torch.randn(
            8, N_FEATURES, generator=generator
        )
        optimizer.zero_grad()
        loss = parallel(X, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.body.weight.detach().numpy(), losses


def test_shards_go_with_data_parallel_training(team):
    """Check the recipe of the docs: weights alike, each process with its own rows."""
    results = team.run(under_ddp)
    for weight, losses in results:
        assert_array_equal(weight, results[0][0])
        assert losses[0] == 0  # classes that appear do not pull
        assert losses[-1] < losses[1]

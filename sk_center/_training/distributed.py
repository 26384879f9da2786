"""Training of one net by several processes, each on a part of every batch."""

from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Subset

from sk_center._training.fingerprint import FREE_PARAMETERS, described, described_samples
from sk_center._training.params import params_of
from sk_center._utils.devices import device_of, seed_generators
from sk_center._utils.processes import (
    check_agreement,
    from_rank_0,
    is_team,
    linger_at_exit,
    part_sizes,
)
from sk_center.batches import ArrayDataset, TensorBatches
from sk_center.batches.datasets import LabelledDataset
from sk_center.networks.dry_run import copied, shown


class Alone:
    """One process that trains a net, with the interface of a :class:`Team`."""

    several = False
    # Factor of the mean loss of a batch.
    factor = 1

    def batches(self, iterator, training):
        """Return the batches."""
        return iterator

    def step_of(self, net):
        """Return a callable that gives the loss of a batch, and logits and features."""
        return net._compiled_(net, "_loss_of")

    def n_own(self, batch):
        """Return the number of samples of a batch that count on this process."""
        return len(batch[1])

    n_joint = n_own

    def joint_loss(self, loss):
        """Return the mean loss of the batch over all processes."""
        return loss

    def with_joint_loss(self, step_fn):
        """Return a step whose loss is that of the batch on all processes."""
        return step_fn

    def joint_sums(self, *numbers):
        """Return sums of numbers over the processes."""
        return numbers

    def joint_sizes(self, sizes):
        """Return the number of samples of each batch of the epoch on all processes."""
        return sizes

    def share_buffers(self):
        """Give all processes the same running statistics."""


class Team:
    """The processes that train a net together, as one of them sees them."""

    several = True

    def __init__(self, net):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.net = net
        self.center = net.module_.center
        self.sizes = []
        # It wraps the whole step, not only the module: a criterion may have weights too.
        step = Step(net)
        # Only gradients are sent: buffers, above all the centers, are synchronized
        # elsewhere.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
            step, [name for name, _ in step.named_buffers()]
        )
        self._step = DistributedDataParallel(
            step,
            init_sync=False,
            find_unused_parameters=not uses_all_parameters(net),
        )

    def batches(self, iterator, training):
        """Yield this process's parts of the batches."""
        if not isinstance(iterator, TensorBatches):
            raise ValueError(
                "Processes that train together take their parts of batches from "
                "TensorBatches, which goes through a DataLoader where that is needed; got "
                f"{type(iterator).__name__} as iterator_{'train' if training else 'valid'}."
            )
        if training and not self.sizes and isinstance(iterator.dataset, Subset):
            check_agreement(train_split=described(np.asarray(iterator.dataset.indices)))
        iterator.part = self.rank, self.size
        self.sizes = iterator.sizes()
        state = from_rank_0(torch.get_rng_state)
        torch.set_rng_state(state)
        for i, batch in enumerate(iterator):
            if i == 0 and training and self.rank:
                # The order of the samples is drawn by now, the same everywhere. From here
                # on dropout must differ between processes.
                self._draw_otherwise(state)
            self._n_joint = self.sizes[i]
            sizes = part_sizes(self._n_joint, self.size)
            self._n_own = sizes[self.rank]
            self.center._part_sizes = sizes
            yield batch

    def step_of(self, net):
        """Return a callable that gives the loss of this part, and logits and features."""
        return self._step

    def n_own(self, batch):
        """Return the number of samples of the batch in hand that count on this process.

        A process without samples of a small last batch runs two that do not count, so that
        no process waits for it.
        """
        return self._n_own

    def n_joint(self, batch):
        """Return the number of samples of the batch in hand on all processes."""
        return self._n_joint

    def joint_sizes(self, sizes):
        """Return the number of samples of each batch of the epoch on all processes."""
        return self.sizes

    def __reduce__(self):
        return Alone, ()  # a copy trains alone

    def _draw_otherwise(self, state):
        generator = torch.Generator()
        generator.set_state(state)
        seed = int(torch.randint(2**62, (), generator=generator)) + self.rank
        seed_generators(device_of(self.net), seed)

    @property
    def factor(self):
        """Factor of the mean loss of this part.

        The mean over the processes of this product, and so of gradients, is that of the
        batch.
        """
        return self._n_own * self.size / self._n_joint

    def joint_loss(self, loss):
        """Return the mean loss of the batch in hand."""
        share = self._n_own / self._n_joint
        loss = loss.detach() * share if share else torch.zeros_like(loss)
        dist.all_reduce(loss)
        return loss

    def with_joint_loss(self, step_fn):
        """Return a step whose loss is that of the batch on all processes."""

        def joint_step(batch, **fit_params):
            step = step_fn(batch, **fit_params)
            return {**step, "loss": self.joint_loss(step["loss"])}

        return joint_step

    def joint_sums(self, *numbers):
        """Return sums of numbers over the processes."""
        sums = torch.tensor([float(number) for number in numbers], dtype=torch.float64)
        sums = sums.to(self.center.center.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def share_buffers(self):
        """Give all processes the running statistics of rank 0; centers are equal anyway."""
        for name, buffer in self.net.module_.named_buffers():
            if not name.startswith("center."):
                copy_from_rank_0(buffer)


class Step(torch.nn.Module):
    """Network, loss and centers of a training step as one module."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.module, self.criterion = net.module_, net.criterion_

    def forward(self, X, y, **fit_params):
        """Return the loss of a batch, and logits and features."""
        return self.net._compiled_(self.net, "_loss_of")(X, y, **fit_params)


@contextmanager
def trained_together(net, X, y, n_epochs):
    """Yield the processes that train a net: this one alone, or those of its group."""
    if not is_team():
        yield Alone()
        return
    linger_at_exit()
    if isinstance(net.module_, DistributedDataParallel):
        raise ValueError(
            "The module is wrapped by accelerate, and its centers cannot be reached. Use "
            "CenterLossNet without AccelerateMixin: on the processes that accelerate has "
            "started it trains as it is."
        )
    check_agreement(n_epochs=n_epochs, **what_must_agree(net, net.get_dataset(X, y)))
    team = Team(net)
    center = net.module_.center
    center.process_group = dist.group.WORLD
    if net.compile:  # communication cannot be part of a graph
        center._update_together = torch.compiler.disable(center._update_together)
    try:
        for part in (net.module_, net.criterion_):
            for tensor in part.state_dict().values():
                copy_from_rank_0(tensor)
        yield team
    finally:
        for name in ("process_group", "_part_sizes", "_update_together"):
            vars(center).pop(name, None)


def copy_from_rank_0(tensor):
    """Give a tensor the numbers that it has on rank 0."""
    dense = tensor.detach().contiguous()
    dist.broadcast(dense, src=0)
    if dense.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(dense)


def what_must_agree(net, dataset):
    """Return the values that must agree between processes, by name.

    Callbacks may differ, since one process may print, and so may the module, since the
    first weights are those of rank 0.
    """
    parts = {
        name: described(value)
        for name, value in params_of(net).items()
        if name not in (*FREE_PARAMETERS, "module")
    }
    parts["the number of samples"] = len(dataset)
    parts["the shape of a sample"] = shown(net.example_)
    parts["the number of classes"] = net.n_classes_
    parts["the state of the optimizer"] = described(net.optimizer_.state_dict())
    if isinstance(dataset, (ArrayDataset, LabelledDataset)):
        parts["y"] = described(dataset.y)
        parts["sample_weight"] = described(dataset.sample_weight)
    if isinstance(dataset, ArrayDataset):
        parts["X"] = described_samples(dataset.X, 0)
    return parts


def uses_all_parameters(net):
    """Return whether a network uses all of its parameters.

    torch waits for the gradient of each one, unless it looks for those without at every
    step, which takes time.
    """
    if next(net.criterion_.parameters(), None) is not None:
        return False
    module = net.module_
    modes = {part: part.training for part in module.modules()}
    try:
        example = copied(net.example_, module.center.center.device)
        outputs = [part.sum() for part in module.eval()(example) if part.requires_grad]
    finally:
        for part, training in modes.items():
            part.training = training
    parameters = [part for part in module.parameters() if part.requires_grad]
    found = torch.autograd.grad(sum(outputs), parameters, allow_unused=True)
    return all(gradient is not None for gradient in found)

"""Centers of more classes than one device holds, divided among processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from sk_center._utils.processes import gather_rows, gather_sizes
from sk_center.centers import Center
from sk_center.centers.batch import check_batch, sum_of_squares

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from sk_center._utils.torch_types import Points
    from sk_center._utils.types import UpdateRule

__all__ = ["ShardedCenter"]


class ShardedCenter(torch.nn.Module):
    """Keep the centers of some of the classes on each of several processes.

    It does what a :class:`Center` of all classes does on one process with the joint batch,
    for label sets that one device cannot hold. Every process calls it at every
    step, with its part of the batch, also where that is empty. Features and labels are
    gathered on all processes, each updates the rows it owns, and the deviations of samples
    from their centers are summed over the processes, of which only one has them.

    Parameters
    ----------
    feature_dim : int
        Number of features D of each sample.

    center_num : int
        Number of classes C of all processes together, at least one for each.

    alpha : float, default=0.9
        Share of the old center that an update retains; larger values make centers steadier
        and slower, see :class:`Center`.

    center : array-like or tensor of shape (center_num, feature_dim), default=None
        The first centers, of which a process reads its own rows: a ``np.memmap`` need not
        fit in memory. ``"simplex"`` and callables, which create all rows at once, are for
        :class:`Center` only. By default each process draws random points near zero, which
        are only a starting point except with ``update="fixed"``, see :class:`Center`.

    name : str, default=None
        A name for the representation and the warnings of this module.

    update : {"ema", "sum", "wen", "cumulative", "fixed"}, default="ema"
        How a batch moves the centers, see :class:`Center`.

    process_group : torch.distributed.ProcessGroup, default=None
        The processes that share the centers; by default all.

    Attributes
    ----------
    own : Center
        The rows of this process.

    start, stop : int
        Their range, from ``rank * C // n_processes`` to the first of the next process.

    Raises
    ------
    ValueError
        If a parameter is invalid, see :class:`Center`, there are fewer classes than
        processes, or ``torch.distributed`` is not initialized and no group is given.

    See Also
    --------
    Center : All classes on every process.
    sk_center.losses.center_loss : The loss that pulls features to their center.

    Notes
    -----
    ``state_dict`` holds the rows of this process alone. :meth:`full_state` collects those
    of all as the state of a :class:`Center`, and :meth:`load_full_state` takes the rows of
    this process from such a state, so that any number of processes can continue.

    Under ``DistributedDataParallel`` its buffers, which differ by process, must be left
    alone: the guide to large label sets says how, and has the memory and the traffic of a
    step.

    Examples
    --------
    On four processes, each of which holds 2.5 million rows::

        torch.distributed.init_process_group("nccl")
        centers = ShardedCenter(feature_dim=512, center_num=10_000_000).cuda()
        loss = center_loss(features, labels, centers)

    One process holds them all:

    >>> import tempfile
    >>> import torch
    >>> from sk_center import ShardedCenter
    >>> from sk_center.losses import center_loss
    >>> file = tempfile.NamedTemporaryFile()
    >>> torch.distributed.init_process_group(
    ...     "gloo", init_method=f"file://{file.name}", rank=0, world_size=1)
    >>> centers = ShardedCenter(2, 3, center=torch.zeros(3, 2))
    >>> features = torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    >>> center_loss(features, torch.tensor([0, 2]), centers).item()
    1.5
    >>> torch.distributed.destroy_process_group()
    """

    def __init__(
        self,
        feature_dim: int,
        center_num: int,
        alpha: float = 0.9,
        center: Points | None = None,
        name: str | None = None,
        *,
        update: UpdateRule = "ema",
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        group = dist.group.WORLD if process_group is None else process_group
        self.process_group: ProcessGroup = group  # type: ignore[assignment]
        rank, size = dist.get_rank(group), dist.get_world_size(group)
        if int(center_num) != center_num or center_num < size:
            raise ValueError(
                f"center_num must be an integer >= {size}, the number of processes; got "
                f"{center_num!r}."
            )
        self.feature_dim = int(feature_dim)
        self.center_num = int(center_num)
        self.start = rank * self.center_num // size
        self.stop = (rank + 1) * self.center_num // size
        if center is not None:
            if isinstance(center, str) or callable(center):
                raise ValueError(
                    "center must be an array or None, of a ShardedCenter, which makes only "
                    f"rows of its own; got {center!r}."
                )
            # An array may be on disk: only rows of it are read.
            rows: Any = center if hasattr(center, "shape") else np.asarray(center)
            if tuple(rows.shape) != (self.center_num, self.feature_dim):
                raise ValueError(
                    "center must have the shape (center_num, feature_dim) = "
                    f"{(self.center_num, self.feature_dim)}; got {tuple(rows.shape)}."
                )
            center = rows[self.start : self.stop]
        self.own = Center(
            feature_dim, self.stop - self.start, alpha, center, name, update=update
        )

    def deviation(
        self, features: Tensor, labels: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return each sample minus the center of its class; update in training.

        Parameters
        ----------
        features : tensor of shape (n_samples, feature_dim)
            Features of this process's part of the batch, of the same dtype everywhere.

        labels : tensor of shape (n_samples,)
            Class index of each sample, of any integer dtype.

        sample_weight : tensor of shape (n_samples,), default=None
            Non-negative weights of the samples within their class mean.

        Returns
        -------
        deviation : tensor of shape (n_samples, feature_dim)
            As of :meth:`Center.deviation`.

        Raises
        ------
        ValueError
            If the shapes do not match or labels are no integers, and on every process if a
            label of any is outside [0, center_num).
        """
        return self.pull(features, labels, sample_weight)[0]

    def pull(
        self, features: Tensor, labels: Tensor, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what :meth:`deviation` does, and its sum of squares; update in training.

        Parameters
        ----------
        features : tensor of shape (n_samples, feature_dim)
            Features of this process's part of the batch.

        labels : tensor of shape (n_samples,)
            Class index of each sample.

        sample_weight : tensor of shape (n_samples,), default=None
            Non-negative weights of the samples within their class mean.

        Returns
        -------
        deviation : tensor of shape (n_samples, feature_dim)
            As of :meth:`deviation`.

        total : tensor of shape ()
            Sum of the squares in it, each row times its weight.

        Raises
        ------
        ValueError
            As of :meth:`deviation`.
        """
        shape = self.center_num, self.feature_dim
        labels = check_batch(features, labels, shape, sample_weight)
        rows = features.detach().to(torch.promote_types(features.dtype, torch.float32))
        weight = rows.new_ones(len(rows), 1)
        if sample_weight is not None:
            weight = sample_weight.detach().to(rows.dtype)[:, None]
        group = self.process_group
        sizes = gather_sizes(len(rows), rows.device, group)
        joint, classes = gather_rows(torch.cat([rows, weight], dim=1), labels, sizes, group)
        outside = (classes < 0) | (classes >= self.center_num)
        if outside.any():
            raise ValueError(
                f"labels must lie in [0, {self.center_num}), the classes of the centers; "
                f"got {classes[outside][0].item()}."
            )
        mine = ((classes >= self.start) & (classes < self.stop)).nonzero()[:, 0]
        own, own_classes = joint[mine], classes[mine] - self.start
        # Only one process has each row, and the others add zero.
        away = rows.new_zeros(len(joint), self.feature_dim)
        away[mine] = self.own.deviation(own[:, :-1], own_classes, own[:, -1])
        dist.all_reduce(away, group=group)
        first = sum(sizes[: dist.get_rank(group)])
        deviation = away[first : first + len(rows)].clone()
        return deviation, sum_of_squares(deviation, sample_weight)

    def full_state(self) -> dict[str, Tensor] | None:
        """Return the centers of all processes, as the state of a :class:`Center`.

        Every process calls it. The rows are collected in the memory of the host of rank 0,
        one process after another.

        Returns
        -------
        state : dict or None
            For ``Center.load_state_dict`` and ``torch.save`` on rank 0, None elsewhere.
        """
        group = self.process_group
        rank, size = dist.get_rank(group), dist.get_world_size(group)
        state = {}
        for name, rows in self.own.state_dict().items():
            if rows.ndim == 0:  # whether the first centers were given, alike everywhere
                state[name] = rows.cpu()
                continue
            if rank:
                dist.send(rows, dist.get_global_rank(group, 0), group=group)
                continue
            whole = torch.empty((self.center_num, *rows.shape[1:]), dtype=rows.dtype)
            whole[: self.stop] = rows
            for other in range(1, size):
                part = slice(
                    other * self.center_num // size, (other + 1) * self.center_num // size
                )
                received = rows.new_empty(part.stop - part.start, *rows.shape[1:])
                dist.recv(received, dist.get_global_rank(group, other), group=group)
                whole[part] = received
            state[name] = whole
        return None if rank else state

    def load_full_state(self, state: dict[str, Tensor]) -> None:
        """Take the rows of this process from the state of a :class:`Center`.

        Parameters
        ----------
        state : dict
            From :meth:`full_state`, of any number of processes. Read by
            ``torch.load(path, mmap=True)``, only these rows come into memory.

        Raises
        ------
        ValueError
            If the centers in it have another shape.
        """
        if state["center"].shape != (self.center_num, self.feature_dim):
            raise ValueError(
                "state must hold centers of the shape "
                f"{(self.center_num, self.feature_dim)}; got "
                f"{tuple(state['center'].shape)}."
            )
        rows = slice(self.start, self.stop)
        self.own.load_state_dict(
            {name: part[rows] if part.ndim else part for name, part in state.items()}
        )

    def extra_repr(self) -> str:
        """Return the parameters for the representation of the module.

        Returns
        -------
        parameters : str
            Names and values.
        """
        return (
            f"feature_dim={self.feature_dim}, center_num={self.center_num}, "
            f"rows {self.start} to {self.stop}"
        )

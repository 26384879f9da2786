"""Communication between processes of ``torch.distributed``, if there are several."""

import atexit
import hashlib
import time
from functools import cache

import torch
import torch.distributed as dist


def is_team():
    """Return whether this process is one of several of a process group."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@cache
def linger_at_exit():
    """Let a process of gloo wait a moment at its exit.

    A thread of gloo that has sent a tensor needs the interpreter to release it, and aborts
    the process if the interpreter is being finalized by then, in torch 2.13 after one
    training of ten.
    """
    atexit.register(time.sleep, 0.1)


def from_rank_0(function):
    """Return on every process what a function returns or raises on rank 0."""
    if not is_team():
        return function()
    found = [None, None]
    if dist.get_rank() == 0:
        try:
            found[0] = function()
        except Exception as error:
            found[1] = error
    dist.broadcast_object_list(found, src=0)
    if found[1] is not None:
        raise found[1]
    return found[0]


def check_agreement(**parts):
    """Raise ValueError on every process, naming the part, if a part differs between them.

    A part is whatever has a ``repr`` by which it differs from others.
    """
    if not is_team():
        return
    digests = {
        name: hashlib.sha256(repr(part).encode()).hexdigest()
        for name, part in parts.items()
    }
    everybody = [None] * dist.get_world_size()
    dist.all_gather_object(everybody, digests)
    differing = {
        name: [rank for rank, theirs in enumerate(everybody) if theirs.get(name) != digest]
        for name, digest in everybody[0].items()
    }
    told = [f"{name} (rank {ranks})" for name, ranks in differing.items() if ranks]
    if told:
        raise ValueError(
            "Processes that train together must call fit with the same data and the same "
            f"parameters; other than on rank 0 are {', '.join(told)}."
        )


def own_rows(n_rows):
    """Return the slice of rows that this process runs; all of them if it is alone."""
    if not is_team():
        return slice(0, n_rows)
    rank, size = dist.get_rank(), dist.get_world_size()
    return slice(rank * n_rows // size, (rank + 1) * n_rows // size)


def joint_sum(numbers, device):
    """Return the sum of a tensor over the processes, which communicate on a device."""
    if not is_team():
        return numbers
    sums = numbers.to(device, copy=True)
    dist.all_reduce(sums)
    return sums.to(numbers.device)


def gather_sizes(n_rows, device, group):
    """Return how many rows each process of a group brings, by rank."""
    sizes = torch.empty(dist.get_world_size(group), dtype=torch.int64, device=device)
    own = torch.tensor([n_rows], device=device)
    dist.all_gather(list(sizes.split(1)), own, group=group)
    return sizes.tolist()


def gather_rows(numbers, labels, sizes, group):
    """Return the rows of all processes, and their labels, in the order of the ranks.

    Rows are floating and of one dtype everywhere, labels are int64.
    """
    n_columns, longest = numbers.shape[1], max(sizes)
    # One message: the bits of the labels travel as numbers that nobody computes with.
    bits = labels[:, None].view(numbers.dtype)
    rows = numbers.new_zeros(longest, n_columns + bits.shape[1])
    rows[: len(numbers), :n_columns] = numbers
    rows[: len(numbers), n_columns:] = bits
    parts = rows.new_empty(len(sizes), *rows.shape)
    dist.all_gather(list(parts.unbind()), rows, group=group)
    # Parts of different sizes were padded to the longest.
    joint = torch.cat([part[:size] for part, size in zip(parts, sizes)])
    bits = joint[:, n_columns:].contiguous()
    return joint[:, :n_columns], bits.view(torch.int64)[:, 0]


def part_sizes(n_rows, n_parts):
    """Return the sizes of the contiguous parts that a batch is cut into, larger ones first.

    No part has a single row, on which batch normalization cannot train: some parts of a
    small batch are empty.
    """
    n_filled = min(n_parts, max(n_rows // 2, 1))
    least, more = divmod(n_rows, n_filled)
    sizes = [least + (i < more) for i in range(n_filled)]
    return sizes + [0] * (n_parts - n_filled)

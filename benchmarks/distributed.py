"""Measure the gain by several processes, and the bytes that they exchange.

    torchrun --standalone --nproc-per-node=2 -m benchmarks.distributed

and the same command with ``--nproc-per-node=1``. It prints a line a network: samples a
second over some epochs after a first one that does not count, and the bytes that a process
sends in a step, read from its sockets, beside those that the arithmetic of
``docs/guide/large_label_sets.md`` gives. Linux and gloo only.
"""

import argparse
import os
import socket
import struct
import time
from contextlib import suppress
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from skorch.callbacks import Callback

from benchmarks.tables import markdown
from sk_center import Center, CenterLossClassifier, ShardedCenter

# Where the kernel's struct tcp_info keeps tcpi_bytes_sent, a u64.
BYTES_SENT = 200


def bytes_sent():
    """Return how many bytes this process has sent through sockets that are open."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as opened:
                if opened.type == socket.SOCK_STREAM:
                    info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    total += struct.unpack_from("Q", info, BYTES_SENT)[0]
    return total


class Meter(Callback):
    """Record time and bytes at the ends of epochs."""

    def on_train_begin(self, net, **kwargs):
        """Record the start."""
        net.notes = []

    def on_epoch_end(self, net, **kwargs):
        """Record the end of an epoch."""
        net.notes.append((time.perf_counter(), bytes_sent()))


def expected_bytes(n_parameters, n_classes, feature_dim, batch_size, n_processes):
    """Return the bytes that a process sends in a step, by the arithmetic of the docs."""
    share = (n_processes - 1) / n_processes
    gradients = 2 * share * 4 * n_parameters
    if n_classes < batch_size:
        centers = 2 * share * 4 * n_classes * (feature_dim + 2)
    else:
        part = -(-batch_size // n_processes)
        centers = (n_processes - 1) * 4 * part * (feature_dim + 3)
    return gradients + centers


def train(n_inputs, sizes, n_classes, batch_size, n_steps, n_epochs):
    """Return a line of the table for one network."""
    rng = np.random.default_rng(0)
    y = np.arange(n_steps * batch_size) % n_classes
    X = rng.normal(size=(len(y), n_inputs)).astype(np.float32)
    model = CenterLossClassifier(
        hidden_layer_sizes=sizes,
        batch_size=batch_size,
        max_epochs=n_epochs + 1,
        callbacks=[("meter", Meter())],
        random_state=0,
    ).fit(X, y)
    notes = np.array(model.net_.notes)
    (seconds, sent) = np.median(np.diff(notes, axis=0), axis=0)
    n_parameters = sum(part.numel() for part in model.module_.parameters())
    expected = expected_bytes(
        n_parameters, n_classes, sizes[-1], batch_size, dist.get_world_size()
    )
    layers = "-".join(str(size) for size in (n_inputs, *sizes, n_classes))
    return [
        layers,
        f"{batch_size}",
        f"{dist.get_world_size()}",
        f"{len(y) / seconds:,.0f}",
        f"{seconds / n_steps * 1e3:.2f} ms",
        f"{sent / n_steps:,.0f}",
        f"{expected:,.0f}",
    ]


def update(kind, n_classes, feature_dim, batch_size, n_steps):
    """Return a line of the table for updates of centers alone."""
    size = dist.get_world_size()
    if kind is ShardedCenter:
        module = ShardedCenter(feature_dim, n_classes)
    else:
        module = Center(feature_dim, n_classes)
        module.process_group = dist.group.WORLD
    part = batch_size // size
    features = torch.randn(part, feature_dim)
    labels = torch.randint(n_classes, (part,))
    for step in range(n_steps + 1):
        if step == 1:
            start, sent = time.perf_counter(), bytes_sent()
        module.deviation(features, labels)
    seconds = (time.perf_counter() - start) / n_steps
    sent = (bytes_sent() - sent) / n_steps
    expected = expected_bytes(0, n_classes, feature_dim, batch_size, size)
    if kind is ShardedCenter:
        expected += 2 * (size - 1) / size * 4 * batch_size * feature_dim
    memory = (module.own if kind is ShardedCenter else module).center.numel() * 4
    return [
        f"{kind.__name__}, {n_classes:,} x {feature_dim}",
        f"{batch_size}",
        f"{size}",
        f"{memory / 2**20:,.0f} MiB",
        f"{seconds * 1e3:.2f} ms",
        f"{sent:,.0f}",
        f"{expected:,.0f}",
    ]


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    size = dist.get_world_size()
    networks = [
        # Inputs, layers, classes, batch size, steps of an epoch: the demo's network first.
        (64, (512, 128), 10, 64, 40),
        (64, (512, 128), 10, 1024, 10),
        (64, (2048, 128), 10, 4096, 4),
        (64, (512, 128), 1000, 256, 20),
    ]
    rows = [train(*network, args.epochs) for network in networks]
    columns = ["network", "batch", "processes", "samples/s", "step"]
    columns += ["bytes sent", "arithmetic"]
    tables = [markdown(columns, rows)]
    if size > 1:
        rows = [
            update(Center, 10, 128, 1024, 50),
            update(Center, 100_000, 128, 1024, 50),
            update(ShardedCenter, 100_000, 128, 1024, 50),
        ]
        tables.append(markdown(["centers", *columns[1:3], "memory", *columns[4:]], rows))
    if dist.get_rank() == 0:
        print("\n\n".join(tables))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

"""Processes that stay, to run one function after another together."""

import os
import tempfile
import traceback
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing import get_all_start_methods, get_context

TIMEOUT = 300  # long enough on a busy machine
# A server of forks imports what takes seconds once, for all of the processes.
METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
get_context(METHOD).set_forkserver_preload(["sk_center.classifier"])


def serve(rank, size, rendezvous, pipe):
    """Join the process group, and run what comes through the pipe."""
    # As torchrun does, for accelerate, which looks whether they are there.
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        MASTER_ADDR="localhost",
        MASTER_PORT="0",
    )
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=rendezvous,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=TIMEOUT),
    )
    while (call := pipe.recv()) is not None:
        function, args, kwargs = call
        try:
            pipe.send((True, function(*args, **kwargs)))
        except Exception as error:
            traceback.print_exc()
            pipe.send((False, error))
    dist.destroy_process_group()


class Team:
    """A process group of processes on this machine, which meet in a file."""

    def __init__(self, size):
        self.folder = tempfile.TemporaryDirectory()
        rendezvous = (Path(self.folder.name) / "rendezvous").as_uri()
        context = get_context(METHOD)
        self.pipes, self.processes = [], []
        for rank in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(rank, size, rendezvous, theirs))
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def outcomes(self, function, *args, **kwargs):
        """Return of each process whether a function succeeded, and its result or error."""
        for pipe in self.pipes:
            pipe.send((function, args, kwargs))
        for pipe in self.pipes:
            assert pipe.poll(2 * TIMEOUT), "a process does not answer"
        return [pipe.recv() for pipe in self.pipes]

    def run(self, function, *args, **kwargs):
        """Return the results of a function by rank."""
        outcomes = self.outcomes(function, *args, **kwargs)
        for succeeded, result in outcomes:
            if not succeeded:
                raise result
        return [result for _, result in outcomes]

    def close(self):
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(TIMEOUT)
        self.folder.cleanup()


class Teams(dict):
    """Process groups by their number of processes."""

    def __missing__(self, size):
        self[size] = Team(size)
        return self[size]

    def close(self):
        """End all processes."""
        for team in self.values():
            team.close()

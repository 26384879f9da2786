"""
Search on a cluster
===================

``GridSearchCV`` runs on the workers of a dask cluster; the fitted best estimator comes back
and predicts here::

    python examples/distributed/search_dask.py

starts two worker processes on this machine and kills one in the middle, which costs the
search some time and nothing else. ``--gpus 4`` starts four, each of which sees one GPU. On
a cluster that runs already it is ::

    python examples/distributed/search_dask.py --scheduler tcp://SCHEDULER:8786

``pip install "sk_center[distributed]"`` brings dask.
"""

import argparse
import os
import signal
import time
from threading import Timer

import dask
import joblib
import numpy as np
from dask.distributed import Client, LocalCluster, WorkerPlugin
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sk_center import CenterLossClassifier

# Without this, dask soon drops all copies but one of what it holds, and with the worker
# that has that one the search would be lost.
dask.config.set({"distributed.scheduler.active-memory-manager.start": False})


class OneGPU(WorkerPlugin):
    """Let each worker of a LocalCluster, which numbers them, see the GPU of its number."""

    def setup(self, worker):
        """Choose the GPU, before the worker runs anything."""
        os.environ["CUDA_VISIBLE_DEVICES"] = str(worker.name)


def main(scheduler=None, gpus=0):
    """Run the search."""
    # One thread a worker: a network of its own for each, and one GPU.
    cluster = scheduler or LocalCluster(
        n_workers=gpus or 2, threads_per_worker=1, dashboard_address=None
    )
    with Client(cluster) as client:
        if gpus:
            client.register_plugin(OneGPU())
        X, y = load_digits(return_X_y=True)
        X = np.float32(X / 16)
        splits = list(StratifiedKFold(3).split(X, y))
        search = GridSearchCV(
            CenterLossClassifier(max_epochs=20, random_state=0),
            {"lambda_center": [0.01, 0.03, 0.1, 0.3]},
            cv=splits,
        )
        if scheduler is None:
            victim = next(iter(client.run(os.getpid).values()))
            Timer(3, os.kill, (victim, signal.SIGKILL)).start()
        start = time.perf_counter()
        # What tasks share goes to all workers once: samples, labels and the rows of splits.
        shared = [X, y, *(rows for split in splits for rows in split)]
        with joblib.parallel_config(backend="dask", scatter=shared):
            search.fit(X, y)
        print(f"12 fits in {time.perf_counter() - start:.1f} s on {cluster}")
    if scheduler is None:
        cluster.close()
    print("best:", search.best_params_, f"accuracy {search.best_score_:.3f}")
    print("here, without the cluster:", search.predict(X[:10]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Search on a dask cluster.")
    parser.add_argument("--scheduler", help="address of a cluster that runs already")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of this machine")
    main(**vars(parser.parse_args()))

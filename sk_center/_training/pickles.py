"""What a pickle of a net holds: versions, its history in columns, nothing of a training."""

import torch
from skorch import NeuralNetClassifier
from skorch.history import History

from sk_center._training.params import without_batches
from sk_center._utils.versions import Required, versions, warn_of_versions


class PickleNet(NeuralNetClassifier):
    """A net whose pickles are small and say what they need."""

    def __getstate__(self):
        # skorch pickles modules on its own, for nets that move from a GPU to a machine
        # without one. On a CPU that only keeps cloudpickle, and so joblib's workers and
        # notebooks, from carrying modules that no other process can import.
        on_cpu = torch.device(self.device or "cpu").type == "cpu"
        state = vars(self).copy() if on_cpu else super().__getstate__()
        # First, so that pickle comes to them before it needs them.
        parts = self.module_.modules() if self.initialized_ else ()
        required = Required.by(self, *parts)
        state = {"_required": required, "_versions": versions(), **state}
        for of_training in ("_workers", "_waiting"):
            state.pop(of_training, None)
        if "history_" in state:
            state["history_"] = History(without_batches(state["history_"]))
        # A dict an epoch is three times as large as the numbers in it.
        if "history_" in state and len({tuple(row) for row in state["history_"]}) == 1:
            rows = state.pop("history_")
            columns = zip(*(row.values() for row in rows))
            state["history_columns"] = dict(zip(rows[0], map(list, columns)))
        return state

    def __setstate__(self, state):
        state = dict(state)
        warn_of_versions(state.pop("_versions", {}))
        state.pop("_required", None)
        columns = state.pop("history_columns", None)
        if columns is not None:
            rows = zip(*columns.values())
            state["history_"] = History(dict(zip(columns, row)) for row in rows)
        if "__cuda_dependent_attributes__" in state:
            super().__setstate__(state)
        else:
            vars(self).update(state)

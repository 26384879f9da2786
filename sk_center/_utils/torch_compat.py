"""Private pieces of torch, each with the versions that have it.

Nets also override ``_step_optimizer`` and ``_set_training`` of skorch, and read its
``_modules``, ``_criteria`` and ``_optimizers``, the names of their parts (0.11 to 1.4).
"""
# ruff: noqa: F401 - others import them from here

import torch

# Walks through whatever holds tensors (torch 1.8 to 2.13).
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

# Fails in compiled code, and on a GPU without waiting for it (torch 1.10 to 2.13).
assert_async = torch._assert_async

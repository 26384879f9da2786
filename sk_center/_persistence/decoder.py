"""From what a saved model holds to objects, of known and of trusted classes only."""

import math
import sys
from copy import deepcopy

import numpy as np
from sklearn import config_context

from sk_center._persistence.archive import DTYPE, HARMLESS, check_archive, is_among
from sk_center._persistence.bounds import MOST_COPIES, Tally
from sk_center._persistence.encoder import SPARSE, import_skops
from sk_center._persistence.kinds import is_saved
from sk_center._persistence.names import NETWORKS, built_in, imported, name_of
from sk_center._persistence.registry import kind_by

# Attributes of estimators by which a file would start processes, or write files.
SETTINGS = ("memory", "n_jobs")


class Decoder:
    """Make objects of JSON, and of the arrays to which it refers by name.

    Nothing is imported and nothing called but what :mod:`sk_center._persistence.registry`
    and :mod:`sk_center._persistence.names` list, what is ``trusted`` (full names, classes
    or functions), and ``module``, which stands where the classifier had a module of the
    user. ``made_by_skops`` says whether anything decoded so far was written by skops.
    """

    def __init__(self, arrays, trusted=(), module=None):
        self.arrays = arrays
        self.module = module
        self.made_by_skops = False
        self._claimed = set()
        self._checked = set()
        self._strings = {}
        self._tally = Tally()
        self._n_copies = 0
        self.trusted = {
            name if isinstance(name, str) else name_of(name): name for name in trusted
        }

    def decode(self, node):
        """Return what a piece of JSON stands for."""
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self.decode(part) for part in node]
        ((key, content),) = node.items()
        return getattr(self, f"_decode_{key}")(content)

    def _decode_float(self, text):
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text]

    def _decode_tuple(self, parts):
        return tuple(self.decode(list(parts)))

    def _decode_dict(self, pairs):
        decoded = {}
        for key, value in pairs:
            key = self.decode(key)
            # A file may hold a million others that take each other's place in a dict.
            if not isinstance(key, (str, int, float, np.generic, type(None))):
                raise ValueError(
                    "a key of a dict must be a string, a number or None; got a "
                    f"{type(key).__name__}"
                )
            decoded[key] = self.decode(value)
        return decoded

    def _decode_scalar(self, name):
        return self.arrays[name][()]

    def _decode_array(self, name):
        return self.arrays[name]

    def _decode_sparse(self, content):
        name, *arrays, shape = content
        if name not in SPARSE:
            raise ValueError(
                f"a sparse matrix must be one of {[*SPARSE]}; got {name!r:.50}"
            )
        data, *indices = (self.arrays[part] for part in arrays)
        if any(part.dtype.kind != "i" for part in indices):
            raise ValueError("the indices of a sparse matrix must be integers")
        matrix = SPARSE[name]((data, *indices), shape=tuple(shape))
        matrix.check_format(full_check=True)  # compiled code takes them as they are
        return matrix

    def _decode_strings(self, name):
        if name not in self._strings:
            self._strings[name] = self._strings_of(name)
        return self._strings[name]

    def _strings_of(self, name):
        letters = self.arrays[name]
        # Strings of no letters would take memory, but none in the file.
        wrong = letters.dtype != np.uint32 or not letters.ndim or not letters.shape[-1]
        if wrong or letters.max(initial=0) > sys.maxunicode:
            raise ValueError(f"{name!r:.50} must hold letters; got {letters.dtype}")
        return letters.view(f"<U{letters.shape[-1]}")[..., 0]

    def _decode_objects(self, parts):
        values = np.empty(len(parts), dtype=object)
        values[:] = self.decode(list(parts))
        return values

    def _decode_tensor(self, content):
        import torch

        name, dtype = content
        tensor = torch.from_numpy(self._claim(name))
        return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor

    def _decode_device(self, text):
        import torch

        return torch.device(text)

    def _decode_dtype(self, text):
        import torch

        dtype = getattr(torch, text)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"a dtype must be one of torch; got {text!r:.50}")
        return dtype

    def _decode_random_state(self, state):
        state = self.decode(state)
        # numpy looks up numbers at this position without a look at it.
        if not 0 <= state[2] <= 624:
            raise ValueError(
                f"the position of a RandomState must be in [0, 624]; got {state[2]}"
            )
        generator = np.random.RandomState(0)
        generator.set_state(state)
        return generator

    def _decode_name(self, name):
        return self.find(name)

    def _decode_module(self, content):
        if content["instance"]:
            if self.module is None:
                raise ValueError(
                    f"the model was trained with an instance of {content['name']} as its "
                    "module; pass one of the same layers: load(path, module=...)"
                )
            self._n_copies += 1
            if self._n_copies > MOST_COPIES:
                raise ValueError(f"it asks for more than {MOST_COPIES} copies of a module")
            return deepcopy(self.module)
        name = content["name"]
        if name in NETWORKS:
            return built_in(name)
        if self.module is not None:
            return self.module
        if name not in self.trusted:
            raise ValueError(f"module must be one of {NETWORKS} or trusted; got {name}")
        return self.find(name)

    def _decode_skops(self, name):
        self._checked.remove(name)
        self.made_by_skops = True
        data = self.arrays[name].tobytes()
        io = import_skops()
        asked = io.get_untrusted_types(data=data)
        trusted = [name for name in asked if name == DTYPE or self._may_use(name)]
        value = io.loads(data, trusted=trusted)
        if isinstance(value, (type, np.ufunc)):
            raise ValueError(f"an archive holds {value!r} and no estimator")
        forget_settings(value)
        return value

    def _decode_object(self, node):
        kind = kind_by(node["type"])
        unknown = {*node} - {"type", "params", "fitted", "output", "requests"}
        if unknown:
            raise ValueError(f"an object has no parts {sorted(unknown)}")
        module = node["params"].get("module")
        if isinstance(module, dict) and [*module] != ["module"]:
            raise ValueError(f"module must be marked as one; got {[*module]}")
        params = {name: part for name, part in node["params"].items() if is_saved(name)}
        value = kind.make(self._values(params))
        if node.get("output") is not None:
            value.set_output(transform=node["output"])
        with config_context(enable_metadata_routing=True):
            for method, requests in node.get("requests", {}).items():
                getattr(value, f"set_{method}_request")(**requests)
        fitted = node.get("fitted", {})
        if fitted or kind.is_record:
            kind.restore(value, self._values(fitted))
        return value

    def _claim(self, name):
        """Return an array that is going to be copied, which it may be only once.

        Else a small file could ask for many copies of a large array.
        """
        if name in self._claimed:
            raise ValueError(f"the array {name!r:.50} is asked for twice")
        self._claimed.add(name)
        return self.arrays[name]

    def _values(self, nodes):
        return {name: self.decode(node) for name, node in nodes.items()}

    def find(self, name):
        """Return a class or function that may be used, by its name, else None."""
        if name in self.trusted:
            found = self.trusted[name]
            return imported(name) if isinstance(found, str) else found
        return built_in(name)

    def _may_use(self, name):
        """Return whether skops may make an object of a class that it does not trust."""
        return name in self.trusted or is_among(name, HARMLESS)

    def untrusted(self, node):
        """Return the names in some JSON of what may not be used, and count objects."""
        if isinstance(node, list):
            names = set()
            for part in node:
                names |= self.untrusted(part)
            return names
        if not isinstance(node, dict):
            return set()
        ((key, content),) = node.items()
        if key == "object":
            self._tally.add()
            parts = [content["params"], content.get("fitted", {})]
            return self.untrusted([node for part in parts for node in part.values()])
        if key == "skops":
            self._claim(content)
            data = self.arrays[content].tobytes()
            names, n_characters, n_objects = check_archive(data)
            asked = import_skops().get_untrusted_types(data=data)
            self._tally.add(n_objects, n_characters)
            self._checked.add(content)
            # A dtype that is none has been found by now.
            names |= {*asked} - {DTYPE}
            return {name for name in names if not self._may_use(name)}
        if key == "module":
            needed = self.module is None and not content["instance"]
            known = content["name"] in (*NETWORKS, *self.trusted)
            return {content["name"]} if needed and not known else set()
        if key == "name":
            return set() if self.find(content) is not None else {content}
        return self.untrusted(content)


def forget_settings(value):
    """Reset the number of processes and the cache of an estimator, and of all in it."""
    seen, pending = set(), [value]
    while pending:
        part = pending.pop()
        if id(part) in seen or isinstance(part, (str, int, float, type)):
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, (list, tuple)):
            pending.extend(part)
        elif isinstance(part, np.ndarray):
            pending.extend(part.ravel().tolist() if part.dtype.hasobject else ())
        elif hasattr(part, "__dict__"):
            attributes = vars(part)
            attributes.update(dict.fromkeys(attributes.keys() & {*SETTINGS}))
            pending.extend(attributes.values())

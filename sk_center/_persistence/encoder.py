"""From objects to what a saved model holds: JSON of known kinds, arrays beside it.

In JSON, ``null``, booleans, integers, finite floats, strings and lists stand for
themselves. Everything else is an object of one key, which names its kind.
"""

import math
import sys

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from sk_center._persistence.archive import check_archive
from sk_center._persistence.bounds import Tally
from sk_center._persistence.names import is_importable, name_of
from sk_center._persistence.registry import kind_of
from sk_center._utils.compat import OUTPUT_CONFIG, REQUESTS
from sk_center._utils.extras import import_extra

ARRAY_KINDS = "biuf"
SPARSE = {kind.__name__: kind for kind in (csr_array, csr_matrix)}


class Encoder:
    """Turn objects into JSON, and into ``arrays``, to which the JSON refers by name."""

    def __init__(self):
        self.arrays = {}
        self._tally = Tally()
        self._known = {}  # by identity, with the object, which must live as long

    def encode(self, value, where):
        """Return the JSON for a value; ``where`` names it in messages and for arrays."""
        if isinstance(value, np.generic) and not isinstance(value, np.str_):
            return {"scalar": self._store(np.asarray(value), where)}
        if value is None or isinstance(value, (bool, int, str)):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if type(value) is list:
            return self._encode_all(value, where)
        if type(value) is tuple:
            return {"tuple": self._encode_all(value, where)}
        if isinstance(value, dict):
            keys = self._encode_all(value, where)
            values = [self.encode(value[key], f"{where}.{key}") for key in value]
            return {"dict": [list(pair) for pair in zip(keys, values)]}
        if isinstance(value, np.ndarray):
            return self._encode_array(value, where)
        if type(value) in SPARSE.values():
            arrays = [
                self._store(getattr(value, part), f"{where}.{part}")
                for part in ("data", "indices", "indptr")
            ]
            return {"sparse": [type(value).__name__, *arrays, list(value.shape)]}
        if isinstance(value, np.random.RandomState):
            name = value.get_state(legacy=False)["bit_generator"]
            if name != "MT19937":
                raise ValueError(
                    f"{where} cannot be saved: a RandomState of {name}; that of "
                    "numpy.random.RandomState(seed) can."
                )
            return {"random_state": self.encode(value.get_state(), where)}
        torch = sys.modules.get("torch")
        if torch is not None:
            if isinstance(value, torch.Tensor):
                return self._encode_tensor(value, where)
            if isinstance(value, (torch.device, torch.dtype)):
                return {type(value).__name__: str(value).removeprefix("torch.")}
        kind = kind_of(value)
        if kind is not None:
            return {"object": self._encode_object(value, kind, where)}
        if callable(value) and hasattr(value, "__qualname__"):
            return {"name": name_of(value)}
        return {"skops": self._store(self._skops(value, where), where)}

    def _encode_all(self, values, where):
        return [self.encode(value, f"{where}.{i}") for i, value in enumerate(values)]

    def _encode_array(self, array, where):
        if array.dtype.kind == "U":
            width = max(array.dtype.itemsize // 4, 1)
            letters = np.array(array, dtype=f"<U{width}", order="C").reshape(-1)
            letters = letters.view("<u4").reshape(*array.shape, width)
            return {"strings": self._store(letters, where)}
        if array.dtype.kind == "O" and array.ndim == 1:
            return {"objects": self._encode_all(array.tolist(), where)}
        if array.dtype.kind not in ARRAY_KINDS or array.dtype.itemsize > 8:
            raise ValueError(
                f"{where} cannot be saved: an array of dtype {array.dtype} and shape "
                f"{array.shape}. Arrays of numbers, booleans and strings can."
            )
        return {"array": self._store(array, where)}

    def _encode_tensor(self, tensor, where):
        tensor = tensor.detach().cpu()
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype == "bfloat16":  # which numpy does not have
            tensor = tensor.view(sys.modules["torch"].int16)
        return {"tensor": [self._store(tensor.numpy(), where), dtype]}

    def _encode_object(self, value, kind, where):
        self._tally.add()
        try:
            params = kind.params_of(value)
            state = kind.state_of(value, params)
        except ValueError as error:
            raise ValueError(f"{where} cannot be saved: {error}.") from error
        node = {
            "type": kind.id,
            "params": {
                name: self._encode_param(name, param, where)
                for name, param in params.items()
            },
        }
        if OUTPUT_CONFIG in vars(value):
            node["output"] = vars(value)[OUTPUT_CONFIG].get("transform")
        if REQUESTS in vars(value):
            node["requests"] = requests_of(vars(value)[REQUESTS])
        if state:
            node["fitted"] = {
                name: self.encode(state[name], f"{where}.{name}") for name in sorted(state)
            }
        return node

    def _encode_param(self, name, param, where):
        where = f"{where}.{name}"
        if name != "module" or isinstance(param, str):
            return self.encode(param, where)
        # The module is not saved itself.
        instance = not isinstance(param, type) and not hasattr(param, "__qualname__")
        name = name_of(type(param) if instance else param)
        return {"module": {"name": name, "instance": instance}}

    def _skops(self, value, where):
        """Return the bytes that skops makes of a value, as an array."""
        io = import_skops()
        try:
            data = io.dumps(value)
            _, n_characters, n_objects = check_archive(data)
            self._tally.add(n_objects, n_characters)
            named = io.get_untrusted_types(data=data)
        except Exception as error:  # whatever skops does not know
            raise ValueError(
                f"{where} cannot be saved: skops knows no {type(value).__name__} ({error})"
                ". joblib.dump writes what a pickle can hold."
            ) from error
        if any(name.startswith(("sk_center.", "skorch.", "torch.")) for name in named):
            raise ValueError(
                f"{where} cannot be saved: a {type(value).__name__} that holds a network. "
                "A Pipeline may hold a CenterLossClassifier or an OpenSetClassifier as its "
                "last step; of a search, save best_estimator_."
            )
        lost = sorted(name for name in named if not is_importable(name))
        if lost:
            raise ValueError(
                f"{where} cannot be saved: it holds {lost}, which load could not import by "
                "that name. Define a function or class at the top level of a module, not "
                "as a lambda, in a function or in another class."
            )
        return np.frombuffer(data, dtype=np.uint8)

    def _store(self, array, where):
        """Keep an array, each but once, and return its name."""
        name, _ = self._known.get(id(array), (None, None))
        if name is None:
            name = where.encode("ascii", "backslashreplace").decode()
            while name in self.arrays:
                name += "'"
            self._known[id(array)] = name, array
            native = array.dtype.newbyteorder("<")
            self.arrays[name] = np.array(array, dtype=native, order="C", copy=None)
        return name


def requests_of(metadata):
    """Return the metadata requests of an estimator as JSON."""
    found = {method: getattr(metadata, method) for method in vars(metadata)}
    return {
        method: dict(request.requests)
        for method, request in found.items()
        if getattr(request, "requests", None)
    }


def import_skops():
    """Return the module skops.io, or raise ImportError that says how to install it."""
    purpose = "Other estimators than those of sk_center are saved by"
    return import_extra("skops.io", "persistence", purpose)

"""Between objects and what a saved model holds: JSON of known kinds, arrays beside it.

In JSON, ``null``, booleans, integers, finite floats, strings and lists stand for
themselves. Everything else is an object of one key, which names its kind.
"""

import math
import sys
from copy import deepcopy
from functools import cache
from importlib import import_module
from numbers import Real

import numpy as np
import scipy.stats

from sk_center._persistence.archive import DTYPE, LARGEST_SCHEMA, check_archive
from sk_center._persistence.kinds import KINDS, OUTPUT_CONFIG, REQUESTS, kind_of
from sk_center._utils.extras import import_extra

ARRAY_KINDS = "biuf"
LAWS = ("f", "weibull_min")
# Of what skops does not trust unasked, what holds numbers only.
HARMLESS = (
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.GroupShuffleSplit",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
)
# The networks that a file may ask for by itself.
NETWORKS = ("sk_center.networks.ConvNet", "sk_center.networks.MLP")
# Copies of the module that the caller gives: one for each estimator that a model names.
MOST_COPIES = 16
# Objects of the model, some of which take a hundred times as much memory as JSON.
MOST_OBJECTS = 2**13


class Tally:
    """Count what takes more memory than in a file, so that no small file takes much.

    Attributes
    ----------
    n_objects : int
        Number of objects so far.

    n_characters : int
        Characters of JSON in archives so far.
    """

    def __init__(self):
        self.n_objects = self.n_characters = 0

    def add(self, n_objects=1, n_characters=0):
        """Add to the numbers; raise ValueError if that is too much for a model.

        Parameters
        ----------
        n_objects : int, default=1
            Number of objects.

        n_characters : int, default=0
            Characters of JSON.
        """
        self.n_objects += n_objects
        self.n_characters += n_characters
        if self.n_objects > MOST_OBJECTS or self.n_characters > LARGEST_SCHEMA:
            raise ValueError(
                f"the model holds more than {MOST_OBJECTS} objects, or archives of skops "
                f"with more than {LARGEST_SCHEMA} characters"
            )


class Encoder:
    """Turn objects into JSON and arrays.

    Attributes
    ----------
    arrays : dict of ndarray
        The arrays that the JSON refers to, by name.
    """

    def __init__(self):
        self.arrays = {}
        self._tally = Tally()
        self._known = {}  # by identity, with the object, which must live as long

    def encode(self, value, where):
        """Return the JSON for a value.

        Parameters
        ----------
        value : object
            What to save.

        where : str
            What it is in the model, for messages and names of arrays.

        Returns
        -------
        node : object
            JSON.

        Raises
        ------
        ValueError
            If the value is of no kind that can be saved.
        """
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
        if isinstance(value, np.random.RandomState):
            name = value.get_state(legacy=False)["bit_generator"]
            if name != "MT19937":
                raise ValueError(
                    f"{where} cannot be saved: a RandomState of {name}; that of "
                    "numpy.random.RandomState(seed) can."
                )
            return {"random_state": self.encode(value.get_state(), where)}
        if isinstance(value, scipy.stats._distn_infrastructure.rv_frozen):
            self._tally.add()
            law = [value.dist.name, list(value.args), value.kwds]
            return {"law": [self.encode(part, where) for part in law]}
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
            width = array.dtype.itemsize // 4
            letters = np.array(array, order="C").view(np.uint32) if width else array
            shape = (*array.shape, width)
            name = self._store(letters.reshape(shape).astype(np.uint32), where)
            return {"strings": name}
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
            "type": kind.path,
            "params": {
                name: self._encode_param(name, param, where)
                for name, param in params.items()
            },
        }
        if OUTPUT_CONFIG in vars(value):
            node["output"] = vars(value)[OUTPUT_CONFIG]
        if REQUESTS in vars(value):
            node["requests"] = requests_of(vars(value)[REQUESTS])
        if state:
            node["fitted"] = {
                name: self.encode(state[name], f"{where}.{name}") for name in sorted(state)
            }
        return node

    def _encode_param(self, name, param, where):
        where = f"{where}.{name}"
        if name == "module" and not isinstance(param, str):
            return {"module": module_node(param)}
        return self.encode(param, where)

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
        ours = [name for name in named if name.startswith(("torch.", "skorch."))]
        if ours or any(name in KINDS for name in named):
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
            name = where
            while name in self.arrays:
                name += "'"
            self._known[id(array)] = name, array
            native = array.dtype.newbyteorder("<")
            self.arrays[name] = np.array(array, dtype=native, order="C", copy=None)
        return name


class Decoder:
    """Make objects of JSON and arrays.

    Nothing is imported and nothing called but what
    :mod:`sk_center._persistence.kinds` lists and what the caller trusts.

    Parameters
    ----------
    arrays : dict of ndarray
        The arrays that the JSON refers to, by name.

    trusted : sequence of str, classes or functions
        What may be imported and used, by its full name or itself.

    module : torch module class or instance, or callable, default=None
        What stands where the saved classifier had a module of the user.

    Attributes
    ----------
    made_by_skops : bool
        Whether anything decoded so far was written by skops.
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
        """Return what a piece of JSON stands for.

        Parameters
        ----------
        node : object
            JSON.

        Returns
        -------
        value : object
            The object.
        """
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
            # Of others, a file may hold a million that take each other's place in a dict.
            if not isinstance(key, (str, int, float, np.generic, type(None))):
                raise ValueError(f"a {type(key).__name__} is no key of a dict")
            decoded[key] = self.decode(value)
        return decoded

    def _decode_scalar(self, name):
        return self.arrays[name][()]

    def _decode_array(self, name):
        return self.arrays[name]

    def _decode_strings(self, name):
        if name not in self._strings:
            self._strings[name] = self._strings_of(name)
        return self._strings[name]

    def _strings_of(self, name):
        letters = self.arrays[name]
        if letters.dtype != np.uint32 or letters.max(initial=0) > sys.maxunicode:
            raise ValueError(f"{name} holds no strings")
        width = letters.shape[-1]
        if not width:
            return np.empty(letters.shape[:-1], dtype="U1")
        return letters.view(f"<U{width}")[..., 0]

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
            raise ValueError(f"{text} is no dtype of torch")
        return dtype

    def _decode_random_state(self, state):
        state = self.decode(state)
        # numpy looks up numbers at this position without a look at it.
        if not 0 <= state[2] <= 624:
            raise ValueError(f"a RandomState at the position {state[2]} of 624")
        generator = np.random.RandomState(0)
        generator.set_state(state)
        return generator

    def _decode_law(self, content):
        name, args, kwds = (self.decode(part) for part in content)
        if name not in LAWS:
            raise ValueError(f"{name} is none of the laws {LAWS}")
        if not all(isinstance(value, Real) for value in (*args, *kwds.values())):
            raise ValueError(f"a law {name} of other than numbers")
        return getattr(scipy.stats, name)(*args, **kwds)

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
            raise ValueError(f"{name} is no network")
        return self.find(name)

    def _decode_skops(self, name):
        self._checked.remove(name)
        self.made_by_skops = True
        data = self.arrays[name].tobytes()
        value = import_skops().loads(data, trusted=[*HARMLESS, DTYPE, *self.trusted])
        if isinstance(value, (type, np.ufunc)):
            raise ValueError(f"an archive holds {value!r} and no estimator")
        return value

    def _decode_object(self, node):
        kind = KINDS[node["type"]]
        unknown = {*node} - {"type", "params", "fitted", "output", "requests"}
        if unknown:
            raise ValueError(f"{sorted(unknown)} are no parts of an object")
        module = node["params"].get("module")
        if isinstance(module, dict) and [*module] != ["module"]:
            raise ValueError("a module is named in another way than as a module")
        value = kind.make(self._values(node["params"]))
        if "output" in node:
            vars(value)[OUTPUT_CONFIG] = output_config(node["output"])
        if "requests" in node:
            vars(value)[REQUESTS] = with_requests(value, node["requests"])
        if "fitted" in node:
            for name in kind.copied:
                self._claim(node["fitted"][name]["array"])
            kind.restore(value, self._values(node["fitted"]))
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
        """Return a class or function that may be used, by its full name, else None.

        Parameters
        ----------
        name : str
            Full name.

        Returns
        -------
        found : class, function or None
            What has that name.
        """
        if name in self.trusted:
            found = self.trusted[name]
            return imported(name) if isinstance(found, str) else found
        return built_in(name)

    def untrusted(self, node):
        """Return the names in some JSON of what may not be used, and count what it holds.

        Parameters
        ----------
        node : object
            JSON.

        Returns
        -------
        names : set of str
            Full names.
        """
        if isinstance(node, list):
            names = set()
            for part in node:
                names |= self.untrusted(part)
            return names
        if not isinstance(node, dict):
            return set()
        ((key, content),) = node.items()
        if key in ("object", "law"):
            self._tally.add()
        if key == "object":
            parts = [content["params"], content.get("fitted", {})]
            return self.untrusted([node for part in parts for node in part.values()])
        if key == "skops":
            self._claim(content)
            data = self.arrays[content].tobytes()
            names, n_characters, n_objects = check_archive(data)
            self._tally.add(n_objects, n_characters)
            self._checked.add(content)
            # A dtype that is none has been found already.
            names |= {*import_skops().get_untrusted_types(data=data)} - {DTYPE}
            return names - {*HARMLESS, *self.trusted}
        if key == "module":
            needed = self.module is None and not content["instance"]
            known = content["name"] in (*NETWORKS, *self.trusted)
            return {content["name"]} if needed and not known else set()
        if key == "name":
            return set() if self.find(content) is not None else {content}
        return self.untrusted(content)


def module_node(module):
    """Return the JSON for the module of a classifier, which is not saved itself."""
    instance = not isinstance(module, type) and not hasattr(module, "__qualname__")
    return {"name": name_of(type(module) if instance else module), "instance": instance}


def name_of(value):
    """Return the full name of a class or function."""
    known = PUBLIC.get(value.__module__.partition(".")[0])
    name = known().get(value) if known is not None else None
    return name or f"{value.__module__}.{value.__qualname__}"


def imported(name):
    """Import a class or function by its full name.

    Parameters
    ----------
    name : str
        Such as ``"package.module.Class.method"``.

    Returns
    -------
    found : object
        What has that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    parts = name.split(".")
    for n in range(len(parts) - 1, 0, -1):
        try:
            found = import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[n:]:
                found = getattr(found, part)
        except AttributeError:
            break
        return found
    raise ValueError(
        f"{name} is not to be found here; make it importable, or pass the class itself: "
        "module=... for the module, trusted=[...] for others"
    )


def is_importable(name):
    """Return whether there is a class or function of that full name."""
    try:
        imported(name)
    except ValueError:
        return False
    return True


def built_in(name):
    """Return what every file may name, by its full name, or None."""
    known = PUBLIC.get(name.partition(".")[0])
    found = [value for value, public in known().items() if public == name] if known else []
    return found[0] if found else None


@cache
def public_of_torch():
    """Return what every file may name of torch, with its public name.

    Those are optimizers and losses. No layers: some take as long, and as much memory, as
    a number that they are given says.
    """
    import torch
    from torch.nn.modules.loss import _Loss
    from torch.utils.data import DataLoader

    names = {DataLoader: "torch.utils.data.DataLoader"}
    for package, base in ((torch.optim, torch.optim.Optimizer), (torch.nn, _Loss)):
        for name, found in vars(package).items():
            if isinstance(found, type) and issubclass(found, base):
                names[found] = f"{package.__name__}.{name}"
    return names


@cache
def public_of_sk_center():
    """Return what every file may name of sk_center, with its full name."""
    from sk_center import batches, centers, networks

    known = {
        batches: ("ArrayDataset", "TensorBatches"),
        centers: ("glorot_uniform", "simplex_etf"),
        networks: ("ConvNet", "MLP"),
    }
    return {
        getattr(module, name): f"{module.__name__}.{name}"
        for module, names in known.items()
        for name in names
    }


PUBLIC = {"sk_center": public_of_sk_center, "torch": public_of_torch}


def output_config(node):
    """Return what ``set_output`` had set, after a check."""
    if not isinstance(node, dict) or not {*node} <= {"transform"}:
        raise ValueError(f"output must be a dict of 'transform'; got {node!r:.50}")
    if node.get("transform") not in (None, "default", "pandas", "polars"):
        raise ValueError(f"set_output takes no transform={node['transform']!r:.50}")
    return node


def requests_of(metadata):
    """Return the metadata requests of an estimator as JSON."""
    return {
        method: dict(getattr(metadata, method).requests)
        for method in vars(metadata)
        if hasattr(getattr(metadata, method), "requests")
    }


def with_requests(estimator, node):
    """Return metadata requests from JSON."""
    metadata = estimator._get_metadata_request()
    for method, requests in node.items():
        known = getattr(metadata, method, None)
        if not isinstance(requests, dict) or not hasattr(known, "add_request"):
            raise ValueError(f"{method!r:.50} requests no metadata")
        for param, alias in requests.items():
            known.add_request(param=param, alias=alias)
    return metadata


def import_skops():
    """Return the module skops.io, or raise ImportError that says how to install it."""
    purpose = "Other estimators than those of sk_center are saved by"
    return import_extra("skops.io", "persistence", purpose)

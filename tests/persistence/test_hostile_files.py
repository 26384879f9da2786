"""Files of somebody else: what they may not do, whatever is in them."""

import json
import multiprocessing
import random
import subprocess
import sys
import zipfile
from itertools import chain

import numpy as np
import pytest
import safetensors.numpy
from fuzz_load import change_bytes, joined, mutated, split
from hostile_cases import (
    AFFINE,
    SCALER,
    archive,
    dict_of,
    edited,
    estimator,
    list_of,
    node,
    npy,
    number,
    of_numpy,
    with_archive,
)
from saved_models import IMAGES, Net, X, assert_alike

from sk_center import load


def loaded_or_refused(data, path):
    """Return the model of a file, or None where load raises a ValueError, and only that."""
    path.write_bytes(data)
    try:
        return load(path)
    except ValueError:
        return None


def test_damaged_files(files, tmp_path):
    """Check that each of 700 damaged files is refused or gives an equal model."""
    rng, path = random.Random(0), tmp_path / "model"
    models = [loaded_or_refused(data, path) for data in files]
    n_refused = 0
    for i in range(700):
        k = i % len(files)
        found = loaded_or_refused(change_bytes(files[k], rng), path)
        n_refused += found is None
        if found is not None:
            inputs = IMAGES if k == 2 else X
            assert_alike(models[k], found, inputs)
    assert n_refused > 690


@pytest.mark.filterwarnings("ignore")
def test_forged_files(files, tmp_path):
    """Check that of 300 changed files, with checksums that go with them, none does harm."""
    rng, path, n_refused = random.Random(0), tmp_path / "model", 0
    for i in range(300):
        n_refused += loaded_or_refused(mutated(files[i % len(files)], rng), path) is None
    assert 150 < n_refused < 300


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_forged_files(files, tmp_path):
    """Check that of 10000 changed files none does harm."""
    rng = random.Random(1)
    for i in range(10_000):
        loaded_or_refused(mutated(files[i % len(files)], rng), tmp_path / "model")


def dtype_of(array):
    """Return the node of a dtype."""
    return node("DTypeNode", "numpy.dtype", array)


GENERATOR = "numpy.random._generator.Generator"
LONG = number(2**128 - 1)


def generator(**state):
    """Return the node of a random generator."""
    bits = dict_of(bit_generator=number("PCG64"), state=dict_of(**state))
    content = {"bit_generator": bits, "seed_seq": dict_of()}
    return node("RandomGeneratorNode", GENERATOR, content)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (generator(state=LONG, inc=LONG), f"it names .*{GENERATOR}"),
        (generator(state=number(2**128), inc=LONG), "more than 64 bits"),
        (generator(state=number(-(2**128)), inc=LONG), "more than 64 bits"),
        (list_of(*(number(2**64 + i) for i in range(17))), "more than 64 bits"),
        (node("RandomGeneratorNode", GENERATOR, "state"), "cannot be loaded"),
    ],
)
def test_long_integers_of_a_generator(part, message, files, tmp_path):
    """Check that an archive holds no more long integers than a generator takes."""
    made = archive(estimator(SCALER, mean_=part, n_features_in_=number(3)))
    (tmp_path / "model").write_bytes(with_archive(files[3], made))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "model")


def shared(depth):
    """Return nodes of which each stands twice for the one before."""
    part = number(1)
    for i in range(1, depth):
        part = list_of(part, {"__id__": i, **number(1)}, __id__=i + 1)
        part["content"][1]["__id__"] = i
    return part


A_MEGABYTE = np.zeros(2**17)
# Each is made when it is needed: some are large.
ARCHIVES = {
    "void": lambda: archive(
        estimator(SCALER, mean_=of_numpy("1.npy", "numpy.void")),
        {"1.npy": npy(np.array(10**11))},
    ),
    "bytes": lambda: archive(
        estimator(SCALER, mean_=of_numpy("1.npy", "numpy.bytes_")),
        {"1.npy": npy(np.array(10**11))},
    ),
    "one file often": lambda: archive(
        estimator(
            SCALER, mean_=list_of(*(of_numpy("1.npy", __id__=i) for i in range(9999)))
        ),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "one file without id": lambda: archive(
        estimator(SCALER, mean_=list_of(*[of_numpy("1.npy")] * 9999)),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "header": lambda: archive(
        estimator(SCALER, mean_=of_numpy("1.npy")),
        {"1.npy": npy(A_MEGABYTE).replace(b"(131072,)", b"(9**11,) ")},
    ),
    "large header": lambda: archive(
        estimator(SCALER, mean_=of_numpy("1.npy", __id__=1)),
        {"1.npy": npy(np.zeros(100)).replace(b"(100,), }     ", b"(10000000000,)}")},
    ),
    "compressed": lambda: archive(
        estimator(SCALER, mean_=of_numpy("1.npy", __id__=1)),
        {"1.npy": npy(np.zeros(2**25))},
        compression=zipfile.ZIP_DEFLATED,
    ),
    "shared nodes": lambda: archive(estimator(SCALER, mean_=shared(60))),
    "cached nodes": lambda: archive(
        {
            **estimator(SCALER, mean_=node("CachedNode", "builtins.list", __id__=1)),
            "__id__": 1,
        }
    ),
    "axes": lambda: archive(
        estimator(
            SCALER,
            mean_=node(
                "NdArrayNode",
                "numpy.ndarray",
                [of_numpy("1.npy", __id__=1)] * 999,
                type="json",
                shape=node("TupleNode", "builtins.tuple", [number(999), number(2**17)]),
            ),
        ),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "dtype": lambda: archive(
        estimator(SCALER, mean_=dtype_of(of_numpy("1.npy", __id__=1))),
        {"1.npy": npy(np.zeros(0, dtype="V1000000000"))},
    ),
    "dtype of another array": lambda: archive(
        estimator(
            SCALER,
            mean_=of_numpy("1.npy", __id__=1),
            var_=dtype_of(of_numpy("2.npy", __id__=1)),
        ),
        {"1.npy": npy(np.zeros(0, dtype="V1000000000")), "2.npy": npy(np.zeros(0))},
    ),
    "dtype of no array": lambda: archive(estimator(SCALER, mean_=dtype_of(number(1)))),
    "type": lambda: archive(node("TypeNode", "numpy.bytes_")),
    "colliding": lambda: archive(
        node(
            "SetNode",
            "builtins.set",
            [number(k * (2**61 - 1)) for k in range(2**64, 2**64 + 50_000)],
        )
    ),
    "functions": lambda: archive(
        list_of(*[node("FunctionNode", "numpy.exp")] * 20_000),
    ),
}
NET = "fitted.net_"
DEEP = json.loads("[" * 400 + "]" * 400)
PARTS = {
    "wide layers": {f"{NET}.params.module__hidden_layer_sizes": [10**6, 10**6]},
    "many layers": {f"{NET}.params.module__hidden_layer_sizes": [1] * 100_000},
    "array of layers": {
        f"{NET}.params.module__hidden_layer_sizes": np.ones(2**22, dtype=np.int8)
    },
    "large sample": {f"{NET}.fitted.sample_shape": {"tuple": [10**6, 10**6]}},
    "modules": {"params.lr": [AFFINE] * 30_000},
    "copies": {
        "params.lr": [
            {
                "object": {
                    "type": "CenterLossNet",
                    "params": {"module": {"module": {"name": "Net", "instance": True}}},
                }
            }
        ]
        * 100
    },
    "simplex": {
        f"{NET}.params.module": {
            "module": {"name": "centers.simplex_etf", "instance": False}
        },
        f"{NET}.params.module__shape": [20_000, 20_000],
    },
    "module by name": {f"{NET}.params.module": {"name": "networks.MLP"}},
    "tensors from one array": {
        "params.lr": [{"tensor": ["CenterLossClassifier.net_.module.body.0.weight", "x"]}]
        * 9
    },
    "colliding keys": {
        "params.class_weight": {
            "dict": [[k * (2**61 - 1), 1] for k in range(2**64, 2**64 + 100_000)]
        }
    },
    "tuples as keys": {"params.class_weight": {"dict": [[{"tuple": [1]}, 1]]}},
    "deep": {"params.lr": DEEP},
    "lists": {"params.lr": [[]] * 2_000_000},
    "dicts": {"params.lr": [{"x": 0}] * 900_000},
    "strings without letters": {"params.lr": {"strings": "no letters"}},
    "rows of nothing": {"params.lr": {"array": "no columns"}},
    "position": {
        "params.random_state": {
            "random_state": {
                "tuple": ["MT19937", {"array": "added"}, 10**9, 0, 0.0],
            }
        },
    },
    "attribute": {f"{NET}.params.module_": 1},
    "hidden attribute": {f"{NET}.params.__class__": 1},
    "unknown attribute": {"fitted.predict": 1},
    "unknown param": {"params.predict": 1},
    "param of a net": {f"{NET}.params.lambda_norm": -1},
    "classes out of order": {"fitted.classes_": np.array([1, 0, 2])},
    "classes twice": {"fitted.classes_": np.array([0, 1, 1])},
    "fewer classes": {"fitted.classes_": np.array([0, 1])},
    "mixed classes": {"fitted.classes_": {"objects": ["a", 1, None]}},
    "infinite tau": {"fitted.tau_": {"float": "inf"}},
    "negative tau": {"fitted.tau_": -1},
    "no center": {"fitted.centers_": np.full((3, 2), np.nan, dtype=np.float32)},
    "shape": {"fitted._sample_shape": {"tuple": [4]}},
    "inputs": {"fitted.feature_names_in_": {"objects": ["a", "b"]}},
    "names": {"fitted.feature_names_in_": {"objects": ["a", "b", 1]}},
    "type": {"type": "os.system"},
    "no classifier": {"type": "scores.Energy"},
    "device": {f"{NET}.params.device": "xla"},
}


def hostile(name, files):
    """Return a file that was made to harm, by its name."""
    if name in ARCHIVES:
        return with_archive(files[3], ARCHIVES[name]())
    content, arrays = split(files[0])
    arrays["added"] = np.ones((2**16, 1))
    if name == "part: position":
        arrays["added"] = np.zeros(624, dtype=np.uint32)
    if name == "part: strings without letters":
        arrays["no letters"] = np.empty((2**20, 0), dtype=np.uint32)
    if name == "part: rows of nothing":
        arrays["no columns"] = np.empty((10**9, 0), dtype=np.float32)
    return edited(joined(content, arrays), PARTS[name.removeprefix("part: ")])


def further_hostile(files):
    """Yield files that were made to harm by their form or their number of parts."""
    content, arrays = split(files[3])
    (name,) = [name for name, array in arrays.items() if array.tobytes()[:2] == b"PK"]
    content["more"] = 1
    steps = content["estimator"]["object"]["params"]["steps"]
    steps.extend([{"tuple": [f"step{i}", {"skops": name}]} for i in range(10_000)])
    yield joined(content, arrays)
    yield (2**60).to_bytes(8, "little") + b"{}"
    yield (9 * 10**7).to_bytes(8, "little") + b" " * (9 * 10**7)
    many = {f"{i}": np.zeros(0, dtype=np.uint8) for i in range(300_000)}
    yield safetensors.numpy.save(many)
    yield b""


HOSTILE = [*ARCHIVES, *(f"part: {name}" for name in PARTS)]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(name, files, tmp_path):
    """Check that files that were made to harm are refused, with a message of some size."""
    (tmp_path / "model").write_bytes(hostile(name, files))
    module = Net() if name == "part: copies" else None
    message = "cannot be loaded as a model of sk_center"
    with pytest.raises(ValueError, match=message) as found:
        load(tmp_path / "model", module=module)
    assert len(str(found.value)) < 11_000


SETTINGS = {
    "params.callbacks": [],
    "params.checkpoint_dir": "checkpoints",
    "params.compile": True,
    "params.compile__options": {"dict": [["cpp.cxx", {"tuple": ["program"]}]]},
    "params.iterator_valid__num_workers": 40,
    "params.torch_load_kwargs": {"dict": [["weights_only", False]]},
    f"{NET}.params.callbacks": [],
    f"{NET}.params.checkpoint_dir": "checkpoints",
    f"{NET}.params.compile": True,
    f"{NET}.params.iterator_train__num_workers": 40,
    f"{NET}.params.iterator_valid__num_workers": 40,
    f"{NET}.params.iterator_valid__persistent_workers": True,
}


def test_settings_of_a_file_are_dropped(files, tmp_path):
    """Check that a file decides nothing about processes, compilers and folders."""
    (tmp_path / "model").write_bytes(edited(files[0], SETTINGS))
    model = load(tmp_path / "model")
    for params in (model.get_params(), vars(model.net_)):
        assert not params.get("compile")
        assert params.get("checkpoint_dir") is None
        assert not [name for name in params if "workers" in name or "options" in name]
    running = {*multiprocessing.active_children()}  # of other tests
    model.predict(X)
    assert {*multiprocessing.active_children()} <= running


@pytest.mark.filterwarnings("ignore:Trying to unpickle")
def test_settings_of_an_archive_are_dropped(files, tmp_path):
    """Check that estimators by skops start no processes, nor cache what they compute."""
    inner = estimator("sklearn.linear_model._logistic.LogisticRegression", n_jobs=number(9))
    outer = estimator(
        "sklearn.pipeline.Pipeline",
        memory=number("cache"),
        steps=list_of(inner),
        words_=dict_of(n_jobs=number(3)),
    )
    (tmp_path / "model").write_bytes(with_archive(files[3], archive(outer)))
    found = vars(load(tmp_path / "model").steps[0][1])
    assert found["memory"] is None
    assert found["steps"][0].n_jobs is None
    assert found["words_"] == {"n_jobs": 3}  # a word of a text, not a setting


MEASURE = """
import resource, sys
from pathlib import Path
from sk_center import load

paths = sorted(Path(sys.argv[1]).iterdir())

def try_all(paths):
    for path in paths:
        try:
            load(path)
        except ValueError as error:
            if isinstance(error.__cause__, MemoryError):
                print(path.name, "asks for too much memory")
        else:
            print(path.name, "is loaded")

import warnings
warnings.simplefilter("ignore")
try_all(path for path in paths if path.name == "fine")
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try_all(path for path in paths if path.name != "fine")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_hostile_files_take_no_memory(files, tmp_path):
    """Check that files of a few megabytes, made to take much memory, take none."""
    made = (hostile(name, files) for name in HOSTILE)
    for i, data in enumerate(chain(made, further_hostile(files))):
        (tmp_path / str(i)).write_bytes(data)
    (tmp_path / "fine").write_bytes(files[3])
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    fine, *others, megabytes = done.stdout.splitlines()
    assert fine == "fine is loaded"
    assert others == []
    assert int(megabytes) < 400

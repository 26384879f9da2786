"""Files of somebody else: what they may not do, whatever is in them."""

import io
import json
import multiprocessing
import pickle
import random
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from fuzz_load import change_bytes, joined, mutated, seeds, split
from saved_models import IMAGES, Net, X, Y, assert_alike

from sk_center import load


@pytest.fixture(scope="module")
def files():
    """Return files of models that have all in them that a model can have."""
    return seeds()


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


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def archive(schema, files=None, **kwargs):
    """Return an archive as skops writes it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **kwargs) as opened:
        for name, content in (files or {}).items():
            opened.writestr(name, content)
        opened.writestr("schema.json", json.dumps({**schema, "protocol": 2}))
    return made.getvalue()


def npy(array, allow_pickle=False):
    """Return an array as a file of numpy."""
    made = io.BytesIO()
    np.save(made, array, allow_pickle=allow_pickle)
    return made.getvalue()


def node(loader, class_, content=None, **parts):
    """Return a node of skops."""
    module, _, name = class_.rpartition(".")
    node = {"__loader__": loader, "__module__": module, "__class__": name, **parts}
    return node if content is None else {**node, "content": content}


def number(value):
    """Return the node of a number."""
    return node("JsonNode", "builtins.str", json.dumps(value))


def of_numpy(file, class_="numpy.ndarray", **parts):
    """Return the node of an array in a file."""
    return node("NdArrayNode", class_, type="numpy", file=file, **parts)


def dtype_of(array):
    """Return the node of a dtype."""
    return node("DTypeNode", "numpy.dtype", array)


def list_of(*nodes, **parts):
    """Return the node of a list."""
    return node("ListNode", "builtins.list", [*nodes], **parts)


def dict_of(**parts):
    """Return the node of a dict."""
    names = list_of(*(node("TypeNode", "builtins.str") for _ in parts))
    return node("DictNode", "builtins.dict", parts, key_types=names)


def estimator(class_, **attributes):
    """Return the node of an estimator."""
    return node("ObjectNode", class_, dict_of(**attributes))


SCALER = "sklearn.preprocessing._data.StandardScaler"


def with_archive(data, made):
    """Return a file of a Pipeline with another archive of skops in the place of its own."""
    content, arrays = split(data)
    (name,) = [name for name, array in arrays.items() if array.tobytes()[:2] == b"PK"]
    arrays[name] = np.frombuffer(made, dtype=np.uint8)
    return joined(content, arrays)


@pytest.mark.parametrize("where", ["file", "archive", "array", "objects"])
def test_pickle_does_not_run(where, files, tmp_path):
    """Check that no pickle runs, wherever it is put."""
    path, trace = tmp_path / "model", tmp_path / "trace"
    bomb = pickle.dumps(Bomb(trace))
    if where == "file":
        path.write_bytes(bomb)
    elif where == "archive":
        path.write_bytes(with_archive(files[3], bomb))
    else:
        array = npy(np.array([Bomb(trace)], dtype=object), allow_pickle=True)
        schema = estimator(SCALER, mean_=of_numpy("1.npy", __id__=1))
        if where == "array":
            schema["content"]["content"]["mean_"]["file"] = "1.bin"
        made = archive(schema, {"1.npy" if where == "objects" else "1.bin": array})
        path.write_bytes(with_archive(files[3], made))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(path)
    assert not trace.exists()
    with open(trace, "w"):
        assert trace.exists()


UNTRUSTED = {
    "function": node("FunctionNode", "os.system"),
    "class": node("TypeNode", "subprocess.Popen"),
    "method": node(
        "MethodNode",
        SCALER,
        {"func": "fit", "obj": estimator(SCALER)},
    ),
    "partial": node(
        "PartialNode",
        "functools.partial",
        dict.fromkeys(("func", "args", "kwds", "namespace"), number(None)),
    ),
    "tree": estimator("sklearn.tree._classes.DecisionTreeClassifier"),
    "neighbors": estimator("sklearn.neighbors._classification.KNeighborsClassifier"),
    "svm": estimator("sklearn.svm._classes.SVC"),
    "clusters": estimator("sklearn.cluster._kmeans.KMeans"),
    "hashing": estimator("sklearn.feature_extraction._hash.FeatureHasher"),
    "generator": node(
        "RandomStateNode", "numpy.random.mtrand.RandomState", number({"state": 1})
    ),
    "state of a dtype": node(
        "ObjectNode", "numpy.dtype", list_of(number(3), number("V"), number(1))
    ),
    "class of dtypes": node("TypeNode", "numpy.dtype"),
    "sparse": node(
        "SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy", file="1", __id__=9
    ),
}


@pytest.mark.parametrize("part", UNTRUSTED.values(), ids=UNTRUSTED)
def test_untrusted_in_an_archive(part, files, tmp_path):
    """Check that code, and compiled code that trusts what it is given, must be trusted."""
    schema = estimator(SCALER, mean_=part, n_features_in_=number(3))
    made = archive(schema, {"1": b""})
    (tmp_path / "model").write_bytes(with_archive(files[3], made))
    with pytest.raises(ValueError, match="which are not trusted"):
        load(tmp_path / "model")


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
ARCHIVES = {
    "void": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", "numpy.void")),
        {"1.npy": npy(np.array(10**11))},
    ),
    "bytes": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", "numpy.bytes_")),
        {"1.npy": npy(np.array(10**11))},
    ),
    "one file often": archive(
        estimator(
            SCALER, mean_=list_of(*(of_numpy("1.npy", __id__=i) for i in range(9999)))
        ),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "one file without id": archive(
        estimator(SCALER, mean_=list_of(*[of_numpy("1.npy")] * 9999)),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "header": archive(
        estimator(SCALER, mean_=of_numpy("1.npy")),
        {"1.npy": npy(A_MEGABYTE).replace(b"(131072,)", b"(9**11,) ")},
    ),
    "large header": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", __id__=1)),
        {"1.npy": npy(np.zeros(100)).replace(b"(100,), }     ", b"(10000000000,)}")},
    ),
    "compressed": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", __id__=1)),
        {"1.npy": npy(np.zeros(2**25))},
        compression=zipfile.ZIP_DEFLATED,
    ),
    "shared nodes": archive(estimator(SCALER, mean_=shared(60))),
    "cached nodes": archive(
        {
            **estimator(SCALER, mean_=node("CachedNode", "builtins.list", __id__=1)),
            "__id__": 1,
        }
    ),
    "axes": archive(
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
    "dtype": archive(
        estimator(SCALER, mean_=dtype_of(of_numpy("1.npy", __id__=1))),
        {"1.npy": npy(np.zeros(0, dtype="V1000000000"))},
    ),
    "dtype of another array": archive(
        estimator(
            SCALER,
            mean_=of_numpy("1.npy", __id__=1),
            var_=dtype_of(of_numpy("2.npy", __id__=1)),
        ),
        {"1.npy": npy(np.zeros(0, dtype="V1000000000")), "2.npy": npy(np.zeros(0))},
    ),
    "dtype of no array": archive(estimator(SCALER, mean_=dtype_of(number(1)))),
    "type": archive(node("TypeNode", "numpy.bytes_")),
    "colliding": archive(
        node(
            "SetNode",
            "builtins.set",
            [number(k * (2**61 - 1)) for k in range(2**64, 2**64 + 50_000)],
        )
    ),
    "functions": archive(
        list_of(*[node("FunctionNode", "numpy.exp")] * 20_000),
    ),
}


def edited(data, changes):
    """Return a file with other parts.

    Parameters
    ----------
    data : bytes
        A file.

    changes : dict
        JSON by where it is to be put, with dots between.

    Returns
    -------
    data : bytes
        A file.
    """
    content, arrays = split(data)
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = content["estimator"]["object"]
        for name in parents:
            part = part[name]
            part = part["object"] if isinstance(part, dict) and "object" in part else part
        if isinstance(value, np.ndarray):
            arrays["added"], value = value, {"array": "added"}
        part[last] = value
    return joined(content, arrays)


NET = "fitted.net_"
LAW = {"law": ["f", [1, 1], {"dict": []}]}
AFFINE = {"object": {"type": "networks.RandomAffine", "params": {}}}
DEEP = json.loads("[" * 400 + "]" * 400)
PARTS = {
    "wide layers": {f"{NET}.params.module__hidden_layer_sizes": [10**6, 10**6]},
    "many layers": {f"{NET}.params.module__hidden_layer_sizes": [1] * 100_000},
    "array of layers": {
        f"{NET}.params.module__hidden_layer_sizes": np.ones(2**22, dtype=np.int8)
    },
    "large sample": {f"{NET}.fitted.sample_shape": {"tuple": [10**6, 10**6]}},
    "laws": {"params.lr": [LAW] * 30_000},
    "wide law": {"params.lr": {"law": ["f", [{"array": "added"}, 1], {"dict": []}]}},
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


@pytest.fixture(scope="module")
def hostile(files):
    """Return files that were made to harm, by name."""
    found = {name: with_archive(files[3], made) for name, made in ARCHIVES.items()}
    for name, changes in PARTS.items():
        content, arrays = split(files[0])
        arrays["added"] = np.ones((2**16, 1))
        if name == "position":
            arrays["added"] = np.zeros(624, dtype=np.uint32)
        if name == "strings without letters":
            arrays["no letters"] = np.empty((2**20, 0), dtype=np.uint32)
        if name == "rows of nothing":
            arrays["no columns"] = np.empty((10**9, 0), dtype=np.float32)
        found[f"part: {name}"] = edited(joined(content, arrays), changes)
    content, arrays = split(files[3])
    (name,) = [name for name, array in arrays.items() if array.tobytes()[:2] == b"PK"]
    content["more"] = 1
    steps = content["estimator"]["object"]["params"]["steps"]
    steps.extend([{"tuple": [f"step{i}", {"skops": name}]} for i in range(10_000)])
    found["one archive often"] = joined(content, arrays)
    found["header"] = (2**60).to_bytes(8, "little") + b"{}"
    found["long header"] = (9 * 10**7).to_bytes(8, "little") + b" " * (9 * 10**7)
    many = {f"{i}": np.zeros(0, dtype=np.uint8) for i in range(300_000)}
    found["many arrays"] = safetensors.numpy.save(many)
    found["empty"] = b""
    return found


@pytest.mark.parametrize("name", [*ARCHIVES, *(f"part: {name}" for name in PARTS)])
def test_hostile_file(name, hostile, tmp_path):
    """Check that files that were made to harm are refused, with a message of some size."""
    (tmp_path / "model").write_bytes(hostile[name])
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
def test_hostile_files_take_no_memory(hostile, files, tmp_path):
    """Check that files of a few megabytes, made to take much memory, take none."""
    for i, data in enumerate(hostile.values()):
        (tmp_path / str(i)).write_bytes(data)
    (tmp_path / "fine").write_bytes(files[3])
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    fine, *others, megabytes = done.stdout.splitlines()
    assert fine == "fine is loaded"
    assert others == []
    assert int(megabytes) < 400


CALIBRATION = "fitted.calibration_.fitted"
REPORT = "fitted.calibration_report_.fitted"
OPEN_SET = {
    "threshold": {"fitted.thresholds_": np.array([0.25, 1, 0.25])},
    "no threshold": {"fitted.thresholds_": np.array([0.25, np.nan, 0.25])},
    "other thresholds": {"fitted.thresholds_": np.array([0.25, 0.2, 0.25])},
    "outlier is a class": {"params.outlier_label": 1, "fitted.outlier_label_": 1},
    "outlier of another kind": {"fitted.outlier_label_": "x"},
    "classes": {"fitted.classes_": np.array([0, 1, 3])},
    "group": {"fitted.groups_": np.array([0, 0, 1])},
    "negative group": {"fitted.groups_": np.array([0, 0, -1])},
    "fewer samples": {f"{CALIBRATION}.n_samples_": np.array([1])},
    "negative number": {f"{CALIBRATION}.n_samples_": np.array([-1])},
    "more groups": {f"{CALIBRATION}.means_": np.array([1.0, 1.0])},
    "mean": {f"{CALIBRATION}.means_": np.array([0.0])},
    "degrees of freedom": {f"{CALIBRATION}.degrees_of_freedom_": {"float": "nan"}},
    "score": {"fitted.score_.fitted.classes_": np.array([0, 1])},
    "estimator": {"fitted.estimator_": AFFINE},
    "no guarantee": {f"{REPORT}.guarantee": "none"},
    "rate": {f"{REPORT}.rate_allowed": np.array([0.25, 2.0, 0.25])},
    "report of others": {f"{REPORT}.classes": np.array([0, 1])},
    "empty report": {"fitted.calibration_report_.fitted": {}},
}


@pytest.mark.parametrize("changes", OPEN_SET.values(), ids=OPEN_SET)
def test_open_set_that_does_not_fit(changes, files, tmp_path):
    """Check that an OpenSetClassifier of parts that do not go together is refused."""
    (tmp_path / "model").write_bytes(edited(files[5], changes))
    with pytest.raises(ValueError, match="cannot be loaded as a model of sk_center"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    "changes",
    [
        {"known_": np.ones((1, 3), dtype=bool)},
        {"spreads_": np.zeros(2)},
        {"medians_": np.zeros(2)},
    ],
    ids=str,
)
def test_combined_that_does_not_fit(changes, files, tmp_path):
    """Check that a combination is refused that would pass over one of its scores."""
    content, arrays = split(files[4])
    for name, array in changes.items():
        arrays[f"OpenSetClassifier.score_.{name}"] = array
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match=r"must (have the shape|be)"):
        load(tmp_path / "model")


def test_scores_out_of_order(files, tmp_path):
    """Check that calibration scores, in which p-values are looked up, are sorted."""
    content, arrays = split(files[5])
    (name,) = [name for name in arrays if name.endswith(".calibration_.scores_")]
    arrays[name] = arrays[name][::-1]
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match=r"scores_ must be in ascending order"):
        load(tmp_path / "model")


@pytest.mark.parametrize("change", ["shape", "missing", "dtype", "none"])
def test_moments_of_another_size(change, files, tmp_path):
    """Check that fused updates, which walk through memory, get moments of their size."""
    content, arrays = split(files[0])
    names = [name for name in arrays if name.endswith("exp_avg")]
    assert len(names) == 6
    if change == "shape":
        arrays[names[0]] = arrays[names[0]][:1]
    elif change == "missing":
        arrays[names[0]] = np.zeros(0, dtype=np.float32)
    elif change == "dtype":
        arrays[names[0]] = arrays[names[0]].astype(np.float64)
    path = tmp_path / "model"
    path.write_bytes(joined(content, arrays))
    if change in ("shape", "missing"):
        with pytest.raises(ValueError, match="the optimizer holds exp_avg of the shape"):
            load(path)
    else:
        load(path).fit(X, Y)


def test_newer_format(files, tmp_path):
    """Check that a file of a format to come says which version it needs."""
    content, arrays = split(files[0])
    (tmp_path / "model").write_bytes(joined({**content, "format_version": 2}, arrays))
    with pytest.raises(ValueError, match=r"version 2 of the format.*this version reads 1"):
        load(tmp_path / "model")


@pytest.mark.parametrize("made_with", [None, [], {"sklearn": 1}], ids=str)
def test_no_versions(made_with, files, tmp_path):
    """Check that a file is refused that does not say what it was made with."""
    content, arrays = split(files[3])
    (tmp_path / "model").write_bytes(joined({**content, "made_with": made_with}, arrays))
    with pytest.raises(ValueError, match="cannot be loaded as a model of sk_center"):
        load(tmp_path / "model")


def test_another_version_of_scikit_learn(files, tmp_path):
    """Check that a warning tells where estimators of another version were saved."""
    content, arrays = split(files[3])
    data = joined({**content, "made_with": {"sklearn": "0.9.1"}}, arrays)
    (tmp_path / "model").write_bytes(data)
    with pytest.warns(UserWarning, match=r"made with sklearn 0\.9\.1 \(here") as found:
        load(tmp_path / "model")
    assert found[0].filename == __file__


def test_other_safetensors(tmp_path):
    """Check that weights that somebody else saved are called so."""
    safetensors.numpy.save_file({"weight": np.zeros(3)}, tmp_path / "model")
    with pytest.raises(ValueError, match=r"was not written by sk_center\.save"):
        load(tmp_path / "model")

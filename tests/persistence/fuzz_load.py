"""Fuzz sk_center.load: no file may crash, hang or do more than raise a ValueError.

With atheris installed, ten minutes of it::

    python tests/persistence/fuzz_load.py -max_total_time=600 -rss_limit_mb=2500 -timeout=30

in a folder of its own, where libFuzzer keeps the corpus and what it finds. Every input is a
file. What changes it knows the format: it mends the checksums, so that the loader looks
further. What a file that loads makes of samples may raise anything, but not crash.
"""

import hashlib
import io
import json
import random
import struct
import sys
import tempfile
import warnings
import zipfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import safetensors.numpy

FORMAT = "sk_center"
NASTY = [
    None,
    True,
    -1,
    0,
    1,
    2,
    3,
    624,
    2**31,
    2**62,
    -(2**63),
    1e308,
    0.5,
    "",
    "auto",
    "cuda",
    "meta",
    "x",
    [],
    [[]],
    {"float": "nan"},
    {"float": "-inf"},
    {"tuple": []},
    {"tuple": [10**6, 10**6]},
    {"dict": []},
    {"dtype": "float32"},
    {"device": "cpu"},
    {"name": "torch.optim.SGD"},
    {"name": "torch.nn.CrossEntropyLoss"},
    {"name": "networks.MLP"},
    {"name": "centers.simplex_etf"},
    {"name": "os.system"},
    {"module": {"name": "networks.MLP", "instance": False}},
    {"module": {"name": "networks.ConvNet", "instance": True}},
    {"objects": ["a", "b"]},
    {"object": {"type": "networks.RandomAffine", "params": {}}},
    {"object": {"type": "sklearn.pipeline.Pipeline", "params": {"steps": []}}},
]
DTYPES = ["?", "u1", "i1", "i4", "i8", "u4", "f2", "f4", "f8", "u8"]


def split(data):
    """Return the JSON of a file, and its arrays."""
    arrays = safetensors.numpy.load(data)
    (size,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    return json.loads(metadata[FORMAT]), arrays


def joined(content, arrays):
    """Return a file of JSON and arrays, with the checksums that go with them."""
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    text = json.dumps({**content, "arrays_sha256": digest.hexdigest()})
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return safetensors.numpy.save(arrays, {FORMAT: text, f"{FORMAT}_sha256": checksum})


def places(node):
    """Return where in some JSON there is something, as pairs of container and key."""
    found, pending = [], [node]
    while pending:
        part = pending.pop()
        items = part.items() if isinstance(part, dict) else enumerate(part)
        for key, value in items:
            found.append((part, key))
            if isinstance(value, (dict, list)):
                pending.append(value)
    return found


def change(tree, rng, others=()):
    """Change one place of some JSON."""
    found = places(tree)
    container, key = rng.choice(found)
    how = rng.randrange(6)
    if how == 0:
        container[key] = json.loads(json.dumps(rng.choice([*NASTY, *others])))
    elif how == 1:
        other, at = rng.choice(found)
        container[key] = json.loads(json.dumps(other[at]))
    elif how == 2 and isinstance(container, dict):
        del container[key]
    elif how == 3 and isinstance(container, dict):
        names = [name for name in others if isinstance(name, str)]
        container[rng.choice([*names, "x_", "predict", "_x"])] = container.pop(key)
    elif how == 4 and isinstance(container, list):
        container.insert(key, json.loads(json.dumps(container[key])))
    elif isinstance(container[key], (int, float)) and container[key] is not True:
        container[key] = rng.choice(
            [container[key] + 1, -container[key], container[key] * 1000, 0]
        )


def change_array(arrays, rng):
    """Change one array."""
    name = rng.choice(sorted(arrays))
    array, how = arrays[name], rng.randrange(8)
    if how == 0:
        array = array.astype(rng.choice(DTYPES))
    elif how == 1:
        array = array[1:] if array.ndim else array[None]
    elif how == 2:
        array = np.concatenate([array, array]) if array.ndim else array
    elif how == 3:
        array = array.reshape(-1)
    elif how == 4:
        array = array[..., None]
    elif how == 5 and array.ndim > 1:
        array = np.swapaxes(array, 0, 1)
    elif array.size:
        array = array.copy()
        values = [0, 1, -1, 127, np.inf, np.nan]
        if array.dtype.kind != "f":
            values = (
                [0, 1, 100, np.iinfo(array.dtype).max] if array.dtype != bool else [0, 1]
            )
        array.reshape(-1)[rng.randrange(array.size)] = rng.choice(values)
    arrays[name] = array


def change_archive(data, rng):
    """Change an archive of skops: its JSON, or one of its files."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:  # as an earlier change left it
        return change_bytes(data, rng)
    try:
        schema = json.loads(files["schema.json"])
    except ValueError:
        schema = None
    if schema is not None and rng.random() < 0.7:
        change(schema, rng, [*files, "__id__", "memory", "RandomStateNode", "CachedNode"])
        files["schema.json"] = json.dumps(schema).encode()
    else:
        name = rng.choice(sorted(files))
        files[name] = change_bytes(files[name], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def change_bytes(data, rng):
    """Flip a bit, swap two bytes, insert some, or cut some off."""
    data, how = bytearray(data), rng.randrange(4)
    if not data:
        return b"x"
    at = rng.randrange(len(data))
    if how == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        other = rng.randrange(len(data))
        data[at], data[other] = data[other], data[at]
    elif how == 2:
        data[at:at] = rng.randbytes(rng.randrange(1, 9))
    else:
        del data[at:]
    return bytes(data)


def mutated(data, rng):
    """Return a file that differs, with checksums that go with it."""
    content, arrays = split(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        archives = [name for name, array in arrays.items() if array.tobytes()[:2] == b"PK"]
        how = rng.random()
        if archives and how < 0.25:
            name = rng.choice(archives)
            changed = change_archive(arrays[name].tobytes(), rng)
            arrays[name] = np.frombuffer(changed, dtype=np.uint8)
        elif how < 0.5:
            change_array(arrays, rng)
        else:
            others = [{kind: name} for name in arrays for kind in ("array", "skops")]
            change(content, rng, [*others, *({"tensor": [n, "float32"]} for n in arrays)])
    return joined(content, arrays)


def samples():
    """Return the samples that the models are trained on, and their classes."""
    rng = np.random.RandomState(0)
    y = np.repeat([0, 1, 2], 20)
    return (rng.normal(size=(60, 3)) + 3 * np.eye(3)[y]).astype(np.float32), y


def seeds():
    """Return files of models that have everything in them that a model can have."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sk_center import CenterLossClassifier, OpenSetClassifier, save
    from sk_center.networks import ConvNet, RandomAffine
    from sk_center.scores import Combined, KNeighbors, Mahalanobis

    X, y = samples()

    def classifier(**params):
        params = {"hidden_layer_sizes": (4, 2), "max_epochs": 1, **params}
        return CenterLossClassifier(random_state=np.random.RandomState(0), **params)

    def open_set(score="center_distance", **params):
        params = {"false_rejection_rate": 0.25, "cv": 0.2, "random_state": 0, **params}
        return OpenSetClassifier(classifier(), conformity_score=score, **params)

    names = np.array(["a", "bb", "\N{SNOWMAN}"])
    images = np.repeat(X, 3, axis=1).reshape(60, 1, 3, 3)
    conv = {
        "module__image_shape": (1, 3, 3),
        "module__channels": (2,),
        "module__hidden_layer_sizes": (2,),
        "module__augment": RandomAffine(shift=1),
    }
    combined = Combined([Mahalanobis("class", relative=True), KNeighbors(2)], how="sum")
    fitted = [
        classifier(warm_start=True, class_weight={0: 1.0, 1: 2, 2: 3}).fit(X, y),
        classifier(negative_label="bb", early_stopping=False).fit(X, names[y]),
        classifier(module=ConvNet, warm_start=True, **conv).fit(images, y),
        make_pipeline(StandardScaler(), open_set(combined, cv=2)).fit(X, names[y]),
        open_set(["openmax", "vim", "input_density"]).fit(X, y),
        open_set(calibration="gaussian").fit(X, y),
        open_set(KNeighbors(2, algorithm="brute"), calibration="weibull").fit(X, y),
    ]
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for i, model in enumerate(fitted):
            path = Path(folder, str(i))
            save(model, path)
            files.append(path.read_bytes())
    return files


def try_load(data, path):
    """Return what a file holds after it was used, None where load raised a ValueError."""
    from sk_center import load

    Path(path).write_bytes(data)
    try:
        estimator = load(path)
    except ValueError:
        return None
    X, _ = samples()
    for inputs in (X, np.repeat(X, 3, axis=1).reshape(60, 1, 3, 3)):
        for method in ("predict", "predict_proba", "p_values"):
            with suppress(Exception):
                getattr(estimator, method)(inputs)
    return estimator


def main():
    """Run atheris in the current folder."""
    import atheris

    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["sk_center", "skops.io"]):
        import_module("skops.io")
        import_module("sk_center.persistence")
    Path("corpus").mkdir(exist_ok=True)
    for i, data in enumerate(seeds()):
        Path(f"corpus/seed-{i}").write_bytes(data)

    def mutator(data, max_size, seed):
        rng = random.Random(seed)
        # It may be no such file any more.
        with suppress(Exception):
            if rng.random() < 0.9:
                return mutated(data, rng)
        return atheris.Mutate(data, max_size)

    def one_input(data):
        try_load(data, "input")

    arguments = [*sys.argv, "-max_len=200000", "corpus"]
    atheris.Setup(arguments, one_input, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

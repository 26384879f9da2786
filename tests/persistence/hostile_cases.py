"""Files that were made to harm, and what may be made of them."""

import io
import json
import zipfile

import numpy as np
from fuzz_load import joined, split


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


AFFINE = {"object": {"type": "networks.RandomAffine", "params": {}}}

"""What an archive of skops may hold for an estimator to be made of it.

skops decides which classes it makes of a file. It does not look at sizes, nor at what the
compiled code of scikit-learn does with arrays and numbers that are not those of training.
"""

import json
import math
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile

import numpy as np

# What skops makes of data. A random generator is none of these: numpy walks through memory
# from a position that the file gives.
PLAIN = (
    "DictNode",
    "FunctionNode",
    "JsonNode",
    "ListNode",
    "LossNode",
    "MaskedArrayNode",
    "NdArrayNode",
    "ObjectNode",
    "SetNode",
    "SliceNode",
    "TupleNode",
    "TypeNode",
)
# Parts of scikit-learn that compute by numpy what they are asked for after training. The
# compiled code of others takes indices and sizes as it finds them.
CHECKED = (
    "sklearn.calibration",
    "sklearn.compose",
    "sklearn.covariance",
    "sklearn.decomposition._factor_analysis",
    "sklearn.decomposition._fastica",
    "sklearn.decomposition._incremental_pca",
    "sklearn.decomposition._kernel_pca",
    "sklearn.decomposition._pca",
    "sklearn.decomposition._truncated_svd",
    "sklearn.discriminant_analysis",
    "sklearn.feature_selection",
    "sklearn.frozen",
    "sklearn.impute",
    "sklearn.kernel_approximation",
    "sklearn.linear_model",
    "sklearn.mixture",
    "sklearn.multiclass",
    "sklearn.naive_bayes",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.random_projection",
)
# What an imputer remembers of its data. Of a class of that name, numpy makes what it likes.
DTYPE = "numpy.dtype"
SCALARS = (np.number, np.bool_, np.str_, np.datetime64, np.timedelta64)
# Characters of JSON, all archives of a model together.
LARGEST_SCHEMA = 2**25


def check_archive(data):
    """Return the names in an archive that the caller must trust, beside those of skops.

    Parameters
    ----------
    data : bytes
        The archive: a zip of JSON and of files of numpy.

    Returns
    -------
    names : set of str
        Full names of classes.

    n_characters : int
        Size of its JSON.

    n_objects : int
        Number of objects and functions in it.

    Raises
    ------
    ValueError
        If skops does not write such archives, or reading it would take much more memory
        than it has bytes.
    """
    with ZipFile(BytesIO(data)) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        stored = all(entry.compress_type == ZIP_STORED for entry in entries)
        if total > len(data) or not stored:
            raise ValueError(
                f"an archive of {len(data)} bytes would become {total}, or is compressed"
            )
        text = archive.read("schema.json")
        if len(text) > LARGEST_SCHEMA:
            raise ValueError(f"an archive holds {len(text)} characters of JSON")
        schema = Schema(json.loads(text))
        for entry in entries:
            if entry.filename.endswith(".npy"):
                dtype = check_npy(archive.read(entry))
                # As bytes or texts, samples may become as large as the file likes.
                if dtype.kind not in "biufc" and schema.gives_dtype(entry.filename):
                    raise ValueError(f"an archive holds the dtype {dtype}")
    return schema.names, len(text), schema.n_objects


class Schema:
    """The tree of nodes that skops makes objects of, looked through.

    Parameters
    ----------
    root : dict
        The JSON.

    Attributes
    ----------
    names : set of str
        Full names of what is neither plain data nor an estimator of the checked parts.

    n_objects : int
        Number of objects and functions.
    """

    def __init__(self, root):
        self.names = set()
        self.n_objects = 0
        self._forms = {}  # a number for each different piece of JSON
        self._nodes = {}  # the form of each node, by its id
        self._files = {}  # the id of the node that reads each file
        self._of_dtypes = set()  # the ids of the empty arrays that dtypes are taken from
        self._of_generators = set()  # where the nodes of long numbers lie in memory
        self._visit(root)

    def gives_dtype(self, file):
        """Return whether a dtype is taken from an array.

        Parameters
        ----------
        file : str
            The file of the array.

        Returns
        -------
        gives_dtype : bool
            Whether its dtype is one of the objects.
        """
        return self._files.get(file) in self._of_dtypes

    def _visit(self, value):
        """Look through a piece of JSON and return the number of its form."""
        if isinstance(value, list):
            form = tuple(self._visit(part) for part in value)
        elif isinstance(value, dict):
            if value.get("__loader__") == "RandomGeneratorNode":
                self._of_generators.update(id(node) for node in pcg64_state(value))
            form = frozenset(
                (name, self._visit(part))
                for name, part in value.items()
                # They differ where an object is written twice.
                if name not in ("__id__", "file") or not isinstance(part, (int, str))
            )
            # In a dict of many such keys every look-up takes as long as there are keys.
            if any(is_long_integer(name) for name in value):
                raise ValueError("an archive holds an integer of more than 64 bits")
            # A word of a text has a number there.
            if "memory" in value and not is_none_or_number(value["memory"]):
                raise ValueError(
                    "an archive names a folder for pickles, as memory; set memory=None"
                )
        else:
            form = type(value), value
        number = self._forms.setdefault(form, len(self._forms))
        if isinstance(value, dict) and ("__loader__" in value or "__id__" in value):
            self._visit_node(value, number)
        return number

    def _visit_node(self, node, form):
        id_, loader = node.get("__id__"), node["__loader__"]
        # Of nodes of one id, skops makes one object. Where they differ, a few of them could
        # stand for a tree without end.
        if id_ is not None and (
            type(id_) is not int or self._nodes.setdefault(id_, form) != form
        ):
            raise ValueError(f"an archive has two objects of the id {id_!r:.20}")
        if "file" in node:
            unnamed = id_ is None or id_ == 0  # by which nothing is remembered
            if self._files.setdefault(node["file"], id_) != id_ or unnamed:
                raise ValueError(f"an archive reads {node['file']!r:.50} several times")
        n_bits = 128 if id(node) in self._of_generators else 64
        if loader == "JsonNode" and is_long_integer(node["content"], n_bits):
            raise ValueError("an archive holds an integer of more than 64 bits")
        if loader == "SetNode" and any(
            part["__loader__"] != "JsonNode" for part in node["content"]
        ):
            raise ValueError("an archive holds a set of other than numbers and strings")
        self.n_objects += loader in ("FunctionNode", "ObjectNode")
        module, name = node["__module__"], node["__class__"]
        if loader == "NdArrayNode":
            scalar = getattr(np, name, None)
            known = isinstance(scalar, type) and issubclass(scalar, SCALARS)
            # numpy.void(10**12) takes so many bytes.
            if module != "numpy" or not (known or name == "ndarray"):
                raise ValueError(f"an archive holds an array as {module}.{name}")
            if node["type"] == "numpy" and not node["file"].endswith(".npy"):
                raise ValueError(f"an archive reads an array from {node['file']!r:.50}")
            # Of more axes, numpy takes arrays in it apart, each as often as it is there.
            if node["type"] != "numpy" and len(node["shape"]["content"]) != 1:
                raise ValueError("an archive holds an array of objects of several axes")
        elif loader == "DTypeNode":
            content = node["content"]
            if f"{module}.{name}" != DTYPE or content["__loader__"] != "NdArrayNode":
                raise ValueError("an archive takes a dtype from something else")
            self._of_dtypes.add(content.get("__id__"))
        elif f"{module}.{name}" == DTYPE:
            self.names.add(DTYPE)
        elif loader not in PLAIN or (
            loader == "ObjectNode" and not is_checked(f"{module}.{name}")
        ):
            self.names.add(f"{module}.{name}")


def is_none_or_number(node):
    """Return whether a node of skops is None or a number."""
    if not isinstance(node, dict):
        return False
    loader, content = node.get("__loader__"), node.get("content")
    if loader == "NdArrayNode":
        scalar = getattr(np, node["__class__"], None)
        return isinstance(scalar, type) and issubclass(scalar, np.number)
    try:
        return loader == "JsonNode" and (content == "null" or math.isfinite(float(content)))
    except ValueError:  # a string has quotes
        return False


def is_long_integer(text, n_bits=64):
    """Return whether a text is an integer of more than so many bits."""
    try:
        return len(text) > 20 and abs(int(text)) >= 2**n_bits
    except ValueError:
        return False


def pcg64_state(generator):
    """Return the nodes of the two numbers of 128 bits in a random generator of numpy."""
    state = generator["content"]["bit_generator"]["content"]["state"]["content"]
    return [state[name] for name in ("state", "inc") if name in state]


def is_checked(name):
    """Return whether a class is in a part of scikit-learn that takes wrong arrays."""
    return any(name.startswith(f"{part}.") for part in CHECKED)


def check_npy(content):
    """Return the dtype in a file of numpy that holds what it announces.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    dtype : numpy.dtype
        That of the array.

    Raises
    ------
    ValueError
        If it announces another number of bytes than it holds, or objects.
    """
    file = BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"an array in the version {version} of the format of numpy")
    dims, _, dtype = readers[version](file)
    size = math.prod(dims) * dtype.itemsize
    if dtype.hasobject or size != len(content) - file.tell():
        raise ValueError(
            f"an array of the shape {dims} and dtype {dtype} in the wrong size"
        )
    return dtype

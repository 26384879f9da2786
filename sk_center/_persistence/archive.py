"""What an archive of skops may hold for an estimator to be made of it.

skops decides which classes it makes of a file. It does not look at sizes, nor at what the
compiled code of scikit-learn does with arrays and numbers that are not those of training.
"""

import json
import math
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from sk_center._persistence.bounds import LARGEST_SCHEMA

# Packages and classes of scikit-learn that compute by numpy what they are asked for after
# training. The compiled code of others takes indices and sizes as it finds them.
CHECKED = (
    "sklearn.calibration",
    "sklearn.compose",
    "sklearn.covariance",
    "sklearn.decomposition.FactorAnalysis",
    "sklearn.decomposition.FastICA",
    "sklearn.decomposition.IncrementalPCA",
    "sklearn.decomposition.KernelPCA",
    "sklearn.decomposition.PCA",
    "sklearn.decomposition.TruncatedSVD",
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
# The same of what skops asks to trust.
HARMLESS = (
    "sklearn.compose",
    "sklearn.model_selection.GroupKFold",
    "sklearn.model_selection.GroupShuffleSplit",
    "sklearn.model_selection.KFold",
    "sklearn.model_selection.ShuffleSplit",
    "sklearn.model_selection.StratifiedGroupKFold",
    "sklearn.model_selection.StratifiedKFold",
    "sklearn.model_selection.StratifiedShuffleSplit",
)
# What an imputer remembers of its data. Of a class of that name, numpy makes what it likes.
DTYPE = "numpy.dtype"
SCALARS = (np.number, np.bool_, np.str_, np.datetime64, np.timedelta64)
# Integers of up to 128 bits in an archive: a random generator holds two of them. More
# could be keys that take each other's place in a dict.
MOST_LONG_INTEGERS = 16


def check_archive(data):
    """Return the names that the caller must trust beside those of skops, and the sizes.

    An archive is a zip of JSON and of files of numpy. The sizes are the characters of its
    JSON and the number of its objects. It raises ValueError if skops does not write such
    archives, or reading it would take much more memory than it has bytes.
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
            raise ValueError(
                f"an archive may hold {LARGEST_SCHEMA} characters of JSON; got {len(text)}"
            )
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

    ``names`` are the full names of what is neither plain data nor an estimator of the
    checked parts, ``n_objects`` is the number of objects and functions.
    """

    def __init__(self, root):
        self.names = set()
        self.n_objects = 0
        self._n_long_integers = 0
        self._forms = {}  # a number for each different piece of JSON
        self._nodes = {}  # the form of each node, by its id
        self._files = {}  # the id of the node that reads each file
        self._of_dtypes = set()  # the ids of the empty arrays that dtypes are taken from
        self._visit(root)

    def gives_dtype(self, file):
        """Return whether a dtype is taken from the array in a file."""
        return self._files.get(file) in self._of_dtypes

    def _visit(self, value):
        """Look through a piece of JSON and return the number of its form."""
        if isinstance(value, list):
            form = tuple(self._visit(part) for part in value)
        elif isinstance(value, dict):
            form = frozenset(
                (name, self._visit(part))
                for name, part in value.items()
                # They differ where an object is written twice.
                if name not in ("__id__", "file") or not isinstance(part, (int, str))
            )
            for name in value:
                self._check_integer(name)
        else:
            form = type(value), value
        number = self._forms.setdefault(form, len(self._forms))
        if isinstance(value, dict) and ("__loader__" in value or "__id__" in value):
            self._visit_node(value, number)
        return number

    def _visit_node(self, node, form):
        id_, loader = node.get("__id__"), node["__loader__"]
        # Nodes of one id become one object in skops. Where they differ, a few of them could
        # stand for a tree without end.
        if id_ is not None and (
            type(id_) is not int or self._nodes.setdefault(id_, form) != form
        ):
            raise ValueError(f"an archive has two objects of the id {id_!r:.20}")
        if "file" in node:
            unnamed = id_ is None or id_ == 0  # by which nothing is remembered
            if self._files.setdefault(node["file"], id_) != id_ or unnamed:
                raise ValueError(f"an archive reads {node['file']!r:.50} several times")
        module, name = node["__module__"], node["__class__"]
        if loader == "JsonNode":
            self._check_integer(node["content"])
        elif loader == "SetNode":
            if any(part["__loader__"] != "JsonNode" for part in node["content"]):
                raise ValueError("an archive holds a set of other than numbers and strings")
        elif loader == "NdArrayNode":
            check_array(node)
        elif loader == "DTypeNode":
            content = node["content"]
            if f"{module}.{name}" != DTYPE or content["__loader__"] != "NdArrayNode":
                raise ValueError("an archive takes a dtype from something else")
            self._of_dtypes.add(content.get("__id__"))
            return
        elif not is_plain(module, name):
            self.names.add(f"{module}.{name}")
        self.n_objects += loader in ("FunctionNode", "ObjectNode")

    def _check_integer(self, text):
        """Raise ValueError if a text is an integer that is too long, or one too many."""
        if not isinstance(text, str) or len(text) < 20:
            return
        try:
            number = abs(int(text))
        except ValueError:
            return
        self._n_long_integers += number >= 2**64
        if number >= 2**128 or self._n_long_integers > MOST_LONG_INTEGERS:
            raise ValueError("an archive holds integers of more than 64 bits")


def check_array(node):
    """Raise ValueError if a node of skops is no array, or takes one apart."""
    module, name = node["__module__"], node["__class__"]
    scalar = getattr(np, name, None)
    known = isinstance(scalar, type) and issubclass(scalar, SCALARS)
    # numpy.void(10**12) takes so many bytes.
    if module != "numpy" or not (known or name == "ndarray"):
        raise ValueError(f"an archive holds an array as {module}.{name}")
    if node["type"] == "numpy" and not node["file"].endswith(".npy"):
        raise ValueError(f"an archive reads an array from {node['file']!r:.50}")
    # With more axes, numpy takes arrays in it apart, each as often as it is there.
    if node["type"] != "numpy" and len(node["shape"]["content"]) != 1:
        raise ValueError("an archive holds an array of objects of several axes")


def is_plain(module, name):
    """Return whether a class is one of Python or numpy, or in the checked parts."""
    if module == "builtins" or module.startswith("numpy.ma."):
        return True
    if module == "numpy":
        return name != "dtype"
    return is_among(f"{module}.{name}", CHECKED)


def is_among(name, known):
    """Return whether a class, by the full name that it has, is among public names."""
    public = ".".join(part for part in name.split(".")[:-1] if not part.startswith("_"))
    public = f"{public}.{name.rpartition('.')[2]}"
    return any(public == one or public.startswith(f"{one}.") for one in known)


def check_npy(content):
    """Return the dtype in a file of numpy; raise ValueError if it holds something else."""
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

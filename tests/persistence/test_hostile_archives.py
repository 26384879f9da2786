"""Archives of skops in files that were made to harm."""

import pickle

import numpy as np
import pytest
from hostile_cases import (
    SCALER,
    archive,
    estimator,
    list_of,
    node,
    npy,
    number,
    of_numpy,
    with_archive,
)

from sk_center import load


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


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

"""The data of the benchmarks: samples, labels, and which of them test."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, load_breast_cancer, load_digits, load_wine

# The unknown digits of the "Neal" family of splits, and the known ones of the "ARPL/Vaze"
# family. Numbers of one family are not comparable with those of the other.
NEAL = [(3, 6, 7, 8), (1, 2, 4, 6), (2, 3, 4, 9), (0, 1, 2, 6), (4, 5, 6, 9)]
ARPL_KNOWN = [
    (2, 4, 5, 9, 8, 3),
    (3, 2, 6, 9, 4, 0),
    (5, 8, 3, 2, 4, 6),
    (3, 7, 8, 4, 0, 5),
    (6, 3, 4, 9, 8, 2),
]
ARPL = [tuple(sorted({*range(10)} - {*known})) for known in ARPL_KNOWN]
NOT_MNIST = "notMNIST"  # the label of everything that is no digit
PHOTOGRAPH = "photograph"  # the label of everything that is no house number
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BUNDLED = {"digits": load_digits, "wine": load_wine, "breast cancer": load_breast_cancer}
# The version on OpenML, None where it is not there. Its copies differ in a few rows.
TABLES = {"vowel": 2, "segment": 1, "satimage": 1, "vehicle": 1, "obesity": None}


def draw_unknown(labels, n_known, draw):
    """Return the labels that are unknown in one random draw, sorted."""
    order = np.random.default_rng([n_known, draw]).permutation(list(labels))
    return tuple(sorted(order[n_known:].tolist()))


@lru_cache(maxsize=2)
def load(name, data_dir=None):
    """Return samples, labels and the mask of the test set, None where there is none.

    Data that scikit-learn lacks come from the folder ``data_dir``, or without it from
    OpenML as far as they are there.
    """
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
        # Pixels keep one scale: scaled one by one, those of the margin would be blown up.
        return X / 16 if name == "digits" else X, y, None
    if name == "letter":
        return *load_letter(data_dir), None
    if name in TABLES:
        return *load_table(name, data_dir), None
    if name == "svhn":
        return *load_svhn(data_dir), None
    if name == "digits, images":
        X, y = load_digits(return_X_y=True)
        return X.reshape(-1, 1, 8, 8).astype(np.uint8), y, None
    if name == "notmnist":
        return *load_notmnist(data_dir), None
    if name.startswith("banking77"):
        return load_banking(name.removeprefix("banking77 "), data_dir)
    X, y, test = load_mnist(data_dir)
    if name == "mnist, notmnist":
        others, _ = load_notmnist(data_dir)
        X = np.concatenate([X, others])
        y = np.concatenate([y.astype(str), np.full(len(others), NOT_MNIST)])
        test = np.concatenate([test, np.ones(len(others), dtype=bool)])
    return X, y, test


def load_letter(data_dir=None):
    """Return the 16 features and the letters of the LETTER data."""
    if data_dir is None:
        X, y = fetch_openml("letter", version=1, return_X_y=True, as_frame=False)
        return X.astype(float), y.astype(str)
    table = pd.read_csv(existing(data_dir, "letter.csv.gz"))
    return table.drop(columns="letter").to_numpy(float), table["letter"].to_numpy(str)


def load_table(name, data_dir=None):
    """Return a small table, as an array where all its columns are numbers, and labels."""
    if data_dir is not None:
        table = pd.read_csv(existing(data_dir, f"tables/{name}.csv.gz"))
        X, y = table.drop(columns="class"), table["class"]
    elif TABLES[name] is not None:
        X, y = fetch_openml(name, version=TABLES[name], return_X_y=True, as_frame=True)
    else:
        raise ValueError(
            f"{name} is not on OpenML: pass --data-dir, a folder that holds "
            f"tables/{name}.csv.gz with a column 'class'."
        )
    if X.select_dtypes("number").shape[1] == X.shape[1]:
        X = X.to_numpy(float)
    return X, y.to_numpy(str)


def load_svhn(data_dir=None):
    """Return embeddings of house numbers and of other photographs, and their labels."""
    if data_dir is None:
        raise ValueError(
            "The embeddings of SVHN are not on OpenML: pass --data-dir, a folder that "
            "holds svhn_resnet18.npz with arrays X, y and X_outsiders, made of the files "
            "CV_by_ResNet18 of https://github.com/Minqi824/ADBench."
        )
    with np.load(existing(data_dir, "svhn_resnet18.npz")) as file:
        X, others = file["X"].astype(np.float32), file["X_outsiders"].astype(np.float32)
        y = np.concatenate([file["y"].astype(str), np.full(len(others), PHOTOGRAPH)])
    return np.concatenate([X, others]), y


def load_banking(kind, data_dir=None):
    """Return the texts or the embeddings of BANKING77, its intents, and its test set."""
    if data_dir is None:
        raise ValueError(
            "BANKING77 in the splits of TEXTOIR is not on OpenML: pass --data-dir, a "
            "folder that holds banking77_minilm.npz with arrays X_*, y_* and text_* for "
            "train, dev and test: sentence embeddings, intents and texts."
        )
    parts = ("train", "dev", "test")
    with np.load(existing(data_dir, "banking77_minilm.npz")) as file:
        if kind.endswith("texts"):
            X = np.concatenate([file[f"text_{part}"] for part in parts]).astype(object)
        else:
            X = np.concatenate([file[f"X_{part}"] for part in parts]).astype(np.float32)
        y = np.concatenate([file[f"y_{part}"] for part in parts]).astype(str)
        test = np.arange(len(y)) >= len(y) - len(file["y_test"])
    return X, y, test


def load_mnist(data_dir=None):
    """Return MNIST as images of shape (1, 28, 28), digits and the mask of the test set."""
    if data_dir is None:
        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        X, y = X.astype(np.uint8), y.astype(int)
        test = np.arange(len(y)) >= 60_000
    else:
        with np.load(existing(data_dir, "mnist.npz")) as file:
            X = np.concatenate([file["X_train"], file["X_test"]])
            y = np.concatenate([file["y_train"], file["y_test"]]).astype(int)
            test = np.arange(len(y)) >= len(file["y_train"])
    return X.reshape(-1, 1, 28, 28), y, test


def load_notmnist(data_dir=None):
    """Return the test images of notMNIST, of shape (1, 28, 28), and numbers of letters."""
    if data_dir is None:
        raise ValueError(
            "notMNIST is not on OpenML: pass --data-dir, a folder that holds "
            "notmnist_test.npz with arrays X of shape (n_samples, 28, 28), uint8, and y. "
            "It is the test set of "
            "https://github.com/davidflanagan/notMNIST-to-MNIST."
        )
    with np.load(existing(data_dir, "notmnist_test.npz")) as file:
        return file["X"].reshape(-1, 1, 28, 28), file["y"]


def existing(data_dir, name):
    """Return the path of a file of the data folder, or say what is missing."""
    path = Path(data_dir, name)
    if not path.is_file():
        raise FileNotFoundError(
            f"data_dir must be a folder that holds {name}; got {str(data_dir)!r}, which "
            "does not. Without --data-dir, the data that OpenML has come from there."
        )
    return path

"""Models in files that run no code: arrays in safetensors, all else in JSON."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from sk_center._persistence.bounds import (
    LARGEST_HEADER,
    LARGEST_JSON,
    check_empty,
    check_items,
    parse_integer,
)
from sk_center._persistence.decoder import Decoder
from sk_center._persistence.encoder import Encoder
from sk_center._persistence.registry import MODELS, kind_of
from sk_center._utils.extras import import_extra
from sk_center._utils.files import atomic_write
from sk_center._utils.versions import versions, warn_of_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sk_center._utils.torch_types import Module
    from sk_center._utils.types import Estimator, StrPath

__all__ = ["load", "save"]

FORMAT = "sk_center"
FORMAT_VERSION = 1


def save(estimator: Estimator, path: StrPath) -> None:
    """Write a fitted model to a file that can be loaded without running code.

    Unlike a pickle, the file holds data only: weights and other arrays in safetensors [1]_,
    the rest in JSON, other estimators of scikit-learn, such as the transformers of a
    Pipeline, as skops [2]_ writes them. The optimizer is kept with ``warm_start`` or after
    ``partial_fit``. Settings of a training or of a machine are not saved: callbacks,
    ``checkpoint_dir``, ``compile``, ``n_jobs``, ``num_workers`` of data loaders, and the
    ``memory`` of a Pipeline.

    Parameters
    ----------
    estimator : CenterLossClassifier, OpenSetClassifier, RejectionMonitor, Pipeline or \
            FrozenEstimator
        Fitted. The steps of a Pipeline and what is frozen may be any of these, and other
        estimators of scikit-learn. Alone, such an estimator is refused.

    path : str or path-like
        Where to write. The file appears when it is complete; one that is there is replaced
        then, and stays if anything fails.

    Raises
    ------
    ValueError
        If a part of the estimator cannot be saved; the message names it.

    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    OSError
        If the file cannot be written.

    ImportError
        If safetensors is not installed, or skops where it is needed; both come with
        ``pip install "sk-center[persistence]"``.

    See Also
    --------
    load : Reads the file.
    to_onnx : Writes a model that runs without Python.

    Notes
    -----
    The class of a ``module`` of your own is not in the file, only its name, nor is a
    function that serves as a score.

    References
    ----------
    .. [1] https://huggingface.co/docs/safetensors
    .. [2] https://skops.readthedocs.io/en/stable/persistence.html

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from sk_center import CenterLossClassifier, load, save
    >>> X, y = load_iris(return_X_y=True)
    >>> model = CenterLossClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/iris.safetensors")
    ...     loaded = load(f"{folder}/iris.safetensors")
    >>> bool((loaded.predict(X) == model.predict(X)).all())
    True
    """
    safetensors = import_safetensors()
    kind, name = kind_of(estimator), type(estimator).__name__
    if kind is None or kind.id not in MODELS:
        raise ValueError(
            "estimator must be a CenterLossClassifier, an OpenSetClassifier, a "
            f"RejectionMonitor or a Pipeline that ends in one; got {name}. For a search, "
            "save its best_estimator_."
        )
    check_is_fitted(estimator)
    encoder = Encoder()
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "made_with": versions(),
        "estimator": encoder.encode(estimator, name),
        "arrays_sha256": digest_of(encoder.arrays),
    }
    text = json.dumps(content, allow_nan=False)
    if len(text) > LARGEST_JSON:
        raise ValueError(
            f"{name} cannot be saved: apart from arrays it takes {len(text)} characters of "
            f"JSON, of at most {LARGEST_JSON}."
        )
    check_items(text)
    metadata = {FORMAT: text, f"{FORMAT}_sha256": sha256(text)}
    with atomic_write(path) as temporary:
        try:
            safetensors.numpy.save_file(encoder.arrays, temporary, metadata)
        except safetensors.SafetensorError as error:
            raise OSError(str(error)) from error


def load(
    path: StrPath,
    *,
    trusted: Sequence[str | type | Callable[..., Any]] = (),
    module: Module | None = None,
) -> Any:
    """Read a model that :func:`save` wrote, without running code from the file.

    The file decides which of the classes of sk_center, torch, scikit-learn and scipy that
    hold data are made of its arrays, and nothing else: it holds no code, and what else it
    names must be among ``trusted``. It is checked before anything is built, and nothing
    is built that is much larger than the file. It does not decide how many processes,
    threads or compilers the model starts, nor where a later ``fit`` writes. So a file of
    unknown origin is safe to load; its answers are as good as who made it.

    Parameters
    ----------
    path : str or path-like
        The file.

    trusted : sequence of str, classes or functions, default=()
        What the file may name beside that: classes of modules, optimizers and
        transformers, functions, each itself or its full name, such as ``"package.Net"``.
        They are imported and called, with arguments from the file. Estimators of
        scikit-learn whose compiled code trusts what was learned, such as trees, support
        vector machines and neighbors, are among them: a file that was made to can crash
        those.

    module : torch module class or instance, or callable, default=None
        What was the ``module`` of the :class:`~sk_center.CenterLossClassifier`, where that
        was not ``"auto"``. It is needed if it was an instance, of which the file has the
        weights but not the layers, and where a class is not importable by the name that it
        had.

    Returns
    -------
    estimator : CenterLossClassifier, OpenSetClassifier, RejectionMonitor, Pipeline or \
            FrozenEstimator
        The fitted estimator. On a machine without GPU it computes on the CPU.

    Raises
    ------
    ValueError
        If the file is no such model, is damaged, names what is not trusted, or does not go
        with ``module``.

    OSError
        If the file cannot be read.

    ImportError
        If safetensors is not installed, or skops where it is needed.

    See Also
    --------
    save : Writes the file.

    Examples
    --------
    The layers of a network of your own are not in the file, so pass them:

    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sk_center import CenterLossClassifier, load, save
    >>> def make_net():
    ...     return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> X, y = load_iris(return_X_y=True)
    >>> _ = torch.manual_seed(0)
    >>> model = CenterLossClassifier(make_net(), max_epochs=5, random_state=0).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/iris.safetensors")
    ...     loaded = load(f"{folder}/iris.safetensors", module=make_net())
    >>> bool((loaded.predict(X) == model.predict(X)).all())
    True

    A class that can be imported may be trusted instead::

        load("model.safetensors", trusted=["mypackage.MyNet"])
    """
    import_safetensors()
    if isinstance(trusted, str):
        raise ValueError(f"trusted must be a sequence of names; got {trusted!r}.")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    try:
        text, arrays = read(path)
        content = parse(text, arrays)
        decoder = Decoder(arrays, trusted, module)
        kind = content["estimator"]["object"]["type"]
        if kind not in MODELS:
            raise ValueError(f"it holds a {kind!r:.50}, and a model is one of {MODELS}")
        untrusted = sorted(decoder.untrusted(content["estimator"]))
        if untrusted:
            every = sorted({*untrusted, *decoder.trusted})
            raise ValueError(
                f"it names {untrusted}, which are not trusted. If they are harmless, and "
                f"you know where the file is from, pass trusted={every}"
            )
        estimator = decoder.decode(content["estimator"])
        check_is_fitted(estimator)
    except (OSError, ImportError):
        raise
    # A file may be wrong in any way, and then anything may fail.
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} cannot be loaded as a model of sk_center: {error!s:.9999}"
        ) from error
    if decoder.made_by_skops:
        warn_of_versions(content["made_with"], ["sklearn"])
    return estimator


def read(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the JSON and the arrays of a file, after a check that they are unchanged."""
    safetensors = import_safetensors()
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > LARGEST_HEADER:
            raise ValueError(
                "it is no file of sk_center.save. Read one of joblib.dump by joblib.load, "
                "if you trust who made it"
            )
        check_items(file.read(size))
    with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
        metadata = file.metadata() or {}
        if FORMAT not in metadata:
            raise ValueError("it was not written by sk_center.save")
        text = metadata[FORMAT]
        if len(text) > LARGEST_JSON:
            raise ValueError(f"it holds {len(text)} characters of JSON")
        check_items(text)
        if sha256(text) != metadata.get(f"{FORMAT}_sha256"):
            raise ValueError("it was changed or damaged after it was written")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, array in arrays.items():
        check_empty(name, array)
    return text, arrays


def parse(text: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the content of the JSON, after a check of the version and of the arrays."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    content = json.loads(text, parse_constant=refuse, parse_int=parse_integer)
    if content["format"] != FORMAT:
        raise ValueError(f"it is of the format {content['format']!r:.50}")
    made_with = content["made_with"]
    if not all(isinstance(version, str) for version in made_with.values()):
        raise ValueError("it does not say what it was made with")
    version = content["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(
            f"it is of version {version!r:.50} of the format, made with sk_center "
            f"{made_with.get('sk_center')!r:.50}; this version reads "
            f"{FORMAT_VERSION}"
        )
    if digest_of(arrays) != content["arrays_sha256"]:
        raise ValueError("its arrays were changed or damaged after they were written")
    return content


def sha256(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(arrays: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of arrays with their names, dtypes and shapes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.reshape(-1).view("u1").data)
    return digest.hexdigest()


def import_safetensors() -> Any:
    """Return the module safetensors, or raise ImportError that says how to install it."""
    purpose = "save and load need"
    import_extra("safetensors.numpy", "persistence", purpose)
    return import_extra("safetensors", "persistence", purpose)

"""Export a fitted classifier as one ONNX graph, which runs without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sk_center._utils.extras import import_extra
from sk_center._utils.files import atomic_write
from sk_center._utils.nested import last_step
from sk_center._utils.versions import versions
from sk_center.classifier import CenterLossClassifier
from sk_center.open_set import OpenSetClassifier
from sk_center.open_set.outputs import without_scalers

if TYPE_CHECKING:
    from sk_center._utils.types import Estimator, Steps, StrPath

__all__ = ["to_onnx"]


def to_onnx(estimator: Estimator, path: StrPath) -> None:
    """Write a fitted classifier to a file that runs without Python, sk_center and torch.

    The file holds one ONNX graph of all that happens to a sample: preprocessing, network,
    score, calibration and decision. It runs in onnxruntime, for instance, with any number
    of samples at once.

    Parameters
    ----------
    estimator : estimator instance
        A fitted :class:`~sk_center.CenterLossClassifier`, an
        :class:`~sk_center.OpenSetClassifier`, or a Pipeline of scikit-learn transformers
        that ends in either. An OpenSetClassifier may hold a CenterLossClassifier or one of
        scikit-learn: LogisticRegression, SVC, DecisionTreeClassifier,
        RandomForestClassifier, ExtraTreesClassifier, GradientBoostingClassifier,
        GaussianNB, KNeighborsClassifier or MLPClassifier, alone or at the end of a
        Pipeline. All of them may be frozen.

    path : str or path-like
        Where to write. What is there is replaced when all is done, and kept on error.

    Raises
    ------
    ImportError
        If onnx, onnxscript or skl2onnx is not installed.

    ValueError
        If the estimator is of another kind, or holds what cannot be exported: a score
        that is a function, a :class:`~sk_center.scores.PerClass` of anything but a
        :class:`sklearn.mixture.GaussianMixture`, another metric of
        :class:`~sk_center.scores.KNeighbors` than the Euclidean one,
        ``precision="bf16"``, a module that torch, or a transformer that skl2onnx cannot
        export in float64, class names that are no valid Unicode, or more than 2 GiB. The
        message names it.

    OSError
        If the file cannot be written.

    See Also
    --------
    save : Writes a model that :func:`load` reads again in Python.
    OpenSetClassifier : Makes the decisions that are exported.

    Notes
    -----
    The input ``X`` has the shape of the samples of ``fit``. It is float32 where the network
    alone sees it, as the network casts it anyway, and float64 after any preprocessing and
    for a score of the inputs, which ``"auto"`` takes of small tables: then Python computes
    in float64, too. Columns are in the order of ``feature_names_in_``. Where an encoder
    takes strings, ``X`` is of strings if all columns are; else each column is an input of
    shape (n, 1), by the names ``X0``, ``X1`` and so on.

    The outputs, for n samples and K classes in the order of ``classes_``, and what in
    Python gives the same:

    =================== =============== ==============================================
    ``label``           (n,)            ``predict``, with the outlier label
    ``rejected``        (n,), boolean   ``is_outlier``
    ``p_known``         (n,)            ``p_known``
    ``score``           (n,)            ``score_samples``
    ``p_values``        (n, K)          ``p_values``
    ``prediction_set``  (n, K), boolean ``predict_set``
    ``ambiguous``       (n,), boolean   ``ambiguous`` of ``judge``, unless None
    ``probabilities``   (n, K)          ``predict_proba``
    ``distances``       (n, K)          ``center_distances`` of the CenterLossClassifier
    ``features``        (n, D)          ``transform``
    =================== =============== ==============================================

    A CenterLossClassifier has none of those between ``label`` and ``probabilities``, a
    classifier of scikit-learn neither distances nor features. The metadata of the model
    hold ``sk_center_version`` and, as JSON, ``classes``, ``outlier_label`` and, where it
    is a label, ``ambiguous_label``.

    Numbers agree within rounding in float32 for float64 samples. Scores that differ by less
    than rounding count as equal, so that ties get the same decisions. Where the graph
    computes in float32, as networks, trees and SVC do, rounding may move a p-value past a
    calibration sample of nearly the same score, to the larger side.

    onnxruntime before 1.24 may take a class that ``fit`` never saw for the nearest one.

    Nothing checks the input: where Python raises an error for numbers that are not finite,
    the graph takes the samples for outsiders.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx
    >>> X, y = load_wine(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), CenterLossClassifier(max_epochs=10))
    >>> model = OpenSetClassifier(pipe, false_rejection_rate=0.1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "wine.onnx")
    ...     to_onnx(model.fit(X, y), path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> label, rejected = session.run(["label", "rejected"], {"X": X[:5]})
    >>> bool((label == model.predict(X[:5])).all()), rejected.shape
    (True, (5,))
    """
    parts = take_apart(estimator)
    classifier = parts[-1]
    precision = getattr(getattr(classifier, "module_", None), "precision", "float32")
    if precision != "float32":
        raise ValueError(
            f"precision must be 'float32' to be exported; got {precision!r}, in which no "
            "runtime computes: other features would meet these p-values. Fit with "
            "precision='float32'."
        )
    for package in ("onnx", "onnxscript", "skl2onnx"):
        import_extra(package, "onnx", "to_onnx needs")
    from sk_center._onnx.messages import quiet
    from sk_center._onnx.model import make_model

    with quiet():
        model = make_model(estimator, *parts, versions()["sk_center"])
        content = model.SerializeToString()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def take_apart(estimator: Any) -> tuple[Steps, Steps, OpenSetClassifier | None, Any]:
    """Return the transformers, the open-set classifier or None, and the classifier.

    Scalers that come after the raw inputs of its score are the last of the transformers,
    and also given alone.
    """
    last, before = last_step(estimator)
    open_set: OpenSetClassifier | None = None
    scalers: list[Any] = []
    if isinstance(last, OpenSetClassifier):
        check_is_fitted(last)
        open_set = last
        last, inner = last_step(open_set.estimator_)
        if "raw_inputs" in open_set.score_.needs:
            _, scalers = without_scalers(inner)
        before = [*before, *inner]
    if open_set is None and not isinstance(last, CenterLossClassifier):
        raise ValueError(
            "estimator must be a fitted CenterLossClassifier, an OpenSetClassifier, or a "
            "Pipeline of scikit-learn transformers that ends in either, all of which may "
            f"be frozen; got {estimator!r}, which ends in {type(last).__name__}. For a "
            "search, take its best_estimator_."
        )
    check_is_fitted(last)
    shape = getattr(last, "_sample_shape", ())
    if isinstance(shape, dict):
        raise ValueError(
            f"estimator takes several inputs, {[*shape]}, and to_onnx exports models of "
            "one; torch.onnx.export takes its module_."
        )
    return steps_of(before), steps_of(scalers), open_set, last


def steps_of(transformers: list[Any]) -> Steps:
    """Return transformers as steps of a Pipeline, by names that differ."""
    return [
        (f"step_{i}", step.estimator if isinstance(step, FrozenEstimator) else step)
        for i, step in enumerate(transformers)
    ]

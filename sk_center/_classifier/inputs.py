"""Checks of the arguments of fit: samples, labels, weights."""

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import check_array, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data
from skorch.helper import SliceDict
from torch.utils.data import Dataset, Subset

from sk_center._utils.compat import check_sample_weight
from sk_center._utils.labels import check_no_label_missing, equals_label, shortened
from sk_center._utils.samples import (
    as_array,
    check_no_tuple,
    check_values,
    holds_inputs,
    naming_text,
    some_rows,
)
from sk_center._utils.user_warning import warn_of_fit
from sk_center.batches.datasets import (
    LabelledDataset,
    check_dataset,
    labels_of,
    of_inputs,
    sample_of,
)

# Rounding by more than this share of the standard deviation makes a column useless.
LOST_SHARE = 0.1
# The largest weight whose products with losses stay finite in float32.
SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-30, 1e30


def check_training_data(estimator, X, y, sample_weight, classes, reset, streams=False):
    """Return the input of the net, class indices and weights, and set ``classes_``."""
    y = check_labels(X, y)
    X, y = check_training_inputs(estimator, X, y, reset)
    X, y, sample_weight = drop_weightless(X, check_targets(X, y), sample_weight)
    classes, y = encode(y, estimator.negative_label, classes)
    estimator.classes_ = classes
    weights = combined_weights(y, sample_weight, estimator.class_weight, classes, streams)
    return X, y, weights


def check_streams(estimator):
    """Raise ValueError if a parameter needs all data at once, which partial_fit lacks."""
    if estimator.early_stopping:
        raise ValueError("partial_fit does not go with early_stopping=True.")
    if estimator.class_weight == "balanced":
        raise ValueError(
            "partial_fit does not go with class_weight='balanced', which takes all "
            "labels; give the weights as a dict."
        )


def check_inputs(estimator, X):
    """Return samples to predict in a form that the net takes."""
    own = own_form(X)
    if own is not None:
        X, shape = own
        check_sample_shape(estimator, shape)
        return LabelledDataset(X) if isinstance(X, Dataset) else X
    plain = plain_inputs(estimator, X)
    if plain is not None:
        return plain
    check_values(X)
    X = validate_data(estimator, as_array(X), reset=False, **conversion(X, estimator))
    check_sample_shape(estimator, X.shape[1:])
    return X


def check_training_inputs(estimator, X, y, reset):
    """Return samples and labels to train on, and remember the form of a sample."""
    own = own_form(X)
    if own is not None:
        X, shape = own
        for name in ("n_features_in_", "feature_names_in_") if reset else ():
            vars(estimator).pop(name, None)
    else:
        check_no_tuple(X, y)
        check_values(X)
        if issparse(X):
            raise TypeError(
                "Sparse data was passed for X, and a network takes dense numbers. Put a "
                "TruncatedSVD before it in a Pipeline, or give OneHotEncoder "
                "sparse_output=False."
            )
        warn_of_lost_digits(X)
        with naming_text(X):
            X, y = validate_data(
                estimator, as_array(X), y, reset=reset, **conversion(X, estimator)
            )
        shape = X.shape[1:]
    if reset:
        estimator._sample_shape = shape
    check_sample_shape(estimator, shape)
    return X, y


def warn_of_lost_digits(X):
    """Warn of columns whose values float32 cannot distinguish, such as times since 1970."""
    X = as_array(X)
    names = getattr(X, "columns", None) if hasattr(X, "iloc") else None
    if (names is None and not (isinstance(X, np.ndarray) and X.ndim == 2)) or not len(X):
        return
    rows = some_rows(len(X))
    part = X[rows] if names is None else X.iloc[rows].to_numpy()
    if part.dtype.kind not in "iuf" or part.dtype.itemsize < 8:
        return
    part = part.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        spread, largest = part.std(axis=0), np.abs(part).max(axis=0)
        lost = (spread > 0) & (largest * np.finfo(np.float32).eps > LOST_SHARE * spread)
    if lost.any():
        places = np.flatnonzero(lost)
        shown = places.tolist() if names is None else [*names[places]]
        warn_of_fit(
            f"The columns {shortened([repr(x) for x in shown], limit=5)} of X vary by less "
            "than float32, in which networks compute, holds of numbers so large: what they "
            "tell is lost. Subtract a first value, or put "
            "sklearn.preprocessing.StandardScaler before the classifier."
        )


def own_form(X):
    """Return samples that scikit-learn cannot check, and the shape of one; else None.

    Those are a Dataset, several inputs by name, and a tensor on another device, where it
    stays.
    """
    if isinstance(X, Dataset):
        sample = sample_of(check_dataset(X)[0])
        return X, of_inputs(lambda part: tuple(np.shape(part)), sample)
    if holds_inputs(X):
        X = checked_dict(X)
        return X, of_inputs(lambda part: part.shape[1:], X)
    if isinstance(X, torch.Tensor) and not X.is_cpu:
        X = checked_tensor(X)
        return X, tuple(X.shape[1:])
    return None


def checked_tensor(X):
    """Return a tensor on another device in float32, if it was floating; it is finite."""
    if X.ndim < 2 or not len(X):
        raise ValueError(
            "X must hold at least one sample and have two dimensions; got "
            f"{tuple(X.shape)}."
        )
    if X.is_floating_point():
        X = X.detach().float()
        if not torch.isfinite(X).all():
            raise ValueError("X contains NaN or infinity.")
    return X


def checked_dict(X):
    """Return several inputs by name in a form that can be indexed by samples."""
    parts = {name: as_array(part) for name, part in X.items()}
    for name, part in parts.items():
        part = check_array(
            part, dtype=None, allow_nd=True, ensure_2d=False, input_name=name
        )
        parts[name] = part.astype(np.float32) if part.dtype.kind == "f" else part
        if part.dtype.kind not in "fiub":
            raise ValueError(f"X[{name!r}] must hold numbers; got dtype {part.dtype}.")
    if not parts or len({len(part) for part in parts.values()}) > 1:
        lengths = {name: len(part) for name, part in parts.items()}
        raise ValueError(f"The inputs in X must have one length, all; got {lengths}.")
    return SliceDict(**parts)


def conversion(X, estimator):
    """Return how scikit-learn is to convert samples."""
    # A memmap keeps its dtype: converting it would read all of it into memory.
    dtype = "numeric" if isinstance(X, np.memmap) else [np.float32, np.uint8]
    if not (isinstance(estimator.module, str) or dtype == "numeric"):
        dtype += [np.int32, np.int64]  # a module of the user's own may embed them
    return {"dtype": dtype, "allow_nd": True}


def plain_inputs(estimator, X):
    """Return a finite array in float32, or None if X needs scikit-learn's checks.

    For a few samples, those take longer than a small network.
    """
    if not (
        type(X) is np.ndarray
        and X.dtype in (np.float32, np.float64)
        and X.shape[1:] == estimator._sample_shape
        and len(X) > 0
        and not hasattr(estimator, "feature_names_in_")
    ):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        X = X.astype(np.float32, copy=False)
        return X if np.isfinite(X.sum()) else None  # scikit-learn finds the values


def check_sample_shape(estimator, shape):
    """Raise ValueError unless a sample has the shape of those that fit saw."""
    if shape != estimator._sample_shape:
        raise ValueError(
            f"X has samples of shape {shape}, but {type(estimator).__name__} is expecting "
            f"{estimator._sample_shape} features as input."
        )


def check_labels(X, y):
    """Return labels for scikit-learn to check; those of a Dataset are read from it."""
    if isinstance(X, Dataset) and y is None:
        y = labels_of(check_dataset(X))
    if isinstance(y, torch.Tensor):
        y = y.cpu().numpy()
    check_no_label_missing(y)
    return y


def check_targets(X, y):
    """Return labels as an array of one dimension, one for each sample."""
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} samples, y has {len(y)}.")
    return y


def drop_weightless(X, y, sample_weight):
    """Return samples, labels and weights without those of weight zero.

    A sample without weight must not define a class.
    """
    if sample_weight is None:
        return X, y, None
    sample_weight = check_sample_weight(
        sample_weight, y, dtype=np.float64, ensure_non_negative=True
    )
    kept = np.flatnonzero(sample_weight)
    if len(kept) == 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if len(kept) == len(y):
        return X, y, sample_weight
    X = Subset(X, kept) if isinstance(X, Dataset) else X[kept]
    return X, y[kept], sample_weight[kept]


def encode(y, negative_label, classes=None):
    """Return the classes and each label as its index; negative samples have the last."""
    negative = equals_label(y, negative_label)
    if classes is None:
        classes = np.unique(y[~negative])
    unknown = np.setdiff1d(y[~negative], classes)
    if len(unknown):
        raise ValueError(
            f"y holds the labels {unknown.tolist()}, which are not among the classes "
            f"{classes.tolist()}."
        )
    if len(classes) < 2:
        raise ValueError(
            "The number of classes has to be greater than one; got 1 class, "
            f"{classes.tolist()}. (Samples with sample_weight 0 do not count.)"
        )
    return classes, np.where(negative, len(classes), np.searchsorted(classes, y))


def classes_of_stream(estimator, classes):
    """Return the classes that partial_fit works with, those of its first call."""
    if not hasattr(estimator, "net_"):
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return np.unique(np.asarray(classes))
    fitted = estimator.classes_
    if classes is not None and not np.array_equal(np.unique(classes), fitted):
        raise ValueError(
            f"classes={np.unique(classes).tolist()} differ from those of the first call, "
            f"{fitted.tolist()}."
        )
    return fitted


def weights_by_class(class_weight, classes, y):
    """Return the weight of each class, and of negative samples, which have weight one."""
    known = y[y < len(classes)]
    weights = compute_class_weight(class_weight, classes=classes, y=classes[known])
    if not (np.isfinite(weights).all() and weights.min() > 0):
        raise ValueError(
            f"class_weight must be positive; got {class_weight!r}. To leave a class out, "
            "leave its samples out."
        )
    return np.append(weights, 1)


def combined_weights(y, sample_weight, class_weight, classes, streams):
    """Return the weights of samples and classes together, or None.

    Their mean is one, except in a stream, where weights stay as given.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    if not streams:
        weights = weights / weights.max()  # no sum can overflow
    if class_weight is not None:
        with np.errstate(over="ignore"):
            weights = weights * weights_by_class(class_weight, classes, y)[y]
    if not streams:
        weights = weights / weights.max()
        weights /= weights.mean()
    elif weights.max() > LARGEST_WEIGHT:
        raise ValueError(
            "sample_weight, times class_weight, must be at most "
            f"{LARGEST_WEIGHT:g} in partial_fit, which takes weights as they are; got "
            f"{weights.max():g}."
        )
    # Rounded to zero they would leave a class without a center.
    return weights.clip(min=SMALLEST_WEIGHT)


def check_validation(counts, labels, validation_fraction):
    """Raise ValueError if some class has too few samples to hold out a part."""
    n_samples, n_classes = counts.sum(), len(counts)
    n_held_out = np.ceil(validation_fraction * n_samples)
    if counts.min() < 2 or not n_classes <= n_held_out <= n_samples - n_classes:
        raise ValueError(
            f"early_stopping=True with validation_fraction={validation_fraction} cannot "
            f"hold out a part of every class: {n_samples} samples of {n_classes} classes, "
            f"{counts.min()} of class {labels[counts.argmin()]!r}."
        )

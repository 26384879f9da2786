"""What a saved model may hold: the classes, their attributes and what those must be."""

from importlib import import_module
from numbers import Integral, Real

import numpy as np

from sk_center._training.params import OF_TRAINING

# State that scikit-learn keeps on any estimator.
OUTPUT_CONFIG, REQUESTS = "_sklearn_output_config", "_metadata_request"
SMALLEST = np.finfo(np.float64).tiny
BELOW_ONE = np.nextafter(1, 0)
# What is of a pickle, and not of the model, and callbacks, which belong to a training.
NOT_SAVED = ("_sklearn_version", "_required", "_versions", "_skl_callbacks")
# What a file may ask of torch's compiler, whose options name programs to run.
COMPILE_PARAMS = {
    "backend": ("aot_eager", "cudagraphs", "eager", "inductor"),
    "dynamic": (None, False, True),
    "fullgraph": (False, True),
    "mode": (
        None,
        "default",
        "max-autotune",
        "max-autotune-no-cudagraphs",
        "reduce-overhead",
    ),
}


class Kind:
    """How the objects of one class are saved.

    Parameters
    ----------
    path : str
        Full name of the class.

    fitted : dict of callables, default=None
        The attributes that fitting sets, each with a check: a function of the value and
        of the sizes known so far that raises ValueError. A name that begins with "?" may
        be missing.

    params : callable, default=None
        Gives the parameters of an object as a dict; by default ``get_params``.

    dropped : tuple of str, default=()
        Parameters, and prefixes of such, that are not saved.

    others : {"refused", "kept", "left out"}, default="refused"
        What becomes of further attributes: kept are those that end in an underscore.

    copied : tuple of str, default=()
        Fitted arrays of which restoring makes a copy.

    check_params : callable, default=None
        Called with the parameters before an object is made of them.

    finish : callable, default=None
        Called with a restored object, to check and complete it.
    """

    def __init__(
        self,
        path,
        fitted=None,
        *,
        params=None,
        dropped=(),
        others="refused",
        copied=(),
        check_params=None,
        finish=None,
    ):
        self.path = path
        self.checks = {name.lstrip("?"): check for name, check in (fitted or {}).items()}
        self.needed = [name for name in fitted or () if not name.startswith("?")]
        self.params = params
        self.dropped = dropped
        self.others = others
        self.copied = copied
        self.check_params = check_params
        self.finish = finish

    # Whether parameters can be checked by the object before it is restored.
    validates = True

    def class_(self):
        """Return the class."""
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)

    def params_of(self, value):
        """Return the parameters of an object, as they are saved."""
        params = self.all_params_of(value)
        params = {name: params[name] for name in params if not self._drops(name)}
        if self.check_params is not None:
            self.check_params(params)
        return params

    def all_params_of(self, value):
        """Return the parameters of an object."""
        return value.get_params(deep=False) if self.params is None else self.params(value)

    def state_of(self, value, params):
        """Return what fitting has set on an object."""
        apart = (*params, *NOT_SAVED, OUTPUT_CONFIG, REQUESTS)
        state = {
            name: attribute
            for name, attribute in value.__getstate__().items()  # as lean as a pickle
            if name not in apart and not self._drops(name)
        }
        unknown = [name for name in state if not self._knows(name)]
        if unknown and self.others == "refused":
            raise ValueError(
                f"it has the attributes {unknown}, of which sk_center knows nothing"
            )
        return {name: state[name] for name in state if name not in unknown}

    def make(self, params):
        """Return an object that is not fitted."""
        dropped = [name for name in params if self._drops(name)]
        if dropped:
            raise ValueError(f"a {self.path} is saved without {dropped}")
        if self.check_params is not None:
            self.check_params(params)
        value = self.class_()(**params)
        if self.validates and hasattr(value, "_validate_params"):
            value._validate_params()
        return value

    def restore(self, value, state):
        """Give an object what fitting had set."""
        self.check(state)
        vars(value).update(state)
        if self.finish is not None:
            self.finish(value)

    def check(self, state):
        """Raise ValueError if something is not as fitting sets it."""
        unknown = [name for name in state if not self._knows(name)]
        missing = [name for name in self.needed if name not in state]
        if unknown or missing:
            raise ValueError(
                f"a {self.path} has no attributes {unknown}, and needs {missing}"
            )
        sizes = {"one": 1}
        for name, check in self.checks.items():
            if name in state:
                try:
                    check(state[name], sizes)
                except ValueError as error:
                    raise ValueError(f"{self.path}.{name} {error}") from error

    def _drops(self, name):
        return name.partition("__")[0] in self.dropped

    def _knows(self, name):
        fitted = name.endswith("_") and not name.startswith("_")
        return name in self.checks or (self.others == "kept" and fitted)


def attributes(*names):
    """Return a function that gives some attributes of an object as a dict."""
    return lambda value: {name: getattr(value, name) for name in names}


class NetKind(Kind):
    """How a CenterLossNet is saved: its module by the state dict, and what builds it."""

    validates = False  # skorch does when it initializes

    def all_params_of(self, value):
        from sk_center._training.params import params_of

        return params_of(value)

    def state_of(self, value, params):
        from sk_center._persistence.saved_net import state_of

        return state_of(value)

    def restore(self, value, state):
        from sk_center._persistence.saved_net import restore

        self.check(state)
        restore(value, state)


def check_net_params(params):
    """Raise ValueError if a parameter of a net is not to be saved, nor taken from a file.

    Parameters
    ----------
    params : dict
        Parameters by name.
    """
    for name, value in params.items():
        prefix, _, rest = name.partition("__")
        if name.startswith("_") or name.endswith("_"):  # which skorch lets pass
            raise ValueError(f"{name} is no parameter of a net")
        if prefix == "compile" and rest:
            allowed = COMPILE_PARAMS.get(rest, ())
            if (
                not (value is None or isinstance(value, (bool, str)))
                or value not in allowed
            ):
                raise ValueError(f"{name}={value!r:.50} is none of {allowed}")
        if name == "torch_load_kwargs" and value is not None:
            raise ValueError(f"torch_load_kwargs must be None; got {value!r:.50}")


def array(kinds, *dims):
    """Return a check for arrays.

    Parameters
    ----------
    kinds : str
        Kinds of dtype that are allowed.

    *dims : int or str
        The size of each axis, or the name of a size that axes have in common.

    Returns
    -------
    check : callable
        The check.
    """

    def check(value, sizes):
        if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
            got = getattr(value, "dtype", type(value).__name__)
            raise ValueError(f"must be an array of one of the kinds {kinds!r}; got {got}")
        expected = [dim if isinstance(dim, int) else sizes.get(dim, "any") for dim in dims]
        same = all(size in (n, "any") for n, size in zip(value.shape, expected))
        if value.ndim != len(dims) or not same:
            raise ValueError(f"must have the shape {tuple(expected)}; got {value.shape}")
        sizes.update((dim, n) for n, dim in zip(value.shape, dims) if isinstance(dim, str))

    return check


def numbers(kinds):
    """Return a check for arrays of any shape."""

    def check(value, sizes):
        if not isinstance(value, np.ndarray):
            raise ValueError(f"must be an array; got {type(value).__name__}")
        array(kinds, *value.shape)(value, sizes)

    return check


def either(*checks):
    """Return a check that passes where one of several does."""

    def check(value, sizes):
        for i, one in enumerate(checks):
            try:
                return one(value, sizes)
            except ValueError:
                if i == len(checks) - 1:
                    raise

    return check


def labels(value, sizes):
    """Check class labels: different ones, in order."""
    array("biufUO", "K")(value, sizes)
    if len(value) < 2 or not (value[1:] > value[:-1]).all():
        raise ValueError("must be sorted and hold no label twice")


def integer(value, sizes):
    """Check a non-negative integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ValueError(f"must be an integer >= 0; got {value!r}")


def at_least_one(value, sizes):
    """Check a positive integer."""
    integer(value, sizes)
    positive(value, sizes)


def size(dim):
    """Return a check for an integer that is the size of an axis."""

    def check(value, sizes):
        integer(value, sizes)
        if sizes.setdefault(dim, value) != value:
            raise ValueError(f"must be {sizes[dim]}; got {value}")

    return check


def number(value, sizes):
    """Check a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(value):
        raise ValueError(f"must be a finite number; got {value!r}")


def columns(value, sizes):
    """Check the number of columns of each part by its name."""
    names = {"features", "inputs", "logits", "probabilities"}
    if not isinstance(value, dict) or not {*value} <= names or not value:
        raise ValueError(f"must be a dict by name of a part; got {value!r:.50}")
    for n in value.values():
        at_least_one(n, sizes)
    sizes.update(value, columns=sum(value.values()))


def positive(value, sizes):
    """Check a positive number."""
    number(value, sizes)
    if value <= 0:
        raise ValueError(f"must be positive; got {value!r}")


def boolean(value, sizes):
    """Check a boolean."""
    if not isinstance(value, bool):
        raise ValueError(f"must be a boolean; got {value!r}")


def label(value, sizes):
    """Check a label."""
    if not isinstance(value, (str, Real, np.generic)):
        raise ValueError(f"must be a label; got {value!r}")


def bounded(check, least=-np.inf, most=np.inf):
    """Return a check for arrays of numbers, none of them NaN, between two bounds."""

    def check_bounds(value, sizes):
        check(value, sizes)
        if not ((value >= least) & (value <= most)).all():
            raise ValueError(f"must be between {least} and {most}")

    return check_bounds


def ascending(value, sizes):
    """Check an array of numbers in ascending order."""
    bounded(array("f", "n"))(value, {})
    if not (value[1:] >= value[:-1]).all():
        raise ValueError("must be in ascending order")


def names(value, sizes):
    """Check names of features."""
    array("O", "inputs")(value, sizes)
    if not all(isinstance(name, str) for name in value):
        raise ValueError("must hold strings")


def is_a(name):
    """Return a check for instances of a class of sk_center, by its full name."""

    def check(value, sizes):
        classes = {f"{base.__module__}.{base.__name__}" for base in type(value).__mro__}
        if name not in classes:
            raise ValueError(f"must be a {name}; got {type(value).__name__}")

    return check


def having(method):
    """Return a check for objects with a method."""

    def check(value, sizes):
        if not callable(getattr(value, method, None)):
            raise ValueError(f"must have the method {method}; got {type(value).__name__}")

    return check


def each(one, length=None):
    """Return a check for the items of a list, as many as the named size says."""

    def check(value, sizes):
        if not isinstance(value, list) or sizes.get(length, len(value)) != len(value):
            raise ValueError(
                f"must be a list of {sizes.get(length, 'any')} items; got {value!r:.50}"
            )
        if length is not None:
            sizes[length] = len(value)
        # The same array may stand there many times.
        for item in {id(item): item for item in value}.values():
            one(item, sizes)

    return check


def by_class(one):
    """Return a check for a dict of what there is for some of the classes, by index."""

    def check(value, sizes):
        if not isinstance(value, dict) or not {*value} <= {*range(sizes["K"])}:
            raise ValueError(f"must be a dict by class index; got {value!r:.50}")
        for item in value.values():
            one(item, sizes)

    return check


def law(name):
    """Return a check for a frozen distribution of scipy."""

    def check(value, sizes):
        if getattr(getattr(value, "dist", None), "name", None) != name:
            raise ValueError(f"must be a {name} distribution; got {value!r:.50}")

    return check


def shape(value, sizes):
    """Check the shape of a sample."""
    if not isinstance(value, tuple):
        raise ValueError(f"must be a tuple; got {value!r:.50}")
    for n in value:
        integer(n, sizes)


def plain(value, sizes):
    """Check a dict, of which no more is asked."""
    if not isinstance(value, dict):
        raise ValueError(f"must be a dict; got {type(value).__name__}")


def rows(value, sizes):
    """Check the history: a dict for each epoch."""
    each(plain)(value, sizes)


def tail(value, sizes):
    """Check the size and the unit of a tail."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"must be a pair; got {value!r:.50}")
    integer(value[0], sizes)
    number(value[1], sizes)


def finish_classifier(classifier):
    """Complete a CenterLossClassifier by what follows from the rest."""
    net = classifier.net_
    if not hasattr(classifier, "centers_"):
        classifier.centers_ = classifier._centers_of_net()
    if classifier._sample_shape != tuple(net.example_.shape[1:]):
        raise ValueError(
            f"_sample_shape is {classifier._sample_shape}, that of the network "
            f"{tuple(net.example_.shape[1:])}"
        )
    n_classes, n_features = net.module_.center.center.shape
    if n_classes != len(classifier.classes_):
        raise ValueError(
            f"the network has {n_classes} centers, for {len(classifier.classes_)} classes"
        )
    if classifier.centers_.shape != (n_classes, n_features):
        raise ValueError(
            f"centers_ must have the shape {(n_classes, n_features)}; got "
            f"{classifier.centers_.shape}"
        )
    if classifier.early_stopping:
        net.callbacks = [("early_stopping", classifier._stopping())]
        net.initialize_callbacks()


def finish_neighbors(search):
    """Build the search structure: the same as before, of the same samples."""
    search.fit(vars(search).pop("_fit_X"))


def finish_open_set(model):
    """Check that the parts of an OpenSetClassifier go together."""
    n_classes, calibration = len(model.classes_), model.calibration_
    found = {
        "score_": len(model.score_.classes_),
        "calibration_": len(calibration.groups_),
    }
    for name, n in found.items():
        if n != n_classes:
            raise ValueError(f"{name} knows {n} classes of {n_classes}")
    if not np.array_equal(np.unique(model.estimator_.classes_), model.classes_):
        raise ValueError("estimator_ knows other classes")
    for name in ("thresholds_", "score_thresholds_"):
        if not np.array_equal(getattr(model, name), getattr(calibration, name)):
            raise ValueError(f"{name} and those of calibration_ differ")
    outlier, found = model._check_outlier_label(model.thresholds_), model.outlier_label_
    if type(outlier) is not type(found) or (outlier == outlier and outlier != found):
        raise ValueError(f"outlier_label_ must be {outlier!r}; got {found!r:.50}")


def finish_calibration(calibration):
    """Check that every class has a group."""
    groups, members = calibration.groups_, calibration._members
    if groups.min() < 0 or groups.max() >= len(members):
        raise ValueError(
            f"groups_ must be in [0, {len(members)}); got {groups.min()} to {groups.max()}"
        )
    for scores, (m, _) in zip(members, getattr(calibration, "_tails", ())):
        if m > len(scores) // 2:
            raise ValueError(f"a tail of {m} among {len(scores)} samples")


def finish_combined(combined):
    """Check that the scores know the same classes."""
    for score in combined.scores_:
        if len(score.classes_) != len(combined.classes_):
            raise ValueError(f"a score knows {len(score.classes_)} classes")


def _score(name, fitted=None, **kwargs):
    common = {"classes_": labels, "n_columns_": columns}
    return Kind(f"sk_center.scores.{name}", {**common, **(fitted or {})}, **kwargs)


def _calibration(name, fitted=None):
    common = {
        "groups_": array("i", "K"),
        "n_samples_": bounded(array("i", "K"), 0),
        "thresholds_": bounded(array("f", "K"), 0, BELOW_ONE),
        "score_thresholds_": bounded(array("f", "K")),
        "_members": each(ascending, "groups"),
    }
    return Kind(
        f"sk_center.calibration.{name}",
        {**common, **(fitted or {})},
        params=attributes("false_rejection_rate", "confidence"),
        finish=finish_calibration,
    )


FEATURES = {
    "?n_features_in_": size("inputs"),
    "?feature_names_in_": names,
}

KINDS = {
    kind.path: kind
    for kind in (
        Kind(
            "sk_center.classifier.CenterLossClassifier",
            {
                "classes_": labels,
                "net_": is_a("sk_center.net.CenterLossNet"),
                "?centers_": bounded(array("f", "K", "D")),
                "tau_": positive,
                "n_iter_": integer,
                "_sample_shape": shape,
                "_seed": integer,
                "_streams": boolean,
                **FEATURES,
            },
            dropped=OF_TRAINING,
            check_params=check_net_params,
            finish=finish_classifier,
        ),
        NetKind(
            "sk_center.net.CenterLossNet",
            {
                "module": plain,
                "criterion": plain,
                "?optimizer": plain,
                "history": rows,
                "n_classes": integer,
                "sample_shape": shape,
                "sample_dtype": lambda value, sizes: None,
                "width": at_least_one,
            },
            dropped=("callbacks",),
            check_params=check_net_params,
        ),
        Kind(
            "sk_center.open_set.classifier.OpenSetClassifier",
            {
                "classes_": labels,
                "estimator_": having("predict"),
                "score_": is_a("sk_center.scores.base.BaseScore"),
                "calibration_": is_a("sk_center.calibration.base.BaseCalibration"),
                "outlier_label_": label,
                "thresholds_": bounded(array("f", "K"), 0, BELOW_ONE),
                "score_thresholds_": bounded(array("f", "K")),
                **FEATURES,
            },
            finish=finish_open_set,
        ),
        Kind("sklearn.pipeline.Pipeline", dropped=("memory",)),
        Kind("sklearn.frozen._frozen.FrozenEstimator"),
        _score("distances.CenterDistance", {"centers_": array("f", "K", "columns")}),
        _score(
            "distances.Mahalanobis",
            {
                "means_": array("f", "K", "columns"),
                "covariance_": either(
                    array("f", "columns", "columns"),
                    array("f", "K", "columns", "columns"),
                ),
                # One where it is tied; older files repeat it for each class.
                "_whitening": either(
                    each(array("f", "columns", "columns"), "one"),
                    each(array("f", "columns", "columns"), "K"),
                ),
                "?_mean": array("f", 1, "columns"),
                "?_background": array("f", "columns", "columns"),
            },
        ),
        _score(
            "neighbors.KNeighbors",
            {
                "neighbors_": by_class(
                    either(
                        lambda value, sizes: array("f", "n", "columns")(
                            value, {"columns": sizes["columns"]}
                        ),
                        having("kneighbors"),
                    )
                ),
                "_origins": either(array("f", "K"), array("f", "K", "columns")),
            },
        ),
        _score("logits.MaxSoftmax"),
        _score("logits.MaxLogit"),
        _score("logits.Energy"),
        _score(
            "logits.OpenMax",
            {
                "means_": array("f", "K", "columns"),
                "weibulls_": by_class(law("weibull_min")),
            },
        ),
        _score(
            "logits.ViM",
            {
                "origin_": array("f", "D"),
                "residual_space_": array("f", "D", "residual"),
                "alpha_": number,
            },
        ),
        _score("density.PerClass", {"estimators_": by_class(having("score_samples"))}),
        _score("density.InputDensity", {"mixtures_": by_class(having("score_samples"))}),
        _score("function.FunctionScore"),
        _score(
            "combined.Combined",
            {
                "scores_": each(is_a("sk_center.scores.base.BaseScore"), "scores"),
                "known_": array("b", "scores", "K"),
                "medians_": array("f", "scores"),
                "spreads_": bounded(array("f", "scores"), SMALLEST),
            },
            finish=finish_combined,
        ),
        Kind(
            "sklearn.mixture._gaussian_mixture.GaussianMixture",
            {
                "weights_": array("f", "components"),
                "means_": array("f", "components", "columns"),
                "covariances_": numbers("f"),
                "precisions_": numbers("f"),
                "precisions_cholesky_": numbers("f"),
                "n_features_in_": size("columns"),
            },
            others="kept",
        ),
        Kind(
            "sklearn.neighbors._unsupervised.NearestNeighbors",
            {"_fit_X": array("f", "n", "columns")},
            others="left out",
            copied=("_fit_X",),
            finish=finish_neighbors,
        ),
        _calibration("conformal.ConformalCalibration"),
        _calibration(
            "tails.GaussianCalibration",
            {
                "_means": each(positive, "groups"),
                "degrees_of_freedom_": positive,
                "_laws": each(law("f"), "groups"),
            },
        ),
        _calibration(
            "tails.WeibullCalibration",
            {
                "shape_": positive,
                "_tails": each(tail, "groups"),
                "_sums": each(number, "groups"),
            },
        ),
        Kind(
            "sk_center.model_selection.LeaveClassesOut",
            params=attributes(
                "n_unknown",
                "n_splits",
                "test_size",
                "unknown_classes",
                "openness",
                "random_state",
            ),
        ),
        Kind(
            "skorch.dataset.ValidSplit",
            params=attributes("cv", "stratified", "random_state"),
        ),
        Kind(
            "sk_center.networks.RandomAffine",
            params=lambda module: module.ranges,
            others="left out",
        ),
    )
}


def kind_of(value):
    """Return the kind of an object, or None if it is of none.

    Parameters
    ----------
    value : object
        The object.

    Returns
    -------
    kind : Kind or None
        That of its very class: a subclass may do anything.
    """
    class_ = type(value)
    return KINDS.get(f"{class_.__module__}.{class_.__qualname__}")

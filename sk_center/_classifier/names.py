"""Suggestions for misspelled parameters, and for names that other packages use."""

from difflib import get_close_matches

# Names that other packages give some of the parameters.
OTHER_NAMES = {
    "epochs": "max_epochs",
    "eta0": "lr",
    "hidden_layers": "hidden_layer_sizes",
    "hidden_units": "hidden_layer_sizes",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "loss": "criterion",
    "max_iter": "max_epochs",
    "momentum": "optimizer__momentum",
    "n_epochs": "max_epochs",
    "n_hidden": "hidden_layer_sizes",
    "num_epochs": "max_epochs",
    "num_workers": "iterator_train__num_workers",
    "patience": "n_iter_no_change",
    "seed": "random_state",
    "solver": "optimizer",
    "tol": "n_iter_no_change",
    "weight_decay": "optimizer__weight_decay",
}


def did_you_mean(name, known):
    """Return the end of a message that suggests a parameter."""
    prefix, separator, rest = name.rpartition("__")
    meant = prefix + separator + OTHER_NAMES.get(rest, rest)
    nearest = [meant] if meant in known else get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; it takes {sorted(known)}."

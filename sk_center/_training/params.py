"""Parameters and history of a net, without the parts that belong to one training."""

# Parameters of a training, not of the model, and prefixes of such.
OF_TRAINING = ("callbacks", "checkpoint_dir", "checkpoint_every")


def params_of(net):
    """Return the parameters of a net, or of a callback, as they were given."""
    return {
        name: value
        for name, value in vars(net).items()
        if not name.endswith("_")
        and not name.startswith("_")
        and name != "classes"
        and name.partition("__")[0] not in OF_TRAINING
    }


def without_batches(history):
    """Return copies of the rows of a history, without the records of batches."""
    return [{**row, "batches": []} if "batches" in row else dict(row) for row in history]

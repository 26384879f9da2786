"""Validation sets of the user's own, with labels encoded as those of training."""

from torch.utils.data import Subset

from sk_center._classifier.inputs import encode
from sk_center._utils.labels import check_no_label_missing
from sk_center.batches.datasets import LabelledDataset, labels_of


class EncodedSplit:
    """Split as ``split`` does, and encode the labels of a validation set of its own."""

    def __init__(self, split, classes, negative_label):
        self.split = split
        self.classes = classes
        self.negative_label = negative_label

    def __call__(self, dataset, y=None, **params):
        train, valid = self.split(dataset, y, **params)
        if valid is None or innermost(valid) is dataset:
            return train, valid
        try:
            labels = labels_of(valid)
            check_no_label_missing(labels)
            _, indices = encode(labels, self.negative_label, self.classes)
        except ValueError as error:
            raise ValueError(f"In the validation set of train_split, {error}") from error
        return train, LabelledDataset(valid, indices)


def innermost(dataset):
    """Return the dataset of which a Subset, or a Subset of one, is a part."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset

"""Tests of the batches made by slicing, against torch's DataLoader."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from sk_center.batches import ArrayDataset, TensorBatches, transfers
from sk_center.batches.datasets import LabelledDataset, labels_of
from sk_center.batches.transfers import sent_ahead


def numbered(n_samples, **params):
    """Return a dataset whose sample i is the row (10 i, 10 i + 1) with label i."""
    X = 10.0 * np.arange(n_samples)[:, None] + [0, 1]
    return ArrayDataset(X, np.arange(n_samples), **params)


def labels_in(batches):
    """Return the labels of all batches, in the order in which they came."""
    return np.concatenate([y.numpy() for _, y in batches])


class Counting(ArrayDataset):
    """Count how often a sample or a batch is asked for."""

    calls = 0

    def __getitem__(self, index):
        self.calls += 1
        return super().__getitem__(index)


def count_calls(monkeypatch):
    """Return a list that gets what an ArrayDataset is asked for."""
    calls = []
    original = ArrayDataset.__getitem__

    def counted(self, index):
        calls.append(index)
        return original(self, index)

    monkeypatch.setattr(ArrayDataset, "__getitem__", counted)
    return calls


class Pairs(Dataset):
    """A user's dataset: (sample, label) pairs, or samples only."""

    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index] if self.y is None else (self.X[index], self.y[index])


@pytest.mark.parametrize("indices", [None, [7, 3, 3, 0, 9, 5, 1, 10]])
@pytest.mark.parametrize("batch_size", [3, 4, 100])
def test_batches_equal_those_of_a_data_loader(batch_size, indices):
    """Check that slices hold what DataLoader(shuffle=False) collates one by one."""
    # 11 and 8 samples leave no last batch of one, which would join another.
    dataset = numbered(11) if indices is None else Subset(numbered(11), indices)
    ours = list(TensorBatches(dataset, batch_size))
    theirs = list(DataLoader(dataset, batch_size=batch_size))
    assert len(ours) == len(theirs) == len(TensorBatches(dataset, batch_size))
    for (X, y), (X_loader, y_loader) in zip(ours, theirs):
        assert X.dtype == X_loader.dtype == torch.float32
        assert y.dtype == y_loader.dtype
        assert torch.equal(X, X_loader)
        assert torch.equal(y, y_loader)


def test_subset_of_a_subset_and_of_another_dataset():
    """Check that what cannot be sliced still gives the same batches."""
    twice = Subset(Subset(numbered(20), [4, 8, 12, 16, 2]), [3, 0, 1])
    assert_array_equal(labels_in(TensorBatches(twice, 2)), [16, 4, 8])
    X = torch.arange(10.0)[:, None]
    other = Subset(TensorDataset(X, X[:, 0]), [5, 6, 2, 9])
    ours, theirs = TensorBatches(other, 2), DataLoader(other, batch_size=2)
    for (X, y), (X_loader, y_loader) in zip(ours, theirs, strict=True):
        assert torch.equal(X, X_loader)
        assert torch.equal(y, y_loader)


@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize("loader", [{}, {"num_workers": 0}])
def test_shuffled_epoch_has_every_sample_once(loader, subset):
    """Check that a shuffled epoch misses and repeats none, with its own order."""
    dataset = Subset(numbered(60), range(5, 42)) if subset else numbered(37)
    expected = np.arange(5, 42) if subset else np.arange(37)
    batches = TensorBatches(dataset, 8, shuffle=True, **loader)
    first, second = labels_in(batches), labels_in(batches)
    assert_array_equal(np.sort(first), expected)
    assert_array_equal(np.sort(second), expected)
    assert (first != second).any()
    assert (first != expected).any()


def test_shuffled_rows_stay_with_their_labels():
    """Check that a sample keeps its label and its weight when the order changes."""
    n_samples = 23
    X = np.arange(n_samples, dtype=float)[:, None]
    dataset = ArrayDataset({"X": X, "sample_weight": X[:, 0] / 2}, np.arange(n_samples))
    for X, y in TensorBatches(dataset, 5, shuffle=True):
        assert torch.equal(X["X"][:, 0], y.float())
        assert torch.equal(X["sample_weight"], y.float() / 2)


def test_order_follows_torchs_seed():
    """Check that torch.manual_seed settles the order and nothing else does."""
    batches = TensorBatches(numbered(50), 8, shuffle=True)
    torch.manual_seed(3)
    first = labels_in(batches)
    np.random.seed(0)  # noqa: NPY002, numpy's global generator must not matter
    torch.manual_seed(3)
    assert_array_equal(first, labels_in(batches))
    torch.manual_seed(4)
    assert (first != labels_in(batches)).any()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("n_samples", "batch_size", "sizes"),
    [
        (9, 4, [4, 5]),
        (10, 4, [4, 4, 2]),
        (8, 4, [4, 4]),
        (1, 4, [1]),
        (5, 5, [5]),
        (6, 5, [6]),
        (3, 100, [3]),
        (3, 2, [3]),
        (2, 1, [2]),
    ],
)
@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Pairs(d.X, d.y)])
def test_last_batch_of_one_joins(n_samples, batch_size, sizes, shuffle, wrap):
    """Check the sizes of batches, with the joint last one, and that len counts them."""
    batches = TensorBatches(wrap(numbered(n_samples)), batch_size, shuffle=shuffle)
    assert [len(y) for _, y in batches] == sizes
    assert len(batches) == len(sizes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, np.float16, np.bool_])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_is_converted_to_float32(dtype, shuffle):
    """Check that a batch is float32, the data at rest keep their dtype."""
    X = np.array([[0, 1], [2, 250], [3, 4]]).astype(dtype)
    dataset = ArrayDataset(X)
    ((batch, y),) = TensorBatches(dataset, 3, shuffle=shuffle)
    assert batch.dtype == torch.float32
    assert y.tolist() == [0, 0, 0]
    assert dataset.X is X
    assert_array_equal(np.sort(batch.numpy(), axis=0), np.sort(X, axis=0).astype(float))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_dtype_none_leaves_the_data(dtype):
    """Check that dtype=None hands out what is stored."""
    ((batch, _),) = TensorBatches(ArrayDataset(np.ones((3, 2), dtype), dtype=None), 3)
    assert batch.numpy().dtype == dtype


def test_dict_brings_weights():
    """Check that weights come as float32 beside the samples of their batch."""
    weight = np.array([0.5, 1.5, 2.0, 0.0, 1.0])
    dataset = ArrayDataset({"X": np.eye(5), "sample_weight": weight}, np.arange(5))
    batches = list(TensorBatches(dataset, 3))
    assert [set(X) for X, _ in batches] == [{"X", "sample_weight"}] * 2
    got = torch.cat([X["sample_weight"] for X, _ in batches])
    assert got.dtype == torch.float32
    assert_array_equal(got, weight)
    without = ArrayDataset({"X": np.eye(5)}, np.arange(5))
    assert isinstance(without[0][0], torch.Tensor)


@pytest.mark.parametrize("shuffle", [False, True])
def test_memmap_is_read_batch_by_batch(tmp_path, shuffle):
    """Check that a read-only memmap gives its rows and stays a memmap."""
    X = np.arange(40, dtype=np.float64).reshape(10, 4)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    dataset = ArrayDataset(mapped, np.arange(10))
    for batch, y in TensorBatches(dataset, 4, shuffle=shuffle):
        assert_array_equal(batch.numpy(), X[y])
        batch += 1  # in place by a module: allowed, and the file must not notice
    assert isinstance(dataset.X, np.memmap)
    assert_array_equal(mapped, X)


@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_no_getitem_per_sample(shuffle, subset, monkeypatch):
    """Check that an ArrayDataset is asked once a batch or less, not once a sample."""
    counts = {}
    for kind in (Counting, ArrayDataset):
        calls = count_calls(monkeypatch)
        source = kind(np.zeros((100, 2)))
        dataset = Subset(source, range(20, 80)) if subset else source
        batches = TensorBatches(dataset, 20, shuffle=shuffle)
        assert sum(1 for _ in batches) == len(batches)
        counts[kind] = len(calls)
    # A subclass may treat each batch in a way of its own.
    assert counts[Counting] == len(batches)
    assert counts[ArrayDataset] == (1 if shuffle or subset else len(batches))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("most", [1, 80, 81, 10**6])
def test_batches_gathered_together(most, weighted, monkeypatch):
    """Check that the memory of what is gathered at once is bounded and changes nothing."""
    monkeypatch.setattr(transfers, "GATHERED_NUMBERS", most)
    X = np.arange(300, dtype=np.float64).reshape(100, 3)
    given = {"X": X, "sample_weight": np.arange(100)} if weighted else X
    source = ArrayDataset(given, np.arange(100))
    calls, sizes = count_calls(monkeypatch), []
    torch.manual_seed(0)
    order = torch.randperm(100)
    torch.manual_seed(0)
    for start, (inputs, y) in zip(
        range(0, 99, 9), TensorBatches(source, 9, shuffle=True), strict=True
    ):
        if weighted:
            assert_array_equal(inputs["sample_weight"], y)
            inputs = inputs["X"]
        assert_array_equal(y, order[start : start + len(y)])
        assert_array_equal(inputs, X[y].astype(np.float32))
        sizes.append(len(y))
    assert sum(sizes) == 100
    assert len(calls) == {1: 11, 80: 6, 81: 4, 10**6: 1}[most]


def test_loader_arguments_reach_the_data_loader():
    """Check that num_workers and the like are not ignored."""
    seen = []

    def collate(items):
        seen.append(len(items))
        return torch.stack([X for X, _ in items]), torch.stack([y for _, y in items])

    batches = TensorBatches(numbered(7), 3, collate_fn=collate)
    assert_array_equal(labels_in(batches), np.arange(7))
    assert seen == [3, 4]


def test_array_dataset_items():
    """Check what one number, a slice and an array of numbers select."""
    dataset = numbered(6)
    X, y = dataset[2]
    assert X.tolist() == [20, 21]
    assert int(y) == 2
    assert dataset[1:3][0].tolist() == [[10, 11], [20, 21]]
    assert dataset[torch.tensor([4, 0])][1].tolist() == [4, 0]
    assert dataset[np.array([4, 0])][0].tolist() == [[40, 41], [0, 1]]
    one_dimensional = ArrayDataset(np.arange(3.0))
    assert one_dimensional[1][0].shape == ()
    assert len(one_dimensional) == 3


def test_array_dataset_refuses_lengths_that_differ():
    """Check that labels of another length are an error with both numbers."""
    with pytest.raises(ValueError, match=r"same length; got 3 and 4"):
        ArrayDataset(np.zeros((3, 2)), np.zeros(4))


def test_labelled_dataset_replaces_the_label():
    """Check labels and weights of our own on pairs and on samples alone."""
    X = np.arange(6.0).reshape(3, 2)
    for dataset in (Pairs(X, ["a", "b", "c"]), Pairs(X)):
        labelled = LabelledDataset(dataset, np.array([2, 1, 0]), np.array([1.0, 2.0, 3.0]))
        sample, y = labelled[1]
        assert_array_equal(sample["X"], X[1])
        assert sample["sample_weight"] == 2
        assert sample["sample_weight"].dtype == np.float32
        assert y == 1
        assert len(labelled) == 3
    assert LabelledDataset(Pairs(X))[2][1] == 0


def test_labels_of_prefers_targets():
    """Check that `targets` are taken without loading samples, else one pass is made."""

    class Untouchable(Pairs):
        def __getitem__(self, index):
            raise AssertionError("targets are there: no sample must be loaded")

    dataset = Untouchable(np.zeros((3, 2)))
    dataset.targets = ["b", "a", "b"]
    assert_array_equal(labels_of(dataset), ["b", "a", "b"])
    dataset.targets = torch.tensor([2, 0, 1])
    assert_array_equal(labels_of(dataset), [2, 0, 1])
    assert_array_equal(labels_of(Pairs(np.zeros((3, 2)), ["x", "y", "x"])), ["x", "y", "x"])
    tensors = TensorDataset(torch.zeros(3, 2), torch.tensor([1, 0, 1]))
    assert_array_equal(labels_of(tensors), [1, 0, 1])


def test_targets_of_another_length_are_not_the_labels():
    """Check that a subset-like dataset with stale targets is read by a pass."""
    dataset = Pairs(np.zeros((3, 2)), [5, 6, 7])
    dataset.targets = [0] * 9
    assert_array_equal(labels_of(dataset), [5, 6, 7])


def test_labels_of_samples_alone_is_an_error():
    """Check that a dataset without labels asks for y."""
    with pytest.raises(ValueError, match="y is needed"):
        labels_of(Pairs(np.zeros((3, 2))))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_resident_samples(shuffle, subset, weighted, monkeypatch):
    """Check that samples are moved once, in their own dtype, and come in the same order."""
    monkeypatch.setattr(transfers, "GATHERED_NUMBERS", 70)
    X = np.arange(150, dtype=np.uint8).reshape(50, 3)
    given = {"X": X, "sample_weight": np.arange(50)} if weighted else X
    source = ArrayDataset(given, np.arange(50))
    dataset = Subset(source, list(range(40, 5, -1))) if subset else source
    passes = []
    for resident in (True, False):
        batches = TensorBatches(dataset, 8, shuffle, device="cpu", resident=resident)
        torch.manual_seed(0)
        passes.append([batch for _ in range(2) for batch in batches])
        if resident:
            assert batches._on_device.X.dtype == torch.uint8
    for (moved, y), (sliced, labels) in zip(*passes, strict=True):
        assert_array_equal(y, labels)
        if weighted:
            assert_array_equal(moved["sample_weight"], sliced["sample_weight"])
            moved, sliced = moved["X"], sliced["X"]
        assert moved.dtype == torch.float32
        assert_array_equal(moved, sliced)
        assert_array_equal(moved, X[y])


def test_resident_setting():
    """Check that on a CPU nothing is moved unless asked, and the setting is checked."""
    batches = TensorBatches(numbered(10), 4, device="cpu")
    list(batches)
    assert batches._on_device is None
    with pytest.raises(ValueError, match="resident must be True, False or 'auto'; got 1"):
        TensorBatches(numbered(10), 4, resident=1)


@pytest.mark.parametrize("free", [10_000, 1_000_000])
def test_samples_move_to_a_gpu_where_they_fit(free, monkeypatch):
    """Check, on the account of a GPU that is not there, when samples move."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    X = np.zeros((1000, 20), dtype=np.uint8)
    batches = TensorBatches(ArrayDataset(X), 100, device="cuda")
    assert batches._stays(batches.dataset) == (free == 1_000_000)


def test_blocks_are_sent_ahead():
    """Check that a block is on its way before the one before it is used."""
    made = []

    def blocks():
        for i in range(4):
            made.append(i)
            yield {"X": torch.full((2,), i)}, torch.tensor([i])

    cpu = torch.device("cpu")
    for i, (X, y) in enumerate(sent_ahead(blocks(), cpu)):
        assert made == list(range(min(i + 2, 4)))
        assert X["X"].tolist() == [i, i]
        assert y.tolist() == [i]
    assert i == 3
    assert list(sent_ahead([], cpu)) == []


@pytest.mark.parametrize("resident", [True, False, "auto"])
def test_subclass_sees_each_batch(resident):
    """Check that what a subclass does to a batch is done wherever the samples lie."""

    class Shifted(ArrayDataset):
        def __getitem__(self, index):
            X, y = super().__getitem__(index)
            return X + 100 * len(y), y

    source = Shifted(np.zeros((30, 2)))
    for X, y in TensorBatches(source, 8, shuffle=True, resident=resident):
        assert (100 * len(y) == X).all()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("form", ["backwards", "columns", "field", "big endian"])
def test_arrays_in_any_order_of_memory(form, shuffle):
    """Check arrays that torch cannot hold as they lie."""
    X = np.arange(60, dtype=np.float32).reshape(20, 3)
    record = np.zeros(20, dtype=[("flag", "i1"), ("x", "f4", (3,))])
    record["x"] = X
    given = {
        "backwards": X[::-1][::-1],
        "columns": X[:, ::-1],
        "field": record["x"],
        "big endian": X.astype(">f4"),
    }[form]
    expected = X[:, ::-1] if form == "columns" else X
    for batch, y in TensorBatches(ArrayDataset(given, np.arange(20)), 6, shuffle=shuffle):
        assert_array_equal(batch, expected[y])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers_that_embeddings_take_stay(dtype):
    """Check that token ids are not converted, beyond what float32 holds exactly."""
    ids = np.array([[2**24 + 1], [3]], dtype=dtype)
    X, _ = ArrayDataset(ids)[:2]
    assert_array_equal(X.numpy(), ids)
    assert X.numpy().dtype == dtype


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_several_inputs_by_name(shuffle, weighted):
    """Check that each input keeps its rows and its dtype, but for floats, and weights."""
    ids = np.arange(10).reshape(5, 2)
    inputs = {"ids": ids, "mask": ids > 4, "values": ids / 3}
    given = {**inputs, "sample_weight": np.arange(5)} if weighted else inputs
    dataset = ArrayDataset(given, np.arange(5))
    assert len(dataset) == 5
    for X, y in TensorBatches(dataset, 2, shuffle=shuffle):
        assert set(X) == set(given)
        assert X["ids"].dtype == torch.int64
        assert X["mask"].dtype == torch.bool
        assert X["values"].dtype == torch.float32
        for name, part in given.items():
            assert_array_equal(
                X[name].numpy(), part[y.numpy()].astype(X[name].numpy().dtype)
            )


def test_inputs_of_several_lengths_are_refused():
    """Check that the error names the length of each input."""
    with pytest.raises(ValueError, match=r"same length; got \{'a': 2, 'b': 3\}"):
        ArrayDataset({"a": np.zeros(2), "b": np.zeros(3)})


@pytest.mark.parametrize("name", ["drop_last", "sampler", "batch_sampler"])
def test_arguments_that_choose_samples_are_refused(name):
    """Check that the error says who takes them."""
    with pytest.raises(ValueError, match=f"{name} does not go with .*DataLoader"):
        TensorBatches(ArrayDataset(np.zeros((3, 1))), 2, **{name: True})

"""The checks and measurements: each group yields functions that make its rows."""

import io
from functools import partial

import joblib
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from torch import nn

from benchmarks.speed.models import (
    N_CLASSES,
    N_INPUTS,
    Headed,
    handwritten_fit,
    ours_fit,
    skorch_fit,
    table,
)
from benchmarks.speed.timing import Row, compare, seconds, unit
from sk_center import Center, CenterLossClassifier
from sk_center.losses import center_loss
from sk_center.networks import ConvNet

HAND = "hand-written loop, data on the device"
FIT, PREDICT, STEP = 1.0, 1.1, 1.5
# The largest difference that counts as equal, of features of about one.
EQUAL = 1e-3


class Wide(nn.Sequential):
    """Two hidden layers, of 512 and 128."""

    def __init__(self):
        super().__init__(
            nn.Linear(N_INPUTS, 512), nn.ReLU(), nn.Linear(512, 128), nn.ReLU()
        )


def narrow():
    """Return one hidden layer of 64."""
    return nn.Sequential(nn.Linear(N_INPUTS, 64), nn.ReLU())


def problems(size):
    """Yield networks by name, with their number of features and data."""
    tables = table(size.n_samples)
    yield "MLP 64-64-10", narrow, 64, tables
    yield "MLP 512-128", Wide, 128, tables
    y = np.arange(size.n_images) % N_CLASSES
    images = np.random.default_rng(0).normal(size=(len(y), 1, 28, 28)).astype(np.float32)
    yield "ConvNet, 28 x 28", lambda: ConvNet((1, 28, 28)), 128, (images, y)


def correctness(size):
    """Compare fits on the device with those on the CPU, where they are also loaded."""
    X, y = table(min(size.n_samples, 2_000))
    anchors = {"anchors": "simplex", "head": "distance"}
    for params in (
        *({"center_update": rule} for rule in ("ema", "wen", "cumulative")),
        {"center_update": "sum", "alpha": 0.99},
        anchors,
        {"metric": "cosine"},
        {"negative_label": 3},
        {"iterator_train__resident": False},
        {"compile": True, "compile__backend": size.backend},
    ):
        what = ", ".join(f"{name}={value}" for name, value in params.items())
        yield what, partial(equal, size, X, y, what, params)


def equal(size, X, y, what, params):
    """Return how far features of a fit on the device lie from those of one on the CPU."""

    def fit(device):
        model = CenterLossClassifier(
            hidden_layer_sizes=(64,),
            max_epochs=2,
            random_state=0,
            device=device,
            warm_start=True,
            **params,
        )
        return model.fit(X, y)

    there, here = fit(str(size.device)), fit("cpu")
    file = io.BytesIO()
    joblib.dump(there, file)
    file.seek(0)
    loaded = joblib.load(file)
    loaded.net_.device = "cpu"
    loaded.net_.module_.cpu()
    expected = here.transform(X)
    away = max(abs(model.transform(X) - expected).max() for model in (there, loaded))
    away = max(away, abs(there.centers_ - here.centers_).max())
    return Row(what, "the CPU", f"{away:.1e}", f"{EQUAL:g}", away / EQUAL, target=1)


def fits(size):
    """Time training, from batch sizes that leave a GPU idle to those that fill it."""
    for name, body, width, (X, y) in problems(size):
        for batch in size.batches:
            epochs = size.epochs(X, batch)
            what = f"fit, {name}, batch {batch}"

            def ours(body=body, X=X, y=y, epochs=epochs, batch=batch):
                ours_fit(X, y, epochs, batch, 0.1, module=body(), device=str(size.device))

            def hand(body=body, width=width, X=X, y=y, epochs=epochs, batch=batch):
                model = Headed(body(), width)
                handwritten_fit(X, y, epochs, batch, 0.1, model, size.device)

            sides = size.waited(ours), size.waited(hand)
            yield (
                what,
                partial(compare, what, HAND, FIT, *sides, size.repeats, epochs * len(X)),
            )
            if size.counts_memory:
                yield f"memory, {what}", partial(peak, size, what, ours, hand)
        if body is narrow:
            for batch in size.batches[:2]:
                epochs = size.epochs(X, batch)
                what = f"fit, {name}, batch {batch}"
                sides = (
                    size.waited(partial(ours, epochs=epochs, batch=batch)),
                    size.waited(
                        partial(skorch_fit, X, y, epochs, batch, device=str(size.device))
                    ),
                )
                yield what, partial(compare, what, "skorch", None, *sides, 1)


def peak(size, what, ours, theirs):
    """Return how much memory of the device two functions take."""
    found = [size.peak_memory(function) for function in (ours, theirs)]
    texts = [f"{value / 2**20:.0f} MiB" for value in found]
    return Row(f"memory, {what}", HAND, *texts, found[0] / max(found[1], 1))


def predictions(size):
    """Time predicting from an array to an array."""
    for name, body, width, (X, y) in problems(size):

        def row(name=name, body=body, width=width, X=X, y=y):
            model = handwritten_fit(X, y, 1, 1024, 0, Headed(body(), width), size.device)
            classifier = ours_fit(
                X, y, 1, 1024, 0.1, module=body(), device=str(size.device)
            )

            def hand():
                with torch.no_grad():
                    parts = torch.from_numpy(X).split(2**15)
                    labels = [model(part.to(size.device)).argmax(dim=1) for part in parts]
                    return torch.cat(labels).cpu().numpy()

            sides = (lambda: classifier.predict(X)), hand
            what = f"predict, {name}"
            return compare(what, HAND, PREDICT, *sides, size.repeats, len(X))

        yield f"predict, {name}", row


def variants(size):
    """Time options that may make training faster, against training with the defaults."""
    X, y = table(size.n_samples)
    batch = size.batches[len(size.batches) // 2]
    epochs = size.epochs(X, batch)
    compiled = {"compile": True, "compile__backend": size.backend}
    graphs = dict(compiled)
    if size.backend == "inductor":
        graphs["compile__mode"] = "reduce-overhead"

    def epoch(weight=0.1, **params):
        device = str(size.device)
        found = ours_fit(
            X, y, epochs + 2, batch, weight, module=Wide(), device=device, **params
        )
        return np.median(found.history_[2:, "dur"])  # the first epochs compile

    for name, params in (
        ("compiled", compiled),
        ("CUDA graphs", graphs),
        ("bf16", {"precision": "bf16"}),
        ("streamed", {"iterator_train__resident": False}),
        ("lambda 0", {"weight": 0}),
    ):

        def row(name=name, params=params):
            sides = epoch(**params), epoch()
            what = f"epoch, MLP 512-128, batch {batch}, {name}"
            return Row(what, "as it comes", *map(unit, sides), sides[0] / sides[1])

        yield name, row


def steps(size):
    """Time loss, gradient and update of centers against the rows that have to move."""
    speed = bandwidth(size)
    copied = Row("a copy on the device", "", f"{speed / 1e9:.3g} GB/s", "", 1.0)
    yield "copy", lambda: copied
    for n_classes in size.classes:
        for name in ("eager", "compiled"):
            what = f"loss and update, {n_classes} classes, {name}"
            yield what, partial(step_row, size, what, n_classes, name, speed)


def step_row(size, what, n_classes, name, speed):
    """Time a step of many classes, and compare the bytes that it moves with a copy."""
    shape = size.step_batch, size.feature_dim
    with torch.device(size.device):  # not first in the memory of the host
        center = Center(shape[1], n_classes, center=torch.zeros)
    rows = torch.zeros(n_classes, shape[1], device=size.device)
    features = torch.randn(shape, device=size.device, requires_grad=True)
    labels = torch.randint(n_classes, (len(features),), device=size.device)

    def loss(features, labels):
        return center_loss(features, labels, center)

    function = torch.compile(loss, backend=size.backend) if name == "compiled" else loss

    def ours():
        features.grad = None
        function(features, labels).backward()

    def floor():
        with torch.no_grad():
            gathered = rows.index_select(0, labels)
            rows.index_add_(0, labels, gathered - features)

    def often(function):
        return size.waited(lambda: [function() for _ in range(20)])

    against = "gather and scatter of the same rows"
    row = compare(what, against, STEP, often(ours), often(floor), 3 * size.repeats)
    # Features, rows and gradient are read or written at least once, rows twice.
    moved = 4 * features.numel() * features.element_size()
    share = moved / speed / (seconds(often(ours)) / 20)
    row.what += f" ({share:.0%} of the speed of a copy)"
    return row


def bandwidth(size):
    """Return how many bytes a second a copy on the device reads and writes."""
    source = torch.zeros(size.copy_bytes // 4, device=size.device)
    target = torch.empty_like(source)
    copy = size.waited(lambda: target.copy_(source))
    copy()
    return 2 * source.nbytes / min(seconds(copy) for _ in range(5))


def searches(size):
    """Time a search over samples of the host, those of the device, and by two processes."""
    X, y = table(size.n_samples)
    batch = size.batches[-1]
    epochs = size.epochs(X, batch)

    def search(X, n_jobs=None):
        classifier = CenterLossClassifier(
            hidden_layer_sizes=(64,),
            max_epochs=epochs,
            batch_size=batch,
            random_state=0,
            device=str(size.device),
        )
        grid = {"lambda_center": [0, 0.1], "lr": [1e-3, 1e-2]}
        GridSearchCV(classifier, grid, cv=2, n_jobs=n_jobs).fit(X, y)

    there = torch.from_numpy(X).to(size.device)
    what = f"GridSearchCV, 4 candidates x 2 folds, {len(X)} x {N_INPUTS}"
    as_it_comes = "of an array, in one process"
    for name, ours in (
        ("of a tensor on the device", lambda: search(there)),
        ("by two processes", lambda: search(X, n_jobs=2)),
    ):
        sides = size.waited(ours), size.waited(lambda: search(X))
        yield name, partial(compare, f"{what}, {name}", as_it_comes, None, *sides, 1)


GROUPS = (correctness, fits, predictions, steps, variants, searches)

"""Measure speed and memory against what a user would write or take instead.

    python -m benchmarks.speed

Both sides of a comparison run in turn in one process, with the same number of threads, so
that what else the machine does meets both. A row has the median time of each side and the
median of the ratios of neighboring runs, with the lower and upper quartile; the target is
the largest ratio allowed. Two more tables show how cost grows and where the time of a step
goes. ``--data-dir`` is the folder with ``mnist.npz``; without it MNIST comes from OpenML.
"""

import argparse
import gc
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.utils._testing import ignore_warnings
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks.data import load
from benchmarks.runs import environment
from benchmarks.tables import markdown
from sk_center import Center, CenterLossClassifier
from sk_center.centers import nearest
from sk_center.losses import center_loss
from sk_center.networks import ConvNet

N_INPUTS, N_FEATURES, N_CLASSES = 64, 64, 10


@dataclass
class Row:
    """A line of the table: what was measured, against what, and the target if any."""

    what: str
    against: str
    ours: str
    theirs: str
    ratio: float
    quartiles: tuple = (0, 0)
    target: float | None = None

    def cells(self):
        """Return the line as texts."""
        low, high = self.quartiles
        spread = "" if low == high else f" [{low:.2f}, {high:.2f}]"
        ratio = f"{self.ratio:.2f}{spread}"
        target = verdict = ""
        if self.target is not None:
            target = f"{self.target:g}"
            verdict = "met" if self.ratio <= self.target else "**missed**"
        return [
            self.what,
            self.against,
            self.ours,
            self.theirs,
            ratio,
            target,
            verdict,
        ]


def compare(what, against, target, ours, theirs, repeats):
    """Time two functions in turn, after one run of each that does not count."""
    ours(), theirs()
    times = np.array([[seconds(side) for side in (ours, theirs)] for _ in range(repeats)])
    ratios = times[:, 0] / times[:, 1]
    medians = [unit(value) for value in np.median(times, axis=0)]
    quartiles = tuple(np.quantile(ratios, [0.25, 0.75]))
    return Row(what, against, *medians, float(np.median(ratios)), quartiles, target)


def seconds(function):
    """Return how long a call takes."""
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def unit(value):
    """Return seconds as text."""
    for name, size in (("s", 1), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value / 1e-6:.3g} µs"


def table(n_samples, seed=0):
    """Return samples of ten clouds in 64 dimensions, float32, and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(N_CLASSES, size=n_samples)
    middles = 2 * rng.normal(size=(N_CLASSES, N_INPUTS))
    X = middles[y] + rng.normal(size=(n_samples, N_INPUTS))
    return X.astype(np.float32), y


def hidden_layer():
    """Return the network of the comparisons: one hidden layer, rectified."""
    return nn.Sequential(nn.Linear(N_INPUTS, N_FEATURES), nn.ReLU())


class Headed(nn.Module):
    """Any body with a dense layer on its features, as one would write it."""

    def __init__(self, body=None, feature_dim=N_FEATURES):
        super().__init__()
        self.body = hidden_layer() if body is None else body
        self.head = nn.Linear(feature_dim, N_CLASSES)

    def forward(self, X):
        """Return the logits."""
        return self.head(self.body(X))


def handwritten_fit(X, y, max_epochs, batch_size, lambda_center, model=None, device="cpu"):
    """Train as one would write it, with center loss and moving averages."""
    torch.manual_seed(0)
    model = (Headed() if model is None else model).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    X, y = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)
    centers = torch.zeros(N_CLASSES, model.head.in_features, device=device)
    for _ in range(max_epochs):
        order = torch.randperm(len(X), device=device)
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            inputs, labels = X[rows].float(), y[rows]
            features = model.body(inputs)
            loss = nn.functional.cross_entropy(model.head(features), labels)
            if lambda_center:
                apart = features - centers[labels]
                loss = loss + lambda_center * 0.5 * apart.square().sum(dim=1).mean()
                with torch.no_grad():
                    counts = torch.bincount(labels, minlength=N_CLASSES)[:, None]
                    moves = torch.zeros_like(centers).index_add_(0, labels, apart.detach())
                    centers += 0.1 * moves / counts.clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def ours_fit(X, y, max_epochs, batch_size, lambda_center, **params):
    """Train with this package."""
    classifier = CenterLossClassifier(
        params.pop("module", hidden_layer()),
        max_epochs=max_epochs,
        batch_size=batch_size,
        lambda_center=lambda_center,
        random_state=0,
        **{"device": "cpu", **params},
    )
    return classifier.fit(X, y)


def skorch_fit(X, y, max_epochs, batch_size):
    """Train with skorch as it comes, but for the split that it makes by default."""
    net = NeuralNetClassifier(
        Headed,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=max_epochs,
        batch_size=batch_size,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )
    return net.fit(X, y)


def fits(size):
    """Yield comparisons of training on a table."""
    X, y = table(size.n_samples)
    epochs, repeats = size.epochs, size.repeats
    name = f"fit, {len(X)} x {N_INPUTS}, {epochs} epochs, batch "

    def ours(batch, weight):
        return lambda: ours_fit(X, y, epochs, batch, weight)

    for batch in (128, 256):
        yield compare(
            f"{name}{batch}, lambda 0.1",
            "hand-written loop with center loss",
            1.05,
            ours(batch, 0.1),
            lambda batch=batch: handwritten_fit(X, y, epochs, batch, 0.1),
            repeats,
        )
        yield compare(
            f"{name}{batch}, lambda 0",
            "MLPClassifier",
            1.1,
            ours(batch, 0),
            lambda batch=batch: MLPClassifier(
                (N_FEATURES,),
                batch_size=batch,
                max_iter=epochs,
                tol=0,
                n_iter_no_change=epochs,
            ).fit(X, y),
            repeats,
        )
        yield compare(
            f"{name}{batch}, lambda 0",
            "skorch as it comes",
            0.35,
            ours(batch, 0),
            lambda batch=batch: skorch_fit(X, y, epochs, batch),
            repeats,
        )
    for batch in (128, 256, 512):
        what = f"{name}{batch}, lambda 0.1"
        pair = ours(batch, 0.1), ours(batch, 0)
        yield compare(what, "the same with lambda 0", 1.15, *pair, repeats)


def compiled_steps(size):
    """Yield comparisons of an epoch with ``compile=True``, after what compiles."""
    X, y = table(size.n_samples)
    epochs = 2 * size.repeats + 1
    for batch in (128, 512):
        durations = {}
        for key, weight, compiled in (
            ("eager", 0.1, False),
            ("compiled", 0.1, True),
            ("lambda 0", 0, True),
        ):
            params = {"compile": True, "compile__backend": size.backend} if compiled else {}
            found = ours_fit(X, y, epochs, batch, weight, **params)
            durations[key] = np.array(found.history_[1:, "dur"])
        name = f"epoch, {len(X)} x {N_INPUTS}, batch {batch}, lambda 0.1, compiled"
        for against, other in (("eager", "eager"), ("lambda 0, compiled", "lambda 0")):
            sides = [np.median(durations[side]) for side in ("compiled", other)]
            yield Row(name, against, *map(unit, sides), sides[0] / sides[1])


def predictions(size):
    """Yield comparisons of predicting."""
    X, y = table(size.n_samples)
    model = handwritten_fit(X, y, 1, 256, 0)
    classifier, net = ours_fit(X, y, 1, 256, 0.1), skorch_fit(X, y, 1, 256)

    def loop(X):
        with torch.no_grad():
            return model(torch.from_numpy(X).float()).argmax(dim=1).numpy()

    for dtype in (np.float32, np.float64):
        given = X.astype(dtype)
        yield compare(
            f"predict, {len(X)} x {N_INPUTS}, {given.dtype}",
            "hand-written, in one chunk",
            1.2,
            lambda given=given: classifier.predict(given),
            lambda given=given: loop(given),
            5 * size.repeats,
        )
    one = X[:1]
    yield compare(
        "predict one row, 200 times",
        "skorch",
        0.5,
        lambda: [classifier.predict(one) for _ in range(200)],
        lambda: [net.predict(one) for _ in range(200)],
        5 * size.repeats,
    )


def large_label_sets(size):
    """Yield comparisons of one step at many classes with the rows it has to move."""
    n_samples = feature_dim = 512
    for n_classes in (1_000, 100_000, size.most_classes):
        center = Center(feature_dim, n_classes, center=torch.zeros)
        rows = torch.zeros(n_classes, feature_dim)
        features = torch.randn(n_samples, feature_dim, requires_grad=True)
        labels = torch.randint(n_classes, (n_samples,))

        def loss(features, labels, center=center):
            return center_loss(features, labels, center)

        def step(loss=loss, features=features, labels=labels):
            features.grad = None
            loss(features, labels).backward()

        def floor(rows=rows, features=features, labels=labels):
            with torch.no_grad():
                gathered = rows.index_select(0, labels)
                rows.index_add_(0, labels, gathered - features)

        yield compare(
            f"loss, gradient and update, {n_classes} classes",
            "gather and scatter of the same rows",
            2.0,
            lambda step=step: [step() for _ in range(20)],
            lambda floor=floor: [floor() for _ in range(20)],
            5 * size.repeats,
        )
    compiled = torch.compile(loss, backend=size.backend)
    yield compare(
        f"the same, {n_classes} classes, compiled",
        "gather and scatter of the same rows",
        None,
        lambda: [step(compiled) for _ in range(20)],
        lambda: [floor() for _ in range(20)],
        5 * size.repeats,
    )


def images(size):
    """Yield the comparison of training a ConvNet on MNIST."""
    if size.mnist:
        X, y, _ = load("mnist", size.data_dir)
        X, y = X[: size.n_images], y[: size.n_images].astype(np.int64)
    else:
        X = np.zeros((size.n_images, 1, 28, 28), dtype=np.float32)
        y = np.arange(size.n_images) % N_CLASSES
    epochs = size.image_epochs

    def network():
        return ConvNet((1, 28, 28))

    yield compare(
        f"fit, ConvNet, {len(X)} images of MNIST, {epochs} epochs, batch 128",
        "hand-written loop with center loss",
        1.03,
        lambda: ours_fit(X, y, epochs, 128, 0.1, module=network()),
        lambda: handwritten_fit(X, y, epochs, 128, 0.1, Headed(network(), 128)),
        size.repeats,
    )


class Digits(nn.Module):
    """A network for digits that a search may size."""

    def __init__(self, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, N_CLASSES)
        )

    def forward(self, X):
        """Return the logits."""
        return self.layers(X)


def searches(size):
    """Yield the comparison of a grid search on digits."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    lrs = [1e-3, 2e-3, 5e-3]
    epochs = size.search_epochs

    def ours():
        grid = {"lr": lrs, "lambda_center": [0, 0.01, 0.1, 1]}
        classifier = CenterLossClassifier(
            hidden_layer_sizes=(64,), max_epochs=epochs, batch_size=64, random_state=0
        )
        return GridSearchCV(classifier, grid, cv=3, n_jobs=2).fit(X, y)

    def theirs():
        grid = {"lr": lrs, "optimizer__weight_decay": [0, 1e-4, 1e-3, 1e-2]}
        net = NeuralNetClassifier(
            Digits,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            max_epochs=epochs,
            batch_size=64,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
        )
        return GridSearchCV(net, grid, cv=3, n_jobs=2).fit(X, y)

    yield compare(
        "GridSearchCV, 12 candidates x 3 folds of digits, n_jobs=2",
        "skorch",
        0.5,
        ours,
        theirs,
        max(size.repeats // 3, 1),
    )


def sizes(size):
    """Yield what pickles, trainings, predictions and imports take."""
    X, y = table(2_000)
    for layers in ((64,), (512, 128)):
        # Not a module of one's own, which is a parameter and kept beside the trained one.
        params = {"module": "auto", "hidden_layer_sizes": layers}
        classifier = ours_fit(X, y, 100, 256, 0.1, **params)
        needed = sum(tensor.nbytes for tensor in classifier.module_.state_dict().values())
        needed += classifier.classes_.nbytes
        taken = len(pickle.dumps(classifier))
        yield Row(
            f"pickle after 100 epochs, layers {layers}",
            "parameters, centers and classes",
            f"{taken / 1e3:.4g} kB",
            f"{needed / 1e3:.4g} kB",
            taken / needed,
            target=1.2,
        )
    extra = peak(PREDICT, size.n_large)
    yield Row(
        f"peak memory of predict, {size.n_large} x {N_INPUTS}",
        "input and output, and 256 MB",
        f"{extra / 1e6:.4g} MB",
        "256 MB",
        extra / 256e6,
        target=1.0,
    )
    n_samples = 10 * size.n_samples
    # The least, since now and then the kernel counts pages that nobody has touched.
    taken = {
        side: max(min(peak(FIT, n_samples, side) for _ in range(size.repeats)), 1)
        for side in FITS
    }
    for side, name in (("handwritten", "hand-written loop"), ("skorch", "skorch")):
        yield Row(
            f"peak memory of fit, {n_samples} x {N_INPUTS}, above the data",
            name,
            f"{taken['ours'] / 1e6:.4g} MB",
            f"{taken[side] / 1e6:.4g} MB",
            taken["ours"] / taken[side],
        )
    for line in ("import sk_center", "from sk_center import OpenSetClassifier"):
        count = "sum(name.split('.')[0] == 'torch' for name in sys.modules)"
        n_modules = int(run_python(f"{line}; import sys; print({count})"))
        yield Row(
            f"{line}: modules of torch", "none", f"{n_modules}", "0", n_modules, target=0
        )
        against = "import sklearn.base, sklearn.utils.validation"
        runs = [
            [seconds(lambda code=code: run_python(code)) for code in (line, against)]
            for _ in range(size.repeats)
        ]
        ours, theirs = np.median(runs, axis=0)
        yield Row(line, against, unit(ours), unit(theirs), ours / theirs)


def run_python(code, *args):
    """Return what code prints in a Python process of its own."""
    words = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


PEAK = """
import sys
import numpy as np, torch
from benchmarks.speed import *
n, threads, side = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)
"""
PREDICT = (
    PEAK
    + """
classifier = ours_fit(*table(2_000), 1, 256, 0.1)
classifier.predict(table(2_000)[0])
X = np.zeros((n, N_INPUTS), dtype=np.float32)
X += 1  # so that its pages are there
before = start_of_peak()
labels = classifier.predict(X)
print(peak_memory() - before - labels.nbytes)
"""
)
FIT = (
    PEAK
    + """
FITS[side](*table(2_000), 1, 128)
X, y = table(n)
before = start_of_peak()
FITS[side](X, y, 1, 128)
print(peak_memory() - before)
"""
)
FITS = {
    "ours": lambda *args: ours_fit(*args, 0.1),
    "handwritten": lambda *args: handwritten_fit(*args, 0.1),
    "skorch": lambda *args: skorch_fit(*args),
}


def peak_memory(name="VmHWM"):
    """Return the peak of the memory of this process in bytes, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def start_of_peak():
    """Forget the peak so far and return the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory("VmRSS")


def peak(code, n_samples, side="ours"):
    """Return by how many bytes something raises the peak of a process of its own."""
    return int(run_python(code, n_samples, torch.get_num_threads(), side))


def gpu(size):
    """Yield comparisons on a GPU, where there is one."""
    if not torch.cuda.is_available():
        return
    X, y = table(size.n_samples)
    epochs, batch, name = size.epochs, 1024, torch.cuda.get_device_name()

    def ours(**params):
        def fit():
            ours_fit(X, y, epochs, batch, 0.1, device="cuda", **params)
            torch.cuda.synchronize()

        return fit

    def loop():
        handwritten_fit(X, y, epochs, batch, 0.1, device="cuda")
        torch.cuda.synchronize()

    what = f"{name}: fit, {len(X)} x {N_INPUTS}, {epochs} epochs, batch {batch}"
    hand = "hand-written loop, data on the GPU"
    yield compare(what, hand, 1.05, ours(), loop, size.repeats)
    streamed = ours(iterator_train__resident=False)
    yield compare(f"{what}, streamed", "data on the GPU", None, streamed, ours(), 3)
    for key, params in (
        ("compiled", {"compile": True}),
        ("CUDA graphs", {"compile": True, "compile__mode": "reduce-overhead"}),
        ("bf16", {"precision": "bf16"}),
    ):
        yield compare(f"{what}, {key}", "as it comes", None, ours(**params), ours(), 3)


def growth(size):
    """Yield how long things take as one size grows tenfold: rows of the second table."""
    largest = size.most_classes

    def timed(function):
        function()
        return unit(np.median([seconds(function) for _ in range(size.repeats)]))

    def row(what, values, function):
        cells = [f"{value}: {timed(function(value))}" for value in values]
        return [what, ", ".join(cells)]

    def fit(n):
        X, y = table(n)
        return lambda: ours_fit(X, y, 1, 128, 0.1)

    def step(n_classes, feature_dim):
        center = Center(feature_dim, n_classes, center=torch.zeros)
        features = torch.randn(512, feature_dim, requires_grad=True)
        labels = torch.randint(n_classes, (512,))
        return lambda: [center_loss(features, labels, center).backward() for _ in range(20)]

    def predict(n_classes):
        features = torch.randn(1_000, N_FEATURES)
        centers = torch.randn(n_classes, N_FEATURES)
        return lambda: nearest(features, centers)

    n = size.n_samples
    yield row("an epoch, by n", (n // 10, n, 10 * n), fit)
    yield row(
        "20 steps of 512 x D, 1,000 classes, by D",
        (64, 512, 4096),
        lambda d: step(1_000, d),
    )
    yield row(
        "20 steps of 512 x 512, by classes C",
        (1_000, largest // 10, largest),
        lambda c: step(c, 512),
    )
    yield row(
        "nearest of K centers, 1,000 samples, D = 64, by K", (10, 1_000, 100_000), predict
    )


def profile(size):
    """Yield where the time of a training step goes: rows of the third table."""
    X, y = table(size.n_samples)
    for weight in (0, 0.1):
        classifier = ours_fit(X, y, 1, 128, weight)
        net, spent = classifier.net_, {}
        net.ensure_optimizer()

        def clock(owner, name, spent=spent):
            function = getattr(owner, name)

            def run(*args, **kwargs):
                start = time.perf_counter()
                try:
                    return function(*args, **kwargs)
                finally:
                    spent[name] = spent.get(name, 0) + time.perf_counter() - start

            vars(owner)[name] = run

        center = net.module_.center
        for owner, name in (
            (net, "train_step"),
            (net, "train_step_single"),
            (net, "infer"),
            (net, "get_loss"),
            (net, "_zero_grad_optimizer"),
            (net, "_step_optimizer"),
            (center, "pull"),
        ):
            clock(owner, name)
        start = time.perf_counter()
        net.partial_fit(X, y, epochs=size.epochs)
        total = time.perf_counter() - start
        n_steps = size.epochs * -(-len(X) // 128)
        pull = spent.get("pull", 0)
        optimizer = spent["_zero_grad_optimizer"] + spent["_step_optimizer"]
        inside = spent["infer"] + spent["get_loss"]
        parts = {
            "batches and epoch": total - spent["train_step"],
            "network": spent["infer"],
            "cross entropy and node of center loss": spent["get_loss"] - pull,
            "centers: deviations and update": pull,
            "backward": spent["train_step_single"] - inside,
            "optimizer": optimizer,
            "skorch's step": spent["train_step"] - spent["train_step_single"] - optimizer,
        }
        for part, value in parts.items():
            yield [f"lambda {weight}", part, unit(value / n_steps), f"{value / total:.0%}"]


GROUPS = (
    fits,
    compiled_steps,
    predictions,
    large_label_sets,
    images,
    searches,
    sizes,
    gpu,
)
TABLES = {
    growth: ("How cost grows", ["what", "time"]),
    profile: ("Where the time of a step goes", ["training", "part", "time", "share"]),
}


@dataclass
class Size:
    """How much is measured."""

    n_samples: int = 50_000
    n_images: int = 3_200
    image_epochs: int = 10
    n_large: int = 1_000_000
    most_classes: int = 1_000_000
    epochs: int = 10
    search_epochs: int = 20
    repeats: int = 5
    data_dir: str | None = None
    mnist: bool = True
    backend: str = "inductor"


QUICK = Size(
    n_samples=2_000,
    n_images=256,
    image_epochs=1,
    n_large=20_000,
    most_classes=100_000,
    epochs=1,
    search_epochs=2,
    repeats=1,
    mnist=False,
    backend="eager",
)


@ignore_warnings(category=ConvergenceWarning)
def main(argv=None):
    """Run the comparisons, write the table and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", help="folder with mnist.npz")
    parser.add_argument("--out", default="benchmarks/results", help="folder of the table")
    parser.add_argument("--groups", default="*", help="which, of " + names_of_groups())
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--quick", action="store_true", help="only try that all runs")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    size = replace(QUICK if args.quick else Size(), data_dir=args.data_dir)
    rows = []
    for group in GROUPS:
        if fnmatch(group.__name__, args.groups):
            for row in group(size):
                rows.append(row)
                print(" | ".join(row.cells()), file=sys.stderr)
    if not rows:
        parser.error(
            f"--groups must match one of {names_of_groups()}; got {args.groups!r}."
        )
    header = ["what", "against", "ours", "theirs", "ratio", "target", "verdict"]
    text = [
        "# Speed",
        f"Threads of torch: {args.threads}. Made on {datetime.now(UTC):%Y-%m-%d} with "
        f"{environment()}.",
        markdown(header, [row.cells() for row in rows]),
    ]
    for function, (title, header) in TABLES.items() if args.groups == "*" else ():
        text += [f"## {title}", markdown(header, list(function(size)))]
    path = Path(args.out, "speed-quick.md" if args.quick else "speed.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(path)
    return 0


def names_of_groups():
    """Return the names of the groups of comparisons."""
    return ", ".join(group.__name__ for group in GROUPS)


if __name__ == "__main__":
    sys.exit(main())

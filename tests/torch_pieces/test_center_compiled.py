"""A Center in compiled code."""

import shutil

import pytest
import torch
from center_cases import CLOSE, N_CLASSES, N_FEATURES, RULES, one_batch, random_batches
from numpy.testing import assert_allclose

import sk_center.centers.center as center_module
from sk_center import Center

# By another step than "sum", or none, and what the method deviation does, too.
LIKE_OTHERS = ("wen", "fixed", "ema")


@pytest.mark.parametrize(
    ("update", "method"),
    [
        ("ema", "deviation"),
        *(
            pytest.param(
                rule, "forward", marks=pytest.mark.slow if rule in LIKE_OTHERS else []
            )
            for rule in RULES
        ),
    ],
)
def test_compiled_equals_eager(update, method):
    """Check that the compiled module, in one graph, moves as the eager one does."""
    torch.compiler.reset()
    module, twin = (Center(N_FEATURES, N_CLASSES, update=update) for _ in range(2))
    twin.load_state_dict(module.state_dict())
    compiled = torch.compile(getattr(module, method), fullgraph=True, backend="aot_eager")
    batches = random_batches(seed=21, n_batches=3)
    # A batch of another size and a bad row must not leave the graph either.
    batches += random_batches(seed=22, n_batches=2, n_samples=5)
    batches[1][0][2, 1] = float("nan")
    for X, y in batches:
        expected = getattr(twin, method)(X, y)
        assert_allclose(compiled(X, y).numpy(), expected.numpy(), **CLOSE)
        assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)
    assert torch.equal(module.count, twin.count)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="the inductor of torch 2.8 computes something else",
)
def test_compiled_with_inductor_equals_eager():
    """Check that the default backend of torch.compile gives the eager centers."""
    torch.compiler.reset()
    module, twin = Center(N_FEATURES, N_CLASSES), Center(N_FEATURES, N_CLASSES)
    twin.load_state_dict(module.state_dict())
    compiled = torch.compile(module, fullgraph=True)
    for X, y in random_batches(seed=23, n_batches=3):
        before = twin(X, y)
        assert_allclose(compiled(X, y).numpy(), before.numpy(), **CLOSE)
        assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)


@pytest.mark.parametrize("label", [-1, N_CLASSES])
def test_compiled_label_out_of_range_raises(label):
    """Check that a compiled module does not take -1 for the last class."""
    torch.compiler.reset()
    module = Center(N_FEATURES, N_CLASSES)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    X, y = one_batch()
    compiled(X, y)
    start = module.predict()
    y[0] = label
    with pytest.raises(RuntimeError, match="labels"):
        compiled(X, y)
    assert torch.equal(module.predict(), start)


@pytest.mark.filterwarnings("ignore:The centers diverge")
@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_looking_at_values_changes_nothing(update, given, weighted, monkeypatch):
    """Check that the short cuts of a CPU give what a device that must not wait computes."""
    start = torch.randn(N_CLASSES, N_FEATURES) if given else None
    generator = torch.Generator().manual_seed(0)
    out = []
    for hides in (False, True):
        generator.manual_seed(0)
        torch.manual_seed(0)
        monkeypatch.setattr(center_module, "hidden", lambda values, hides=hides: hides)
        # With alpha of 0.5 some classes are past their first batches, and some are not.
        module = Center(N_FEATURES, N_CLASSES, 0.5, start, update=update)
        for step in range(40):
            X = torch.randn(6, N_FEATURES, generator=generator)
            y = torch.randint(N_CLASSES - (step < 30), (6,), generator=generator)
            if step == 20:
                X[1, 2] = torch.inf
            weight = torch.rand(6, generator=generator).round() if weighted else None
            deviation, total = module.pull(X, y, weight)
        out.append([module.center, module.count, deviation, total])
    for looked, hidden in zip(*out):
        assert_allclose(looked, hidden, rtol=1e-6)

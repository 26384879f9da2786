"""Tests of OpenMax."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from scipy.stats import weibull_min

from sk_center.scores import (
    OpenMax,
)


@pytest.mark.parametrize("alpha", [None, 1, 2, 9])
def test_openmax(alpha):
    """Check OpenMax against algorithms 1 and 2 of the paper, one sample at a time."""
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    logits = 6 * np.eye(3)[y] + rng.normal(size=(150, 3)) * 2
    new = rng.normal(size=(20, 3)) * 8
    tail_size, n_top = 12, min(alpha or 3, 3)
    means, weibulls = [], []
    for k in range(3):
        group = [v for v, label in zip(logits, y) if label == k == v.argmax()]
        means.append(np.mean(group, axis=0))
        distances = sorted(np.sqrt(((v - means[k]) ** 2).sum()) for v in group)
        weibulls.append(weibull_min.fit(distances[-tail_size:], floc=0))
    expected = []
    for v in new:
        revised, unknown = v.copy(), 0.0
        for place, k in enumerate(sorted(range(3), key=lambda k: -v[k])[:n_top], start=1):
            d = np.sqrt(((v - means[k]) ** 2).sum())
            w = 1 - (n_top + 1 - place) / n_top * weibull_min.cdf(d, *weibulls[k])
            revised[k] = v[k] * w
            unknown += v[k] * (1 - w)
        expected.append(softmax([*revised, unknown])[:3])
    score = OpenMax(tail_size, alpha=alpha).fit(logits, y)
    assert_allclose(score.score_classes(new), expected, rtol=1e-3, atol=1e-6)
    assert pickle.loads(pickle.dumps(score)).score_samples(new).shape == (20,)


def test_openmax_without_tails():
    """Check classes of one sample, and one that its logit is never largest for."""
    logits = np.array([[5.0, 1, 0], [4, 1, 0], [0, 5, 1], [6, 0, 2.0]])
    score = OpenMax().fit(logits, [0, 0, 1, 2])
    assert_array_equal(score.means_[1:], logits[2:])
    assert np.isfinite(score.score_classes(logits + 3)).all()

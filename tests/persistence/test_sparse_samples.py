"""Models whose score keeps sparse samples: saved, loaded, and refused where damaged."""

import numpy as np
import pytest
from fuzz_load import joined, split
from saved_models import assert_alike, round_trip
from scipy.sparse import csr_array, csr_matrix, random_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sk_center import OpenSetClassifier, load, save

pytestmark = pytest.mark.filterwarnings("ignore:Hardly any outsider")
TEXT = "sklearn.feature_extraction.text."


def fitted(kind=csr_matrix, **params):
    """Return a model of sparse samples of more columns than become dense, and samples."""
    rng = np.random.default_rng(0)
    X, y = kind(random_array((120, 150), density=0.1, rng=rng)), np.arange(120) % 3
    model = OpenSetClassifier(LogisticRegression(), cv=0.2, random_state=0, **params)
    return model.fit(X, y), X


@pytest.mark.parametrize("score", ["auto", "knn"])
@pytest.mark.parametrize("kind", [csr_matrix, csr_array])
def test_sparse_samples_come_back(kind, score, tmp_path):
    """Check that nothing has to be trusted, and that samples are sparse as before."""
    model, X = fitted(kind, conformity_score=score)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    score = loaded.score_ if score == "knn" else loaded.score_.scores_[0]
    assert type(score.samples_) is kind


def test_texts(tmp_path):
    """Check the default score behind a vectorizer, and what load asks to trust."""
    words = np.random.default_rng(0).choice([f"word{i}" for i in range(200)], (120, 6))
    X, y = [" ".join(text) for text in words], np.arange(120) % 3
    pipe = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = OpenSetClassifier(pipe, cv=0.2, random_state=0).fit(X, y)
    save(model, tmp_path / "model")
    first, second = f"{TEXT}TfidfTransformer", f"{TEXT}TfidfVectorizer"
    with pytest.raises(ValueError, match=f"pass trusted=.'{first}', '{second}'."):
        load(tmp_path / "model", trusted=[first])
    assert_alike(model, load(tmp_path / "model", trusted=[first, second]), X)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("indices", lambda values: values + 150),
        ("indices", lambda values: values - 150),
        ("indices", lambda values: values.astype(float)),
        ("indices", lambda values: values[:-1]),
        ("indptr", lambda values: values[::-1]),
        ("indptr", lambda values: values * 2),
        ("indptr", lambda values: values[:-1]),
        ("data", lambda values: values[:-1]),
        ("data", lambda values: values.astype(int)),
    ],
)
def test_damaged_samples_are_refused(part, change, tmp_path):
    """Check that indices outside of the matrix never reach compiled code."""
    model, _ = fitted(conformity_score="knn")
    save(model, tmp_path / "model")
    content, arrays = split((tmp_path / "model").read_bytes())
    (name,) = (name for name in arrays if name.endswith(f"samples_.{part}"))
    arrays[name] = change(arrays[name])
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(tmp_path / "model")

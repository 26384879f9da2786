"""Files whose parts do not go together, or that other versions wrote."""

import joblib
import numpy as np
import pytest
import safetensors.numpy
from fuzz_load import joined, split
from hostile_cases import AFFINE, edited
from saved_models import X, Y
from sklearn.linear_model import LogisticRegression

from sk_center import load

CALIBRATION = "fitted.calibration_.fitted"
REPORT = "fitted.calibration_report_.fitted"
OPEN_SET = {
    "threshold": {"fitted.thresholds_": np.array([0.25, 1, 0.25])},
    "no threshold": {"fitted.thresholds_": np.array([0.25, np.nan, 0.25])},
    "other thresholds": {"fitted.thresholds_": np.array([0.25, 0.2, 0.25])},
    "outlier is a class": {"params.outlier_label": 1, "fitted.outlier_label_": 1},
    "outlier of another kind": {"fitted.outlier_label_": "x"},
    "classes": {"fitted.classes_": np.array([0, 1, 3])},
    "group": {"fitted.groups_": np.array([0, 0, 1])},
    "negative group": {"fitted.groups_": np.array([0, 0, -1])},
    "fewer samples": {f"{CALIBRATION}.n_samples_": np.array([1])},
    "negative number": {f"{CALIBRATION}.n_samples_": np.array([-1])},
    "more groups": {f"{CALIBRATION}.means_": np.array([1.0, 1.0])},
    "mean": {f"{CALIBRATION}.means_": np.array([0.0])},
    "degrees of freedom": {f"{CALIBRATION}.degrees_of_freedom_": {"float": "nan"}},
    "score": {"fitted.score_.fitted.classes_": np.array([0, 1])},
    "estimator": {"fitted.estimator_": AFFINE},
    "no guarantee": {f"{REPORT}.guarantee": "none"},
    "rate": {f"{REPORT}.rate_allowed": np.array([0.25, 2.0, 0.25])},
    "report of others": {f"{REPORT}.classes": np.array([0, 1])},
    "empty report": {"fitted.calibration_report_.fitted": {}},
}


@pytest.mark.filterwarnings("ignore:The relative Mahalanobis")
@pytest.mark.parametrize("changes", OPEN_SET.values(), ids=OPEN_SET)
def test_open_set_that_does_not_fit(changes, files, tmp_path):
    """Check that an OpenSetClassifier of parts that do not go together is refused."""
    (tmp_path / "model").write_bytes(edited(files[5], changes))
    with pytest.raises(ValueError, match="cannot be loaded as a model of sk_center"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    "changes",
    [
        {"known_": np.ones((1, 3), dtype=bool)},
        {"spreads_": np.zeros(2)},
        {"medians_": np.zeros(2)},
    ],
    ids=str,
)
def test_combined_that_does_not_fit(changes, files, tmp_path):
    """Check that a combination is refused that would pass over one of its scores."""
    content, arrays = split(files[4])
    for name, array in changes.items():
        arrays[f"OpenSetClassifier.score_.{name}"] = array
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match=r"must (have the shape|be)"):
        load(tmp_path / "model")


def test_scores_out_of_order(files, tmp_path):
    """Check that calibration scores, in which p-values are looked up, are sorted."""
    content, arrays = split(files[5])
    (name,) = [name for name in arrays if name.endswith(".calibration_.scores_")]
    arrays[name] = arrays[name][::-1]
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match=r"scores_ must be in ascending order"):
        load(tmp_path / "model")


@pytest.mark.parametrize("change", ["shape", "missing", "dtype", "none"])
def test_moments_of_another_size(change, files, tmp_path):
    """Check that fused updates, which walk through memory, get moments of their size."""
    content, arrays = split(files[0])
    names = [name for name in arrays if name.endswith("exp_avg")]
    assert len(names) == 6
    if change == "shape":
        arrays[names[0]] = arrays[names[0]][:1]
    elif change == "missing":
        arrays[names[0]] = np.zeros(0, dtype=np.float32)
    elif change == "dtype":
        arrays[names[0]] = arrays[names[0]].astype(np.float64)
    path = tmp_path / "model"
    path.write_bytes(joined(content, arrays))
    if change in ("shape", "missing"):
        with pytest.raises(ValueError, match="the optimizer holds exp_avg of the shape"):
            load(path)
    else:
        load(path).fit(X, Y)


def test_newer_format(files, tmp_path):
    """Check that a file of a format to come says which version it needs."""
    content, arrays = split(files[0])
    (tmp_path / "model").write_bytes(joined({**content, "format_version": 2}, arrays))
    with pytest.raises(ValueError, match=r"version 2 of the format.*this version reads 1"):
        load(tmp_path / "model")


@pytest.mark.parametrize("made_with", [None, [], {"sklearn": 1}], ids=str)
def test_no_versions(made_with, files, tmp_path):
    """Check that a file is refused that does not say what it was made with."""
    content, arrays = split(files[3])
    (tmp_path / "model").write_bytes(joined({**content, "made_with": made_with}, arrays))
    with pytest.raises(ValueError, match="cannot be loaded as a model of sk_center"):
        load(tmp_path / "model")


def test_another_version_of_scikit_learn(files, tmp_path):
    """Check that a warning tells where estimators of another version were saved."""
    content, arrays = split(files[3])
    data = joined({**content, "made_with": {"sklearn": "0.9.1"}}, arrays)
    (tmp_path / "model").write_bytes(data)
    with pytest.warns(UserWarning, match=r"made with sklearn 0\.9\.1 \(here") as found:
        load(tmp_path / "model")
    assert found[0].filename == __file__


def test_other_safetensors(tmp_path):
    """Check that weights that somebody else saved are called so."""
    safetensors.numpy.save_file({"weight": np.zeros(3)}, tmp_path / "model")
    with pytest.raises(ValueError, match=r"was not written by sk_center\.save"):
        load(tmp_path / "model")


def test_file_of_joblib(tmp_path):
    """Check that a file that another library wrote is named as such."""
    joblib.dump(LogisticRegression(), tmp_path / "model.joblib")
    with pytest.raises(ValueError, match=r"no file of sk_center\.save.*joblib\.load"):
        load(tmp_path / "model.joblib")

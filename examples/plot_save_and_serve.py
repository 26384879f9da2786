"""
Save a model and serve it without torch
=======================================

A fitted classifier can be kept in three kinds of files: a pickle, which can run any program
when it is loaded; the file that :func:`~sk_center.save` writes, which cannot; and the ONNX
graph that :func:`~sk_center.to_onnx` writes, which answers without sk_center, scikit-learn
and torch.

The example writes all three, loads them elsewhere, compares the answers, and draws how long
an answer takes and how large the files are.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

if not os.environ.get("DISPLAY"):
    matplotlib.use("Agg")
import joblib
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, OpenSetClassifier, load, save, to_onnx

# %%
# Six digits are known. The test samples are known digits that took no part in training, and
# the four other digits, which should be rejected.

X, y = load_digits(return_X_y=True)
X = X / 16
known = ~np.isin(y, [3, 6, 7, 8])
X_train, X_test, y_train, _ = train_test_split(
    X[known], y[known], test_size=0.3, stratify=y[known], random_state=0
)
n_known = len(X_test)
X_test = np.concatenate([X_test, X[~known]])
model = OpenSetClassifier(CenterLossClassifier(random_state=0), random_state=0)
labels = model.fit(X_train, y_train).predict(X_test)
rejected = labels == model.outlier_label_
print(f"known digits: {rejected[:n_known].sum()} of {n_known} rejected")
print(f"other digits: {rejected[n_known:].sum()} of {len(X_test) - n_known} rejected")

# %%
# Three files
# -----------
# In a folder that is deleted at the end.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name)
joblib.dump(model, path / "model.joblib")
save(model, path / "model.safetensors")
to_onnx(model, path / "model.onnx")

# %%
# A pickle runs what it says
# --------------------------
# ``joblib.load`` and ``pickle.load`` call any function that the file names, with any
# arguments. This file, which is not a model, names ``print``. It could as well delete a
# folder.


class Harmful:
    def __reduce__(self):
        return print, ("printed by the file, while it was loaded",)


forged = path / "forged.model"
forged.write_bytes(pickle.dumps(Harmful()))
joblib.load(forged)

# %%
# ``load`` only reads the same bytes and runs no code from them. So unpickle only files of
# your own, and read files from others with ``load``.

try:
    load(forged)
except ValueError as error:
    print("ValueError:", str(error).replace(f"{path}{os.sep}", ""))

# %%
# Load it in another process
# --------------------------
# A new Python process, as after a restart, reads the file that ``save`` wrote.

np.save(path / "X_test.npy", X_test)


def run(code):
    """Run code in a new Python process in the folder; return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=path, check=True)
    return time.perf_counter() - start


seconds_python = run("""
import numpy as np
from sk_center import load

labels = load("model.safetensors").predict(np.load("X_test.npy"))
np.save("labels.npy", labels)
""")
same = np.sum(np.load(path / "labels.npy") == labels)
print(f"same label for {same} of {len(labels)} samples")

# %%
# Serve it without torch
# ----------------------
# The ONNX graph holds everything from the sample to the decision: network, conformity
# score, calibration and outlier label. The process below cannot import what the model was
# made with; it has numpy and onnxruntime alone. onnxruntime can be called from C, C++, C#,
# Java and JavaScript, too. The samples are float64 here, and float32 for some other models:
# see ``session.get_inputs()[0].type``.

seconds_onnx = run("""
import sys
for package in ("torch", "sk_center", "sklearn", "skorch", "scipy"):
    sys.modules[package] = None  # an import of it is an error

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(labels,) = session.run(["label"], {"X": np.load("X_test.npy")})
np.save("labels_onnx.npy", labels)
""")
same = np.sum(np.load(path / "labels_onnx.npy") == labels)
print(f"same label for {same} of {len(labels)} samples")

# %%
# What it costs
# -------------
# The time of an answer, the median of 30 calls, for one sample and for all test samples at
# once; and the time of the two processes above from start to end, measured once.

session = onnxruntime.InferenceSession(path / "model.onnx")


def median_seconds(answer, X):
    """Return the median time of a call, after one that does not count."""
    answer(X)
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        answer(X)
        seconds.append(time.perf_counter() - start)
    return np.median(seconds)


def answer_onnx(X):
    """Return the labels that the graph gives."""
    return session.run(["label"], {"X": X})[0]


def two_digits(value):
    """Return a number as text, with two significant digits."""
    return np.format_float_positional(value, 2, fractional=False, trim="-")


n = len(X_test)
seconds = {
    "predict": [
        median_seconds(model.predict, X_test[:1]),
        median_seconds(model.predict, X_test),
        seconds_python,
    ],
    "onnxruntime": [
        median_seconds(answer_onnx, X_test[:1]),
        median_seconds(answer_onnx, X_test),
        seconds_onnx,
    ],
}
what = ["one sample", f"{n} samples", f"new process:\nstart, load,\n{n} samples"]
files = ["model.joblib", "model.safetensors", "model.onnx"]
kilobytes = [(path / file).stat().st_size / 1000 for file in files]

figure, (ax, ax_files) = plt.subplots(
    1, 2, figsize=(10, 4), width_ratios=(3, 2), layout="constrained"
)
for place, (name, values) in enumerate(seconds.items()):
    milliseconds = 1000 * np.array(values)
    bars = ax.bar(np.arange(3) + 0.4 * (place - 0.5), milliseconds, 0.38, label=name)
    ax.bar_label(bars, [two_digits(value) for value in milliseconds], padding=2)
ax.set(yscale="log", ylabel="milliseconds, log scale", title="Time of an answer")
ax.set_xticks(range(3), what)
ax.margins(y=0.12)
ax.legend(loc="upper left")
bars = ax_files.barh(files, kilobytes, 0.6, color="C7")
ax_files.bar_label(bars, [f"{size:.0f}" for size in kilobytes], padding=2)
ax_files.invert_yaxis()
ax_files.margins(x=0.18)
ax_files.set(xlabel="kilobytes", title="Size of the file")
plt.show()

# %%
# ``examples/serving`` has a small HTTP server around such a graph.

folder.cleanup()

"""
Export a classifier that rejects
================================

Trains on the digits 0 to 5 and writes all that it takes to judge a new sample to one file,
which ``serve.py`` serves::

    pip install "sk-center[onnx]"
    python export.py digits.onnx
"""

import sys

from sklearn.datasets import load_digits

from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx

path = sys.argv[1] if len(sys.argv) > 1 else "digits.onnx"
X, y = load_digits(return_X_y=True)
known = y < 6
model = OpenSetClassifier(CenterLossClassifier(max_epochs=30), random_state=0)
model.fit(X[known] / 16, y[known])
to_onnx(model, path)
print(f"Wrote {path}")

"""The serving example."""

import http.client
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow  # exports and serves in processes of their own


@pytest.fixture(scope="module")
def port(tree, tmp_path_factory):
    """Export a model, serve it where sk_center and torch are missing, and stop at last."""
    folder = tmp_path_factory.mktemp("serving")
    example = tree / "examples" / "serving"
    env = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, example / "export.py", "digits.onnx"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Wrote digits.onnx\n"), done.stderr
    (folder / "torch.py").write_text("raise ImportError", encoding="utf-8")
    (folder / "sk_center.py").write_text("raise ImportError", encoding="utf-8")
    command = [sys.executable, example / "serve.py", "digits.onnx", "--port", "0"]
    env["PYTHONPATH"] = str(folder)
    server = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = server.stdout.readline()
        assert line.startswith("Serving on "), line
        yield int(line.rsplit(":", 1)[1])
        assert server.poll() is None  # no request has ended it
    finally:
        server.terminate()
        server.communicate()


def ask(port, body, **headers):
    """Return status and answer of the server."""
    connection = http.client.HTTPConnection("localhost", port, timeout=300)
    connection.request("POST", "/", body, headers)
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    return reply.status, answer


def test_answer(port):
    """Check that known digits get their name and unknown ones mostly none."""
    X, y = load_digits(return_X_y=True)
    status, found = ask(port, json.dumps({"X": (X / 16).tolist()}))
    assert status == 200
    assert found["classes"] == [0, 1, 2, 3, 4, 5]
    assert np.shape(found["p_values"]) == (len(X), 6)
    label = np.array(found["label"])
    assert (label[y < 6] == y[y < 6]).mean() > 0.9
    assert (label[y >= 6] == -1).mean() > 0.8


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"X": null}',
        b'{"X": []}',
        b'{"X": [1, 2]}',
        b'{"X": [[1, 2], [3]]}',
        b'{"X": [["a", "b"]]}',
        json.dumps({"X": [[0.0] * 63]}).encode(),
        json.dumps({"X": [[[0.0] * 64]]}).encode(),
        json.dumps({"X": [[0.0] * 63 + [float("nan")]]}).encode(),
        json.dumps({"X": [[0.0] * 63 + [10**400]]}).encode(),
    ],
)
def test_bad_request(port, body):
    """Check that a bad request gets an error that says what is wrong, not a crash."""
    status, found = ask(port, body)
    assert status == 400
    assert "JSON" in found["error"] or "must" in found["error"]


@pytest.mark.parametrize(
    ("length", "status"), [("-1", 411), ("many", 411), ("99999999999", 413)]
)
def test_bad_length(port, length, status):
    """Check that nothing is read of a request of unknown or excessive length."""
    assert ask(port, b"", **{"Content-Length": length})[0] == status

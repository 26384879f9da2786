"""
Serve an exported classifier
============================

Answers HTTP requests with the file that ``export.py`` writes. It needs neither sk_center
nor torch, and no web framework::

    pip install numpy onnxruntime
    python serve.py digits.onnx --port 8000

A request holds samples as JSON, here one of 64 pixels, and the answer their labels, -1 for
what is none of the known classes, and p-values for each of these::

    curl -d '{"X": [[0, 0, 0.3, 0.8, ...]]}' http://localhost:8000
    {"label": [0], "classes": [0, 1, 2, 3, 4, 5], "p_values": [[0.71, 0.03, ...]]}

The server of the standard library is for trying things out: put a real one in front of it
where others can reach it.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime

LARGEST_REQUEST = 10_000_000
DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def answer(session, body):
    """Return what the model says of the samples in a request; ValueError if it has none."""
    source = session.get_inputs()[0]
    try:
        X = np.array(json.loads(body)["X"], dtype=DTYPES[source.type])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise ValueError('the request must be JSON: {"X": [sample, ...]}') from None
    if X.ndim != len(source.shape) or list(X.shape[1:]) != source.shape[1:] or not len(X):
        raise ValueError(f"each sample must have the shape {source.shape[1:]}")
    if not np.isfinite(X).all():
        raise ValueError("X must hold finite numbers")
    label, p_values = session.run(["label", "p_values"], {"X": X})
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    return {"label": label.tolist(), "classes": classes, "p_values": p_values.tolist()}


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 30  # seconds, for those who never finish theirs

    def do_POST(self):
        """Judge the samples of the request."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self.reply(411, {"error": "Content-Length is missing"})
        if int(length) > LARGEST_REQUEST:
            return self.reply(413, {"error": f"at most {LARGEST_REQUEST} bytes"})
        try:
            reply = answer(self.server.session, self.rfile.read(int(length)))
        except ValueError as error:
            return self.reply(400, {"error": str(error)})
        return self.reply(200, reply)

    def reply(self, status, content):
        """Send a status and JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve an exported classifier.")
    parser.add_argument("model", help="file that export.py wrote")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    args = parser.parse_args()
    with ThreadingHTTPServer(("localhost", args.port), Handler) as server:
        server.session = onnxruntime.InferenceSession(args.model)
        print(f"Serving on http://localhost:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("Stopped")

"""Serves predictions: GET /healthz, GET /, POST /predict {"images": [[64 numbers 0..16], ...]}."""
import argparse
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import joblib
import numpy

LARGEST_BODY = 4 << 20

arguments = argparse.ArgumentParser()
arguments.add_argument("--model", required=True)
arguments.add_argument("--port", type=int, required=True)
options = arguments.parse_args()
model = joblib.load(os.path.join(options.model, "model.joblib"))
release = os.environ.get("SLUICE_RELEASE", "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, {"ok": True, "release": release})
        elif self.path == "/":
            self.answer(200, {"release": release, "predict": "POST /predict {\"images\": [[64 numbers], ...]}"})
        else:
            self.answer(404, {"error": f"no {self.path} here"})

    def do_POST(self):
        if self.path != "/predict":
            self.close_connection = True
            self.answer(404, {"error": f"no {self.path} here"})
            return
        try:
            size = int(self.headers.get("Content-Length", "0"))
            if not 0 < size <= LARGEST_BODY:
                raise ValueError(f"a body of 1 to {LARGEST_BODY} bytes is needed")
            images = numpy.asarray(json.loads(self.rfile.read(size))["images"], dtype="float32")
            if images.ndim != 2 or images.shape[1] != 64:
                raise ValueError("images must be lists of 64 numbers")
        except (KeyError, TypeError, ValueError) as problem:
            self.close_connection = True
            self.answer(400, {"error": str(problem)})
            return
        self.answer(200, {"digits": [int(digit) for digit in model.predict(images)], "release": release})

    def log_message(self, form, *values):
        if self.path != "/healthz":
            print(f"{self.address_string()} {form % values}", flush=True)


server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"serving {release} on port {options.port}", flush=True)
server.serve_forever()
print("stopped", flush=True)

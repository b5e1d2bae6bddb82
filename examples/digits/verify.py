"""Sends the held-out images to every deployed server; measures accuracy and latency."""
import argparse
import http.client
import json
import time

import numpy

import digits

BATCH = 10

arguments = argparse.ArgumentParser()
arguments.add_argument("--endpoints", required=True)    # host:port,host:port
arguments.add_argument("--out", required=True)
options = arguments.parse_args()

images, labels, _ = digits.load()
_, (images, labels) = digits.split(images, labels)
right = asked = failures = 0
latencies = []
for endpoint in options.endpoints.split(","):
    host, port = endpoint.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    for at in range(0, len(images), BATCH):
        body = json.dumps({"images": images[at:at + BATCH].tolist()})
        begin = time.perf_counter()
        try:
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            answer = json.loads(reply.read())
            if reply.status != 200:
                raise ValueError(answer.get("error", reply.reason))
        except (OSError, ValueError, http.client.HTTPException) as problem:
            failures += 1
            print(f"{endpoint}: {problem}", flush=True)
            connection.close()
            continue
        latencies.append((time.perf_counter() - begin) * 1000)
        right += int((numpy.asarray(answer["digits"]) == labels[at:at + BATCH]).sum())
        asked += len(labels[at:at + BATCH])
    print(f"{endpoint}: {asked} images asked so far, {right} right")

metrics = {"failures": failures, "asked": asked}
if asked:
    metrics.update(accuracy=right / asked, p50_ms=float(numpy.percentile(latencies, 50)),
                   p99_ms=float(numpy.percentile(latencies, 99)))
digits.write_json(f"{options.out}/metrics.json", metrics)
print(json.dumps(metrics))

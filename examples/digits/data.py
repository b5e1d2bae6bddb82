"""Collects, cleans and splits the images; describes what came out."""
import argparse
import datetime

import numpy

import digits

arguments = argparse.ArgumentParser()
arguments.add_argument("--rows", type=int, required=True)
arguments.add_argument("--out", required=True)
options = arguments.parse_args()

images, labels, dropped = digits.load()
(train_images, train_labels), (test_images, test_labels) = digits.split(images, labels)
if options.rows > len(train_images):
    raise SystemExit(f"{options.rows} rows asked for, there are {len(train_images)} to train on")
train_images, train_labels = train_images[:options.rows], train_labels[:options.rows]

now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
for name, x, y in (("training", train_images, train_labels), ("holdout", test_images, test_labels)):
    digits.save(f"{options.out}/{name}", x, y)
    digits.write_json(f"{options.out}/{name}.json",
                      {"rows": len(x), "data_until": digits.DATA_UNTIL, "produced_at": now})
    print(f"{name}: {len(x)} images, {len(numpy.unique(y))} classes")
digits.write_json(f"{options.out}/metrics.json",
                  {"rows_source": len(images) + dropped, "rows_dropped": dropped,
                   "classes": int(len(numpy.unique(train_labels))), "rows": len(train_images)})
print(f"dropped {dropped} of {len(images) + dropped}")

"""Writes the release's notes; the bundle itself is made from the parts that sluice.yaml names."""
import argparse
import json
import os

arguments = argparse.ArgumentParser()
arguments.add_argument("--model", required=True)
arguments.add_argument("--out", required=True)
options = arguments.parse_args()

with open(os.path.join(options.model, "metrics.json"), encoding="utf-8") as file:
    metrics = json.load(file)
os.makedirs(options.out, exist_ok=True)
with open(os.path.join(options.out, "notes.md"), "w", encoding="utf-8") as file:
    file.write(f"Digits classifier, trained on {metrics['rows']} images, "
               f"validation accuracy {metrics['validation_accuracy']:.4f}.\n")
print(f"packaged a model trained on {metrics['rows']} images")

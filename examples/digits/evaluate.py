"""Picks the best model by its cross-validation and measures it on the held-out images."""
import argparse
import json
import os
import shutil

import joblib
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

import digits

arguments = argparse.ArgumentParser()
arguments.add_argument("--models", required=True)
arguments.add_argument("--data", required=True)
arguments.add_argument("--out", required=True)
options = arguments.parse_args()

candidates = {}
for entry in sorted(os.listdir(options.models)):    # "model=forest", ...
    with open(os.path.join(options.models, entry, "metrics.json"), encoding="utf-8") as file:
        candidates[entry] = json.load(file)["validation_accuracy"]
best = max(candidates, key=lambda entry: (candidates[entry], entry))
for entry, validation in candidates.items():
    print(f"{entry}: validation accuracy {validation:.4f}{'  <- best' if entry == best else ''}")

images, labels = digits.read(options.data)
model = joblib.load(os.path.join(options.models, best, "model.joblib"))
predicted = model.predict(images)
accuracy = float(accuracy_score(labels, predicted))
macro_f1 = float(f1_score(labels, predicted, average="macro"))
print(f"held out: {len(images)} images, accuracy {accuracy:.4f}, macro F1 {macro_f1:.4f}")

shutil.copytree(os.path.join(options.models, best), os.path.join(options.out, "best"))
digits.write_json(f"{options.out}/metrics.json",
                  {"accuracy": accuracy, "macro_f1": macro_f1, "holdout_rows": len(images)})
with open(f"{options.out}/report.md", "w", encoding="utf-8") as file:
    file.write(f"# Evaluation\n\nBest of {len(candidates)}: `{best}`. Accuracy {accuracy:.4f}, "
               f"macro F1 {macro_f1:.4f} on {len(images)} held-out images.\n\n"
               "| model | validation accuracy |\n|---|---|\n")
    for entry, validation in candidates.items():
        file.write(f"| {entry} | {validation:.4f} |\n")
    file.write("\nConfusion (rows: truth, columns: predicted):\n\n```\n")
    for row in confusion_matrix(labels, predicted):
        file.write(" ".join(f"{count:4d}" for count in row) + "\n")
    file.write("```\n")

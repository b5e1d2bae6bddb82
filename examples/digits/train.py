"""Trains one model and says how good cross-validation thinks it is."""
import argparse
import os

import joblib
import numpy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import digits

MODELS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "forest": lambda: RandomForestClassifier(n_estimators=100, random_state=digits.SEED),
    "svm": lambda: SVC(gamma=0.001, C=10),
}

arguments = argparse.ArgumentParser()
arguments.add_argument("--data", required=True)
arguments.add_argument("--model", choices=sorted(MODELS), required=True)
arguments.add_argument("--out", required=True)
options = arguments.parse_args()

images, labels = digits.read(options.data)
print(f"--- {options.model} on {len(images)} images")
fewest = int(numpy.bincount(labels).min())
model = MODELS[options.model]()
if fewest >= 2:
    folds = StratifiedKFold(min(3, fewest), shuffle=True, random_state=digits.SEED)
    scores = cross_val_score(MODELS[options.model](), images, labels, cv=folds)
    for number, score in enumerate(scores, 1):
        print(f"fold {number}: accuracy {score:.4f}", flush=True)
    validation = float(scores.mean())
else:
    validation = 0.0    # too few of some digit to hold any back
    print("too few images of one digit for cross-validation")
model.fit(images, labels)
os.makedirs(options.out, exist_ok=True)
joblib.dump(model, os.path.join(options.out, "model.joblib"))
digits.write_json(os.path.join(options.out, "metrics.json"),
                  {"validation_accuracy": validation, "rows": len(images)})
print(f"validation accuracy {validation:.4f}")

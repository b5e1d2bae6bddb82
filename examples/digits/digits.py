"""What the stages share: the images, how they are cleaned and split, and how they are kept."""
import json
import os

import numpy
from sklearn.datasets import load_digits

HOLDOUT_SHARE = 0.3
SEED = 1998
# The newest record in the source: the UCI set "Optical Recognition of Handwritten Digits", donated 1998-07-01.
DATA_UNTIL = "1998-07-01T00:00:00Z"


def clean(images, labels):
    """Keeps each image once, with ink on it and every pixel in 0..16; says how many were dropped."""
    seen, keep = set(), []
    for at, image in enumerate(images):
        known = image.tobytes()
        if known in seen or image.max() == 0 or image.min() < 0 or image.max() > 16:
            continue
        seen.add(known)
        keep.append(at)
    return images[keep], labels[keep], len(images) - len(keep)


def load():
    """All clean images, in an order that is shuffled once and the same for ever."""
    source = load_digits()
    images, labels, dropped = clean(source.data.astype("float32"), source.target.astype("int64"))
    order = numpy.random.RandomState(SEED).permutation(len(images))
    return images[order], labels[order], dropped


def split(images, labels):
    """(training, holdout): the holdout never depends on how much is trained on."""
    cut = int(len(images) * HOLDOUT_SHARE)
    return (images[cut:], labels[cut:]), (images[:cut], labels[:cut])


def save(directory, images, labels):
    # .npy, not .npz: a zip file holds times, and equal data should have equal digests
    os.makedirs(directory, exist_ok=True)
    numpy.save(os.path.join(directory, "images.npy"), images)
    numpy.save(os.path.join(directory, "labels.npy"), labels)


def read(directory):
    return (numpy.load(os.path.join(directory, "images.npy")),
            numpy.load(os.path.join(directory, "labels.npy")))


def write_json(path, value):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, sort_keys=True)
        file.write("\n")

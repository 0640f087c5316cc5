"""Reads the data set and splits it, the same way every time."""

import csv
from pathlib import Path


def read_rows(directory: Path) -> tuple[list[list[float]], list[int]]:
    """Return features and labels; the last column of each row is the label (0 malignant, 1 benign)."""
    with (directory / "breast_cancer.csv").open() as file:
        lines = list(csv.reader(file))[1:]
    return [[float(value) for value in line[:-1]] for line in lines], [int(line[-1]) for line in lines]


def split(features: list[list[float]], labels: list[int]) -> tuple[tuple[list, list], tuple[list, list]]:
    """Return (training, test): every fourth row is for the test."""
    train = [i for i in range(len(labels)) if i % 4]
    test = [i for i in range(len(labels)) if i % 4 == 0]
    return tuple(([features[i] for i in part], [labels[i] for i in part]) for part in (train, test))

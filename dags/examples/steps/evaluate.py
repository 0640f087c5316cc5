"""Holds the model against the part of the data that it has not seen, and draws its ROC curve."""

import json
import os
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import skops.io
from rows import read_rows, split
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve

inputs, outputs = Path(os.environ["HOLDFAST_INPUTS"]), Path(os.environ["HOLDFAST_OUTPUTS"])
model = skops.io.load(inputs / "model", trusted=skops.io.get_untrusted_types(file=inputs / "model"))
features, labels = read_rows(inputs / "data")
_, (test_x, test_y) = split(features, labels)

probability = model.predict_proba(test_x)[:, 1]
metrics = {
    "accuracy": float(accuracy_score(test_y, model.predict(test_x))),
    "roc_auc": float(roc_auc_score(test_y, probability)),
}
(outputs / "metrics.json").write_text(json.dumps(metrics))
(outputs / "report.json").write_text(json.dumps({"rows": len(test_y), **metrics}, indent=1))

mpl.rcParams["svg.hashsalt"] = "tumours"  # the same model draws the same bytes
false_positive, true_positive, _ = roc_curve(test_y, probability)
plt.plot(false_positive, true_positive)
plt.plot([0, 1], [0, 1], linestyle=":")
plt.xlabel("false positive rate")
plt.ylabel("true positive rate")
plt.title(f"ROC, area {metrics['roc_auc']:.3f}")
(outputs / "plots").mkdir()
plt.savefig(outputs / "plots" / "roc.svg", metadata={"Date": None})
print(f"accuracy {metrics['accuracy']:.3f} on {len(test_y)} rows")

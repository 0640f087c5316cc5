"""Fits a random forest to the training part of the data. Knows nothing but three environment variables."""

import json
import os
from pathlib import Path

import skops.io
from rows import read_rows, split
from sklearn.ensemble import RandomForestClassifier

parameters = json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())
outputs = Path(os.environ["HOLDFAST_OUTPUTS"])

features, labels = read_rows(Path(os.environ["HOLDFAST_INPUTS"]) / "data")
(train_x, train_y), _ = split(features, labels)

model = RandomForestClassifier(n_estimators=50, max_depth=int(parameters["max_depth"]), random_state=0)
model.fit(train_x, train_y)
skops.io.dump(model, outputs / "model.skops")
(outputs / "metrics.json").write_text(
    json.dumps({"training_accuracy": float(model.score(train_x, train_y)), "rows": len(train_y)})
)
print(f"fitted to {len(train_y)} rows")

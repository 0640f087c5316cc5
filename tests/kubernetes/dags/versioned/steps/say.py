import json
import os
from pathlib import Path

outputs = Path(os.environ["HOLDFAST_OUTPUTS"])
word = json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())["word"]
before = Path(os.environ["HOLDFAST_INPUTS"]) / "said"
text = (before.read_text() if before.exists() else "") + word
(outputs / "said.txt").write_text(text)
(outputs / "metrics.json").write_text(json.dumps({"length": len(text)}))
print(f"a step says {text}")

"""Goes on until somebody says that it is enough."""

import json
import os
import time
from pathlib import Path

work = Path(json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())["work"])
deadline = time.monotonic() + 120
while not (work / "enough").exists() and time.monotonic() < deadline:
    time.sleep(0.1)

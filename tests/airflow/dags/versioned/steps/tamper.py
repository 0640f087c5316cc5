"""Changes a file that has been registered."""

import json
import os
from pathlib import Path

work = Path(json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())["work"])
(work / "rows" / "rows.csv").write_text("9,9\n")

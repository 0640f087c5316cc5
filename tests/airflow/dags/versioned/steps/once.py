"""Is killed the first time, as by a machine that runs out of memory."""

import json
import os
import signal
from pathlib import Path

marker = Path(json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())["work"], "killed-once")
if not marker.exists():
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
Path(os.environ["HOLDFAST_OUTPUTS"], "said.txt").write_text("alive")

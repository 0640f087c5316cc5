"""Starts a daemon that leaves group and tree, ignores SIGTERM, tells both pids, and goes on for ten minutes, unless it is enough."""

import json
import os
import signal
import time
from pathlib import Path

work = Path(json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())["work"])
if (work / "enough").exists():
    raise SystemExit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        (work / "daemon").write_text(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
while not (work / "daemon").exists():
    time.sleep(0.05)
(work / "command.new").write_text(str(os.getpid()))
(work / "command.new").rename(work / "command")
time.sleep(600)

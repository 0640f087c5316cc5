"""Lists its inputs."""

import os
from pathlib import Path

root = Path(os.environ["HOLDFAST_INPUTS"])
print("inputs", sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()))

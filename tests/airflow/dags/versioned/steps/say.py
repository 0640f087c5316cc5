"""Writes a word and the version of the code that ran."""

import json
import os
from pathlib import Path

from version import VERSION

word = json.loads(Path(os.environ["HOLDFAST_PARAMETERS"]).read_text()).get("word")
Path(os.environ["HOLDFAST_OUTPUTS"], "said.txt").write_text(f"{word} {VERSION}")
print(f"said {word} {VERSION}")

"""Prints the OpenAPI document as it is committed: `python -m holdfast_plugins.openapi`."""

import json
import sys

from holdfast_plugins.app import describe


def document() -> str:
    """Return the OpenAPI document as text."""
    return json.dumps(describe().openapi(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())

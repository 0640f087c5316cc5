"""One order in, one report out: `python -I -m holdfast.dataplane.agent pack|stage|survey|hash|collect|publish`."""

import json
import sys

from holdfast.dataplane.agent.code import pack
from holdfast.dataplane.agent.collect import collect, publish
from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.stage import hash_granted, stage, survey

_COMMANDS = {
    "pack": pack,
    "stage": stage,
    "survey": survey,
    "hash": hash_granted,
    "collect": collect,
    "publish": publish,
}


def main() -> int:
    """Run one command; exit 0 with a result, 1 with a failure that has a class. Anything else is a bug and ends in a trace-back."""
    if len(sys.argv) != 2 or sys.argv[1] not in _COMMANDS:
        print(f"usage: python -m holdfast.dataplane.agent {'|'.join(_COMMANDS)}", file=sys.stderr)  # noqa: T201
        return 2
    order = json.load(sys.stdin)
    try:
        report = _COMMANDS[sys.argv[1]](order)
    except AgentFailure as failure:
        json.dump({"failure": failure.report()}, sys.stdout)
        return 1
    except OSError as error:
        broken = AgentFailure(
            "platform", f"the data plane's disk failed: {error.strerror}", "Free space or mend the volume"
        )
        json.dump({"failure": broken.report()}, sys.stdout)
        return 1
    json.dump({"result": report}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

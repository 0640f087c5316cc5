"""The demo's audit ledger: a key and a log on this machine, and the promotion's proof, checked as a stranger would check it."""

import json
import subprocess
import sys
import time
from importlib.resources import files
from typing import Any

from demo.failure import DemoFailure
from demo.journey import Airflow
from demo.platform import PROJECT
from demo.state import State, write_private
from holdfast.client import GovernanceClient
from holdfast.core.errors import HoldfastError, StateConflict
from holdfast.ledger.keys import FileSigner
from holdfast.wire.model import Promotion

NAME = "demo.example/log"
_DEADLINE_S = 60
# A new network namespace has no interface that is up; where none may be made, the process refuses itself every socket.
_WITHOUT_NETWORK = """
import ctypes, os, runpy, sys
is_apart = ctypes.CDLL(None).unshare(0x40000000 | (0 if os.geteuid() == 0 else 0x10000000)) == 0
def refuse(event, _):
    if event.startswith("socket."):
        raise RuntimeError("there is no network here")
sys.addaudithook(refuse)
sys.stderr.write("namespace" if is_apart else "process")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def environment(state: State) -> dict[str, str]:
    """Return what a process of the service is told of the ledger; its key is made once."""
    key = state.root / "secrets" / "log.key"
    if not key.exists():
        key.parent.mkdir(mode=0o700, exist_ok=True)
        FileSigner.make(NAME, key)
    return {
        "HOLDFAST_LEDGER_LOG": str(state.root / "ledger" / "log"),
        "HOLDFAST_LEDGER_KEY": str(key),
        "HOLDFAST_LEDGER_COPIES": str(state.root / "ledger" / "witness"),
    }


def prove(state: State, airflow: Airflow, api_url: str, promotion: Promotion) -> dict[str, Any]:
    """Prove every event about the promoted ModelVersion, and return what `verify_proof.py` says of that without a network."""
    proof, verifier = state.root / "promotion.tlog-proof", state.root / "verify_proof.py"
    write_private(proof, _proof_of(airflow, api_url, promotion))
    write_private(verifier, files("holdfast.ledger").joinpath("verify_proof.py").read_text())
    key = FileSigner.read(state.root / "secrets" / "log.key").key
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        _WITHOUT_NETWORK,
        str(verifier),
        "--key",
        str(key),
        "-o",
        "json",
        proof,
    ]
    done = subprocess.run(  # noqa: S603 - our own program, and files that we have made
        command, capture_output=True, text=True, check=False, timeout=_DEADLINE_S, env={}
    )
    try:
        results = json.loads(done.stdout)
    except ValueError:
        raise DemoFailure(f"the proof of the promotion could not be checked: {done.stderr[-300:]}") from None
    refused = [one["reason"] for one in results if not one["holds"]]
    if refused or done.returncode != 0:
        raise DemoFailure(
            f"the proof of the promotion does not hold: {'; '.join(refused)}; do not trust this installation"
        )
    return {
        "file": str(proof),
        "verifier": str(verifier),
        "key": str(key),
        "events": len(results),
        "actions": [one["event"]["action"] for one in results],
        "size": results[0]["size"],
        "without_network": done.stderr,
    }


def _proof_of(airflow: Airflow, api_url: str, promotion: Promotion) -> str:
    deadline = time.monotonic() + _DEADLINE_S
    with GovernanceClient(api_url, airflow.token) as governance:
        while True:
            try:
                return governance.audit.prove(PROJECT, model_version=promotion.model_version).text
            except StateConflict as error:
                if time.monotonic() > deadline:
                    raise DemoFailure(
                        f"the promotion cannot be proved: {error}; the reason is in api-server.log"
                    ) from error
                time.sleep(0.2)
            except HoldfastError as error:
                raise DemoFailure(f"the promotion cannot be proved: {error}") from error

"""One life cycle as a client lives it: the same calls with the same bodies for both servers."""

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.lifecycle.wire import Connection

STEPS = (
    "create run",
    "start run",
    "ask for uploads",
    "store 3 of 4 KiB",
    "finish run",
    "list artifacts",
    "register model version",
    "request promotion",
    "approve",
    "execute",
)
STORING = STEPS.index("store 3 of 4 KiB")
CALLS = 12  # storing is three
OUTPUTS = {"model": "model.skops", "metrics": "metrics.json", "report": "report.html"}
METRICS = {"accuracy": 0.953, "precision": 0.941, "recall": 0.962, "f1": 0.951, "auc": 0.987}
COMMIT = "c0ffee" * 6 + "c0ff"
ENVIRONMENT = "sklearn"
POLICY = "clinical"
ARTIFACT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where a life cycle takes place, on one server.

    Attributes:
        port: of the server, on the loopback interface.
        prefix: path of the API up to and including its version.
        project: the Project's name.
        dataset_version: what every Run reads.
        pipeline_runs: one for each client.
        worker: header line of who creates, registers, requests and executes.
        approver: header line of who approves.
    """

    port: int
    prefix: str
    project: str
    dataset_version: str
    pipeline_runs: tuple[str, ...]
    worker: bytes
    approver: bytes


class Client:
    """One client: one connection, one Model of its own, so that clients meet in the server and not in one row."""

    def __init__(self, place: Place, number: int) -> None:
        self._place, self._number = place, number
        self._connection = Connection(place.port)
        self._base = f"{place.prefix}/projects/{place.project}"
        self._pipeline_run = place.pipeline_runs[number]
        self._files = [(name, os.urandom(ARTIFACT_BYTES)) for name in OUTPUTS]
        self._announced = [
            {"name": name, "digest": f"sha256:{hashlib.sha256(body).hexdigest()}", "size_bytes": len(body)}
            for name, body in self._files
        ]

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def live(self) -> list[float]:
        """Go through one life cycle and return when it began and when each step had ended, in seconds."""
        times = [time.perf_counter()]
        run = self._post("/runs", self._run_request())["id"]
        times.append(time.perf_counter())
        self._post(f"/runs/{run}/start", {"fence": "pod-1"})
        times.append(time.perf_counter())
        grants = self._post(f"/runs/{run}/uploads", {"files": self._announced})["grants"]
        times.append(time.perf_counter())
        stored = [self._store(grant, content) for grant, content in zip(grants, self._files, strict=True)]
        times.append(time.perf_counter())
        ending = {
            "state": "succeeded",
            "fence": "pod-1",
            "exit_code": 0,
            "metrics": METRICS,
            "artifacts": [{**file, **place} for file, place in zip(self._announced, stored, strict=True)],
        }
        self._post(f"/runs/{run}/finish", ending)
        times.append(time.perf_counter())
        listed = orjson.loads(
            self._connection.call(b"GET", f"{self._base}/artifacts?run={run}".encode(), self._place.worker)
        )
        artifacts = {artifact["name"]: artifact["id"] for artifact in listed["items"]}
        times.append(time.perf_counter())
        version = self._post(
            f"/models/m{self._number}/versions",
            {"artifact": artifacts["model"], "evidence": [artifacts["metrics"], artifacts["report"]]},
        )["id"]
        times.append(time.perf_counter())
        promotion = self._post("/promotions", {"model_version": version, "alias": "champion", "policy": POLICY})
        times.append(time.perf_counter())
        decision = {"decision": "approve", "evidence_digest": promotion["evidence_digest"], "reason": "looked at it"}
        self._post(f"/promotions/{promotion['id']}/decisions", decision, self._place.approver)
        times.append(time.perf_counter())
        self._post(f"/promotions/{promotion['id']}/execute", None)
        times.append(time.perf_counter())
        return times

    def _run_request(self) -> dict[str, Any]:
        return {
            "idempotency_key": secrets.token_hex(32),
            "pipeline_run": self._pipeline_run,
            "task_id": f"train-{secrets.token_hex(8)}",
            "code": {"repository": "dags", "commit": COMMIT, "path": "steps"},
            "environment": ENVIRONMENT,
            "command": ["python", "steps/train.py"],
            "inputs": {"data": {"dataset_version": self._place.dataset_version}},
            "parameters": {"max_depth": 4, "rate": 0.1, "rounds": 200, "loss": "log", "balanced": True},
            "outputs": OUTPUTS,
        }

    def _post(self, path: str, document: object, who: bytes | None = None) -> Any:
        headers = b"%bcontent-type: application/json\r\nidempotency-key: %b\r\n" % (
            self._place.worker if who is None else who,
            secrets.token_hex(16).encode(),
        )
        body = b"" if document is None else orjson.dumps(document)
        return orjson.loads(self._connection.call(b"POST", f"{self._base}{path}".encode(), headers, body))

    def _store(self, grant: dict[str, Any], content: tuple[str, bytes]) -> dict[str, str]:
        name, body = content
        if grant["name"] != name:
            raise RuntimeError(f"the grant for {name} is for {grant['name']}")
        path = "/" + grant["url"].split("/", 3)[3]
        headers = b"content-type: application/octet-stream\r\n"
        reply = orjson.loads(self._connection.call(b"PUT", path.encode(), headers, body))
        return {"object_key": grant["object_key"], "version_id": reply["version_id"]}

"""Before the user's command: code, inputs and parameters in place, every digest checked."""

import json
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from holdfast.dataplane.agent.code import pack, unpack
from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.files import digest_file, inside, pieces_of, walk
from holdfast.dataplane.agent.transfer import Transfers, check_content


def stage(order: dict[str, Any]) -> dict[str, Any]:
    """Lay out a Run on the machine that has the repository; raises what `lay_out` raises."""
    archive = Path(order["scratch"]) / "code.tar"
    pack({"code": order["code"], "target": str(archive)})
    with archive.open("rb") as content:
        lay_out(order, content)
    archive.unlink()
    return {}


def lay_out(order: dict[str, Any], code: IO[bytes]) -> None:
    """Lay out a Run below its scratch directory: code/, inputs/, parameters.json and an empty outputs/.

    Raises:
        AgentFailure: the user's command must not start; nothing of the scratch directory may be used.
    """
    scratch = Path(order["scratch"])
    inputs = scratch / "inputs"
    inputs.mkdir(mode=0o700)
    (scratch / "outputs").mkdir(mode=0o700)
    (scratch / "parameters.json").write_text(json.dumps(order["parameters"], sort_keys=True))
    unpack(code, scratch / "code")
    with Transfers() as transfers:
        taken: set[str] = set()
        for grant in order["grants"]:
            target = inside(inputs, grant["name"], "input", "data")
            if grant["name"] in taken:
                raise AgentFailure("user", f"two inputs would be {grant['name']!r}", "Give each input its own name")
            taken.add(grant["name"])
            target.parent.mkdir(parents=True, exist_ok=True)
            transfers.download(grant, target)
    for dataset in order["datasets"]:
        _stage_dataset(dataset, inputs, order["data_roots"])
    for path in inputs.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)


def survey(order: dict[str, Any]) -> dict[str, Any]:
    """Return path, digest and size of every file of a source."""
    root = source_path(order["source"], order["data_roots"])
    found = [("", root)] if root.is_file() else list(walk(root, "data")) if root.is_dir() else []
    if not root.exists():
        raise AgentFailure(
            "data", f"source {order['source']!r} does not exist", "Check the path, and that it is mounted here"
        )
    if not found:
        raise AgentFailure(
            "data",
            f"source {order['source']!r} holds no file",
            "Check the path; an empty directory is not a DatasetVersion",
        )
    files = []
    for relative, path in found:
        digest, size = digest_file(path)
        files.append({"path": relative or root.name, "digest": digest, "size_bytes": size})
    return {"files": files}


def hash_granted(order: dict[str, Any]) -> dict[str, Any]:
    """Return the digest of every granted object of a source, by its name; nothing of it is kept."""
    with Transfers() as transfers:
        for grant in order["grants"]:
            transfers.digest(grant)
    return {"digests": transfers.digests}


def source_path(source: str, data_roots: list[str]) -> Path:
    """Return the path of a `file:` source.

    Raises:
        AgentFailure: it is another kind of source, or lies below none of the allowed roots; without roots every source is refused.
    """
    parts = urlsplit(source)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise AgentFailure(
            "user", f"the local data plane cannot read {source!r}", "Give a file: URI, or s3://bucket/prefix/"
        )
    path = Path(unquote(parts.path)).resolve()
    if not any(path.is_relative_to(Path(root).resolve()) for root in data_roots):
        raise AgentFailure(
            "policy",
            f"source {source!r} is below none of the allowed data roots",
            "The Platform Owner lists them as data_roots in the extra of the Holdfast connection",
        )
    return path


def _stage_dataset(dataset: dict[str, Any], inputs: Path, data_roots: list[str]) -> None:
    source = source_path(dataset["source"], data_roots)
    target = inside(inputs, dataset["name"], "input", "data")
    target.mkdir(parents=True)
    for file in dataset["files"]:
        what = f"input {dataset['name']!r}, file {file['path']!r}"
        origin = source if source.is_file() else inside(source, file["path"], "dataset file", "data")
        copy = inside(target, file["path"], "dataset file", "data")
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            with origin.open("rb") as reading, copy.open("xb") as writing:
                for piece in pieces_of(reading):
                    writing.write(piece)
        except OSError as error:
            raise AgentFailure(
                "data", f"{what} cannot be read: {error.strerror}", "Restore the source, or register what is there"
            ) from None
        # The copy is what the user's code reads, so the copy is what is hashed: a source that changes meanwhile does not matter.
        check_content(what, digest_file(copy), file)

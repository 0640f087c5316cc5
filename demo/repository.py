"""A bare git repository on this machine, made from dags/examples: what a team's Dags in git would be."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from demo.failure import DemoFailure

BRANCH = "main"


def publish(source: Path, bare: Path) -> str:
    """Bring a directory's files into a bare repository and return the commit; nothing is committed when nothing has changed."""
    if shutil.which("git") is None:
        raise DemoFailure("git is not installed; on Debian: apt-get install git")
    if not (bare / "HEAD").exists():
        shutil.rmtree(bare, ignore_errors=True)
        _git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(bare))
    with tempfile.TemporaryDirectory() as work:
        tree = {"GIT_DIR": str(bare), "GIT_WORK_TREE": str(source), "GIT_INDEX_FILE": f"{work}/index"}
        _git("add", "--all", "--force", "--", ".", ":!**/__pycache__/**", cwd=source, **tree)
        written = _git("write-tree", **tree)
        head = _git("rev-parse", "--quiet", "--verify", BRANCH, check=False, **tree)
        if head and _git("rev-parse", f"{head}^{{tree}}", **tree) == written:
            return head
        commit = _git("commit-tree", written, *(["-p", head] if head else []), "-m", "Example Dags", **tree)
        _git("update-ref", f"refs/heads/{BRANCH}", commit, **tree)
        return commit


def _git(*arguments: str, check: bool = True, cwd: Path | None = None, **environment: str) -> str:
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "demo"), ("EMAIL", "demo@localhost"))
    }
    done = subprocess.run(  # noqa: S603 - a fixed command
        ["git", *arguments],  # noqa: S607 - the user's git
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **identity, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise DemoFailure(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()

"""What images take from this machine: its Python with the standard library, a shell, a C compiler, and the shared libraries of all."""

from __future__ import annotations

import importlib.util
import marshal
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.support.kubernetes.tree import Directory, File, Link, copy_of

_COMMANDS = ("cat", "echo", "env", "false", "head", "id", "ls", "mkdir", "nc", "ps", "rm", "sh", "sleep", "true", "wc")
_STATIC = ("crt1.o", "crti.o", "crtbeginT.o", "crtend.o", "crtn.o", "libc.a", "libgcc.a", "libgcc_eh.a")
PYTHON_LIBRARY = f"usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
_LEFT_OUT = frozenset(
    {"__pycache__", "ensurepip", "idlelib", "lib2to3", "site-packages", "dist-packages", "test", "tests", "tkinter"}
    | {"turtledemo", "pydoc_data"}
)
_LEFT_OUT_EXTENSIONS = re.compile(r"_(test|tkinter|xx|ctypes_test)")


def shell() -> dict[str, File | Link | Directory]:
    """Return /bin with a shell and the commands that tests use, all of them one busybox."""
    busybox = Path("/bin/busybox")
    links = {f"bin/{command}": Link("busybox") for command in _COMMANDS}
    return {"bin/busybox": copy_of(busybox), **links, **libraries([busybox])}


def interpreter() -> dict[str, File | Link | Directory]:
    """Return this machine's Python as /usr/local/bin/python, with its standard library and without what only developers need."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = Path(sys.base_prefix) / "bin" / version
    library = Path(sysconfig.get_path("stdlib"))
    extensions = [
        path for path in sorted((library / "lib-dynload").glob("*.so")) if not _LEFT_OUT_EXTENSIONS.match(path.name)
    ]
    target = f"usr/local/lib/{version}"
    tree: dict[str, File | Link | Directory] = {
        f"usr/local/bin/{version}": copy_of(program),
        "usr/local/bin/python3": Link(version),
        "usr/local/bin/python": Link(version),
        f"{target}/site-packages": Directory(),
        **{f"{target}/lib-dynload/{path.name}": copy_of(path) for path in extensions},
        **libraries([program, *extensions]),
    }
    for path in _modules(library):
        inside = path.relative_to(library)
        cached = inside.parent / "__pycache__" / f"{inside.stem}.{sys.implementation.cache_tag}.pyc"
        tree[f"{target}/{inside}"] = File(path)
        tree[f"{target}/{cached}"] = File(compiled(path))
    return tree


def compiler(source: Path) -> dict[str, File | Link | Directory]:
    """Return this machine's C compiler as /usr/bin/cc, with what it takes to make a static program of one file."""
    driver = Path(shutil.which("gcc") or "")
    programs = {_asked("prog", name) for name in ("cc1", "collect2", "as", "ld")}
    parts = {_asked("file", name) for name in (*_STATIC, "liblto_plugin.so")}
    rule = subprocess.run([driver, "-M", source], capture_output=True, text=True, check=True, timeout=60).stdout
    named = {Path(os.path.normpath(name)) for name in rule.replace("\\\n", " ").split()[1:]}
    headers = {path for path in named if path.parent != source.parent}  # what stands beside it comes with it
    return {
        "usr/bin/cc": copy_of(driver),
        **{str(path)[1:]: copy_of(path) for path in programs | parts | headers},
        **libraries([driver, *programs]),
    }


def _asked(kind: str, name: str) -> Path:
    asked = subprocess.run(
        ["gcc", f"-print-{kind}-name={name}"], capture_output=True, text=True, check=True, timeout=60
    )
    return Path(os.path.normpath(shutil.which(asked.stdout.strip()) or asked.stdout.strip()))


def _modules(library: Path) -> Iterator[Path]:
    # Not by rglob(), which would go through all that is installed in site-packages.
    for directory, inner, files in os.walk(library):
        inner[:] = [name for name in inner if name not in _LEFT_OUT and not name.startswith("config-")]
        yield from (Path(directory, name) for name in files if name.endswith(".py"))


def compiled(source: Path) -> bytes:
    """Return a module as Python compiles it, good for a place where its time is another."""
    # "Unchecked" (PEP 552), because all times are zero in a layer, and a pod that may not write would compile at each start.
    header = importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little")
    content = source.read_bytes()
    kept = Path(importlib.util.cache_from_source(str(source)))
    if kept.is_file():
        bytecode = kept.read_bytes()
        when = int(source.stat().st_mtime).to_bytes(8, "little")[:4] + len(content).to_bytes(4, "little")
        if bytecode[:4] == importlib.util.MAGIC_NUMBER and bytecode[4:8] == bytes(4) and bytecode[8:16] == when:
            return header + importlib.util.source_hash(content) + bytecode[16:]
    code = compile(content, source.name, "exec", dont_inherit=True)
    return header + importlib.util.source_hash(content) + marshal.dumps(code)


def libraries(programs: list[Path]) -> dict[str, File | Link | Directory]:
    """Return the shared libraries that programs load, all of them where the loader looks without being told."""
    done = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False, timeout=180)
    found = {Path(path) for path in re.findall(r"^\s.*?(/\S+) \(0x", done.stdout, re.MULTILINE)}
    # What a wheel brings along is found beside it, there and here.
    found = {path for path in found if "site-packages" not in path.parts}
    if not found:  # linked statically
        return {}
    # Some are found by a path that is written into the program and is nowhere in the image; beside libc every loader looks.
    usual = next(path.parent for path in found if path.name.startswith("libc.so"))
    loaders = {path for path in found if path.name.startswith("ld-")}
    tree: dict[str, File | Link | Directory] = {str(path)[1:]: copy_of(path) for path in loaders}
    return tree | {f"{str(usual)[1:]}/{path.name}": copy_of(path) for path in found - loaders}

"""Results as a table for people or as JSON for programs, and errors with their remedy."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from holdfast.core.errors import HoldfastError
from holdfast.wire.types import Page

Columns = dict[str, Callable[[Any], object]]

# A pipe has no width: lines are as long as what they say, so that grep and awk find whole values.
_PIPE_WIDTH = 100_000


class Output(StrEnum):
    """How results are shown."""

    TABLE = "table"
    JSON = "json"


class Presenter:
    """Shows results on standard output; everything that is not a result goes to standard error."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)

    def record(self, item: BaseModel) -> None:
        """Show everything about one thing."""
        if self.output is Output.JSON:
            self._json(item.model_dump(mode="json"))
            return
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for name in type(item).model_fields:
            table.add_row(name, _cell(getattr(item, name)))
        self._out.print(table)

    def page(self, page: Page[Any], columns: Columns) -> None:
        """Show a list, each item as a row; the cursor of the next page goes to standard error."""
        self.rows(page.items, columns, page.model_dump(mode="json"))
        if page.next is not None and self.output is Output.TABLE:
            self.note(f"there are more: --cursor {page.next}")

    def rows(self, items: Iterable[Any], columns: Columns, document: object) -> None:
        """Show each item as a row; as JSON the document."""
        if self.output is Output.JSON:
            self._json(document)
            return
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in columns:
            table.add_column(name, overflow="fold")
        for item in items:
            table.add_row(*(_cell(read(item)) for read in columns.values()))
        self._out.print(table)

    def document(self, document: object) -> None:
        """Show a document that is for another program, as JSON."""
        self._json(document)

    def fact(self, text: str, **document: object) -> None:
        """Show one sentence, as JSON the facts in it."""
        if self.output is Output.JSON:
            self._json(document)
        else:
            self._out.print(_visible(text), markup=False)

    def secret(self, text: str, **document: object) -> None:
        """Show a secret alone on standard output, so that `$(…)` takes it and nothing else."""
        if self.output is Output.JSON:
            self._json(document)
        else:
            sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """Say something beside the result, on standard error."""
        self._err.print(text, style="dim", markup=False)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Return what takes (how many are done, of how many), and says it once a second."""
        said_s = time.monotonic()

        def tell(done: int, of: int) -> None:
            nonlocal said_s
            if (now_s := time.monotonic()) - said_s >= 1:
                said_s = now_s
                self.note(f"{done} of {of} {what}")

        return tell

    def error(self, error: HoldfastError) -> None:
        """Say what went wrong and what to do, on standard error."""
        if self.output is Output.JSON:
            document = {
                "title": error.title,
                "detail": error.message,
                "remedy": error.remedy,
                "details": error.details,
            }
            sys.stderr.write(json.dumps({"error": document}, default=str) + "\n")
            return
        self._err.print(f"[bold red]{error.title}:[/] ", end="")
        self._err.print(_visible(error.message), markup=False)
        if error.remedy:
            self._err.print(_visible(error.remedy), markup=False)

    def _json(self, document: object) -> None:
        sys.stdout.write(json.dumps(document, indent=2 if sys.stdout.isatty() else None) + "\n")


def short(value: str | None, length: int = 12) -> str:
    """Return the beginning of a commit or of a digest's hexadecimal digits, as people compare them."""
    return (value or "").removeprefix("sha256:")[:length]


def size_of(size_bytes: int) -> str:
    """Return a size as people read it, by powers of 1024."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def columns(*names: str, **computed: Callable[[Any], object]) -> Columns:
    """Return columns: attributes by their names, and computed ones behind them."""

    def reader(name: str) -> Callable[[Any], object]:
        return lambda item: getattr(item, name)

    return {**{name: reader(name) for name in names}, **computed}


def _console(file: Any) -> Console:
    return Console(
        file=file, highlight=False, emoji=False, soft_wrap=False, width=None if file.isatty() else _PIPE_WIDTH
    )


def _cell(value: object) -> Any:
    from rich.text import Text

    return Text(_text(value))


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case BaseModel():
            return json.dumps(value.model_dump(mode="json"))
        case dict():
            return "\n".join(f"{_visible(str(key))}={_text(item)}" for key, item in value.items())
        case list() | tuple() if value and isinstance(value[0], BaseModel):
            return "\n".join(_text(item) for item in value)
        case list() | tuple() if all(isinstance(item, str) for item in value):
            return ", ".join(map(_visible, value))
        case list() | tuple():
            return json.dumps(value, default=str)
        case _:
            return _visible(str(value))


def _visible(text: str) -> str:
    """Return the text with its control characters spelled out: what somebody recorded must not drive the reader's terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\u{ord(character):04x}" for character in text
    )

"""What the demo says: a line for each thing that has happened, and, where somebody looks, what it is waiting for."""

import time
from typing import Self

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


class Narrator:
    """Says lines with the seconds since the start; a context manager, because the waiting line has to go at the end."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waiting = console.status("")

    def __enter__(self) -> Self:
        self._waiting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.stop()

    def __call__(self, text: str, *, then: str = "") -> None:
        """Say that something has happened, and what comes next."""
        console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {text}")
        if then:
            self._waiting.update(f"{then} …")

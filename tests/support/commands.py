"""Whether a command line would be understood by a Typer application, without running it."""

from __future__ import annotations

from typing import Any

_ENDS = ("--help", "…", "...")


class Misunderstood(Exception):
    """The application would not understand the words; the message says which."""


def check_command(words: list[str], root: Any, *, is_whole: bool) -> None:
    """Return when the application would understand the words.

    Args:
        words: what stands after the program's name.
        root: as `typer.main.get_command` returns it; looked at by its attributes, because Typer carries a Click of its own.
        is_whole: whether nothing that is required may be missing; else the words may end anywhere.

    Raises:
        Misunderstood: it would not.
    """
    command, given, positional = root, set[str](), 0
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _ENDS:
            return
        if word.startswith("-") and len(word) > 1:
            # The root's options may stand anywhere on the line.
            owner = root if _option(root, word) is not None else command
            given.add(_take_option(owner, word, rest, is_whole=is_whole))
        elif hasattr(command, "commands"):
            _check_required(command, given, 0)
            if word not in command.commands:
                raise Misunderstood(f"{command.name} has no command {word!r}")
            command, given, positional = command.commands[word], set(), 0
        else:
            positional += 1
    if positional > sum(float("inf") if argument.nargs < 0 else argument.nargs for argument in _arguments(command)):
        raise Misunderstood(f"{command.name} takes fewer arguments than {positional}")
    if is_whole:
        if hasattr(command, "commands") and not given:
            raise Misunderstood(f"{command.name} lacks its command")
        _check_required(command, given, positional)


def _take_option(command: Any, word: str, rest: list[str], *, is_whole: bool) -> str:
    name, has_value, _ = word.partition("=")
    option = _option(command, word)
    if option is None:
        raise Misunderstood(f"{command.name} has no option {name}")
    if not option.is_flag and not has_value:
        if not rest and is_whole:
            raise Misunderstood(f"{name} of {command.name} lacks its value")
        del rest[:1]
    return str(option.name)


def _option(command: Any, word: str) -> Any:
    name = word.partition("=")[0]
    return next((p for p in command.params if name in (*p.opts, *p.secondary_opts)), None)


def _arguments(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "argument"]


def _check_required(command: Any, given: set[str], positional: int) -> None:
    missing = [p.name for p in command.params if p.required and p.param_type_name == "option" and p.name not in given]
    missing += [argument.name for argument in _arguments(command)[positional:] if argument.required]
    if missing:
        raise Misunderstood(f"{command.name} lacks {', '.join(missing)}")

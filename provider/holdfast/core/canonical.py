"""What a document may hold so that it has exactly one canonical form, on every machine and in every language.

The encoders are in `holdfast.wire.canonical`; the rules are here.
Source: RFC 8785 (JSON Canonicalization Scheme), RFC 7493 (I-JSON).
"""

import math
from typing import Any, TypeAlias

from holdfast.core.errors import InvalidRequest

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 32
_LEAST_PLAIN = 1e-3

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"


def is_plain(value: Any, depth: int = 0, *, fractions: bool = True) -> bool:
    """Whether a value is certainly sound, and its canonical form what any encoder writes with sorted keys; False: look closely.

    Plain are ASCII strings without U+0000, integers up to the bound, and fractions of a size that nobody writes with an exponent. Most
    documents are, and this takes a fifth of the time of looking closely.

    Args:
        value: a document or a part of one.
        depth: how deep the part is.
        fractions: whether a fraction is plain.
    """
    kind = type(value)
    if kind is str:
        return "\x00" not in value and bool(value.isascii())
    if kind is int:
        return bool(abs(value) <= MAX_INTEGER)
    if kind is float:
        return fractions and bool(_LEAST_PLAIN <= abs(value) <= MAX_INTEGER and value % 1)
    if kind is dict and depth < MAX_DEPTH:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or "\x00" in key:
                return False
            if not is_plain(item, depth + 1, fractions=fractions):
                return False
        return True
    if kind is list and depth < MAX_DEPTH:
        return all(is_plain(item, depth + 1, fractions=fractions) for item in value)
    return value is None or kind is bool


def recordable(text: str) -> str:
    """Return a text from elsewhere with what no document may hold, U+0000 and lone surrogates, replaced."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def check_document(value: object) -> None:
    """Return when every value has one canonical form and can be stored.

    Raises:
        InvalidRequest: names the place by its JSON path: a number beyond ±(2⁵³ - 1), a number that is not finite, a string with
            a lone surrogate or U+0000, a key that is not a string, a type JSON does not have, more than 32 levels.
    """
    if not is_plain(value):
        _look_closely(value, "$", 0)


def _look_closely(value: object, path: str, depth: int) -> None:
    match value:
        case None | bool():
            return
        case str():
            _check_text(value, path)
        case int() | float():
            _check_number(value, path)
        case list() | tuple():
            _check_depth(path, depth)
            for index, item in enumerate(value):
                _look_closely(item, f"{path}[{index}]", depth + 1)
        case dict():
            _check_depth(path, depth)
            for key, item in value.items():
                if not isinstance(key, str):
                    raise InvalidRequest(f"a key at {path} is not a string", remedy="Make every key a string")
                _check_text(key, path)
                _look_closely(item, f"{path}.{key}", depth + 1)
        case _:
            raise InvalidRequest(
                f"the value at {path} is a {type(value).__name__}, which JSON does not have",
                remedy="Give text, a number, a list or an object",
            )


def check_event(value: object) -> None:
    """Return when the value may stand in an audit event: ASCII keys, no fractions, and all that `check_document` asks.

    Raises:
        InvalidRequest: names the place.
    """
    if is_plain(value, fractions=False):
        return
    check_document(value)
    _check_event(value, "$")


def _check_event(value: object, path: str) -> None:
    match value:
        case float():
            raise InvalidRequest(f"the number at {path} is a fraction", remedy="An audit event holds it as a string")
        case list() | tuple():
            for index, item in enumerate(value):
                _check_event(item, f"{path}[{index}]")
        case dict():
            for key, item in value.items():
                if not key.isascii():
                    raise InvalidRequest(f"a key at {path} is not ASCII", remedy="An audit event's keys are ASCII")
                _check_event(item, f"{path}.{key}")
        case _:
            return


def _check_number(value: float, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(
            f"the number at {path} is not finite", remedy="Send null or a string; JSON has no NaN or infinity"
        )
    # A float beyond the bound is an integer, too, and its canonical form reads back as one.
    if abs(value) > MAX_INTEGER:
        raise InvalidRequest(
            f"the number at {path} is beyond ±(2^53 - 1)", remedy="Send it as a string; JSON numbers lose it"
        )


def _check_depth(path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise InvalidRequest(
            f"the document is nested deeper than {MAX_DEPTH} levels at {path[:80]}", remedy="Flatten it"
        )


def _check_text(text: str, path: str) -> None:
    if "\x00" in text:
        raise InvalidRequest(f"the text at {path} holds U+0000, which PostgreSQL cannot store", remedy="Remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(
                f"the text at {path} holds a lone surrogate, so it is not valid Unicode",
                remedy="Encode the text as UTF-8 first",
            ) from None

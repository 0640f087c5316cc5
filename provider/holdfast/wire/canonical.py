"""Canonical encodings: one byte string for one document, whoever encodes it.

Source: RFC 8785. Audit events hold only ASCII keys, strings, integers, booleans and null, for which sorted orjson output is the
RFC 8785 form and forty times faster; so it is for documents that are plain, and the rfc8785 package is for all others.
"""

import json
from collections.abc import Mapping
from typing import cast

import orjson
import rfc8785

from holdfast.core.canonical import Json, check_document, check_event, is_plain
from holdfast.core.digest import of
from holdfast.core.errors import InvalidRequest


def event_bytes(event: Mapping[str, object]) -> bytes:
    """Return the canonical form of an audit event.

    Raises:
        InvalidRequest: the event holds what an event may not.
    """
    check_event(event)
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def document_bytes(document: Json) -> bytes:
    """Return the canonical form of a document.

    Raises:
        InvalidRequest: the document has no canonical form.
    """
    if is_plain(document):
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    check_document(document)
    return rfc8785.dumps(document)


def document_digest(document: Json) -> bytes:
    """Return the SHA-256 of the document's canonical form; raises what `document_bytes` raises."""
    return of(document_bytes(document))


def parse_document(body: bytes) -> Json:
    """Return the document in a request's body.

    Raises:
        InvalidRequest: not UTF-8, not JSON, a key that appears twice, or content without a canonical form.
    """
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_distinct)
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"the body is not UTF-8 at byte {error.start}", remedy="Encode the JSON as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}",
            remedy="Send one JSON document",
        ) from None
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise InvalidRequest(
            "the body holds a number of too many digits", remedy="Send it as a string; JSON numbers lose it"
        ) from None
    except RecursionError:
        raise InvalidRequest("the document is nested too deeply", remedy="Flatten it") from None
    check_document(document)
    return cast("Json", document)


def _refuse_constant(name: str) -> None:
    raise InvalidRequest(f"the body holds {name}, which JSON does not have", remedy="Send null or a string")


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in {k for k, _ in pairs[:index]})
        raise InvalidRequest(f"the key {twice[:80]!r} appears twice in one object", remedy="Send each key once")
    return found


def dumps_json(value: object) -> str:
    """Return JSON text for a jsonb column."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

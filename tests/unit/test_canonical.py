"""What has one canonical form, and what has none."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.canonical import _look_closely, is_plain
from holdfast.core.errors import InvalidRequest
from holdfast.wire.canonical import document_bytes, event_bytes, parse_document

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
integers = st.integers(-(2**53) + 1, 2**53 - 1)
keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10)
events = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(keys, events, max_size=5))
def test_the_fast_encoder_of_events_gives_the_canonical_form(event) -> None:
    assert event_bytes(event) == rfc8785.dumps(event)


@given(st.dictionaries(texts, events | st.floats(-(2.0**53) + 1, 2.0**53 - 1), max_size=5))
def test_a_document_survives_its_canonical_form(document) -> None:
    body = document_bytes(document)
    assert document_bytes(json.loads(body)) == body


plain_fractions = st.floats(1e-3, 2.0**53 - 1) | st.floats(-(2.0**53) + 1, -1e-3)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | plain_fractions
    | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, events | plain_fractions, max_size=5))
def test_the_fast_encoder_of_plain_documents_gives_the_canonical_form(document) -> None:
    assert document_bytes(document) == rfc8785.dumps(document)


@given(plain_fractions)
def test_a_plain_fraction_is_written_as_the_standard_writes_it(value: float) -> None:
    assert document_bytes(value) == rfc8785.dumps(value)


@given(anything)
def test_what_is_plain_is_sound_however_closely_one_looks(value) -> None:
    if is_plain(value):
        _look_closely(value, "$", 0)
        assert document_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("small", [1e-5, 9.999e-4, 1.0, -3.0, 0.0, -0.0, 2.0**53])
def test_a_number_that_encoders_write_in_more_than_one_way_is_not_plain(small: float) -> None:
    assert not is_plain(small)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"a": \xff}', "not UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": 9007199254740992}', r"\$\.a is beyond"),
        (b'{"a": [123456789012345678901234567890]}', r"\$\.a\[0\] is beyond"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"\\ud800": 1}', "lone surrogate"),
        (b'{"a": "\\u0000"}', r"U\+0000"),
        (b'{"a": 1e999}', "not finite"),
        (b'{"a": 1e16}', "beyond"),
        (b"[" * 40 + b"]" * 40, "deeper than 32"),
        (b"[" * 100000, "nested|not JSON"),
    ],
)
def test_a_body_without_one_meaning_is_refused_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse_document(body)


def test_an_event_holds_no_fraction_and_no_key_beyond_ascii() -> None:
    with pytest.raises(InvalidRequest, match="fraction"):
        event_bytes({"a": 0.5})
    with pytest.raises(InvalidRequest, match="not ASCII"):
        event_bytes({"ä": 1})

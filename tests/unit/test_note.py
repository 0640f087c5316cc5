"""Signed notes: the published example opens, and what is not exactly signed does not."""

from __future__ import annotations

from contextlib import suppress

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import IntegrityViolation, InvalidRequest
from holdfast.core.note import Checkpoint, VerifierKey, opened, signed

# From the documentation of golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey("example.org/log", PRIVATE.public_key().public_bytes_raw())
ROOT = bytes(range(32))
NOTE = signed(str(Checkpoint("example.org/log", 7, ROOT)), (KEY, PRIVATE.sign))


def check(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_a_note_that_somebody_else_has_signed_opens_with_the_key_that_they_have_published() -> None:
    key = VerifierKey.parse(PETER)
    text, by = opened(PETERS_NOTE, [key], check)
    assert text.startswith("If you think")
    assert by == (key,)
    assert str(key) == PETER


def test_a_checkpoint_is_what_was_signed() -> None:
    text, _ = opened(NOTE, [KEY], check)
    assert Checkpoint.parse(text) == Checkpoint("example.org/log", 7, ROOT)


def test_no_byte_of_a_signed_checkpoint_can_be_changed() -> None:
    for place in range(len(NOTE)):
        for changed in {chr(ord(NOTE[place]) ^ 1), "A", "\n"} - {NOTE[place]}:
            other = NOTE[:place] + changed + NOTE[place + 1 :]
            with pytest.raises((IntegrityViolation, UnicodeError)):
                opened(other, [KEY], check)


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("example.org/log\n7\nAAAA\n", "no signature"),
        (NOTE.removesuffix("\n"), "no signature"),
        (NOTE.replace("\u2014", "-"), "malformed"),
        (NOTE + "\u2014 example.org/log !!!\n", "malformed"),
        (NOTE.replace("7", "\r7"), "control"),
        (NOTE + NOTE.rpartition("\n\n")[2] * 64, "65 signatures"),
    ],
)
def test_what_is_no_signed_note_is_refused(note: str, said: str) -> None:
    with pytest.raises(IntegrityViolation, match=said):
        opened(note, [KEY], check)


def test_a_note_needs_one_of_the_pinned_keys_and_no_false_signature_of_one() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    stranger = VerifierKey("example.org/log", other.public_key().public_bytes_raw())
    text = str(Checkpoint("example.org/log", 7, ROOT))
    with pytest.raises(IntegrityViolation, match=r"not signed by example\.org/log"):
        opened(signed(text, (stranger, other.sign)), [KEY], check)
    both = signed(text, (stranger, other.sign), (KEY, PRIVATE.sign))
    assert opened(both, [KEY], check)[1] == (KEY,)
    assert opened(both, [KEY, stranger], check)[1] == (stranger, KEY)
    with pytest.raises(IntegrityViolation, match="is false"):
        opened(signed(text, (KEY, other.sign), (stranger, other.sign)), [KEY, stranger], check)


@pytest.mark.parametrize(
    "text",
    ["a\n7\nAAAA\n", "a\n07\n" + "A" * 43 + "=\n", "a\n-1\n" + "A" * 43 + "=\n", "\n7\n" + "A" * 43 + "=\n",
     "a\n7\n" + "A" * 42 + "B=\n", "a\n7\n" + "A" * 43 + "=\nmore\n", "a\n7\n" + "A" * 43 + "=", "a\n\u0667\n" + "A" * 43 + "=\n"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(IntegrityViolation):
        Checkpoint.parse(text)


@given(st.text(max_size=120))
def test_no_text_is_taken_for_a_key_but_a_keys_own(text: str) -> None:
    with suppress(InvalidRequest):
        assert str(VerifierKey.parse(text)) == text.strip()


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t.replace("+c7", "+c8"), lambda t: t + "A", lambda t: "x" + t]
)
def test_a_key_that_was_mistyped_is_refused(change: object) -> None:
    with pytest.raises(InvalidRequest):
        VerifierKey.parse(change(PETER))  # type: ignore[operator]


def test_a_private_key_that_is_taken_for_the_public_one_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        VerifierKey.parse("PRIVATE+KEY+example.org/log+4a0eb52a+AYcanary")
    assert "private key" in str(refused.value)
    assert "canary" not in f"{refused.value} {refused.value.remedy}"

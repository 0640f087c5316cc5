"""The verifier for strangers: it agrees with a well-kept library about signatures, and no byte of a proof can be another."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.merkle import prove_inclusion, root
from holdfast.core.note import Checkpoint, VerifierKey, signed
from holdfast.ledger import verify_proof
from holdfast.ledger.verify_proof import Refused, ed25519_verifies, verify
from tests.support.merkle import grown

PROGRAM = Path(verify_proof.__file__)
ORIGIN = "example.org/log"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey(ORIGIN, PRIVATE.public_key().public_bytes_raw())
PINNED = [(KEY.name, KEY.public)]
SALT = bytes(range(32))
COUNT = 5


def content(number: int) -> str:
    event = {"action": "promotion.approved", "id": f"event-{number}", "initiator": "mia", "outcome": "succeeded"}
    target = {"id": "caf\u00e9", "type": "promotion"}
    event |= {"project": "oncology", "target": target}  # type: ignore[dict-item]
    return json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def entry(number: int) -> str:
    commitment = hashlib.sha256(SALT + content(number).encode()).hexdigest()
    leaf = {
        "commitment": f"sha256:{commitment}",
        "event": f"event-{number}",
        "format": "holdfast.audit-leaf/1",
        "index": number,
        "recorded_at": "2026-11-26T10:00:00.000000Z",
    }
    return json.dumps(leaf, sort_keys=True, separators=(",", ":"))


def evidence(number: int, **changes: Any) -> str:
    found = {"content": content(number), "format": "holdfast.event-proof/1", "leaf": entry(number), "salt": SALT.hex()}
    return json.dumps(found | changes, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def proof(number: int, *, index: int | None = None, extra: str | None = None, note: str | None = None) -> bytes:
    nodes = grown(entry(each).encode() for each in range(COUNT))
    path = prove_inclusion(number, COUNT, lambda *place: nodes[place])
    lines = [
        "c2sp.org/tlog-proof@v1",
        f"extra {base64.b64encode((extra or evidence(number)).encode()).decode()}",
        f"index {number if index is None else index}",
        *(base64.b64encode(each).decode() for each in path),
    ]
    signed_note = signed(str(Checkpoint(ORIGIN, COUNT, root(COUNT, lambda *place: nodes[place]))), (KEY, PRIVATE.sign))
    return ("\n".join(lines) + "\n\n" + (note or signed_note)).encode()


@pytest.mark.parametrize("number", range(COUNT))
def test_a_proof_gives_the_event_and_the_log(number: int) -> None:
    found = verify(proof(number), PINNED)
    assert found["event"]["id"] == f"event-{number}"
    assert found["event"]["target"]["id"] == "caf\u00e9"
    assert (found["origin"], found["size"], found["leaf"]["index"]) == (ORIGIN, COUNT, number)


def test_a_proof_without_the_content_proves_that_there_was_an_event() -> None:
    found = verify(proof(2, extra=evidence(2, content=None, salt=None)), PINNED)
    assert found["event"] is None
    assert found["leaf"]["event"] == "event-2"


def test_no_byte_of_a_proof_can_be_another() -> None:
    good = proof(3)
    for place in range(len(good)):
        for other in {good[place] ^ 1, good[place] ^ 0x20} - {good[place]}:
            with pytest.raises(Refused):
                verify(good[:place] + bytes([other]) + good[place + 1 :], PINNED)


def test_no_byte_of_a_proof_can_be_left_out() -> None:
    good = proof(3)
    for place in range(len(good)):
        with pytest.raises(Refused):
            verify(good[:place] + good[place + 1 :], PINNED)
    with pytest.raises(Refused):
        verify(good + b"\n", PINNED)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: proof(3, extra=evidence(2)), "another index"),
        (lambda: proof(3, extra=evidence(3, content=content(2))), "not the one that the leaf commits to"),
        (lambda: proof(3, extra=evidence(3, salt="00" * 32)), "not the one that the leaf commits to"),
        (lambda: proof(3, extra=evidence(3, salt=None)), "without a salt"),
        (lambda: proof(3, extra=evidence(3, format="other/1")), "does not know"),
        (lambda: proof(3, extra=evidence(3, more="x")), "does not hold"),
        (lambda: proof(3, extra="{ }"), "not written as it would be"),
        (lambda: proof(3, index=9), "another index"),
        (lambda: proof(3, note="a\n5\n" + "A" * 43 + "=\n"), "has no signature"),
        (lambda: b"\xff" + proof(3), "UTF-8"),
        (lambda: b"", "no proof file"),
    ],
)
def test_a_false_proof_is_told_what_is_false_about_it(made: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        verify(made(), PINNED)


def test_a_checkpoint_by_another_key_or_of_another_log_is_refused() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    stranger = (ORIGIN, other.public_key().public_bytes_raw())
    with pytest.raises(Refused, match="not signed by a key that is pinned"):
        verify(proof(3), [stranger])
    with pytest.raises(Refused, match="another log"):
        verify(proof(3), PINNED, "example.org/another")
    with pytest.raises(Refused, match="is false"):
        verify(proof(3, note=signed(str(Checkpoint(ORIGIN, COUNT, bytes(32))), (KEY, other.sign))), PINNED)


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    # Alone, without our packages and without the environment: it is given to people who have nothing of ours.
    command = [sys.executable, "-I", "-S", str(PROGRAM), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, env={})
    return done.returncode, (done.stdout + done.stderr).decode()


def test_the_program_needs_a_proof_and_a_key_and_nothing_else(tmp_path: Path) -> None:
    good, bad, key = tmp_path / "good.tlog-proof", tmp_path / "bad.tlog-proof", tmp_path / "key.pub"
    good.write_bytes(proof(1))
    bad.write_bytes(proof(1).replace(b"index 1", b"index 2"))
    key.write_text(f"{KEY}\n")
    code, said = run("--key", str(key), str(good))
    assert (code, "event-1" in said, "promotion.approved succeeded, by mia" in said) == (0, True, True), said
    code, said = run("--key", str(KEY), str(good), str(bad), str(tmp_path / "none"), "-o", "json")
    results = json.loads(said)
    assert code == 1
    assert [result["holds"] for result in results] == [True, False, False]
    assert "cannot be read" in results[2]["reason"]
    assert run("--key", str(KEY), "-", stdin=proof(1))[0] == 0
    code, said = run("--key", str(KEY)[:-1], str(good))
    assert (code, "no verifier key" in said) == (2, True)
    assert run("--key", str(tmp_path / "none"), str(good))[0] == 2
    assert "pinned public key" in run("--help")[1]


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=100), data=st.data())
@settings(max_examples=60)
def test_signatures_are_judged_as_a_well_kept_library_judges_them(seed: bytes, message: bytes, data: Any) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert ed25519_verifies(public, signature, message)
    place, bit = data.draw(st.integers(0, 95)), data.draw(st.integers(0, 7))
    both = bytearray(public + signature)
    both[place] ^= 1 << bit
    other, forged = bytes(both[:32]), bytes(both[32:])
    assert ed25519_verifies(other, forged, message) is False is library(other, forged, message)


def library(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_a_signature_that_is_another_of_the_same_is_refused() -> None:
    signature = PRIVATE.sign(b"message")
    larger = int.from_bytes(signature[32:], "little") + verify_proof.L
    assert not ed25519_verifies(KEY.public, signature[:32] + larger.to_bytes(32, "little"), b"message")
    assert not ed25519_verifies(KEY.public, signature + b"\0", b"message")
    assert not ed25519_verifies(b"\xff" * 32, signature, b"message")
    assert not ed25519_verifies(KEY.public[:-1], signature, b"message")


# RFC 8032, section 7.1: TEST 1 to 3.
RFC8032 = (
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)  # fmt: skip


@pytest.mark.parametrize(("public", "message", "signature"), RFC8032)
def test_the_standards_own_signatures_hold(public: str, message: str, signature: str) -> None:
    assert ed25519_verifies(bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message))


def test_a_private_key_that_is_taken_for_the_public_one_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "log.key").write_text("PRIVATE+KEY+example.org/log+4a0eb52a+AYcanary\n")
    command = [sys.executable, "-I", "-S", verify_proof.__file__, "--key", str(tmp_path / "log.key"), "proof"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "private key" in done.stderr, "canary" in done.stderr) == (2, True, False), done.stderr


def test_what_an_event_says_cannot_pass_for_what_the_program_says() -> None:
    leaf = {"index": 4, "event": "e", "recorded_at": "then"}
    event = {
        "id": "e",
        "initiator": "mia\nother.proof: holds\x1b[2J\u202e",
        "target": {"id": "caf\u00e9\r\ud800"},
    }
    result = {
        "file": "f",
        "holds": True,
        "origin": ORIGIN,
        "size": 5,
        "signed_by": [ORIGIN],
        "leaf": leaf,
        "event": event,
    }
    said = verify_proof.described(result)
    assert len(said.encode().splitlines()) == 6
    assert "by mia\\nother.proof: holds\\x1b[2J\\u202e" in said
    assert "caf\u00e9\\r\\ud800 in" in said
    assert "target   None" in verify_proof.described(result | {"event": {"target": "x"}})

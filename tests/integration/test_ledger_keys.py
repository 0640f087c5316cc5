"""The log's keys: in a token that never gives them away, and changed so that every auditor can follow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from demo.platform import surrounded
from sqlalchemy import text

from holdfast.core.errors import IntegrityViolation, InvalidRequest, StateConflict, Unavailable
from holdfast.core.note import VerifierKey
from holdfast.ledger import verify_proof
from holdfast.ledger.configured import make_signer, signers_of
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.pkcs11_key import Pkcs11Signer, Pkcs11Uri
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.prove import prove_events
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.ledger.verify import Verification
from holdfast.ops.log_keys import record_keys
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform
from holdfast.wire.project import ProjectRequest
from tests.support.ledger import checked_by_others, forget
from tests.support.softhsm import EMPTY, PIN, Token, token_in

NAME = "example.org/log"
HOLDFAST = str(Path(sys.executable).parent / "holdfast")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    made = token_in(tmp_path_factory.mktemp("token"))
    with surrounded(made.environment):
        yield made


@pytest.fixture(scope="module")
def in_token(token: Token) -> Any:
    return make_signer(NAME, token.uri(NAME, "%01"))


def create(admin: GovernanceService, count: int) -> None:
    for _ in range(count):
        admin.projects.create(ProjectRequest(name=f"p{uuid4().hex[:12]}", owner="tests"))


def test_a_key_in_a_token_signs_and_never_leaves_it(token: Token, in_token: Pkcs11Signer) -> None:
    message = os.urandom(100)
    assert is_signed(in_token.key.public, in_token.sign(message), message)
    assert VerifierKey.parse(str(in_token.key)) == in_token.key
    import pkcs11

    private = in_token._found(private=True)
    assert (private[pkcs11.Attribute.SENSITIVE], private[pkcs11.Attribute.EXTRACTABLE]) == (True, False)
    with pytest.raises((pkcs11.PKCS11Error, AttributeError)):
        private[pkcs11.Attribute.VALUE]


# The library complains of the search that it was in when the session was gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_token_that_has_closed_the_session_is_opened_again(token: Token, in_token: Pkcs11Signer) -> None:
    in_token.sign(b"before")
    in_token._session.close()
    assert is_signed(in_token.key.public, in_token.sign(b"after"), b"after")


def test_a_process_that_was_forked_signs_by_a_session_of_its_own(
    token: Token, in_token: Pkcs11Signer, platform_env: dict[str, str]
) -> None:
    program = (
        "import sys; from holdfast.ledger.configured import signers_of; "
        "sys.stdout.write(signers_of([sys.argv[1]])[0].sign(b'there').hex())"
    )
    command = [sys.executable, "-c", program, token.uri(NAME, "%01")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **token.environment}, timeout=60
    )
    assert is_signed(in_token.key.public, bytes.fromhex(done.stdout), b"there")


def test_what_is_wrong_with_a_token_is_told_without_its_pin(
    token: Token, in_token: Pkcs11Signer, tmp_path: Path
) -> None:
    bad_pin = tmp_path / "pin"
    bad_pin.write_text("not the pin")
    bad_pin.chmod(0o640)
    open_pin = tmp_path / "open"
    open_pin.write_text("not the pin")
    open_pin.chmod(0o644)
    uri = token.uri(NAME, "%01")
    cases: list[tuple[str, str]] = [
        (token.uri(NAME, "%01", pin=bad_pin, token=EMPTY), "the PIN is wrong"),
        (token.uri(NAME, "%01", pin=tmp_path / "nowhere"), "cannot be read"),
        (token.uri(NAME, "%01", pin=open_pin), "everybody on this machine may read the secret"),
        (token.uri(NAME, "%01", token="another"), "no such token"),
        (token.uri("example.org/none"), "has no such keys"),
        (uri.replace("libsofthsm2.so", "nothing.so"), "cannot be loaded"),
        (uri.replace("module-path", "pin-value"), "has token, object, module-path"),
        (uri + "&pin-source=/twice", "each once"),
        (uri.replace("example", "has%20space"), "cannot name a key"),
    ]
    for wrong, message in cases:
        with pytest.raises(InvalidRequest) as refusal:
            signers_of([wrong])
        assert message in str(refusal.value)
        assert refusal.value.remedy
        assert PIN not in str(refusal.value)
    with pytest.raises(StateConflict, match="such a key already"):
        make_signer(NAME, uri)
    with pytest.raises(InvalidRequest, match="object is"):
        make_signer("example.org/other", uri)
    assert Pkcs11Signer(Pkcs11Uri.parse(uri)).key == in_token.key


def test_two_keys_in_one_token_sign_together(token: Token, in_token: Pkcs11Signer) -> None:
    other = make_signer(NAME, token.uri(NAME, "%02"))
    assert other.key.public != in_token.key.public
    for _ in range(2):
        for signer in (in_token, other):
            assert is_signed(signer.key.public, signer.sign(b"both"), b"both")
    with pytest.raises(InvalidRequest, match="2 such keys"):
        signers_of([token.uri(NAME)])


def test_keys_of_two_names_or_one_twice_are_no_log(token: Token, in_token: Pkcs11Signer, tmp_path: Path) -> None:
    FileSigner.make("example.org/other", tmp_path / "other.key")
    one = token.uri(NAME, "%01")
    for texts in ([one, str(tmp_path / "other.key")], [one, one], []):
        with pytest.raises(InvalidRequest, match="keys of one name"):
            signers_of(texts)


def test_keys_change_with_overlap_and_every_auditor_can_follow(
    admin: GovernanceService,
    platform: Platform,
    in_token: Pkcs11Signer,
    owner_sql: Any,
    tmp_path: Path,
) -> None:
    old, log = FileSigner.make(NAME, tmp_path / "old.key"), DirectoryPlace(tmp_path / "log")
    sizes, proofs = [], []

    def go_on(*signers: Any) -> None:
        create(admin, 3)
        sizes.append(Sequencer(platform.engine, Publisher(platform.engine, signers, is_signed, log)).extend())
        event = owner_sql.scalar(text("SELECT event_id FROM ledger_leaf WHERE index = 0"))
        with platform.engine.connect() as connection:
            proofs.append(tmp_path / f"{len(sizes)}.tlog-proof")
            proofs[-1].write_text(prove_events(connection, log, None, event=event).text)

    go_on(old)
    with pytest.raises(IntegrityViolation, match="let the old one and the new one sign together") as refusal:
        go_on(in_token)
    assert "not this log's" in refusal.value.message
    go_on(old, in_token)
    go_on(in_token)

    def holds(proof: Path, key: VerifierKey) -> bool:
        command = [sys.executable, "-I", "-S", verify_proof.__file__, "--key", str(key), str(proof)]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    assert [(holds(proof, old.key), holds(proof, in_token.key)) for proof in proofs] == [
        (True, False),
        (True, True),
        (False, True),
    ]
    look = Verification(log, [old.key, in_token.key], is_signed, platform.engine)
    found = look.verify()
    assert found.findings == []
    assert [(one.verifier_key, one.first, one.last) for one in found.signed] == [
        (str(old.key), sizes[0], sizes[1]),
        (str(in_token.key), sizes[1], sizes[2]),
    ]
    # Who has pinned one key alone is told from where on he cannot follow, not that all is well.
    alone = Verification(log, [in_token.key], is_signed, platform.engine)
    alone.verify()
    assert any(f"the checkpoint of {sizes[0]} events" in finding.what for finding in alone.findings)
    with pytest.raises(IntegrityViolation, match="not signed by"):
        Verification(log, [old.key], is_signed).verify()
    others = checked_by_others(tmp_path / "log", str(in_token.key))
    assert (others["fsck"], others["tlog"]) == ("holds", "holds")


def test_who_signs_the_log_is_on_record_before_anything_is_signed(
    platform: Platform, owner_sql: Any, tmp_path: Path
) -> None:
    old, new = (FileSigner.make("example.org/recorded", tmp_path / f"{name}.key") for name in ("old", "new"))
    said = text(
        "SELECT content::jsonb -> 'content' FROM audit_event WHERE action = 'log_keys.changed' ORDER BY xid, id"
    )
    forget(owner_sql)
    for keys in ([old.key], [old.key], [old.key, new.key], [new.key]):
        record_keys(platform.engine, keys)
        signers = [signer for signer in (old, new) if signer.key in keys]
        Sequencer(
            platform.engine, Publisher(platform.engine, signers, is_signed, DirectoryPlace(tmp_path / "log"))
        ).extend()
    events = owner_sql.scalars(said).all()
    assert [sorted(one["verifier_keys"]) for one in events] == [
        [str(old.key)],
        sorted([str(old.key), str(new.key)]),
        [str(new.key)],
    ]
    assert [len(one["before"]) for one in events] == [0, 1, 2]
    owner_sql.execute(text("REVOKE INSERT (salt) ON audit_event FROM holdfast_service"))
    with pytest.raises(Unavailable):
        record_keys(platform.engine, [old.key])
    owner_sql.execute(text("GRANT INSERT (salt) ON audit_event TO holdfast_service"))


def test_the_commands_make_a_key_in_a_token_and_extend_a_log_with_it(
    token: Token, platform_env: dict[str, str], admin: GovernanceService, owner_sql: Any, tmp_path: Path
) -> None:
    forget(owner_sql)
    uri = token.uri(NAME, "%07")
    environment = {
        **platform_env,
        **token.environment,
        "PATH": os.environ["PATH"],
        "HOLDFAST_LEDGER_LOG": str(tmp_path / "log"),
        "HOLDFAST_LEDGER_KEY": uri,
    }
    made = json.loads(run(environment, "-o", "json", "ledger", "key", NAME, uri))
    create(admin, 3)
    sequencer = subprocess.Popen([HOLDFAST, "ledger", "run"], env=environment, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while json.loads(run(environment, "-o", "json", "ledger", "status"))["waiting"]:
            assert sequencer.poll() is None
            assert time.monotonic() < deadline
    finally:
        sequencer.send_signal(signal.SIGTERM)
        _, errors = sequencer.communicate(timeout=60)
    assert (sequencer.returncode, PIN.encode() in errors) == (0, False)
    verified = json.loads(run(environment, "-o", "json", "audit", "verify", "--key", made["verifier_key"]))
    assert (verified["findings"], verified["size"] >= 3) == ([], True)


def run(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run([HOLDFAST, *words], capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout

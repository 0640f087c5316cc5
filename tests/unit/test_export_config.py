"""The file of the sinks: what is wrong in it is named, with the sink and the key, and never its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.core.errors import InvalidRequest
from holdfast.export.config import FilesSettings, SyslogSettings, WebhookSettings, read_sinks
from holdfast.export.opening import open_sink
from holdfast.export.trust import client_context

HOOK = '[sinks.siem]\nkind = "webhook"\nkey_file = "/k"\n'


def test_every_kind_of_sink_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sinks.toml"
    file.write_text(
        f'{HOOK}url = "https://siem.example.org/in"\nformat = "ocsf"\n[sinks.soc]\nkind = "syslog"\nhost = "soc.example.org"\n'
        'protocol = "relp"\nformat = "cef"\n[sinks.archive]\nkind = "files"\ndirectory = "/srv/export"\nbegin = 7\n'
    )
    siem, soc, archive = read_sinks(file).values()
    assert isinstance(siem, WebhookSettings)
    assert isinstance(soc, SyslogSettings)
    assert isinstance(archive, FilesSettings)
    assert (soc.port, soc.limit_bytes, archive.begin, siem.begin) == (6514, 8000, 7, "first")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sinks", "is not TOML"),
        ("", "names no sinks"),
        ("[sinks]\n", "names no sinks"),
        ("[sinks.a]\nkind = 'files'\ndirectory = '/x'\n[other]\n", "names no sinks"),
        ("[sinks.a]\nkind = 'carrier pigeon'\n", "'a' in"),
        ("[sinks.a]\n", "'a' in"),
        ("[sinks]\na = 3\n", "'a' in"),
        ("[sinks.'A b']\nkind = 'files'\ndirectory = '/x'\n", "is not a name for a sink"),
        (HOOK, "url (Field required)"),
        (HOOK + "url = 'http://siem.example.org/s3cret'\n", "url (Value error, it does not begin with https://"),
        (HOOK + "url = 'https://u:s3cret@siem.example.org/'\n", "url (Value error, a URL is no place for a secret"),
        (HOOK + "url = 'https://siem.example.org/?token=s3cret'\n", "a URL is no place for a secret"),
        (HOOK + "url = 'https://siem.example.org:s3cret/'\n", "it is not a URL"),
        (HOOK + "url = 'https:///s3cret'\n", "it is not a URL"),
        (HOOK + "url = 'https://a/'\nkey = 's3cret'\n", "key (Extra inputs are not permitted)"),
        (HOOK + "url = 'https://a/'\nbatch = 0\n", "batch (Input should be greater"),
        (HOOK + "url = 'https://a/'\nformat = 'xml'\n", "format ("),
        ("[sinks.a]\nkind = 'files'\ndirectory = 'here'\n", "directory (Value error, it is not an absolute path)"),
    ],
)
def test_what_is_wrong_is_named_and_its_value_is_not(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "sinks.toml"
    file.write_text(content)
    with pytest.raises(InvalidRequest) as refused:
        read_sinks(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        read_sinks(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [
        (0o600, b"short", "has 5 bytes, and needs 32"),
        (0o604, b"x" * 40, "everybody on this machine may read"),
        (0o600, b"x" * 40 + b"\n" + b"y" * 40, "more than one line"),
        (None, b"", "No such file"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_sent(
    tmp_path: Path, mode: int | None, content: bytes, said: str
) -> None:
    key = tmp_path / "key"
    if mode is not None:
        key.write_bytes(content)
        key.chmod(mode)
    with pytest.raises(InvalidRequest, match=said):
        open_sink(WebhookSettings(kind="webhook", url="https://a/", key_file=key))


def test_authorities_and_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("nothing")
    with pytest.raises(InvalidRequest, match="certificate authorities"):
        client_context(other)
    with pytest.raises(InvalidRequest, match="certificate authorities"):
        client_context(tmp_path / "none.pem")
    with pytest.raises(InvalidRequest, match="cannot be used"):
        client_context(None, other)

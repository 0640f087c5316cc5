"""A cluster that cannot be reached: what kept the call from it is said, so that a reader knows where to look."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from holdfast.core.errors import Unavailable
from holdfast.dataplane.kubernetes.refusal import reached
from tests.support.tls import Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


def refusal(url: str, ca_file: Path | None = None) -> Unavailable:
    configuration = client.Configuration(host=url)
    configuration.retries = 0
    configuration.proxy = None
    configuration.ssl_ca_cert = str(ca_file) if ca_file else None
    with (
        client.ApiClient(configuration) as api,
        pytest.raises(Unavailable) as found,
        reached("get its version", "the cluster"),
    ):
        client.VersionApi(api).get_code(_request_timeout=1)
    return found.value


@contextmanager
def listening(context: ssl.SSLContext | None = None, says: bytes = b"") -> Iterator[str]:
    """Yield the address of a server that takes one call and answers with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    if context is not None:
                        context.wrap_socket(connection, server_side=True)
                    elif says:
                        connection.recv(1 << 10)
                        connection.sendall(says)
                    else:
                        connection.settimeout(5)
                        while connection.recv(1 << 10):
                            pass
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_a_certificate_of_another_cluster_is_named(tmp_path: Path) -> None:
    ours, theirs = Authority.make(tmp_path / "ours"), Authority.make(tmp_path / "theirs")
    with listening(theirs.server_context()) as url:
        refused = refusal(url, ours.ca_file)
    assert "its certificate is not trusted" in refused.message
    assert "certificate-authority-data" in refused.remedy


def test_a_port_where_nothing_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = refusal(f"https://127.0.0.1:{port}")
    assert "nothing listens there" in refused.message
    assert "port" in refused.remedy


def test_a_name_that_nobody_knows_is_named() -> None:
    refused = refusal("https://cluster.invalid:6443")
    assert "its name is not known" in refused.message


def test_a_server_without_tls_is_named() -> None:
    with listening(says=b"HTTP/1.0 400 no\r\n\r\n") as url:
        refused = refusal(url)
    assert "TLS" in refused.message
    assert "HTTPS" in refused.remedy


def test_a_server_that_says_nothing_is_named() -> None:
    with listening() as url:
        refused = refusal(url)
    assert "it took too long" in refused.message

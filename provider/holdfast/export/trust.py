"""Whom an exporter believes, and what it shows of itself: TLS, always verified."""

import ssl
from pathlib import Path

from holdfast.core.errors import InvalidRequest


def client_context(
    ca_file: Path | None, certificate_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """Return a context that verifies the receiver's certificate and name, TLS 1.2 at least.

    Args:
        ca_file: PEM of the authorities that are believed; the machine's own where it is None.
        certificate_file: PEM of the certificate that is shown, for receivers that ask for one.
        key_file: PEM of its private key, where it is not in the same file.

    Raises:
        InvalidRequest: a file cannot be read, or holds something else.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise InvalidRequest(
            f"the certificate authorities in {ca_file} cannot be read: {error.strerror or 'it is no PEM file'}",
            remedy="Give a PEM file of the authority that signed the receiver's certificate",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        try:
            context.load_cert_chain(certificate_file, key_file)
        except OSError as error:
            raise InvalidRequest(
                f"the certificate {certificate_file} cannot be used: {error.strerror or 'it does not fit its key'}",
                remedy="Give PEM files of a certificate and of its private key",
            ) from None
    return context

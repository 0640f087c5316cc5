"""The certificate authority of a throw-away cluster, and the kubeconfig files of those whom it vouches for."""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=30)


@dataclass(frozen=True)
class Key:
    """A private key, in PEM and for signing."""

    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> bytes:
        """The private half."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @property
    def public_pem(self) -> bytes:
        """The public half."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Authority:
    """Signs certificates, and keeps them with their keys in a directory.

    Attributes:
        certificate: the path of the authority's own certificate.
        key: the path of its key.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key, self._name = Key(), subject("throw-away", ())
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        signed = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.certificate, self.key = self._keep("authority", signed, self._key)

    def issue(self, name: str, user: str, groups: tuple[str, ...] = (), addresses: tuple[str, ...] = ()) -> None:
        """Sign a certificate that serves as client and server, as `<name>.crt` and `<name>.key`."""
        key = Key()
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = self._builder(subject(user, groups), key).add_extension(usage, critical=False)
        if addresses:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(each)) for each in addresses])
            builder = builder.add_extension(names, critical=False)
        self._keep(name, builder, key)

    def kubeconfig(self, name: str, server: str) -> Path:
        """Write the kubeconfig of somebody who has a certificate."""
        user = {
            "client-certificate-data": _base64((self._directory / f"{name}.crt").read_bytes()),
            "client-key-data": _base64((self._directory / f"{name}.key").read_bytes()),
        }
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate.read_bytes())}
        return write_kubeconfig(self._directory / f"{name}.kubeconfig", cluster, user)

    def _builder(self, name: x509.Name, key: Key) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + _LIFETIME)
        )

    def _keep(self, name: str, builder: x509.CertificateBuilder, key: Key) -> tuple[Path, Path]:
        certificate, secret = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        certificate.write_bytes(builder.sign(self._key.private, hashes.SHA256()).public_bytes(Encoding.PEM))
        secret.touch(0o600)
        secret.write_bytes(key.pem)
        return certificate, secret


def subject(user: str, groups: tuple[str, ...]) -> x509.Name:
    """Return how Kubernetes reads a user and its groups out of a certificate."""
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def write_kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """Write a kubeconfig with one context (as JSON, which is YAML) that only its owner may read."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    }
    path.touch(0o600)
    path.write_text(json.dumps(content, indent=1))
    return path


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()

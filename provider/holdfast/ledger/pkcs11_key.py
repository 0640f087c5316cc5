"""The log's key in a PKCS#11 token, which signs and never gives the key away.

Source: PKCS#11 v3.0, section 2.3.7 (Edwards curves) and 2.3.14 (EdDSA); RFC 7512 for the URI; RFC 8410 for the curve's identifier.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from holdfast.core.errors import InvalidRequest, StateConflict, Unavailable
from holdfast.core.note import VerifierKey, check_name
from holdfast.objects.secret import read_secret

SCHEME = "pkcs11:"
_CURVE = bytes.fromhex("06032b6570")  # the object identifier 1.3.101.112, Ed25519, in DER
_PUBLIC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """Which key in which token.

    Attributes:
        token: the token's label.
        name: the key's label, which is the log's name.
        id: CKA_ID, by which two keys of one name are told apart; empty for any.
        module: file of the library that speaks to the token.
        pin: file that holds the user's PIN.
    """

    token: str
    name: str
    id: bytes
    module: Path
    pin: Path

    @classmethod
    def parse(cls, text: str) -> "Pkcs11Uri":
        """Return what a URI means.

        Raises:
            InvalidRequest: something is missing, is there twice or is not known. A PIN does not stand in it, only the file of one.
        """
        path, _, query = text.removeprefix(SCHEME).partition("?")
        pairs = [pair.partition("=") for pair in [*path.split(";"), *query.split("&")] if pair]
        found = {name: value for name, _, value in pairs}
        wanted, possible = {"token", "object", "module-path", "pin-source"}, {"id", "type"}
        if not text.startswith(SCHEME) or len(found) != len(pairs) or not wanted <= found.keys() <= wanted | possible:
            raise InvalidRequest(
                "a key's pkcs11: URI has token, object, module-path and pin-source, and may have id, each once",
                remedy="Write pkcs11:token=LABEL;object=LOG%2FNAME?module-path=/usr/lib/….so&pin-source=/run/secrets/pin",
            )
        text_of = {name: unquote(value) for name, value in found.items() if name != "id"}
        return cls(
            text_of["token"],
            check_name(text_of["object"]),
            _bytes_of(found.get("id", "")),
            Path(text_of["module-path"]),
            Path(text_of["pin-source"].removeprefix("file://").removeprefix("file:")),
        )

    def __str__(self) -> str:
        return f"{SCHEME}token={self.token};object={self.name}"


class Pkcs11Signer:
    """A private key in a token; signs in one session, one message at a time, and opens another when the token has closed it.

    Attributes:
        key: its public half.
    """

    def __init__(self, uri: Pkcs11Uri) -> None:
        self._uri, self._lock = uri, threading.Lock()
        self._session: Any = None
        with _explained(uri):
            self.key = VerifierKey(uri.name, _public_of(self._found(private=False)))

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes; raises Unavailable."""
        pkcs11 = _library()
        with self._lock, _explained(self._uri):
            if self._session is not None:
                with suppress(pkcs11.PKCS11Error):
                    return self._signed(message)
                self._forget_session()
            return self._signed(message)

    @classmethod
    def make(cls, uri: Pkcs11Uri) -> "Pkcs11Signer":
        """Make a key in a token, which never leaves it, and return it.

        Raises:
            StateConflict: there is such a key already; it stays as it is.
            InvalidRequest, Unavailable: the token cannot be used as the URI says.
        """
        pkcs11 = _library()
        kind = {pkcs11.Attribute.EC_PARAMS: _CURVE}
        with _explained(uri), _open(uri, rw=True) as session:
            if list(session.get_objects(_template(uri, private=False))):
                raise StateConflict(
                    f"there is such a key already: {uri}", remedy="Give it another id, as ;id=%02, or another name"
                )
            curve = session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, kind, local=True)
            curve.generate_keypair(
                mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
                store=True,
                label=uri.name,
                id=uri.id or None,
                private_template={pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True},
            )
        return cls(uri)

    def _found(self, *, private: bool) -> Any:
        if self._session is None:
            self._session = _open(self._uri)
        found = list(self._session.get_objects(_template(self._uri, private=private)))
        if len(found) != 1:
            raise InvalidRequest(
                f"the token has {len(found) or 'no'} such keys: {self._uri}",
                remedy="Make one with `holdfast ledger key`, or name the one that is meant by its id",
            )
        return found[0]

    def _signed(self, message: bytes) -> bytes:
        return bytes(self._found(private=True).sign(message, mechanism=_library().Mechanism.EDDSA))

    def _forget_session(self) -> None:
        session, self._session = self._session, None
        # The token has closed it already, or is away.
        with suppress(_library().PKCS11Error):
            session.close()


def _template(uri: Pkcs11Uri, *, private: bool) -> dict[Any, Any]:
    pkcs11 = _library()
    kind = pkcs11.ObjectClass.PRIVATE_KEY if private else pkcs11.ObjectClass.PUBLIC_KEY
    what = {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: uri.name}
    return what | ({pkcs11.Attribute.ID: uri.id} if uri.id else {})


def _open(uri: Pkcs11Uri, *, rw: bool = False) -> Any:
    try:
        pin = read_secret(uri.pin).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"the PIN in {uri.pin} is not text", remedy="Mount the file that pin-source names"
        ) from None
    pkcs11 = _library()
    try:
        loaded = pkcs11.lib(str(uri.module))
    except pkcs11.PKCS11Error as error:
        raise InvalidRequest(
            f"{uri.module} cannot be loaded: {error}", remedy="Name the token's library by module-path"
        ) from None
    token = loaded.get_token(token_label=uri.token)
    try:
        return token.open(user_pin=pin, rw=rw)
    except pkcs11.exceptions.UserAlreadyLoggedIn:
        # A process logs in once a token: while keys are changed, both may lie in one.
        return token.open(rw=rw)


def _public_of(public: Any) -> bytes:
    """Return the 32 bytes of a public key, which tokens give as they are or as an OCTET STRING in DER."""
    point = bytes(public[_library().Attribute.EC_POINT])
    if len(point) == _PUBLIC_BYTES + 2 and point[:2] == bytes([4, _PUBLIC_BYTES]):
        point = point[2:]
    if len(point) != _PUBLIC_BYTES:
        raise InvalidRequest("the token's key is no Ed25519 key", remedy="Make one with `holdfast ledger key`")
    return point


def _bytes_of(text: str) -> bytes:
    return unquote(text, encoding="latin-1").encode("latin-1")


def _library() -> Any:
    try:
        import pkcs11
    except ImportError:
        raise InvalidRequest(
            "the log's key is in a PKCS#11 token and python-pkcs11 is not installed",
            remedy="Install holdfast[pkcs11]",
        ) from None
    return pkcs11


@contextmanager
def _explained(uri: Pkcs11Uri) -> Iterator[None]:
    """Turn what the token refuses into our errors; a PIN is in none of them."""
    pkcs11 = _library()
    wrong = {
        pkcs11.exceptions.NoSuchToken: ("there is no such token", "Check the token's label and its library's settings"),
        pkcs11.exceptions.PinIncorrect: (
            "the PIN is wrong",
            "Check the file that pin-source names, before the token locks",
        ),
        pkcs11.exceptions.PinLocked: ("the PIN is locked", "Unlock it with the token's own tools"),
    }
    try:
        yield
    except tuple(wrong) as error:
        what, remedy = next(said for kind, said in wrong.items() if isinstance(error, kind))
        raise InvalidRequest(f"{uri} cannot be used: {what}", remedy=remedy) from None
    except pkcs11.PKCS11Error as error:
        raise Unavailable(
            f"{uri} cannot be used ({type(error).__name__})", remedy="Check that the token is there; then try again"
        ) from None

"""Checks what a browser sends about a passkey, by Web Authentication (Level 3).

Attestation is "none": a new passkey's statements are not signed, so its public key is read in the form that
the browser gives it (SubjectPublicKeyInfo), and no CBOR is parsed. ``cryptography`` is imported only when a
signature is checked.
"""

import base64
import binascii
import hashlib
import hmac
import json
import logging
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from chalicelib.console.relying_party import RelyingParty
from chalicelib.rules.errors import Unauthenticated, ValidationError
from chalicelib.rules.model import Passkey
from chalicelib.rules.passkeys import Assertion, Registration

_LOG = logging.getLogger(__name__)

ES256, RS256 = -7, -257
ALGORITHMS = (ES256, RS256)
"""The accepted COSE algorithms: those of platforms and security keys, and that of Windows Hello."""

_MIN_RSA_BITS = 2048
_USER_PRESENT, _USER_VERIFIED, _MAY_BE_BACKED_UP, _BACKED_UP, _HAS_KEY = 0x01, 0x04, 0x08, 0x10, 0x40
_HEAD = 37  # the hash of the RP ID, the flags and the counter
_AAGUID = 16
_TRANSPORTS = frozenset({"ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"})

Text = Annotated[str, Meta(max_length=4096)]


class RegistrationBody(msgspec.Struct, frozen=True, rename="camel"):
    """A new passkey as the page's script sends it, with binary fields in base64url."""

    id: Text
    client_data: Text
    authenticator_data: Text
    public_key: Text
    algorithm: int
    transports: Annotated[tuple[str, ...], Meta(max_length=10)] = ()


class AssertionBody(msgspec.Struct, frozen=True, rename="camel"):
    """A signature by a passkey as the page's script sends it, with binary fields in base64url."""

    id: Text
    client_data: Text
    authenticator_data: Text
    signature: Text


class _RefusedError(Exception):
    """What the browser sent is not valid; the message says why, for the log."""


class _AuthenticatorData(NamedTuple):
    flags: int
    counter: int
    rest: bytes

    @property
    def backed_up(self) -> bool:
        return bool(self.flags & _BACKED_UP)


def check_registration(body: RegistrationBody, challenge: bytes, party: RelyingParty) -> Registration:
    """Check a new passkey and return it (WebAuthn, 7.1). Raises ValidationError."""
    try:
        _check_client_data(_bytes(body.client_data), "webauthn.create", challenge, party)
        data = _authenticator_data(_bytes(body.authenticator_data), party)
        credential_id, public_key = _bytes(body.id), _bytes(body.public_key)
        _check_attested(data, credential_id)
        _check_public_key(public_key, body.algorithm, data.rest)
    except _RefusedError as refused:
        _LOG.info("a passkey was not taken", extra={"why": str(refused)})
        raise ValidationError(f"This passkey cannot be used here: {refused}. Try another one.") from None
    transports = tuple(it for it in body.transports if it in _TRANSPORTS)
    return Registration(credential_id, public_key, body.algorithm, data.counter, data.backed_up, transports)


def check_assertion(
    body: AssertionBody, challenge: bytes, passkey: Passkey, party: RelyingParty
) -> Assertion:
    """Check a signature and return it (WebAuthn, 7.2). Raises Unauthenticated."""
    try:
        client_data, authenticator_data = _bytes(body.client_data), _bytes(body.authenticator_data)
        _check_client_data(client_data, "webauthn.get", challenge, party)
        data = _authenticator_data(authenticator_data, party)
        signed = authenticator_data + hashlib.sha256(client_data).digest()
        _check_signature(passkey, _bytes(body.signature), signed)
    except _RefusedError as refused:
        _LOG.info("a passkey was refused", extra={"why": str(refused)})
        raise Unauthenticated(
            "The passkey did not confirm who you are. Try again, or use another passkey."
        ) from None
    return Assertion(data.counter, data.backed_up)


def credential_id(body: AssertionBody) -> bytes:
    """Return the id of the credential that signed. Raises Unauthenticated if it is malformed."""
    try:
        return _bytes(body.id)
    except _RefusedError:
        raise Unauthenticated("The passkey's id cannot be read. Try again.") from None


def verify(public_key: bytes, algorithm: int, signature: bytes, signed: bytes) -> bool:
    """Return whether a public key (SubjectPublicKeyInfo, DER) made a signature with an accepted algorithm."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(public_key)
    try:
        if algorithm == ES256 and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(SHA256()))
        elif algorithm == RS256 and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True


def base64url(value: bytes) -> str:
    """Return bytes in base64url without padding, as WebAuthn writes them."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _check_signature(passkey: Passkey, signature: bytes, signed: bytes) -> None:
    if not verify(passkey.public_key, passkey.algorithm, signature, signed):
        raise _RefusedError("the signature is not by this passkey")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _RefusedError("it is not base64url") from None


def _check_client_data(raw: bytes, kind: str, challenge: bytes, party: RelyingParty) -> None:
    try:
        data: Any = json.loads(raw)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _RefusedError("its client data is no JSON object")
    if data.get("type") != kind:
        raise _RefusedError("it is of another type")
    sent = data.get("challenge")
    if not isinstance(sent, str) or not sent.isascii():
        raise _RefusedError("it is for another challenge")
    if not hmac.compare_digest(sent, base64url(challenge)):
        raise _RefusedError("it is for another challenge")
    if data.get("origin") != party.origin:
        raise _RefusedError("it was made for another address")
    if data.get("crossOrigin", False) is not False or "topOrigin" in data:
        raise _RefusedError("it was made inside another page")


def _authenticator_data(raw: bytes, party: RelyingParty) -> _AuthenticatorData:
    if len(raw) < _HEAD:
        raise _RefusedError("its authenticator data is too short")
    if not hmac.compare_digest(raw[:32], hashlib.sha256(party.id.encode()).digest()):
        raise _RefusedError("it was made for another host")
    data = _AuthenticatorData(raw[32], int.from_bytes(raw[33:_HEAD], "big"), raw[_HEAD:])
    if not data.flags & _USER_PRESENT:
        raise _RefusedError("nobody touched it")
    if not data.flags & _USER_VERIFIED:
        raise _RefusedError("it did not verify who touched it, by a PIN, a fingerprint or a face")
    if data.backed_up and not data.flags & _MAY_BE_BACKED_UP:
        raise _RefusedError("its flags contradict each other")
    return data


def _check_attested(data: _AuthenticatorData, sent_id: bytes) -> None:
    if not data.flags & _HAS_KEY or len(data.rest) < _AAGUID + 2:
        raise _RefusedError("it comes without its key")
    length = int.from_bytes(data.rest[_AAGUID : _AAGUID + 2], "big")
    if not 1 <= length <= 1023 or data.rest[_AAGUID + 2 : _AAGUID + 2 + length] != sent_id:
        raise _RefusedError("its id is not the one in its data")


def _check_public_key(public_key: bytes, algorithm: int, attested: bytes) -> None:
    """Check that a public key is acceptable, and that it is the one in the authenticator's data."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(public_key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _RefusedError("its public key cannot be read") from None
    if algorithm == ES256 and isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise _RefusedError("its curve is not P-256")
        point = key.public_numbers()
        parts = [point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")]
    elif algorithm == RS256 and isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise _RefusedError("its RSA key is too short")
        parts = [key.public_numbers().n.to_bytes((key.key_size + 7) // 8, "big")]
    else:
        raise _RefusedError("its algorithm is neither ES256 nor RS256")
    if not all(part in attested for part in parts):
        raise _RefusedError("its public key is not the one in its data")

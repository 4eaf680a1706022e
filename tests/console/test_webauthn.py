"""The check of what browsers send, by the test vectors of the W3C, and with every field bent."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from chalicelib.console import webauthn
from chalicelib.console.relying_party import RelyingParty
from chalicelib.console.webauthn import AssertionBody, RegistrationBody
from chalicelib.rules.errors import Unauthenticated, ValidationError
from chalicelib.rules.model import Passkey
from tests.support.passkeys import SoftPasskey, encode

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("webauthn-vectors.json").read_text())["vectors"]
PARTY = RelyingParty("example.org", "https://example.org")
OURS = RelyingParty("api.example", "https://api.example")
VERIFIED = 0x04


def authenticator_data(attestation: bytes) -> bytes:
    """Return the authenticator data of an attestation object: the byte string (CBOR) after its name."""
    place = attestation.index(b"\x68authData") + 9
    head = attestation[place]
    length, start = (
        (attestation[place + 1], place + 2)
        if head == 0x58
        else (int.from_bytes(attestation[place + 1 : place + 3], "big"), place + 3)
    )
    return attestation[start : start + length]


def public_key(data: bytes) -> tuple[bytes, int]:
    """Return the key of authenticator data as a browser gives it, from its COSE form (CBOR)."""
    length = int.from_bytes(data[53:55], "big")
    cose = data[55 + length :]
    if cose[:5] == b"\xa5\x01\x02\x03\x26":
        x, y = cose[10:42], cose[45:77]
        key: Any = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
        ).public_key()
        algorithm = -7
    elif cose[:3] == b"\xa4\x01\x03":
        place = cose.index(b"\x20\x59") + 2
        size = int.from_bytes(cose[place : place + 2], "big")
        key = rsa.RSAPublicNumbers(
            65537, int.from_bytes(cose[place + 2 : place + 2 + size], "big")
        ).public_key()
        algorithm = -257
    elif cose[:3] == b"\xa4\x01\x01":
        key, algorithm = ed25519.Ed25519PublicKey.from_public_bytes(cose[-32:]), -8
    else:
        x, y = cose[cose.index(b"\x21\x58\x30") + 3 :][:48], cose[cose.index(b"\x22\x58\x30") + 3 :][:48]
        key = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP384R1()
        ).public_key()
        algorithm = -35
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), algorithm


def ceremonies(name: str) -> tuple[RegistrationBody, bytes, AssertionBody, bytes]:
    reg = {field: bytes.fromhex(value) for field, value in VECTORS[name]["registration"].items()}
    auth = {field: bytes.fromhex(value) for field, value in VECTORS[name]["authentication"].items()}
    data = authenticator_data(reg["attestationObject"])
    key, algorithm = public_key(data)
    registration = RegistrationBody(
        id=encode(reg["credential_id"]),
        client_data=encode(reg["clientDataJSON"]),
        authenticator_data=encode(data),
        public_key=encode(key),
        algorithm=algorithm,
    )
    assertion = AssertionBody(
        id=encode(reg["credential_id"]),
        client_data=encode(auth["clientDataJSON"]),
        authenticator_data=encode(auth["authenticatorData"]),
        signature=encode(auth["signature"]),
    )
    return registration, reg["challenge"], assertion, auth["challenge"]


def passkey(registration: RegistrationBody) -> Passkey:
    return Passkey(
        credential_id=webauthn._bytes(registration.id),
        public_key=webauthn._bytes(registration.public_key),
        algorithm=registration.algorithm,
        name="W3C",
        created_at=0,
    )


@pytest.mark.parametrize("name", [name for name in VECTORS if "ES256" in name or "RS256" in name])
def test_every_signature_of_the_w3c_is_accepted_and_refused_when_altered(name: str) -> None:
    registration, _, assertion, _ = ceremonies(name)
    key = passkey(registration)
    signature = webauthn._bytes(assertion.signature)
    signed = webauthn._bytes(assertion.authenticator_data)
    signed += hashlib.sha256(webauthn._bytes(assertion.client_data)).digest()
    assert webauthn.verify(key.public_key, key.algorithm, signature, signed)
    assert not webauthn.verify(key.public_key, key.algorithm, signature, signed + b"x")
    assert not webauthn.verify(key.public_key, key.algorithm, signature[:-1] + b"x", signed)
    assert not webauthn.verify(key.public_key, -8, signature, signed)


@pytest.mark.parametrize("name", VECTORS)
def test_the_ceremonies_of_the_w3c_are_taken_as_our_rules_say(name: str) -> None:
    """We want the person verified, our own page alone, and ES256 or RS256."""
    registration, challenge, assertion, second = ceremonies(name)
    framed = "Origin" in name
    other = not any(algorithm in name for algorithm in ("ES256", "RS256"))
    flags = webauthn._bytes(registration.authenticator_data)[32]
    if framed or other or not flags & VERIFIED:
        with pytest.raises(ValidationError):
            webauthn.check_registration(registration, challenge, PARTY)
    else:
        made = webauthn.check_registration(registration, challenge, PARTY)
        assert made.public_key == passkey(registration).public_key
    flags = webauthn._bytes(assertion.authenticator_data)[32]
    if framed or other or not flags & VERIFIED:
        with pytest.raises(Unauthenticated):
            webauthn.check_assertion(assertion, second, passkey(registration), PARTY)
    else:
        assert webauthn.check_assertion(assertion, second, passkey(registration), PARTY).counter == 0


def test_some_vectors_are_taken_and_some_are_not() -> None:
    verified = {
        name
        for name in VECTORS
        if webauthn._bytes(ceremonies(name)[0].authenticator_data)[32] & VERIFIED and "Origin" not in name
    }
    assert {"packed-self.ES256", "packed.RS256"} & verified
    assert "none.ES256" not in verified


def made(**bent: Any) -> tuple[RegistrationBody, bytes]:
    soft = SoftPasskey(
        **{name: value for name, value in bent.items() if name in ("flags", "extra", "credential_id")}
    )
    challenge = b"c" * 32
    sent = soft.create(encode(challenge))
    body = RegistrationBody(
        id=sent["id"],
        client_data=sent["clientData"],
        authenticator_data=sent["authenticatorData"],
        public_key=sent["publicKey"],
        algorithm=-7,
        transports=("internal", "telepathy"),
    )
    return body, challenge


def spki(key: Any) -> str:
    return encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def test_a_whole_registration_is_taken_with_the_transports_there_are() -> None:
    body, challenge = made()
    assert webauthn.check_registration(body, challenge, OURS).transports == ("internal",)


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        (lambda body: replace(body, id="&&"), "base64url"),
        (lambda body: replace(body, id=encode(b"another")), "id is not the one"),
        (lambda body: replace(body, client_data=encode(b"[]")), "no JSON object"),
        (lambda body: replace(body, client_data=encode(b"{")), "no JSON object"),
        (lambda body: replace(body, client_data=encode(b'{"type": "webauthn.get"}')), "another type"),
        (lambda body: replace(body, client_data=encode(b'{"type": "webauthn.create"}')), "another challenge"),
        (lambda body: replace(body, authenticator_data=encode(b"short")), "too short"),
        (lambda body: replace(body, public_key=encode(b"nothing")), "cannot be read"),
        (
            lambda body: replace(body, public_key=spki(ec.generate_private_key(ec.SECP256R1()))),
            "not the one in its data",
        ),
        (lambda body: replace(body, public_key=spki(ec.generate_private_key(ec.SECP384R1()))), "not P-256"),
        (
            lambda body: replace(
                body, public_key=spki(rsa.generate_private_key(65537, 1024)), algorithm=-257
            ),
            "too short",
        ),
        (
            lambda body: replace(
                body, public_key=spki(rsa.generate_private_key(65537, 2048)), algorithm=-257
            ),
            "not the one in its data",
        ),
        (lambda body: replace(body, algorithm=-8), "neither ES256 nor RS256"),
    ],
)
def test_an_altered_registration_is_refused_with_the_reason(bend: Any, why: str) -> None:
    body, challenge = made()
    with pytest.raises(ValidationError, match=why):
        webauthn.check_registration(bend(body), challenge, OURS)


@pytest.mark.parametrize(
    ("bent", "why"),
    [
        ({"flags": 0x04}, "nobody touched it"),
        ({"flags": 0x01}, "did not verify"),
        ({"flags": 0x15}, "contradict"),
        ({"extra": {"topOrigin": "https://evil.example"}}, "inside another page"),
        ({"extra": {"crossOrigin": True}}, "inside another page"),
        ({"extra": {"origin": "https://evil.example"}}, "another address"),
        ({"extra": {"challenge": "\ud800"}}, "another challenge"),
        ({"credential_id": b""}, "id is not the one"),
        ({"credential_id": b"x" * 1024}, "id is not the one"),
    ],
)
def test_a_registration_made_otherwise_is_refused(bent: dict[str, Any], why: str) -> None:
    body, challenge = made(**bent)
    with pytest.raises(ValidationError, match=why):
        webauthn.check_registration(body, challenge, OURS)


def test_a_registration_without_a_key_or_for_another_host_is_refused() -> None:
    body, challenge = made()
    assertion = SoftPasskey()._data(0)
    with pytest.raises(ValidationError, match="without its key"):
        webauthn.check_registration(replace(body, authenticator_data=encode(assertion)), challenge, OURS)
    with pytest.raises(ValidationError, match="another host"):
        webauthn.check_registration(body, challenge, RelyingParty("else.example", OURS.origin))


def test_an_unreadable_credential_id_has_no_holder() -> None:
    with pytest.raises(Unauthenticated):
        webauthn.credential_id(AssertionBody(id="&", client_data="", authenticator_data="", signature=""))

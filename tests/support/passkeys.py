"""A software passkey: makes what an authenticator and a browser make, for tests without either."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass
class SoftPasskey:
    """An ES256 credential; ``counter`` 0 is an authenticator without one."""

    origin: str = "https://api.example"
    rp_id: str = "api.example"
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    counter: int = 0
    flags: int = UP | UV
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def create(self, challenge: str) -> dict[str, Any]:
        """Return what the page's script sends for a new passkey."""
        point = self.key.public_key().public_numbers()
        cose = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + point.x.to_bytes(32, "big")
        cose += b"\x22\x58\x20" + point.y.to_bytes(32, "big")
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cose
        return {
            "id": encode(self.credential_id),
            "clientData": encode(self.client_data("webauthn.create", challenge)),
            "authenticatorData": encode(self._data(AT) + attested),
            "publicKey": encode(self.public_key),
            "algorithm": -7,
            "transports": ["internal"],
        }

    def get(self, challenge: str) -> dict[str, Any]:
        """Return what the page's script sends for a signature."""
        if self.counter:
            self.counter += 1
        client_data, data = self.client_data("webauthn.get", challenge), self._data(0)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return {
            "id": encode(self.credential_id),
            "clientData": encode(client_data),
            "authenticatorData": encode(data),
            "signature": encode(signature),
        }

    def client_data(self, kind: str, challenge: str) -> bytes:
        made = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps({**made, **self.extra}).encode()

    def _data(self, more: int) -> bytes:
        head = hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags | more])
        return head + self.counter.to_bytes(4, "big")

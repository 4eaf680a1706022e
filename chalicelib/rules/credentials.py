"""What a caller signs in with: an API key, or a session of the console."""

from typing import NamedTuple

from chalicelib.rules.roles import KeyType


class PresentedKey(NamedTuple):
    """The key of a call: its type, and the digest of the secret that the caller sent."""

    key_type: KeyType
    digest: bytes


class PresentedSession(NamedTuple):
    """The session of a page request: its id, its secret's digest, and when a passkey last confirmed it."""

    id: str
    digest: bytes
    confirmed_at: int


Credential = PresentedKey | PresentedSession

"""What a caller signs in with: an API key, or, for a person in the console, a session."""

from typing import NamedTuple

from chalicelib.rules.roles import KeyType


class PresentedKey(NamedTuple):
    """The key of a call: its type, and the digest of the secret that was sent."""

    key_type: KeyType
    digest: bytes


class PresentedSession(NamedTuple):
    """The session of a page: its id, the digest of its secret, and when a passkey last confirmed it."""

    id: str
    digest: bytes
    confirmed_at: int


Credential = PresentedKey | PresentedSession

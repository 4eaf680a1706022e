"""The relying party of WebAuthn, in a module of its own: pages need its origin, and not the rest."""

from typing import NamedTuple


class RelyingParty(NamedTuple):
    """The relying party of the passkeys: the console's host, and its origin."""

    id: str
    origin: str

"""The context of a call: where it comes from, and who is signed in."""

from typing import NamedTuple

from chalicelib.rules.credentials import Credential, PresentedKey, PresentedSession
from chalicelib.rules.errors import Unauthenticated
from chalicelib.rules.model import Principal, User
from chalicelib.rules.ports import StillEntitled
from chalicelib.rules.roles import KeyType, Role


class Origin(NamedTuple):
    """Where a call comes from, and when. ``now`` is seconds since 1970, with its fraction."""

    source_ip: str
    request_id: str
    now: float

    @property
    def second(self) -> int:
        """The time of the call in whole seconds, as times are stored."""
        return int(self.now)


class AuthContext(NamedTuple):
    """An authenticated call: the caller, and the key or the session they signed in with."""

    caller: Principal
    credential: Credential
    origin: Origin

    @property
    def key_type(self) -> KeyType:
        """The type of the key. A session may do what a USER_MANAGEMENT key may; only a User has one."""
        if isinstance(self.credential, PresentedKey):
            return self.credential.key_type
        return KeyType.USER_MANAGEMENT

    @property
    def digest(self) -> bytes:
        """The digest of the key or of the session's secret."""
        return self.credential.digest

    @property
    def ceiling(self) -> Role | None:
        """The ceiling of the key or predecessor that the caller signed in with; a session has none."""
        key = self.caller.keys.get(self.key_type)
        if key is None or isinstance(self.credential, PresentedSession):
            return None
        if key.predecessor is not None and key.predecessor.digest == self.digest:
            return key.predecessor.ceiling
        return key.ceiling

    @property
    def role(self) -> Role:
        """The role of the call: the caller's, but never above the key's ceiling."""
        return self.caller.role.at_most(self.ceiling)

    def still_entitled(self) -> StillEntitled:
        """Return the condition that the caller's rights have not changed since they signed in."""
        return StillEntitled(self.caller, self.credential, self._ended())

    def read_again(self, caller: Principal | None) -> "AuthContext":
        """Return the call with its caller as read again, for another try of a User's change of themselves.

        Raises Unauthenticated where :meth:`still_entitled` would have the change refused.
        """
        old, credential = self.caller, self.credential
        if not isinstance(caller, User) or not isinstance(old, User) or caller.suspended_at is not None:
            raise self._ended()
        if (caller.account, caller.membership, caller.role) != (old.account, old.membership, old.role):
            raise self._ended()
        if isinstance(credential, PresentedSession):
            session = caller.sessions.get(credential.id)
            if session is None or session.digest != credential.digest:
                raise self._ended()
            return self._replace(
                caller=caller, credential=credential._replace(confirmed_at=session.confirmed_at)
            )
        key = caller.keys.get(credential.key_type)
        digests = () if key is None else (key.digest, key.predecessor.digest if key.predecessor else b"")
        if credential.digest not in digests:
            raise self._ended()
        return self._replace(caller=caller)

    def _ended(self) -> Unauthenticated:
        what = "session was ended" if isinstance(self.credential, PresentedSession) else "key was revoked"
        return Unauthenticated(f"The {what}, or its holder's rights changed, while the call was under way.")

"""Guards against callers who would lock themselves out by revoking or restricting their own key."""

from chalicelib.rules import networks
from chalicelib.rules.context import AuthContext
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.errors import Conflict
from chalicelib.rules.model import ApiKey, Principal
from chalicelib.rules.permissions import is_same_principal
from chalicelib.rules.ports import OtherOwner
from chalicelib.rules.roles import KeyType, Role

SOON = 5 * 60
"""A key that expires within so many seconds counts as revoked."""

_MEAN_IT = "Nothing was done. If you mean it, send 'evenIfLockedOut' as true."


def require_not_locked_out(
    auth: AuthContext, holder: Principal, key_type: KeyType, old: ApiKey, new: ApiKey | None
) -> tuple[OtherOwner, ...]:
    """Raise Conflict if a change of a key locks its caller out. ``new`` is None for a revocation.

    In a session, an OWNER may end their USER_MANAGEMENT key if there is another OWNER who is activated and
    not suspended; the returned condition requires one. A change that does not make things worse, such as a
    later expiry that is still near, is allowed.
    """
    if not is_same_principal(auth.caller, holder) or key_type is not auth.key_type:
        return ()
    now = auth.origin.second
    ends = new is None or _ends_soon(old, new, now)
    if not isinstance(auth.credential, PresentedKey):
        expired = old.expires_at is not None and old.expires_at <= now
        if not ends or expired or auth.caller.role is not Role.OWNER:
            return ()
        last = (
            "You are the account's only OWNER who is activated and not suspended, and this is your only "
            f"USER_MANAGEMENT key. {_MEAN_IT}"
        )
        return (OtherOwner(auth.caller.account, Conflict(last)),)
    if new is None:
        raise Conflict(
            f"You are signed in with this {key_type.value} key and would be locked out. {_MEAN_IT}"
        )
    if ends:
        raise Conflict(
            f"You are signed in with this {key_type.value} key, which would end within 5 minutes. {_MEAN_IT}"
        )
    if not networks.admits(new.networks, auth.origin.source_ip):
        raise Conflict(
            f"You are signed in with this {key_type.value} key from {auth.origin.source_ip}, which is in "
            f"none of the networks given: add one that has it. {_MEAN_IT}"
        )
    return ()


def _ends_soon(old: ApiKey, new: ApiKey, now: int) -> bool:
    """Return whether a change gives a key an earlier expiry, which is near."""
    if new.expires_at is None or new.expires_at > now + SOON:
        return False
    return old.expires_at is None or new.expires_at < old.expires_at

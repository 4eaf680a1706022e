"""How long a key may work: the limits of an account's policy, and which expiry a caller may set."""

from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import FieldError, validation_error_of
from chalicelib.rules.ports import Directory

HOUR = 3600
DAY = 86_400

MIN_POLICY_DAYS = 14
"""The shortest lifetime a policy may set, in days: it leaves time for the notices of 10 days and 1 day."""

MAX_POLICY_DAYS = 3650

EXPIRY_IN_THE_PAST = "The expiry must be in the future, such as 2030-01-31T00:00:00Z."

PCI_DAYS = 90
"""The limit, in days, of a key's age and inactivity in an account with ``pciCompliance``."""

PCI_BROKEN = f"With pciCompliance this is at most {PCI_DAYS} days."


def exceeds_pci_limit(days: int | None) -> bool:
    """Return whether a limit (None for no limit) is looser than ``pciCompliance`` allows."""
    return days is None or days > PCI_DAYS


def require_valid_expiry(directory: Directory, auth: AuthContext, expires_at: int | None, since: int) -> None:
    """Raise ValidationError if :func:`expiry_errors` finds any."""
    if errors := expiry_errors(directory, auth, expires_at, since):
        raise validation_error_of(errors)


def expiry_errors(
    directory: Directory, auth: AuthContext, expires_at: int | None, since: int
) -> tuple[FieldError, ...]:
    """Validate ``expires_at``: in the future, and within the account's maximum age of a key made ``since``.

    Reads the account only if there is an expiry.
    """
    if expires_at is None:
        return ()
    if expires_at <= auth.origin.now:
        return (FieldError("/expiresAt", EXPIRY_IN_THE_PAST),)
    account = directory.account(auth.caller.account)
    days = account.policy.max_key_age_days if account is not None else None
    if days is not None and expires_at > since + days * DAY:
        why = f"The account's policy revokes every key {days} days after it was made. Give an earlier time."
        return (FieldError("/expiresAt", why),)
    return ()

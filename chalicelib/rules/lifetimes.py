"""How long a key may live: what its holder may ask for, and what the account's policy makes of it."""

from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import FieldError, validation_error_of
from chalicelib.rules.ports import Directory

DAY = 86_400

LEAST_POLICY_DAYS = 14
"""The shortest life a policy may set: the notices of 10 days and 1 day need their time."""

MOST_POLICY_DAYS = 3650

EXPIRY_IN_THE_PAST = "The key would be over already. Give a time to come, such as 2030-01-31T00:00:00Z."


PCI_DAYS = 90
"""The longest a PCI-enabled account lets a key grow old, or lie unused."""

PCI_BROKEN = f"With pciCompliance this is at most {PCI_DAYS} days."


def exceeds_pci_limit(days: int | None) -> bool:
    """Answer whether a limit (None for no limit) is looser than a PCI-enabled account may have."""
    return days is None or days > PCI_DAYS


def require_valid_expiry(directory: Directory, auth: AuthContext, expires_at: int | None, since: int) -> None:
    """Refuse what :func:`end_faults` finds. Raises Invalid."""
    if faults := expiry_errors(directory, auth, expires_at, since):
        raise validation_error_of(faults)


def expiry_errors(
    directory: Directory, auth: AuthContext, expires_at: int | None, since: int
) -> tuple[FieldError, ...]:
    """Answer that an end is past, or later than the account's policy lets a key live that was made ``since``.

    Reads the account only where there is an end to check.
    """
    if expires_at is None:
        return ()
    if expires_at <= auth.origin.now:
        return (FieldError("/expiresAt", EXPIRY_IN_THE_PAST),)
    account = directory.account(auth.caller.account)
    days = account.policy.max_key_age_days if account is not None else None
    if days is not None and expires_at > since + days * DAY:
        why = f"The account's policy ends every key {days} days after it was made. Give an earlier time."
        return (FieldError("/expiresAt", why),)
    return ()

"""How long a key may live: what its holder may ask for, and what the account's policy makes of it."""

from chalicelib.rules.acts import Act
from chalicelib.rules.faults import invalid
from chalicelib.rules.ports import Directory

DAY = 86_400

LEAST_POLICY_DAYS = 14
"""The shortest life a policy may set: the notices of 10 days and 1 day need their time."""

MOST_POLICY_DAYS = 3650


def check_end(directory: Directory, act: Act, expires_at: int | None, since: int) -> None:
    """Refuse an end that is past, or later than the account's policy lets a key live that was made ``since``.

    Reads the account only where there is an end to check. Raises Invalid.
    """
    if expires_at is None:
        return
    if expires_at <= act.origin.now:
        raise invalid(
            "/expiresAt", "The key would be over already. Give a time to come, such as 2030-01-31T00:00:00Z."
        )
    account = directory.account(act.caller.account)
    days = account.policy.max_key_age_days if account is not None else None
    if days is not None and expires_at > since + days * DAY:
        raise invalid(
            "/expiresAt",
            f"The account's policy ends every key {days} days after it was made. Give an earlier time.",
        )

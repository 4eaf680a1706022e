"""Random identifiers."""

import secrets


def new_id() -> str:
    """Return an id for a Service User, a membership or an invitation: 16 random hex digits."""
    return secrets.token_hex(8)


def new_version() -> str:
    """Return a version for an item that is being written: 16 random hex digits."""
    return secrets.token_hex(8)


def new_event_id(now: float) -> str:
    """Return an id for an event at ``now``: 28 hex digits, sorted by millisecond."""
    return f"{int(now * 1000):012x}{secrets.token_hex(8)}"


def recorded_at(event_id: str) -> int:
    """Return when the event with an id happened, in seconds since 1970; 0 if it is no event's id."""
    try:
        return int(event_id[:12], 16) // 1000
    except ValueError:
        return 0

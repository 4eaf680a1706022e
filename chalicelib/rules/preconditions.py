"""The caller's ``If-Match`` header: a change is refused if the item has another version by now."""

from collections.abc import Callable

from chalicelib.rules.errors import PreconditionFailed

IfMatch = Callable[[str], bool]
"""Returns whether the caller's ``If-Match`` names a version."""


def require_match(if_match: IfMatch | None, version: str, name: str) -> None:
    """Raise PreconditionFailed if ``if_match`` does not name the version; None accepts any."""
    if if_match is not None and not if_match(version):
        raise PreconditionFailed(f"'{name}' has changed since you read it. Read it again, then decide.")

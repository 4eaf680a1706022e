"""The version that a caller decided on (``If-Match``): a change of another one is refused."""

from collections.abc import Callable

from chalicelib.rules.errors import PreconditionFailed

IfMatch = Callable[[str], bool]
"""Returns whether a version is one that the caller's ``If-Match`` names."""


def require_match(if_match: IfMatch | None, version: str, name: str) -> None:
    """Raise PreconditionFailed if a version is not one that the caller decided on; None is any."""
    if if_match is not None and not if_match(version):
        raise PreconditionFailed(f"'{name}' has changed since you read it. Read it again, then decide.")

"""Revocations that others get ahead of."""

import pytest

from chalicelib.rules.errors import ConcurrentChange
from chalicelib.rules.writes import until_revoked


@pytest.mark.parametrize("lost", range(4))
def test_a_revocation_names_the_version_it_read_once_and_then_takes_any(lost: int) -> None:
    tried: list[bool] = []

    def attempt(*, any_version: bool) -> None:
        tried.append(any_version)
        if len(tried) <= lost:
            raise ConcurrentChange("lost")

    if lost == 3:
        with pytest.raises(ConcurrentChange):
            until_revoked(attempt)
    else:
        until_revoked(attempt)
    assert tried == [False, True, True][: lost + 1]

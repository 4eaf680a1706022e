"""Random identifiers."""

import re

from chalicelib.rules.identifiers import new_id, new_version


def test_ids_and_versions_are_16_random_hex_digits() -> None:
    made = [new() for _ in range(50) for new in (new_id, new_version)]
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in made)
    assert len(set(made)) == 100

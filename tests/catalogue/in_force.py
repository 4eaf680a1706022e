"""Another catalogue for a part of a test: the project is imported anew, because it reads it at its import."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

_ROOMS = ("app", "chalicelib", "contract", "local", "tests.support")


def _imported() -> list[str]:
    return [
        name for name in sys.modules if name in _ROOMS or name.startswith(tuple(f"{it}." for it in _ROOMS))
    ]


@contextmanager
def in_force(catalogue: Path) -> Iterator[None]:
    """Have what the block imports of the project read a catalogue; nothing of that may leave the block."""
    import tests

    before = {name: sys.modules.pop(name) for name in _imported()}
    try:
        with patch.dict(os.environ, {"SERVICE_USERS_CATALOGUE": str(catalogue)}):
            yield
    finally:
        for name in _imported():
            del sys.modules[name]
        sys.modules.update(before)
        tests.support = before["tests.support"]

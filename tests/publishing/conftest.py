"""A stack whose events are published."""

import pytest

from tests.support.api_client import Stack
from tests.support.publishing import Publishing


@pytest.fixture
def publishing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Publishing:
    return Publishing(stack, monkeypatch)

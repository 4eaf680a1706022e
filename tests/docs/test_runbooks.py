"""The commands of the runbooks: each is run by a test, on the emulator or elsewhere."""

import re

import pytest

from tests.docs.test_readme import ROOT
from tests.support.doc_commands import PAGES, RUN_ELSEWHERE, doc_commands

DOCUMENTED = frozenset[str]().union(*(doc_commands(page) for page in PAGES))


@pytest.mark.parametrize("command", sorted(RUN_ELSEWHERE))
def test_what_is_run_elsewhere_is_documented_and_has_a_test(command: str) -> None:
    assert command in DOCUMENTED
    assert (ROOT / RUN_ELSEWHERE[command]).exists()


def test_every_target_that_a_runbook_names_is_there() -> None:
    targets = set(
        re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {it for command in DOCUMENTED for it in re.findall(r"\bmake ([a-z0-9-]+)", command)}
    assert named <= targets
    assert len(named) > 5

"""What ``make bench`` publishes: the committed pages and the chart are those of the committed results."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import costs, report

RESULTS = Path(report.__file__).with_name("results.json")
OPERATIONS_PAGE = report.PROJECT / "docs" / "operations.md"


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return loaded


def test_the_performance_page_has_the_tables(results: dict[str, Any]) -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.tables(results) in page
    assert report.with_generated(page, report.tables(results)) == page


def test_the_readme_has_the_summary(results: dict[str, Any]) -> None:
    readme = report.README.read_text(encoding="utf-8")
    assert report.with_generated(readme, report.summary(results)) == readme


def test_both_pages_show_the_chart(results: dict[str, Any]) -> None:
    assert report.CHART.read_text(encoding="utf-8") == report.chart(results)
    for page in (report.PAGE, report.README):
        shown = report.CHART.relative_to(page.parent).as_posix()
        assert f"]({shown})" in page.read_text(encoding="utf-8")


def test_every_measured_call_is_in_the_table(results: dict[str, Any]) -> None:
    tables = report.tables(results)
    for name, measured in results["warm"].items():
        [row] = [line for line in tables.splitlines() if line.startswith(f"| `{name}` |")]
        assert row.endswith(f"| {measured['reads']:g} | {measured['writes']:g} |")
        assert f"| {len(measured['calls'])}" in row


def test_text_outside_the_markers_stays() -> None:
    page = f"before\n{report.BEGIN}old\n{report.END}after\n"
    assert report.with_generated(page, "new\n") == page.replace("old", "new")


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="make bench"):
        report.with_generated(f"{report.BEGIN}no end", "new")


def test_the_operations_page_has_the_monthly_costs(capsys: pytest.CaptureFixture[str]) -> None:
    costs.main()
    assert capsys.readouterr().out in OPERATIONS_PAGE.read_text(encoding="utf-8")


def test_a_sign_in_by_an_http_api_costs_less_than_three_dollars_a_million(results: dict[str, Any]) -> None:
    parts = costs.sign_in_costs(results, "http")
    assert sum(parts.values()) * costs.MILLION < 3.00
    assert all(parts.values())
    rest = costs.sign_in_costs(results, "rest")
    assert {name for name in parts if parts[name] != rest[name]} == {"API Gateway, a call"}
    table = costs.sign_in_table(results)
    for name, cost in parts.items():
        assert f"| {name} |" in table
        assert f"| {cost * costs.MILLION:.3f} |" in table
    assert table in report.tables(results)
    page = OPERATIONS_PAGE.read_text(encoding="utf-8")
    named = " | ".join(f"${sum(it.values()) * costs.MILLION:.2f}" for it in (rest, parts))
    assert f"| {named} |" in page

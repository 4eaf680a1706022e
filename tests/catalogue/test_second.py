"""A few tests in the words of the second catalogue, in a copy of the project with its contract."""

from pathlib import Path

import pytest

from tests.catalogue.second import main, reworded

pytestmark = pytest.mark.default_catalogue(reason="they run the others, and know the default words")
ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_api_serves_a_catalogue_of_eleven_types() -> None:
    """``make test-second`` runs all tests so."""
    assert main(["--", "-q", "-x", "-p", "no:cacheprovider", "tests/api/test_smoke.py"]) == 0


def test_strings_get_the_other_words_and_names_of_python_do_not() -> None:
    source = (
        "MONITORING = 'MONITORING'\nit = (KeyType.MONITORING, f'{MONITORING} PROVISIONING', '/monitoring')\n"
    )
    expected = "MONITORING = 'stock-read'\nit = (KeyType.STOCK_READ, f'{MONITORING} sales-write', '/stock')\n"
    assert reworded(source) == expected


def test_no_code_knows_a_key_type_by_name_but_that_of_management() -> None:
    """Only the default catalogue names the others; ``docs/`` shows them as examples."""
    names = ("MONITORING", "PROVISIONING")
    files = [*(ROOT / "chalicelib").rglob("*.py"), *(ROOT / "chalicelib").rglob("*.html")]
    files += [*(ROOT / "chalicelib").rglob("*.txt"), *(ROOT / "contract").rglob("*.py")]
    found = {
        str(file.relative_to(ROOT))
        for file in files
        if any(name in file.read_text(encoding="utf-8") for name in names)
    }
    assert found == {"chalicelib/rules/catalogue.py"}


def test_few_tests_are_left_out_of_the_run_under_the_second_catalogue() -> None:
    """They are about the default key types as such, and say why. Add a file only with such a reason."""
    mark = "mark.default_catalogue("
    found = {
        str(file.relative_to(ROOT / "tests"))
        for file in (ROOT / "tests").rglob("*.py")
        if mark in file.read_text(encoding="utf-8") and file != Path(__file__)
    }
    assert found == {
        "authorizer/test_function.py",
        "authorizer/test_route_rules.py",
        "contract/test_versions.py",
        "deploy/test_catalogue.py",
        "docs/test_readme.py",
        "examples/test_terraform.py",
        "examples/test_verify.py",
    }

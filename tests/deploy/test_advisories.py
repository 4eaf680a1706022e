"""The audit that asks nobody: what is locked against a database of advisories."""

from pathlib import Path
from typing import Any

import pytest

from deploy import advisories

DATABASE: dict[str, Any] = {
    "$meta": {"timestamp": 1_625_119_202},
    "Jinja2": [
        {
            "advisory": "Jinja2 before 2.11.3 is slow.\nMore.",
            "cve": "CVE-2020-28493",
            "id": "1",
            "specs": ["<2.11.3"],
        }
    ],
    "odd": [{"advisory": "Nobody can read this range.", "cve": None, "id": "pyup-2", "specs": ["<<1", ">9"]}],
    "other": [{"advisory": "Not locked.", "cve": None, "id": "3", "specs": [">=0"]}],
}


def lock(tmp_path: Path, *pins: str) -> dict[str, Path]:
    file = tmp_path / "lock.txt"
    lines = [f"{pin} \\\n    --hash=sha256:{'0' * 64}\n    # via thing" for pin in pins]
    file.write_text("# Written by make lock.\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return {"lock.txt": file}


def test_a_known_bad_pin_is_found(tmp_path: Path) -> None:
    locks = lock(tmp_path, "jinja2==2.11.2", "six==1.17.0", "odd==1 ; python_version < '3.12'")
    assert [tuple(hit) for hit in advisories.hits(locks, DATABASE)] == [
        ("lock.txt", "jinja2", "2.11.2", "CVE-2020-28493: Jinja2 before 2.11.3 is slow."),
        ("lock.txt", "odd", "1", "pyup-2: Nobody can read this range."),
    ]


def test_a_mended_pin_is_not_found(tmp_path: Path) -> None:
    assert advisories.hits(lock(tmp_path, "jinja2==2.11.3"), DATABASE) == []


@pytest.mark.parametrize("line", ["https://files.example/thing.whl", "-r other.txt"])
def test_what_is_not_pinned_is_a_failure(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="lock"):
        advisories.hits(lock(tmp_path, line), DATABASE)


@pytest.mark.parametrize(("version", "status"), [("2.11.2", 1), ("3.1.6", 0)])
def test_a_hit_fails_and_the_age_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    status: int,
) -> None:
    monkeypatch.setattr(advisories, "installed_database", lambda: DATABASE)
    monkeypatch.setattr(advisories, "SOURCES", ("lock.in",))
    monkeypatch.setattr(advisories, "PROJECT", tmp_path)
    lock(tmp_path, f"jinja2=={version}")
    assert advisories.main() == status
    told = capsys.readouterr()
    assert "Advisories of 3 packages, as of 2021-07-01: " in told.out
    assert ("jinja2==2.11.2: CVE-2020-28493" in told.err) is bool(status)


def test_the_age_is_in_days() -> None:
    assert advisories.age_in_days(DATABASE, 1_625_119_202 + 10 * 86_400 + 5) == 10


def test_every_lock_can_be_read() -> None:
    for source in advisories.SOURCES:
        assert list(advisories.locked(advisories.PROJECT / advisories.lock_of(source)))

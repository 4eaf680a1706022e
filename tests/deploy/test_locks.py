"""What is installed: each source pins what it names, and its lock pins everything by version and hash."""

import re
import sys
from pathlib import Path

import pytest

from deploy import locks

ROOT = Path(__file__).resolve().parent.parent.parent
PINNED = re.compile(r"(?P<name>[a-z0-9-]+)(\[[a-z0-9,]+\])?==(?P<version>[0-9][0-9a-z.]*)")
REQUIREMENT = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?P<marker> ; .+?)?(?P<hashes>( --hash=\S+)*)"
)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def source_pins(source: str) -> dict[str, str]:
    """Return the versions that a source names, by package."""
    found = {}
    for line in (ROOT / source).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-c ", "-r ")):
            pin = PINNED.fullmatch(line)
            assert pin, f"{source}: {line}"
            found[pin["name"]] = pin["version"]
    return found


def locked(source: str) -> list["re.Match[str]"]:
    """Return every requirement of a source's lock."""
    text = (ROOT / locks.lock_of(source)).read_text(encoding="utf-8").replace(" \\\n    --hash", " --hash")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    found = [REQUIREMENT.fullmatch(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return [match for match in found if match]


def test_every_list_of_requirements_is_a_source_or_its_lock() -> None:
    told = {*locks.SOURCES, *map(locks.lock_of, locks.SOURCES)}
    lists = set()
    for file in ROOT.rglob("*"):
        name = file.relative_to(ROOT).as_posix()
        made_here = any(part.startswith(".") or part in ("build", "node_modules") for part in name.split("/"))
        if not made_here and re.search(r"(requirements|runtime)[^/]*\.(in|txt)$|^bench/.*\.(in|txt)$", name):
            lists.add(name)
    assert lists == told


@pytest.mark.parametrize("source", locks.SOURCES)
def test_a_source_pins_and_its_lock_follows(source: str) -> None:
    pins = source_pins(source)
    assert pins
    versions = {one["name"]: one["version"] for one in locked(source)}
    assert {name: versions.get(name) for name in pins} == pins


@pytest.mark.parametrize("source", locks.SOURCES)
def test_everything_locked_has_its_hash(source: str) -> None:
    for one in locked(source):
        hashes = one["hashes"].split()
        assert hashes, one["name"]
        assert all(HASH.fullmatch(each) for each in hashes), one["name"]


def test_what_ships_is_developed_and_measured_in_the_same_versions() -> None:
    shipped = {one["name"]: one["version"] for one in locked("requirements.in")}
    for source in ("requirements-dev.in", "bench/peers/bare.in", "bench/peers/fastapi.in"):
        others = {one["name"]: one["version"] for one in locked(source)}
        assert {name: others[name] for name in shipped.keys() & others.keys()} == {
            name: version for name, version in shipped.items() if name in others
        }
    dev = {one["name"] for one in locked("requirements-dev.in")}
    assert shipped.keys() <= dev


def test_what_ships_depends_on_no_condition() -> None:
    # pip judges conditions by the Python that packages, and not by the one in Lambda; both are CPython.
    anywhere = re.compile(r"(platform_python_implementation|implementation_name) != 'PyPy'")
    conditions = {
        one["name"]: anywhere.sub("", one["marker"]).replace("and", "").strip("; ")
        for one in locked("requirements.in")
        if one["marker"]
    }
    assert {name: condition for name, condition in conditions.items() if condition} == {}


def test_the_environment_is_the_locked_one() -> None:
    from importlib.metadata import PackageNotFoundError, version

    different = {}
    for one in locked("requirements-dev.in"):
        if not one["marker"]:
            try:
                has = version(one["name"])
            except PackageNotFoundError:
                has = "nothing"
            if has != one["version"]:
                different[one["name"]] = has
    assert different == {}, f"of {sys.prefix}: make again"

"""What installs a lock for the Lambda runtime, on wheels made here: no registry is asked."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy import runtime
from deploy.package import REQUIREMENTS
from deploy.runtime import ARCHITECTURES
from deploy.wheels import WheelError, install, locked

PURE = "py3-none-any"
FOR_RUNTIME = "cp313-cp313-manylinux_2_34_x86_64.manylinux_2_28_x86_64"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, in the place of a registry."""
    made = tmp_path / "shelf"
    made.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return made


def wheel(shelf: Path, tag: str, name: str = "thing", **files: str) -> str:
    """Write a wheel of version 1.0, and return the line that locks it."""
    file = shelf / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
        for inside, content in {f"{name}.py": tag, **files}.items():
            archive.writestr(inside, content)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def lock(tmp_path: Path, *lines: str) -> Path:
    made = tmp_path / "lock.txt"
    made.write_text("\n".join(line.replace(" --", " \\\n    --") for line in lines) + "\n")
    return made


def test_the_wheel_is_the_runtimes_and_not_this_pythons(shelf: Path, tmp_path: Path) -> None:
    for tag in ("cp311-cp311-manylinux_2_17_x86_64", "cp314-cp314-manylinux_2_17_x86_64"):
        wheel(shelf, tag)
    wheel(shelf, "cp313-cp313-manylinux_2_28_aarch64")
    wheel(shelf, "cp313-cp313-macosx_11_0_arm64")
    made = lock(tmp_path, wheel(shelf, FOR_RUNTIME))
    [got] = install(made, tmp_path / "there", "x86_64")
    assert (tmp_path / "there" / "thing.py").read_text() == FOR_RUNTIME
    assert (got.name, got.version, got.file) == ("thing", "1.0", f"thing-1.0-{FOR_RUNTIME}.whl")
    assert got.sha256 in made.read_text()


def test_a_mac_gets_the_runtimes_wheel_too(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose own wheels are macOS's: pip is told that it runs on one."""
    (tmp_path / "mac").mkdir()
    (tmp_path / "mac" / "sitecustomize.py").write_text(
        "import platform, sysconfig\n"
        "platform.system = lambda: 'Darwin'\n"
        "platform.machine = lambda: 'arm64'\n"
        "platform.mac_ver = lambda *_: ('14.5', ('', '', ''), 'arm64')\n"
        "sysconfig.get_platform = lambda: 'macosx-14.0-arm64'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mac"))
    made = lock(tmp_path, wheel(shelf, FOR_RUNTIME), wheel(shelf, PURE, "pure"))
    its_own = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(tmp_path / "own"), "thing"]
    assert subprocess.run(its_own, capture_output=True, check=False).returncode, (
        "a Linux wheel is none for a Mac"
    )
    for architecture, machine in ARCHITECTURES.items():
        wheel(shelf, f"cp313-cp313-macosx_11_0_{machine}")
        if architecture == "x86_64":
            installed = install(made, tmp_path / architecture, architecture)
            assert [one.name for one in installed] == ["pure", "thing"]
            assert (tmp_path / architecture / "thing.py").read_text() == FOR_RUNTIME
        else:
            with pytest.raises(WheelError, match="has no wheels"):
                install(made, tmp_path / architecture, architecture)


def test_scripts_and_data_stay_out_and_modules_are_where_they_belong(shelf: Path, tmp_path: Path) -> None:
    line = wheel(
        shelf,
        PURE,
        **{
            "thing-1.0.data/scripts/thing": "#!python",
            "thing-1.0.data/purelib/below/module.py": "1",
            "thing-1.0.data/data/share/man.1": "manual",
        },
    )
    install(lock(tmp_path, line), tmp_path / "there", "arm64")
    files = {
        str(one.relative_to(tmp_path / "there")) for one in (tmp_path / "there").rglob("*.*") if one.is_file()
    }
    assert files == {"thing.py", "below/module.py"}


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp313-cp313-manylinux_2_17_aarch64",
        "cp313-cp313-manylinux_2_35_x86_64",  # a newer C library than the runtime's
        "cp313-cp313-macosx_11_0_x86_64",
        "cp313-cp313-musllinux_1_2_x86_64",
    ],
)
def test_without_a_wheel_for_the_runtime_there_is_no_package(shelf: Path, tmp_path: Path, tag: str) -> None:
    made = lock(tmp_path, wheel(shelf, tag))
    with pytest.raises(WheelError, match=r"no wheels of lock\.txt for python3\.13 on x86_64"):
        install(made, tmp_path / "there", "x86_64")
    assert not (tmp_path / "there").exists()


def test_a_wheel_that_was_exchanged_is_refused(shelf: Path, tmp_path: Path) -> None:
    made = lock(tmp_path, wheel(shelf, PURE))
    wheel(shelf, PURE, **{"evil.py": "1"})
    with pytest.raises(WheelError, match="DO NOT MATCH THE HASHES"):
        install(made, tmp_path / "there", "x86_64")
    assert not (tmp_path / "there").exists()


def test_a_requirement_without_a_hash_is_refused(shelf: Path, tmp_path: Path) -> None:
    wheel(shelf, PURE)
    with pytest.raises(WheelError, match="hash"):
        install(lock(tmp_path, "thing==1.0"), tmp_path / "there", "x86_64")


def test_nothing_is_written_outside_of_the_package(shelf: Path, tmp_path: Path) -> None:
    made = lock(tmp_path, wheel(shelf, PURE, **{"../evil.py": "1"}))
    with pytest.raises(WheelError, match="outside"):
        install(made, tmp_path / "there", "x86_64")
    assert not list(tmp_path.glob("**/evil.py"))


@pytest.mark.parametrize(
    ("marker", "needed"),
    [
        ("platform_python_implementation != 'PyPy'", True),
        ("sys_platform == 'linux' and python_version < '3.14'", True),
        ("sys_platform == 'win32'", False),
        ("python_full_version < '3.13'", False),
    ],
)
def test_markers_are_judged_for_the_runtime(shelf: Path, tmp_path: Path, marker: str, needed: bool) -> None:
    line = wheel(shelf, PURE).replace(" --", f" ; {marker} --")
    install(lock(tmp_path, line), tmp_path / "there", "x86_64")
    assert (tmp_path / "there" / "thing.py").exists() == needed


def test_everything_in_the_package_is_pinned_and_hashed() -> None:
    entries = locked(REQUIREMENTS)
    assert {"botocore", "jinja2", "msgspec", "urllib3"} <= {one.name for one in entries}
    assert all(one.hashes for one in entries)


def test_the_runtimes_python_is_found_or_missed_by_asking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(runtime.sys, "executable", str(tmp_path / "python"))
    find = runtime.interpreter.__wrapped__
    assert find() is None
    for name, response in (("python", 1), (runtime.NAME, 1), ("pyenv/versions/3.13.9/bin/python3.13", 1)):
        fake(tmp_path / name, f"exit {response}")
    assert find() is None
    newer = fake(tmp_path / "pyenv/versions/3.13.10/bin/python3.13", "exit 0")
    assert find() == newer
    on_path = fake(tmp_path / runtime.NAME, "exit 0")
    assert find() == on_path
    running = fake(tmp_path / "python", "exit 0")
    assert find() == running


def fake(file: Path, script: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file

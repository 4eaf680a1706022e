"""Installs a lock for the Lambda runtime, whichever Python and system this runs on.

The wheels are chosen by version, ABI and platform, and none is built: a requirement without a wheel for the
runtime is an error. They are unpacked as they are, so that the same lock makes the same files everywhere.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.markers import Marker

from deploy.runtime import ARCHITECTURES, GLIBC, NAME, VERSION

_LOCKED = re.compile(r"(?m)^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)([^\n\\]*)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_OLDEST_GLIBC = 17  # manylinux2014
_ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": f"{VERSION}.0",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{VERSION}.0",
    "python_version": VERSION,
    "sys_platform": "linux",
}
_DATA = re.compile(r"[^/]+\.data/(purelib|platlib)/(.+)")


class Locked(NamedTuple):
    """One entry of a lock."""

    name: str
    version: str
    hashes: frozenset[str]


class Wheel(NamedTuple):
    """An installed distribution, with the name and SHA-256 of its wheel."""

    name: str
    version: str
    file: str
    sha256: str


class WheelError(Exception):
    """A lock cannot be installed for the runtime; the message says what to do."""


def locked(lock: Path) -> list[Locked]:
    """Return the entries of a lock that the runtime needs, by their markers."""
    found = []
    for entry in _LOCKED.finditer(text := lock.read_text(encoding="utf-8")):
        name, version, rest = entry.groups()
        if (marker := rest.strip().removeprefix(";").strip()) and not Marker(marker).evaluate(_ENVIRONMENT):
            continue
        following = _LOCKED.search(text, entry.end())
        hashes = _HASH.findall(text, entry.end(), following.start() if following else len(text))
        found.append(Locked(name, version, frozenset(hashes)))
    return found


def install(lock: Path, target: Path, architecture: str) -> list[Wheel]:
    """Unpack everything that a lock lists into ``target``, for the runtime; return the wheels by name.

    ``architecture`` is one of ``ARCHITECTURES``. Raises WheelError where pip cannot have a wheel for it.
    """
    expected = {_normalized(entry.name): entry for entry in locked(lock)}
    with tempfile.TemporaryDirectory() as folder:
        # Without markers: pip evaluates them for the Python that it runs on, not for the runtime.
        chosen = Path(folder) / lock.name
        chosen.write_text("".join(_line(entry) for entry in expected.values()), encoding="utf-8")
        _download(chosen, Path(folder), architecture)
        wheels = {}
        for file in sorted(Path(folder).glob("*.whl")):
            name, version, *_ = file.name.split("-")
            entry = expected[_normalized(name)]
            wheels[_normalized(name)] = Wheel(entry.name, version, file.name, _sha256(file))
            _unpack(file, target)
    if missing := expected.keys() - wheels.keys():
        raise WheelError(f"{lock.name}: pip left out {', '.join(sorted(missing))}.")
    return [wheels[name] for name in sorted(wheels)]


def _line(entry: Locked) -> str:
    hashes = "".join(f" --hash=sha256:{one}" for one in sorted(entry.hashes))
    return f"{entry.name}=={entry.version}{hashes}\n"


def _download(lock: Path, folder: Path, architecture: str) -> None:
    machine = ARCHITECTURES[architecture]
    major, newest = GLIBC
    tags = [f"manylinux_{major}_{minor}_{machine}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
    tags.append(f"manylinux2014_{machine}")
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
        *("--dest", str(folder), "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--implementation", "cp", "--python-version", VERSION),
        *(f"--platform={tag}" for tag in tags),
        *("--requirement", str(lock)),
    ]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise WheelError(f"pip has no wheels of {lock.name} for {NAME} on {architecture}:\n{done.stderr}")


def _unpack(wheel: Path, target: Path) -> None:
    """Unpack a wheel's modules and metadata, without scripts and data files, which no function uses."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            inside = entry.filename
            if data := _DATA.fullmatch(inside):
                inside = data[2]
            elif ".data/" in inside:
                continue
            path = PurePosixPath(inside)
            if path.is_absolute() or ".." in path.parts:
                raise WheelError(f"{wheel.name} has a file outside of it: {entry.filename}")
            if not entry.is_dir():
                to = target / path
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(archive.read(entry))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

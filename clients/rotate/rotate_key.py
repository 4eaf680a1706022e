#!/usr/bin/env python3
"""Rotate a Service User's API key where it is used: a file, a Kubernetes Secret, GitHub Actions, any store.

One file, the standard library alone (GitHub needs PyNaCl beside it). The key itself asks for its
successor, with an overlap in which both work, so nobody else's key is needed and no client is refused.

The order of the steps makes it safe to die after any of them: first the destination is asked whether it
will take a change, then the key is rotated, then the successor is written. Until it is written the old
key is in place and works for the overlap; the next run rotates with it again, and the service then
replaces the successor that nobody used. So there is never more than one living successor.

``rotate_key.py --help`` shows every option; README.md beside this file has a page for each destination.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import http.client
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = re.compile(r"suk_[0-9A-Za-z]+")
KEY_VARIABLE = "SERVICE_USERS_API_KEY"
MIN_OVERLAP, MAX_OVERLAP = 60, 604_800
TRIES = 4
"""How often a call without a response, or with a response of 429 or 5xx, is made."""
MAX_WAIT = 60
"""Seconds waited at most for one ``Retry-After``; a longer one ends the run, to be started again later."""

DONE, FAILED, USAGE, NOT_STORED = 0, 1, 2, 3
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3


class RotationError(Exception):
    """The run cannot go on. ``code`` is the exit status; the text says what holds now and what to do."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


class Response(NamedTuple):
    """An HTTP response whose body was JSON (or empty)."""

    status: int
    body: Any
    retry_after: int


class Destination(Protocol):
    """Where the key is kept."""

    def open(self) -> contextlib.AbstractContextManager[None]:
        """Hold off other runs of this program, where the destination can."""
        ...

    def read(self) -> str:
        """Return the present key. Raise RotationError where there is none."""
        ...

    def prepare(self) -> None:
        """Raise RotationError if :meth:`write` is bound to fail; nothing is changed yet."""
        ...

    def write(self, key: str) -> None:
        """Put ``key`` in place of the present one, all or nothing."""
        ...


# The service


class Service:
    """The Service Users API, called as one Service User."""

    def __init__(self, url: str, username: str, timeout: float, sleep: Callable[[float], None]) -> None:
        self._url = _checked_url(url)
        self._username = username
        self._timeout = timeout
        self._sleep = sleep

    def whoami(self, key: str) -> dict[str, Any]:
        """Return what the service says of ``key``. Raise RotationError where it is refused."""
        return self._call("GET", "/v1/whoami", key)

    def current(self, key: str) -> dict[str, Any]:
        """Return the current key of the type of ``key``: itself, masked, or its successor."""
        found = self.whoami(key).get("key")
        if not isinstance(found, dict) or not isinstance(found.get("key"), str):
            raise RotationError("GET /v1/whoami: the response names no key. Nothing was changed.")
        return found

    def rotate(self, key: str, overlap: int) -> dict[str, Any]:
        """Return the successor of ``key``, which goes on working for ``overlap`` seconds.

        A call whose response was lost is made again: the service replaces a successor that nobody used.
        """
        return self._call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": overlap})

    def _call(self, method: str, path: str, key: str, body: Any = None) -> dict[str, Any]:
        token = base64.b64encode(f"{self._username}:{key}".encode()).decode()
        headers = {"Authorization": f"Basic {token}"}
        problem = "no response"
        for attempt in range(TRIES):
            try:
                response = _request(method, self._url + path, headers, body, self._timeout)
            except OSError as error:
                problem, wait = f"no response ({type(error).__name__})", 0
            else:
                if response.status < 300 and isinstance(response.body, dict):
                    return response.body
                problem, wait = _problem(response), response.retry_after
                if response.status not in (429, 500, 502, 503, 504) or wait > MAX_WAIT:
                    raise RotationError(f"{method} {path}: {problem}")
            if attempt < TRIES - 1:
                self._sleep(max(wait, 2**attempt))
        raise RotationError(
            f"{method} {path}: {problem}, {TRIES} times. The key in place works as before; run again."
        )


# Destinations


class File:
    """A file that has the key in it, alone or among other settings; everything else in it stays as it is."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))
        self._temporary = self._path.with_name(f".{self._path.name}.rotating")
        self._lock = self._path.with_name(f".{self._path.name}.lock")
        self._text = ""
        self._key = ""
        self._read: os.stat_result

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Lock the file against another run; what a run that died left beside it is removed."""
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RotationError(f"{self._lock}: {error.strerror}. Nothing was changed.") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RotationError(
                    f"Another run is rotating the key in {self._path}. Nothing was changed."
                ) from None
            try:
                yield
            finally:  # with the lock alone: the file may be another run's
                with contextlib.suppress(OSError):
                    self._temporary.unlink()
        finally:
            os.close(lock)

    def read(self) -> str:
        """Return the one key in the file."""
        try:
            with self._path.open("rb") as file:
                self._read = os.fstat(file.fileno())
                self._text = file.read().decode()
        except OSError as error:
            raise RotationError(f"{self._path}: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise RotationError(f"{self._path} is not text in UTF-8.") from None
        self._key = _the_key(self._text, str(self._path))
        return self._key

    def prepare(self) -> None:
        """Write a file of the final size, mode and owner beside it, so that what may fail fails now."""
        self._write_beside(self._text)

    def write(self, key: str) -> None:
        """Replace the file at once (rename), so that every reader sees the old key or the new one."""
        self._write_beside(self._text.replace(self._key, key))
        try:
            os.replace(self._temporary, self._path)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise RotationError(f"{self._path}: {error.strerror}.") from None

    def _write_beside(self, text: str) -> None:
        try:
            present, there = self._read, self._path.stat()
            if (present.st_dev, present.st_ino) != (there.st_dev, there.st_ino):
                raise RotationError(f"{self._path} is another file than the one that was read.")
            # A file of somebody else, who may have it open, would show them the key and stay theirs.
            with contextlib.suppress(FileNotFoundError):
                self._temporary.unlink()
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as temporary:
                temporary.write(text.encode())
                made = os.fstat(temporary.fileno())
                if (present.st_uid, present.st_gid) != (made.st_uid, made.st_gid):
                    os.fchown(temporary.fileno(), present.st_uid, present.st_gid)
                os.fchmod(temporary.fileno(), present.st_mode & 0o7777)
                temporary.flush()
                os.fsync(temporary.fileno())
        except OSError as error:
            place = error.filename or self._path
            raise RotationError(f"{self._path} cannot be replaced: {place}: {error.strerror}.") from None


class KubernetesSecret:
    """One entry of a Kubernetes Secret, by the cluster's API and the pod's own service account."""

    ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

    def __init__(self, place: str, timeout: float, account: Path = ACCOUNT) -> None:
        namespace, name, entry = _parts(place, 3, "NAMESPACE/SECRET/ENTRY")
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise RotationError(
                "KUBERNETES_SERVICE_HOST is not set: run this in a pod of the cluster.", USAGE
            )
        host = f"[{host}]" if ":" in host else host
        quoted = [urllib.parse.quote(part, safe="") for part in (namespace, name)]
        self._url = f"https://{host}:{port}/api/v1/namespaces/{quoted[0]}/secrets/{quoted[1]}"
        self._place, self._entry, self._timeout = f"{namespace}/{name}", entry, timeout
        self._account = account
        self._context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        self._text = self._version = ""

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Nothing to hold: the Secret's resourceVersion tells two runs apart."""
        yield

    def read(self) -> str:
        """Return the one key in the entry."""
        secret = self._call("GET", self._url)
        value = (secret.get("data") or {}).get(self._entry)
        if value is None:
            raise RotationError(f"The Secret {self._place} has no entry '{self._entry}'.")
        self._version = secret["metadata"]["resourceVersion"]
        self._text = base64.b64decode(value).decode()
        return _the_key(self._text, f"the Secret {self._place}")

    def prepare(self) -> None:
        """Ask the cluster to validate the patch first: a missing right shows before the rotation."""
        self._patch(self._text, "?dryRun=All")

    def write(self, key: str) -> None:
        """Patch the entry, if the Secret is as it was read (or changed in other entries only)."""
        old = self._text
        new = old.replace(_the_key(old, self._place), key)
        for _ in range(TRIES):
            if self._patch(new):
                return
            self.read()
            if self._text != old:
                raise RotationError(f"Somebody else changed '{self._entry}' of the Secret {self._place}.")
        raise RotationError(f"The Secret {self._place} is changed by others all the time.")

    def _patch(self, text: str, query: str = "") -> bool:
        body = {
            "metadata": {"resourceVersion": self._version},
            "data": {self._entry: base64.b64encode(text.encode()).decode()},
        }
        return bool(self._call("PATCH", self._url + query, body, conflict={}))

    def _call(self, method: str, url: str, body: Any = None, conflict: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {(self._account / 'token').read_text().strip()}"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            response = _request(method, url, headers, body, self._timeout, self._context)
        except OSError as error:
            raise RotationError(f"Kubernetes did not respond ({type(error).__name__}).") from None
        if response.status == 409 and conflict is not None:
            return conflict
        if response.status >= 300:
            message = response.body.get("message", "") if isinstance(response.body, dict) else ""
            raise RotationError(
                f"Kubernetes refuses to {method} {self._place} ({response.status}): {_clean(message)}"
            )
        return response.body


class GitHubSecret:
    """An Actions secret. GitHub never shows one again, so a run gets the present key by environment."""

    def __init__(self, place: str, timeout: float, api: str) -> None:
        owner, repository, name = _parts(place, 3, "OWNER/REPOSITORY/SECRET")
        self._token = os.environ.get("GITHUB_TOKEN", "")
        if not self._token:
            raise RotationError(
                "GITHUB_TOKEN is not set: a token that may write the repository's secrets.", USAGE
            )
        quoted = [urllib.parse.quote(part, safe="") for part in (owner, repository, name)]
        self._url = f"{_checked_url(api)}/repos/{quoted[0]}/{quoted[1]}/actions/secrets"
        self._name, self._timeout = quoted[2], timeout
        self._public_key: dict[str, str] = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Nothing to hold; a workflow's ``concurrency`` keeps two runs apart."""
        yield

    def read(self) -> str:
        """Return the key the workflow passes in."""
        return _key_from_environment()

    def prepare(self) -> None:
        """Get the repository's public key, and the library that seals for it."""
        _sealed_box()
        self._public_key = self._call("GET", "/public-key")

    def write(self, key: str) -> None:
        """Seal the key for the repository and store it."""
        public = base64.b64decode(self._public_key["key"])
        sealed = base64.b64encode(_sealed_box()(public, key.encode())).decode()
        body = {"encrypted_value": sealed, "key_id": self._public_key["key_id"]}
        self._call("PUT", f"/{self._name}", body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        try:
            response = _request(method, self._url + path, headers, body, self._timeout)
        except OSError as error:
            raise RotationError(f"GitHub did not respond ({type(error).__name__}).") from None
        if response.status >= 300:
            message = response.body.get("message", "") if isinstance(response.body, dict) else ""
            raise RotationError(
                f"GitHub refuses to {method} the secret ({response.status}): {_clean(message)}"
            )
        return response.body


class Command:
    """Any other store: a command that takes the key on stdin. The present key comes by environment."""

    def __init__(self, command: str) -> None:
        self._arguments = shlex.split(command)
        if not self._arguments:
            raise RotationError("--command names no command.", USAGE)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Nothing to hold."""
        yield

    def read(self) -> str:
        """Return the key the environment has."""
        return _key_from_environment()

    def prepare(self) -> None:
        """See that the command is there; what else it needs only it knows."""
        if shutil.which(self._arguments[0]) is None:
            raise RotationError(f"There is no command '{self._arguments[0]}'.")

    def write(self, key: str) -> None:
        """Run the command with the key, and nothing else, on its standard input."""
        environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
        done = subprocess.run(self._arguments, input=key.encode(), env=environment, check=False)
        if done.returncode:
            raise RotationError(f"'{self._arguments[0]}' ended with status {done.returncode}.")


# What the program does


def rotate(
    service: Service, destination: Destination, overlap: int, older_than: int | None, now: float
) -> str:
    """Rotate the key of ``destination`` and return the line that says so.

    ``overlap`` and ``older_than`` (None: any age) are seconds, ``now`` is seconds since 1970. Raise
    RotationError: with FAILED the key in place works as before; with NOT_STORED it works for the overlap,
    and a new run corrects it.
    """
    with destination.open():
        key = destination.read()
        current = service.current(key)
        is_current = current["key"][-5:] == key[-5:]
        if not is_current and current.get("lastUsedAt"):
            # A rotation would end the key in place at once, and the key that somebody uses with its overlap.
            raise RotationError(
                f"The key in place, …{key[-5:]}, was rotated elsewhere, and its successor "
                f"…{current['key'][-5:]} is in use. Nothing was changed: put that one in place before the "
                "overlap ends, or generate another key."
            )
        # A successor that was never stored is young; the key in place is what counts, and must go.
        if older_than is not None and is_current:
            age = int(now - _seconds(_since(current)))
            if age < older_than:
                return f"not due: the key …{key[-5:]} is {_days(age)} old"
        destination.prepare()
        response = service.rotate(key, overlap)
        new = str(response.get("key"))
        until = _clean(str((response.get("predecessor") or {}).get("validUntil", "")))
        if not KEY.fullmatch(new):  # it would be more than a key that is written
            raise RotationError(
                "The response has no key of the form suk_…; nothing was stored. The key in place, "
                f"…{key[-5:]}, works {_until(until)}: make sure that the address is "
                "the service's, and run again.",
                NOT_STORED,
            )
        try:
            destination.write(new)
        except Exception as error:
            # The key is rotated whatever happened here, so it is never the status of "works as before".
            known = isinstance(error, RotationError)
            what = (
                error if known else f"The destination failed ({type(error).__name__}: {_clean(str(error))})."
            )
            raise RotationError(
                f"{what} The key in place, …{key[-5:]}, works {_until(until)}: "
                "correct this and run again before then.",
                NOT_STORED,
            ) from None
        service.whoami(new)
        kind = _clean(str(response.get("keyType")))
        return f"rotated: {kind} …{key[-5:]} to …{new[-5:]}; the old key works {_until(until)}"


def check(
    service: Service, destination: Destination, warn: int, critical: int, now: float
) -> tuple[int, str]:
    """Return an exit status for monitoring, and a line: whether the key works, and for how long it will.

    ``warn`` and ``critical`` are seconds before the key's expiry.
    """
    with destination.open():
        key = destination.read()
    try:
        current = service.current(key)
    except RotationError as error:
        return CRITICAL, f"CRITICAL: the key …{key[-5:]} does not work: {error}"
    if current["key"][-5:] != key[-5:] and current.get("lastUsedAt"):
        return WARNING, (
            f"WARNING: the key in place, …{key[-5:]}, was rotated elsewhere and works only for an overlap; "
            f"its successor …{current['key'][-5:]} is in use: put that one in place"
        )
    if current["key"][-5:] != key[-5:]:
        return WARNING, (
            f"WARNING: the key in place, …{key[-5:]}, was rotated and works only for an overlap; "
            "the run that rotated it did not store its successor: run again"
        )
    expires = current.get("expiresAt")
    left = None if expires is None else int(_seconds(expires) - now)
    if left is None:
        return OK, f"OK: the key …{key[-5:]} works and does not expire"
    line = f"the key …{key[-5:]} works for {_days(left)} more; rotation does not change its expiry"
    if left <= critical:
        return CRITICAL, f"CRITICAL: {line}"
    return (WARNING, f"WARNING: {line}") if left <= warn else (OK, f"OK: {line}")


def main(arguments: list[str] | None = None, sleep: Callable[[float], None] = time.sleep) -> int:
    """Run the program and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        service = Service(options.url, options.username, options.timeout, sleep)
        destination = _destination(options)
        if options.check:
            status, line = check(service, destination, options.warn, options.critical, time.time())
        else:
            status, line = (
                DONE,
                rotate(service, destination, options.overlap, options.older_than, time.time()),
            )
    except RotationError as error:
        code = UNKNOWN if options.check and error.code != USAGE else error.code
        _say(f"{'UNKNOWN: ' if options.check else ''}{error}", sys.stderr)
        return code
    _say(line, sys.stdout)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Rotate a Service User's API key where it is used.",
        epilog=(
            "Exit status: 0 rotated or not due; 1 failed, the key in place works as before; 2 wrong usage; "
            "3 rotated but not stored: the key in place works for the overlap, run again. "
            "With --check: 0 ok, 1 warning, 2 critical, 3 unknown."
        ),
    )
    parser.add_argument(
        "--url", default=os.environ.get("SERVICE_USERS_URL"), help="the API's address (or SERVICE_USERS_URL)"
    )
    parser.add_argument(
        "--username",
        default=os.environ.get("SERVICE_USERS_USERNAME"),
        help="the Service User (or SERVICE_USERS_USERNAME)",
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--file", type=Path, metavar="PATH", help="a file with the key in it")
    place.add_argument(
        "--kubernetes", metavar="NAMESPACE/SECRET/ENTRY", help="an entry of a Kubernetes Secret"
    )
    place.add_argument(
        "--github",
        metavar="OWNER/REPOSITORY/SECRET",
        help=f"an Actions secret; the present key in {KEY_VARIABLE}",
    )
    place.add_argument(
        "--command",
        metavar="COMMAND",
        help=f"a command that gets the new key on stdin; the present one in {KEY_VARIABLE}",
    )
    parser.add_argument("--github-api", default="https://api.github.com", help=argparse.SUPPRESS)
    parser.add_argument(
        "--overlap",
        type=_overlap,
        default=86_400,
        metavar="TIME",
        help="how long the old key works on: 1h, 2d (default 1d)",
    )
    parser.add_argument(
        "--older-than", type=_duration, metavar="TIME", help="rotate only a key of this age: 30d"
    )
    parser.add_argument(
        "--check", action="store_true", help="rotate nothing; tell monitoring whether the key works"
    )
    parser.add_argument(
        "--warn", type=_duration, default=14 * 86_400, metavar="TIME", help="with --check (default 14d)"
    )
    parser.add_argument(
        "--critical", type=_duration, default=2 * 86_400, metavar="TIME", help="with --check (default 2d)"
    )
    parser.add_argument(
        "--timeout", type=float, default=20, metavar="SECONDS", help="for each call (default 20)"
    )
    return parser


def _destination(options: argparse.Namespace) -> Destination:
    if not options.url or not options.username:
        raise RotationError(
            "Give --url and --username (or SERVICE_USERS_URL and SERVICE_USERS_USERNAME).", USAGE
        )
    if options.file:
        return File(options.file)
    if options.kubernetes:
        return KubernetesSecret(options.kubernetes, options.timeout)
    if options.github:
        return GitHubSecret(options.github, options.timeout, options.github_api)
    return Command(options.command)


# Small things


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credentials to an address nobody named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _request(
    method: str,
    url: str,
    headers: dict[str, str],
    body: Any,
    timeout: float,
    context: ssl.SSLContext | None = None,
) -> Response:
    data = None if body is None else json.dumps(body).encode()
    given = {"Accept": "application/json", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data, given, method=method)  # noqa: S310 - the scheme is checked
    handlers: list[Any] = [_NoRedirect, urllib.request.HTTPSHandler(context=context)]
    if request.type == "http":  # of this machine; a proxy would get the credentials unencrypted
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(request, timeout=timeout) as response:
            return _response(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return _response(error.code, error.headers, error.read())
    except http.client.HTTPException as error:
        raise OSError(type(error).__name__) from None


def _response(status: int, headers: Any, content: bytes) -> Response:
    try:
        body = json.loads(content) if content else {}
    except ValueError:
        body = None
    wait = headers.get("Retry-After", "")
    return Response(status, body, int(wait) if wait.isascii() and wait.isdigit() else 0)


def _problem(response: Response) -> str:
    body = response.body if isinstance(response.body, dict) else {}
    return f"{response.status} {_clean(str(body.get('detail', 'without a reason')))}"


def _checked_url(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not local):
        raise RotationError(f"'{url}' is not an https address; a key is never sent unencrypted.", USAGE)
    return url.rstrip("/")


def _the_key(text: str, place: str) -> str:
    keys = sorted(set(KEY.findall(text)))
    if len(keys) != 1:
        raise RotationError(f"{place} has {len(keys) or 'no'} API keys in it ({KEY.pattern}); one is needed.")
    return str(keys[0])


def _key_from_environment() -> str:
    return _the_key(os.environ.get(KEY_VARIABLE, ""), f"The variable {KEY_VARIABLE}")


def _sealed_box() -> Callable[[bytes, bytes], bytes]:
    try:
        from nacl.public import PublicKey, SealedBox  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise RotationError(
            "GitHub needs PyNaCl: python3 -m pip install pynacl. Nothing was changed."
        ) from None
    return lambda public, message: bytes(SealedBox(PublicKey(public)).encrypt(message))


def _parts(place: str, count: int, form: str) -> list[str]:
    parts = place.split("/")
    if len(parts) != count or not all(parts):
        raise RotationError(f"'{place}' is not of the form {form}.", USAGE)
    return parts


def _since(key: dict[str, Any]) -> str:
    return str(key.get("rotatedAt") or key["createdAt"])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _until(moment: str) -> str:
    return f"until {moment}" if moment else "no longer"


def _days(seconds: int) -> str:
    return f"{seconds / 86_400:.1f} days"


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _duration(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time such as 90s, 30m, 12h or 30d")
    return int(match[1]) * _UNITS[match[2] or "s"]


def _overlap(text: str) -> int:
    seconds = _duration(text)
    if not MIN_OVERLAP <= seconds <= MAX_OVERLAP:
        raise argparse.ArgumentTypeError(
            "an overlap is at least 60s, so that a lost response locks nobody out, and at most 7d"
        )
    return seconds


def _clean(text: str) -> str:
    """Return foreign text in one line, without control characters and without anything like a key."""
    return KEY.sub("suk_…", re.sub(r"[^ -~]+", " ", text))[:300].strip()


def _say(line: str, stream: Any) -> None:
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"{stamp} {KEY.sub('suk_…', line)}", file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())

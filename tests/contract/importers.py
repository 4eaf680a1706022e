"""Makes every request of the collections that Postman and Bruno import from the OpenAPI document.

    python -m tests.contract.importers

Postman's importer (openapi-to-postmanv2) with Newman, and Bruno's importer (@usebruno/converters) are locked
in ``importers/package-lock.json``, and installed in .tools/ at the first run. Each collection is used as
docs/clients.md says: imported, given the address and the key, and run. The requests are about the Users and
Service Users of the document's examples, which this creates before. Each must have its success.
"""

import base64
import json
import re
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from contract import examples
from tests.contract.run import DOCUMENT, HERE, TOOLS, run, served

SOURCE = HERE / "importers"
SECONDS_FOR_AN_EMAIL = 60.0
TOKEN = re.compile(r"sui_[0-9A-Za-z]{49}")

Json = Any


class Step(NamedTuple):
    """A request to make: its operation, and the key type in its path if that is not the example's."""

    operation: str
    key_type: str | None = None


class Made(NamedTuple):
    """A request that was made, and the response."""

    operation: str
    request: str
    status: int
    body: str


_ORDER = """
health openapi docs whoami
createServiceUser listServiceUsers readServiceUser updateServiceUser suspendServiceUser resumeServiceUser
generateServiceUserKey listServiceUserKeys readServiceUserKey restrictServiceUserKey
restrictServiceUserKeyOfType rotateServiceUserKey findKey revokeServiceUserKey
revokeServiceUserKeyOfType:PROVISIONING_READONLY
inviteUser listUsers readUser activateUser inviteUserAgain updateUser suspendUser resumeUser
listShownKeys endShownKeys
generateOwnKey listOwnKeys readOwnKey restrictOwnKey restrictOwnKeyOfType rotateOwnKeyOfType revokeOwnKey
revokeOwnKeyOfType:PROVISIONING
readAccount updateAccount listEvents reportLeakedKeys
rotateOwnKey deleteServiceUser revokeUser
"""
ORDER = tuple(Step(*it.split(":")) for it in _ORDER.split())
"""Every request, in an order in which what it needs is there; a key type to put into its path after ``:``."""


FULL_LISTS = ("listServiceUsers", "listUsers", "listEvents")
"""Lists that have members, unless the import has turned a condition on."""


def main() -> int:
    """Serve the API, and make the requests; return the exit status."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "home") as (home, _log):
        walk(home)
    return 0


def walk(home: Path) -> None:
    """Import and run both collections. Raises AssertionError for a response that is not as documented."""
    tools = _tools()
    for name, requests in (("Postman", postman), ("Bruno", bruno)):
        with tempfile.TemporaryDirectory() as folder, story(home) as variables:
            judge(name, requests(tools, Path(folder), variables))


def judge(name: str, made: Sequence[Made]) -> None:
    """Compare the responses with the document: every request, and each with its success."""
    document = _document()
    success = {it["operationId"]: int(min(it["responses"])) for it in _operations(document).values()}
    wrong = [it for it in made if it.status != success[it.operation]]
    for it in wrong:
        print(
            f"{name}: {it.operation}: {it.request}: {it.status}, not {success[it.operation]}: {it.body[:400]}"
        )
    assert not wrong, f"{name}: {len(wrong)} of {len(made)} requests were not answered as documented"
    assert sorted(it.operation for it in made) == sorted(success), "every request once"
    empty = [it.request for it in made if it.operation in FULL_LISTS and it.body.strip() == "[]"]
    assert not empty, f"{name}: these lists are imported with conditions: {', '.join(empty)}"
    print(f"{name}: each of {len(made)} imported requests was answered as documented.")


# The story of the examples


class Caller(NamedTuple):
    """Somebody who calls the API directly."""

    url: str
    username: str
    key: str

    def call(
        self, method: str, path: str, body: Json = None, *, expected: Sequence[int] = (200, 201, 204)
    ) -> Json:
        """Make a call and return the body of its response. Raises AssertionError for another status."""
        basic = base64.b64encode(f"{self.username}:{self.key}".encode()).decode()
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        if self.key:
            request.add_header("Authorization", f"Basic {basic}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, content = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        assert status in expected, (method, path, status, content)
        return json.loads(content) if content else None


@contextmanager
def story(home: Path) -> Iterator[dict[str, str]]:
    """Create whom the examples are about; yield the address, Ada's key and Joan's token; delete all again."""
    told = json.loads((home / "owner.json").read_text(encoding="utf-8"))
    owner = Caller(told["baseUrl"], told["username"], told["apiKey"])
    _without_policy(owner)  # whoever walked before has one, which the examples' expiry may not fit
    ada = owner._replace(username="ada", key=_activated(owner, home, "ada", "OWNER"))
    ada.call("POST", "/v1/users/ada/api-keys", {"keyType": "MONITORING"})
    _activated(owner, home, "grace", "CLUSTER_ADMIN")
    token = _invited(owner, home, "joan", "READ_ONLY")
    for name, key_types in (
        ("backup-bot", ["MONITORING"]),
        ("metrics-bot", ["MONITORING", "PROVISIONING_READONLY"]),
    ):
        body = {
            "username": name,
            "email": f"{name}@machines.example",
            "role": "READ_ONLY",
            "keyTypes": key_types,
        }
        ada.call("POST", "/v1/service-users", body)
    try:
        yield {"baseUrl": owner.url, "username": "ada", "key": ada.key, "token": token}
    finally:
        for name in ("backup-bot", "metrics-bot", "probe-bot"):
            owner.call("DELETE", f"/v1/service-users/{name}", expected=(204, 404))
        for name in ("ada", "grace", "joan", "katherine"):
            owner.call("DELETE", f"/v1/users/{name}", expected=(204, 404))
        _without_policy(owner)


def _without_policy(owner: Caller) -> None:
    policy = {"maxKeyAgeDays": None, "revokeInactiveAfterDays": None, "pciCompliance": False}
    owner.call("PUT", "/v1/account", policy)


def _activated(owner: Caller, home: Path, name: str, role: str) -> str:
    """Invite a person and activate them; return their USER_MANAGEMENT key."""
    body = {"username": name, "token": _invited(owner, home, name, role)}
    made = owner._replace(key="").call("POST", "/v1/users/activate", body)
    return str(next(it["key"] for it in made["apiKeys"]["apiKeys"] if it["keyType"] == "USER_MANAGEMENT"))


def _invited(owner: Caller, home: Path, name: str, role: str) -> str:
    """Invite a person; return the token in the email to them."""
    outbox = home / "outbox"
    before = set(outbox.glob("*.eml"))
    body = {"username": name, "email": f"{name}@people.example", "role": role}
    owner.call("POST", "/v1/users", body)
    end = time.monotonic() + SECONDS_FOR_AN_EMAIL
    while time.monotonic() < end:
        for file in set(outbox.glob(f"*{name}@*.eml")) - before:
            if found := TOKEN.search(file.read_text(encoding="utf-8").replace("=\n", "")):
                return found[0]
        time.sleep(0.05)  # a function mails it, a moment later
    raise AssertionError(f"no email to {name}")


# The importers


def postman(tools: Path, folder: Path, variables: Mapping[str, str]) -> list[Made]:
    """Import and run the collection with Postman's tools; return its requests in their order."""
    plan = _plan(variables) | {
        "options": {
            "folderStrategy": "Tags",
            "parametersResolution": "Example",
            "enableOptionalParameters": False,
        },
        "variables": {
            "baseUrl": variables["baseUrl"],
            "basicAuthUsername": variables["username"],
            "basicAuthPassword": variables["key"],
        },
    }
    return _made(tools / "postman.js", folder, plan)


def bruno(tools: Path, folder: Path, variables: Mapping[str, str]) -> list[Made]:
    """Import the collection with Bruno's importer and make its requests; return them in their order."""
    plan = _plan(variables) | {
        "variables": {
            "baseUrl": variables["baseUrl"],
            "username": variables["username"],
            "password": variables["key"],
        }
    }
    return _made(tools / "bruno.js", folder, plan)


def _plan(variables: Mapping[str, str]) -> Json:
    """Return what both importers are given: the document, and the requests to make of it, in their order."""
    document = _document()
    calls = {it["operationId"]: call for call, it in _operations(document).items()}
    steps = [
        {
            "operation": step.operation,
            "call": calls[step.operation],
            "path": {"keyType": step.key_type} if step.key_type else {},
            "replace": {examples.TOKEN: variables["token"]},
        }
        for step in ORDER
    ]
    return {"document": document, "steps": steps}


def _made(script: Path, folder: Path, plan: Json) -> list[Made]:
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    results = folder / "results.json"
    run(["node", script, folder / "plan.json", results], cwd=folder)
    return [Made(**it) for it in json.loads(results.read_text(encoding="utf-8"))]


def _document() -> Json:
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


def _operations(document: Json) -> dict[str, Json]:
    """Return the operations by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def _tools() -> Path:
    """Return the folder with the tools, installed at the first run and when their lock changes."""
    folder = TOOLS / "importers"
    lock = (SOURCE / "package-lock.json").read_text(encoding="utf-8")
    mark = folder / "installed.json"
    if not mark.exists() or mark.read_text(encoding="utf-8") != lock:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, folder)
        npm = ["npm", "ci", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
        run([*npm, "--prefix", str(folder)])
        mark.write_text(lock, encoding="utf-8")
    for script in SOURCE.glob("*.js"):
        shutil.copy(script, folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())

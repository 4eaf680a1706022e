"""Measures what the console adds to a cold start, and its first pages.

``make .tools/runtime/.ready`` and ``python -m deploy package --stage bench``, then
``SERVICE_USERS_PACKAGE=build/bench python -m local.dynamodb_local -- python -m bench.measure_console``,
with the number of starts of each as its argument: 41 by default, in turn. The API without the console is the
same package without the console's routes and modules, and without ``cryptography``. CPU time is the better
figure on a machine that does something else at the same time.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from bench.calls import HEALTH, WHOAMI, event
from chalicelib.rules import sessions
from chalicelib.rules.context import Origin
from chalicelib.rules.model import Passkey, User
from chalicelib.store.principals import item_from_principal, principal_from_item, principal_key
from deploy import runtime
from deploy.slim import compile_modules
from local.package.emulator import Emulator, Key
from local.package.runtime import Environment

API, WITHOUT = "the API", "the API, without the console"
SIGN_IN, LIST = "the sign-in", "the list of Service Users"


def main() -> None:
    """Print the medians of the first responses, and what each adds."""
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    package = Path(os.environ["SERVICE_USERS_PACKAGE"]).absolute()
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(package, os.environ["DYNAMODB_LOCAL_URL"], Path(folder), proxied=False) as emulator,
    ):
        code = package / "unpacked"
        bare = without_console(code, Path(folder) / "without")
        owner = emulator.create_account(username="owner")
        page = ("GET", "/console/service-users", "/console/{section}")
        door = ("GET", "/console/sign-in", "/console/{section}")
        first = {
            (WITHOUT, "no sign-in"): (bare, event(*HEALTH)),
            (API, "no sign-in"): (code, event(*HEALTH)),
            (SIGN_IN, "no sign-in"): (code, _page(event(*door, parameters={"section": "sign-in"}), "")),
            (WITHOUT, "signed in"): (bare, event(*WHOAMI, owner)),
            (API, "signed in"): (code, event(*WHOAMI, owner)),
            (LIST, "signed in"): (
                code,
                _page(event(*page, parameters={"section": "service-users"}), sign_in(emulator, owner)),
            ),
        }
        variables = emulator.functions["APIHandler"].variables
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        busy: dict[tuple[str, str], list[float]] = defaultdict(list)
        later: list[float] = []
        for turn in range(starts + 1):
            for what, (root, request) in first.items():
                environment = Environment(root, "app.app", variables, Path(folder) / "log")
                body, at = environment.invoke_raw(json.dumps(request).encode())
                assert json.loads(body)["statusCode"] == 200, body
                if turn:  # the first round reads its files from disk
                    times[what].append((at - environment.started) * 1000)
                    busy[what].append(cpu_ms(environment.pid))
                environment.close()
            if turn:
                calls = (first[API, "signed in"][1], first[LIST, "signed in"][1])
                later.append(first_page_later(code, variables, calls))
    print(f"{'ms to the first response':46}  elapsed: median  least  CPU: median  least  CPU to the API's")
    for what in times:
        more = statistics.median(busy[what]) - statistics.median(busy[API, what[1]])
        figures = [f(taken[what]) for taken in (times, busy) for f in (statistics.median, min)]
        print(f"{what[0]:32}{what[1]:14}  {figures[0]:15.1f}{figures[1]:7.1f}", end="")
        print(f"{figures[2]:13.1f}{figures[3]:7.1f}{more:+18.1f}")
    print("ms of CPU that the list takes more than another call of the API, in an environment that has")
    print(f"answered the API: median {statistics.median(later):.1f}, least {min(later):.1f}")


def first_page_later(
    code: Path, variables: Mapping[str, str], calls: tuple[dict[str, Any], dict[str, Any]]
) -> float:
    """Return the ms of CPU that a first page takes more than the API's second call, in one environment.

    Starts of a process differ by more than a page takes. Here there is one start, and it is not counted.
    """
    api, page = calls
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(code, "app.app", variables, Path(folder) / "log")
        spent = []
        for request in (api, api, page):
            body, _ = environment.invoke_raw(json.dumps(request).encode())
            assert json.loads(body)["statusCode"] == 200, body
            spent.append(cpu_ms(environment.pid))
        environment.close()
    return (spent[2] - spent[1]) - (spent[1] - spent[0])


def cpu_ms(pid: int) -> float:
    """Return how long a process's threads have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((it / "schedstat").read_text().split()[0]) for it in tasks) / 1e6


def without_console(code: Path, target: Path) -> Path:
    """Return a copy of the package's code without the console and what only it uses."""
    shutil.copytree(code, target)
    for name in ("chalicelib/console", "cryptography", "cffi", "__pycache__"):
        shutil.rmtree(target / name)
    app = target / "app.py"
    source = app.read_text(encoding="utf-8")
    begin, end = source.index("# The console: its pages"), source.index("api.add_other_methods()")
    app.write_text(source[:begin] + source[end:], encoding="utf-8")
    python = runtime.interpreter()
    assert python is not None
    compile_modules(target, python)
    return target


def sign_in(emulator: Emulator, owner: Key) -> str:
    """Return the cookie of a session, which is written into the person's item."""
    stored = emulator.dynamodb.get_item(TableName=emulator.directory, Key=principal_key(owner.username))
    user = principal_from_item(cast("dict[str, Any]", stored["Item"]))
    assert isinstance(user, User)
    origin = Origin("198.51.100.7", "", time.time())
    passkey = Passkey(
        credential_id=b"id", public_key=b"", algorithm=-7, name="Laptop", created_at=origin.second
    )
    entry = sessions.start(replace(user, passkeys={"p": passkey}), "p", origin, "a browser")
    emulator.dynamodb.put_item(TableName=emulator.directory, Item=item_from_principal(entry.user))
    return f"{entry.user.username}.{entry.secret}"


def _page(made: dict[str, Any], cookie: str) -> dict[str, Any]:
    """Return the event with a browser's headers."""
    made["headers"]["Host"] = "users.example.com"
    made["headers"]["Cookie"] = f"__Host-session={cookie}"
    made["multiValueHeaders"] = {name: [value] for name, value in made["headers"].items()}
    made["requestContext"]["domainName"] = "users.example.com"
    return made


if __name__ == "__main__":
    main()

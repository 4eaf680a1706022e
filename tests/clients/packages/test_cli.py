"""clients/cli: every call of the API by a command, tables and JSON, secrets, exit codes, help and manual."""

import contextlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_users_cli import manual, options
from service_users_cli.account import EVENT_COLUMNS
from service_users_cli.main import EXIT_CODES
from service_users_cli.output import Output, cell
from service_users_client import Client, NotFound

from tests.clients.packages.conftest import Run, secret_of
from tests.clients.packages.kill_and_resume import environment
from tests.clients.packages.support import CONTRACT, ROOT, Fault, Proxy, Server

Bot = Callable[..., dict[str, Any]]
SECRET = re.compile(r"suk_[0-9A-Za-z]{49}")

SAME_AS = {
    "revokeServiceUserKey": "revokeServiceUserKeyOfType",
    "restrictServiceUserKey": "restrictServiceUserKeyOfType",
    "revokeOwnKey": "revokeOwnKeyOfType",
    "restrictOwnKey": "restrictOwnKeyOfType",
}
"""Calls that another one, which a command makes, has taken the place of: the key's type in a body."""


def operation_of(method: str, target: str) -> str | None:
    """Return the operationId of a call; a path without parameters goes before one with them."""
    path = target.partition("?")[0]
    for template, methods in sorted(CONTRACT["paths"].items(), key=lambda each: "{" in each[0]):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in methods:
            return str(methods[method.lower()]["operationId"])
    return None


# Every call


def test_every_call_of_the_api_has_a_command(
    cli: Run, server: Server, proxy: Proxy, bot: Bot, tmp_path: Path
) -> None:
    def activated(name: str) -> str:
        cli.json("people", "invite", name, "--email", f"{name}@demo.example", "--role", "CLUSTER_ADMIN")
        token = server.mailed(name, r"sui_[0-9A-Za-z]{49}")
        keys = cli.json("people", "activate", name, stdin=token)["apiKeys"]["apiKeys"]
        return {it["keyType"]: it["key"] for it in keys}["USER_MANAGEMENT"]

    made = cli.json(
        *("create", "walk-bot", "--email", "walk-bot@demo.example", "--role", "READ_ONLY"),
        *(
            "--key-type",
            "MONITORING",
            "--label",
            "team=walk",
            "--expires",
            "90d",
            "--network",
            "127.0.0.1/32",
        ),
    )
    assert made["labels"] == {"team": "walk"}
    assert made["apiKeys"]["apiKeys"][0]["expiresAt"]
    assert [it["username"] for it in cli.json("list", "--label", "team=walk", "--never-used")] == ["walk-bot"]
    assert cli.json("list", "--sort", "newest")[0]["username"] == "walk-bot"
    assert cli.json("show", "walk-bot")["username"] == "walk-bot"
    changed = cli.json(
        "update", "walk-bot", "--label", "env=test", "--remove-label", "team", "--description", "It walks."
    )
    assert (changed["labels"], changed["description"]) == ({"env": "test"}, "It walks.")
    assert cli.json("update", "walk-bot", "--description", "")["description"] is None
    assert cli.json("suspend", "walk-bot")["suspendedAt"]
    assert cli.json("resume", "walk-bot")["suspendedAt"] is None
    generated = cli.json("keys", "generate", "walk-bot", "PROVISIONING_READONLY")
    assert len(cli.json("keys", "list", "walk-bot")["apiKeys"]) == 2
    assert cli.json("keys", "show", "walk-bot", "MONITORING")["key"].startswith("•••…")
    rotated = cli.json("keys", "rotate", "walk-bot", "MONITORING", "--overlap", "1h")
    assert rotated["predecessor"]["validUntil"]
    restricted = cli.json(
        "keys", "restrict", "walk-bot", "MONITORING", "--network", "any", "--expires", "never"
    )
    assert (restricted["allowedNetworks"], restricted["expiresAt"]) == ([], None)
    assert cli.json("find", "--last5", rotated["key"][-5:])[0]["username"] == "walk-bot"
    assert cli.json("find", stdin=rotated["key"])[0]["username"] == "walk-bot"
    assert cli.json("report-leaked", stdin=f"{generated['key']}\n") == {"received": 1}
    cli.json("keys", "revoke", "walk-bot", "MONITORING", "--yes")

    key = activated("walker")
    assert cli.json("people", "show", "walker")["status"] == "ACTIVE"
    assert "walker" in [it["username"] for it in cli.json("people", "list", "--role", "CLUSTER_ADMIN")]
    assert cli.json("people", "update", "walker", "--display-name", "Walker")["displayName"] == "Walker"
    assert cli.json("people", "suspend", "walker")["suspendedAt"]
    assert cli.json("people", "resume", "walker")["suspendedAt"] is None
    assert cli.json("people", "shown-keys", "walker") == []
    assert cli.json("bulk", "revoke", "walker", "--yes") == []

    arguments = ("profile", "add", "walker", "--url", proxy.url, "--username", "walker")
    assert cli(*arguments, stdin=key) == 0
    cli.json("own-keys", "generate", "PROVISIONING", "--profile", "walker")
    cli.json("--profile", "walker", "own-keys", "rotate", "PROVISIONING", "--overlap", "1h")
    cli.json("own-keys", "restrict", "PROVISIONING", "--network", "203.0.113.0/24", "--profile", "walker")
    assert len(cli.json("own-keys", "list", "-p", "walker")["apiKeys"]) == 2
    assert cli.json("own-keys", "show", "PROVISIONING", "-p", "walker")["keyType"] == "PROVISIONING"
    cli.json("own-keys", "revoke", "PROVISIONING", "--yes", "--profile=walker")
    assert cli.json("rotate-own", "-p", "walker")["stored"] == "file"
    assert cli.json("whoami", "-p", "walker")["username"] == "walker"
    cli.json("people", "invite-again", "walker", "--yes")
    cli.json("people", "revoke", "walker", "--yes")

    assert cli.json("account", "show")["name"]
    assert cli.json("account", "update", "--max-key-age-days", "300")["maxKeyAgeDays"] == 300
    assert cli.json("account", "update", "--max-key-age-days", "none")["maxKeyAgeDays"] is None
    assert (
        cli.json("events", "--username", "walk-bot", "--limit", "2")[1]["subject"]["username"] == "walk-bot"
    )
    assert cli.json("api", "health")["status"] == "ok"
    assert cli.json("api", "health", "--tables")["tables"] == {"directory": "ok", "events": "ok"}
    assert cli.json("api", "openapi")["openapi"]
    assert cli("api", "docs") == 0
    assert cli.out.startswith("<!")
    cli.json("delete", "walk-bot", "--yes")

    wanted = {
        operation["operationId"]
        for methods in CONTRACT["paths"].values()
        for method, operation in methods.items()
        if method not in ("parameters", "head")
    }
    seen = {operation_of(*call) for call in proxy.calls}
    assert None not in seen
    assert sorted(wanted - seen - set(SAME_AS)) == [], "these calls have no command"
    assert set(SAME_AS.values()) <= seen


def test_any_call_is_made_by_its_operation_id(cli: Run, bot: Bot) -> None:
    name = bot()["username"]
    assert cli.json("call", "readServiceUser", f"username={name}")["username"] == name
    assert len(cli.json("call", "listServiceUsers", "limit=1")) == 1
    body = '{"displayName": "Called"}'
    assert (
        cli.json("call", "updateServiceUser", f"username={name}", "--body", body)["displayName"] == "Called"
    )
    assert (
        cli("call", "updateServiceUser", f"username={name}", 'If-Match="x"', "--body", "-", stdin=body) == 5
    )
    assert cli("call", "deleteServiceUser") == 2
    assert "needs a value for username" in cli.err
    assert cli("call", "nothing") == 2
    assert "listServiceUsers" in cli.err
    assert cli("call", "readServiceUser", "colour=red") == 2
    assert cli("call", "updateServiceUser", f"username={name}", "--body", "{") == 2
    assert cli("call", "rotateOwnKey", terminal=True) == 2


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_call_another_address_is_refused(
    cli: Run, proxy: Proxy, bot: Bot, tmp_path: Path, name: str
) -> None:
    """Revoking the key ".." of a Service User would be deleting the Service User, and one's own, oneself."""
    username = bot()["username"]
    for words in (
        ("keys", "revoke", username, name, "--yes"),
        ("keys", "rotate", name, "MONITORING", "--key-file", tmp_path / "a.key"),
        ("own-keys", "revoke", name, "--yes"),
        ("people", "revoke", name, "--yes"),
        ("bulk", "revoke", name, "--yes"),
        ("call", "revokeServiceUserKeyOfType", f"username={username}", f"keyType={name}"),
    ):
        assert cli(*words) == 2, words
        assert "Give the name as the API lists it" in cli.err
    assert {path for _, path in proxy.calls} <= {"/openapi.json", "/v1/whoami"}
    assert not (tmp_path / "a.key").exists()
    assert cli.json("show", username)["username"] == username
    assert cli.json("whoami")["username"] == "owner"


def test_a_response_that_is_not_the_json_it_says_it_is_needs_no_traceback(
    cli: Run, proxy: Proxy, bot: Bot
) -> None:
    proxy.faults += [Fault("garbled"), Fault("garbled")]
    assert cli("whoami") == 7
    assert "not the JSON that it says it is" in cli.err
    assert cli("suspend", bot()["username"]) == 8


# Secrets


@pytest.mark.parametrize(
    "command",
    [
        "keys generate {} PROVISIONING_READONLY",
        "keys rotate {} MONITORING",
        "create {}-x --email {}-x@demo.example --role READ_ONLY",
    ],
)
def test_a_key_goes_to_a_terminal_only_if_asked(
    cli: Run, proxy: Proxy, bot: Bot, tmp_path: Path, command: str
) -> None:
    words = command.replace("{}", bot()["username"]).split()
    for form in ((), ("--json",)):
        assert cli(*words, *form, terminal=True) == 2
        assert "--key-file" in cli.err
    assert proxy.calls == [], "nothing was done"
    file = tmp_path / "a.key"
    assert cli(*words, "--key-file", file, terminal=True) == 0
    assert not SECRET.search(cli.out + cli.err)
    assert SECRET.search(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_is_shown_on_a_terminal_with_show(cli: Run, bot: Bot) -> None:
    name = bot()["username"]
    assert cli("keys", "rotate", name, "MONITORING", "--show", terminal=True) == 0
    assert SECRET.search(cli.out)


def test_a_key_file_is_never_written_over_by_mistake(
    cli: Run, proxy: Proxy, bot: Bot, tmp_path: Path
) -> None:
    name = bot()["username"]
    file = tmp_path / "a.key"
    file.write_text("kept")
    assert cli("keys", "rotate", name, "MONITORING", "--key-file", file) == 2
    assert (file.read_text(), proxy.calls) == ("kept", [])
    assert cli("keys", "rotate", name, "MONITORING", "--key-file", file, "--replace") == 0
    assert SECRET.fullmatch(file.read_text().strip())
    assert cli("keys", "rotate", name, "MONITORING", "--key-file", tmp_path / "no" / "a.key") == 2
    proxy.faults.append(Fault("403"))
    assert cli("keys", "rotate", name, "MONITORING", "--key-file", tmp_path / "b.key") == 3
    assert not (tmp_path / "b.key").exists()


@pytest.mark.parametrize("replace", [False, True])
def test_a_key_file_that_could_not_be_written_is_found_out_before_the_call(
    cli: Run, proxy: Proxy, bot: Bot, tmp_path: Path, replace: bool
) -> None:
    name = bot()["username"]
    file = tmp_path / "a.key"
    if replace:
        file.write_text("kept")
    (tmp_path / ".a.key.new").mkdir()  # stands where the key is written before it takes the file's place
    more = ("--replace",) if replace else ()
    assert cli("keys", "rotate", name, "MONITORING", "--key-file", file, *more) == 2
    assert ".a.key.new: " in cli.err
    assert "Nothing was done" in cli.err
    assert proxy.calls == []
    assert [it.name for it in tmp_path.iterdir() if it.is_file()] == (["a.key"] if replace else [])
    assert not replace or file.read_text() == "kept"


def test_no_secret_is_on_a_real_terminal(server: Server, home: Path, bot: Bot) -> None:
    """The program on a pseudo-terminal, as a person runs it."""
    made = bot()

    def on_terminal(*arguments: str) -> tuple[int, str]:
        master, slave = pty.openpty()
        program = "from service_users_cli.main import entry; entry()"
        variables = environment(home) | {
            "SERVICE_USERS_URL": server.url,
            "SERVICE_USERS_USERNAME": "owner",
            "SERVICE_USERS_API_KEY": server.owner["apiKey"],
            "TERM": "xterm",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=variables,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        while True:
            try:
                read = os.read(master, 65536)
            except OSError:
                break
            if not read:
                break
            shown += read
        os.close(master)
        return process.wait(timeout=30), shown.decode()

    code, shown = on_terminal("show", made["username"])
    assert (code, secret_of(made)[-5:] in shown) == (0, True)
    assert "\x1b[" in shown, "a table, in bold"
    code, shown = on_terminal("keys", "rotate", made["username"], "MONITORING")
    assert (code, SECRET.search(shown)) == (2, None)
    code, shown = on_terminal("keys", "rotate", made["username"], "MONITORING", "--show")
    assert code == 0
    assert SECRET.search(shown)


# Tables, JSON and exit codes


def test_people_get_tables_and_programs_get_json(cli: Run, bot: Bot) -> None:
    name = bot(labels={"form": "both"})["username"]
    given = ("list", "--label", "form=both")
    assert cli(*given, terminal=True) == 0
    assert re.search(rf"{name} +READ_ONLY +MONITORING", cli.out)
    assert [it["username"] for it in cli.json(*given)] == [name]
    assert cli(*given, "--table") == 0
    assert cli.out.startswith("USERNAME")
    assert cli("list", "--json", "--prefix", "no-such-", terminal=True) == 0
    assert cli.out == "[]\n"
    for words in (
        "show {}",
        "keys list {}",
        "keys show {} MONITORING",
        "events --username {}",
        "account show",
        "people list",
        "people show owner",
        "whoami",
        "own-keys list",
        "find --last5 aaaaa",
        "profile list",
        "people shown-keys owner",
    ):
        assert cli(*words.format(name).split(), terminal=True) == 0, cli.err
        assert not cli.out.startswith(("{", "["))


def test_what_the_service_sends_is_no_command_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from others; a broken or hostile service could send more."""
    hostile = "a\x1b[31m\x9b2J\u202eb\nü"
    harmless = "a\\u001b[31m\\u009b2J\\u202eb\nü"
    assert cell(hostile).plain == cell([hostile]).plain == harmless
    assert cell({"a": hostile}).plain == f"a={harmless}"
    assert cell({hostile: "a"}).plain == f"{harmless}=a"
    out = Output("json")
    out.json({"name": hostile})
    assert json.loads(capsys.readouterr().out) == {"name": hostile}
    out.is_terminal = True
    out.plain(hostile)
    out.error(hostile)
    out.note(hostile)
    out.done(hostile)
    table = Output("table")
    table.fields({}, {f"[link=http://evil.example]{hostile}": hostile})
    shown = capsys.readouterr()
    assert "[link=http://evil.example]a\\u001b[31m" in shown.out
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown.out + shown.err)


def test_a_value_in_an_event_is_taken_for_no_other_change() -> None:
    changes = [
        {"field": "description", "old": None, "new": 'x", role: "READ_ONLY" → "OWNER'},
        {"field": "displayName", "old": "\u2013", "new": "é"},
    ]
    columns: dict[str, Any] = EVENT_COLUMNS
    assert columns["CHANGES"]({"changes": changes}) == [
        'description: \u2013 → "x\\", role: \\"READ_ONLY\\" → \\"OWNER"',
        'displayName: "\u2013" → "é"',
    ]


def test_events_are_streamed(cli: Run, bot: Bot) -> None:
    name = bot()["username"]
    for number in range(3):
        cli.json("update", name, "--display-name", f"Name {number}")
    given = ("events", "--username", name, "--order", "oldest")
    assert cli(*given, "--ndjson", "--limit", "3") == 0
    found = [json.loads(line) for line in cli.out.splitlines()]
    assert [it["action"] for it in found] == [
        "SERVICE_USER_CREATED",
        "SERVICE_USER_UPDATED",
        "SERVICE_USER_UPDATED",
    ]
    assert cli(*given, "--csv", "--all") == 0
    assert len(cli.out.splitlines()) == 5
    assert len(cli.json(*given, "--limit", "2")) == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("show nobody-here", 4),
        ("create x --email x --role READ_ONLY", 6),
        ("create owner --email other@demo.example --role READ_ONLY", 5),
        ("own-keys revoke USER_MANAGEMENT --yes", 5),
        ("update someone", 2),
        ("show", 2),
        ("no-such-command", 2),
        ("show x --colour", 2),
        ("delete someone", 2),
        ("--profile nobody whoami", 2),
        ("--profile", 2),
        ("account update --max-key-age-days soon", 2),
        ("keys rotate x MONITORING --overlap soon", 2),
        ("events --limit many", 2),
    ],
)
def test_exit_codes(cli: Run, words: str, code: int) -> None:
    assert cli(*words.split()) == code
    assert cli.err
    assert "Traceback" not in cli.err


@pytest.mark.parametrize(
    ("kind", "code"), [("401", 3), ("403", 3), ("409", 5), ("412", 5), ("418", 6), ("lost", 8), ("504", 8)]
)
def test_exit_codes_of_what_may_happen(cli: Run, proxy: Proxy, kind: str, code: int) -> None:
    proxy.faults.append(Fault(kind, method="POST"))
    assert cli("people", "invite", "ghost", "--email", "ghost@demo.example", "--role", "READ_ONLY") == code


def test_a_service_that_is_not_available_is_waited_for_and_then_said(cli: Run, proxy: Proxy) -> None:
    proxy.faults += [Fault("503", retry_after="5")] * 10
    assert cli("whoami") == 7
    assert cli.pauses == [5] * 4
    assert "Waiting 5 s" in cli.err
    assert cli("whoami", "--quiet") == 7
    assert "Waiting" not in cli.err


# Profiles and doctor


def test_profiles(cli: Run, server: Server, home: Path, tmp_path: Path) -> None:
    file = server.home / "owner.json"
    assert cli.json("profile", "add", "second", "--from", file)["storage"] == "file"
    assert [(it["name"], it["inUse"]) for it in cli.json("profile", "list")] == [
        ("demo", True),
        ("second", False),
    ]
    assert cli("profile", "use", "second") == 0
    assert cli.json("profile", "list", "--profile", "demo")[0]["inUse"]
    assert cli("profile", "remove", "second", "--yes") == 0
    assert cli("whoami") == 2
    assert cli("profile", "add", "third", "--url", server.url, "--username", "owner", stdin="suk_wrong") == 3
    assert cli("profile", "add", "third", "--url", server.url) == 2
    assert cli("profile", "add", "third", "--from", tmp_path / "none.json") == 2
    assert (
        cli("profile", "add", "third", "--url", "http://api.example.com", "--username", "x", stdin="suk_a")
        == 2
    )
    assert "unencrypted" in cli.err
    assert "third" not in (home / "profiles.json").read_text()


def test_doctor_finds_what_is_wrong(cli: Run, proxy: Proxy, home: Path) -> None:
    found = {it["name"]: it["state"] for it in cli.json("doctor")}
    assert found == {
        **dict.fromkeys(("Program", "Profile", "Key", "Service", "Clock", "Sign-in", "Rights"), "ok"),
        "Keyring": "warning",
    }
    assert cli("doctor", terminal=True) == 0
    assert "✓ Sign-in" in cli.out
    proxy.faults.append(Fault("401", "whoami"))
    assert cli("doctor") == 1
    proxy.faults += [Fault("refused")] * 5
    assert cli("doctor") == 1
    (home / "keys.json").chmod(0o644)
    assert cli("doctor", terminal=True) == 1
    assert "chmod 600" in cli.out
    assert cli("doctor", "--profile", "nobody") == 1


# Help


def test_every_command_has_examples_and_help(cli: Run) -> None:
    for words, examples in options.EXAMPLES.items():
        assert examples, words
        assert all(example.startswith(f"service-users {words}") for example in examples)
        assert cli(*words.split(), "--help") == 0
        assert "Example" in cli.out


def test_the_manual_has_every_command_and_exit_code(cli: Run) -> None:
    assert cli("manual") == 0
    for words in options.EXAMPLES:
        assert f"service-users {words}" in cli.out
    for code in EXIT_CODES:
        assert re.search(rf"^ +{code}  ", cli.out, re.MULTILINE)
    assert max(map(len, cli.out.splitlines())) <= 200
    assert manual.page() == cli.out


def test_completion_is_made_for_shells(home: Path) -> None:
    program = "from service_users_cli.main import entry; entry()"
    variables = environment(home) | {
        "_SERVICE_USERS_COMPLETE": "complete_bash",
        "COMP_WORDS": "service-users keys ro",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["rotate"], done.stderr


EXAMPLE_LINES = [(words, example) for words, examples in options.EXAMPLES.items() for example in examples]


@pytest.fixture(scope="module")
def machines(server: Server) -> None:
    """What the examples are about."""
    with server.client() as owner:
        for name in ("grace", "joan"):
            body = {"username": name, "email": f"{name}@people.example", "role": "CLUSTER_ADMIN"}
            if name == "grace":
                owner.request("POST", "/v1/users", body=body)
                token = server.mailed(name, r"sui_[0-9A-Za-z]{49}")
                with Client(server.url) as anybody:
                    anybody.request("POST", "/v1/users/activate", body={"username": name, "token": token})


@pytest.mark.usefixtures("machines")
@pytest.mark.parametrize(("words", "example"), EXAMPLE_LINES, ids=[line for _, line in EXAMPLE_LINES])
def test_the_examples_of_the_help_run(
    cli: Run,
    server: Server,
    owner: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    example: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    _set_up(owner, server, words, tmp_path)
    line, _, source = example.partition(" < ")
    line, _, target = line.partition(" > ")
    stdin = Path(source).read_text() if source else None
    arguments = shlex.split(line)[1:]
    arguments = [server.url if each == "http://127.0.0.1:8000" else each for each in arguments]
    if words == "profile remove":
        assert cli("profile", "add", "staging", "--from", "owner.json") == 0
    assert cli(*arguments, stdin=stdin) == 0, cli.err
    assert target == "" or cli.out


def _set_up(owner: Client, server: Server, words: str, folder: Path) -> None:
    """Make what an example needs: metrics-bot of team payments, and files."""
    for name in ("metrics-bot", "report-bot"):
        with contextlib.suppress(NotFound):
            owner.request("DELETE", f"/v1/service-users/{name}")
    body: dict[str, Any] = {"username": "metrics-bot", "email": "metrics-bot@machines.example"}
    body |= {
        "role": "READ_ONLY",
        "keyTypes": ["MONITORING"],
        "labels": {"team": "payments", "environment": "test"},
    }
    made = owner.request("POST", "/v1/service-users", body=body)
    (folder / "owner.json").write_text(json.dumps(server.owner))
    (folder / "owner.key").write_text(server.owner["apiKey"])
    (folder / "found.txt").write_text(secret_of(made) + "\n")
    (folder / "machines.csv").write_text(
        "username,email,role,keyTypes\nreport-bot,report-bot@machines.example,READ_ONLY,MONITORING\n"
    )
    if words.startswith("own-keys"):
        keys = owner.request("GET", "/v1/users/owner/api-keys")["apiKeys"]
        has = any(key["keyType"] == "MONITORING" for key in keys)
        if has and words == "own-keys generate":
            owner.request("DELETE", "/v1/users/owner/api-keys", query={"keyType": "MONITORING"})
        elif not has and words != "own-keys generate":
            owner.request("POST", "/v1/users/owner/api-keys", body={"keyType": "MONITORING"})
    if words in ("people invite", "people activate"):
        names = [it["username"] for it in owner.items("/v1/users")]
        if "joan" in names:
            owner.request("DELETE", "/v1/users/joan")
    if words == "people activate":
        if "joan" in names:
            server.mailed("joan", r"sui_[0-9A-Za-z]{49}")  # that of the earlier example, which may be late
        invited = {"username": "joan", "email": "joan@people.example", "role": "CLUSTER_ADMIN"}
        for file in (server.home / "outbox").glob("*joan@*.eml"):
            file.unlink()
        owner.request("POST", "/v1/users", body=invited)
        (folder / "token.txt").write_text(server.mailed("joan", r"sui_[0-9A-Za-z]{49}"))
    if words.startswith(("people", "bulk revoke")):
        people = {it["username"]: it for it in owner.items("/v1/users")}
        if "grace" in people and people["grace"]["status"] != "ACTIVE":
            server.mailed("grace", r"sui_[0-9A-Za-z]{49}")  # that of the earlier example, which may be late
            owner.request("DELETE", "/v1/users/grace")
            del people["grace"]
        if "grace" not in people:
            for file in (server.home / "outbox").glob("*grace@*.eml"):
                file.unlink()
            owner.request(
                "POST",
                "/v1/users",
                body={"username": "grace", "email": "grace@people.example", "role": "CLUSTER_ADMIN"},
            )
        if "grace" not in people or people["grace"]["status"] != "ACTIVE":
            _activate(server, "grace")
        if people.get("grace", {}).get("role") == "OWNER":
            owner.request("PUT", "/v1/users/grace", body={"role": "CLUSTER_ADMIN"})


def _activate(server: Server, name: str) -> None:
    """Activate a person with the newest token that still works."""
    token = server.mailed(name, r"sui_[0-9A-Za-z]{49}")
    with Client(server.url) as anybody:
        anybody.request("POST", "/v1/users/activate", body={"username": name, "token": token})


# The packages


def test_the_packages_install_and_the_client_comes_from_the_folder_beside(tmp_path: Path) -> None:
    pip: list[str | Path] = [ROOT / ".venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    pip += ["--python", sys.executable, "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    folders = [ROOT / "clients" / "python", ROOT / "clients" / "cli"]
    subprocess.run([*pip, "--target", tmp_path, *folders], check=True, capture_output=True)
    (metadata,) = tmp_path.glob("service_users_cli-*/METADATA")
    assert f"service-users-client[keyring] @ {(ROOT / 'clients' / 'python').as_uri()}" in metadata.read_text()
    program = tmp_path / "bin" / "service-users"
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([program, "--version"], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == "service-users 1.1.0\n"

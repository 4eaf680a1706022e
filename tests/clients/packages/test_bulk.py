"""Bulk commands: previewed, stopped at any moment, resumed, and after lost responses."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_users_client import Client, Unauthenticated

from tests.clients.packages.conftest import Run, secret_of
from tests.clients.packages.kill_and_resume import command, kill_and_resume
from tests.clients.packages.support import Fault, Proxy, Server

Bot = Callable[..., dict[str, Any]]
CREATE = "^/v1/service-users$"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "out.keys"


def csv_of(path: Path, *names: str, more: str = "") -> Path:
    rows = "".join(f"{name},{name}@demo.example,READ_ONLY,MONITORING\n" for name in names)
    path.write_text(f"username,email,role,keyTypes\n{rows}{more}")
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def works(server: Server, username: str, key: str) -> bool:
    with Client(server.url, username, key) as client:
        try:
            client.whoami()
        except Unauthenticated:
            return False
    return True


def test_a_killed_run_is_gone_on_with_and_nothing_is_lost(
    server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    figures = kill_and_resume(server, proxy, tmp_path, rows=24, kills=5, seed=7)
    assert (figures.created, figures.runs, figures.working) == (24, 6, 48)


def test_a_dry_run_changes_nothing(cli: Run, proxy: Proxy, keys: Path, tmp_path: Path) -> None:
    told = cli.json(
        "bulk", "create", csv_of(tmp_path / "a.csv", "dry-1", "dry-2"), "--keys", keys, "--dry-run"
    )
    assert told == {"wouldCreate": 2, "exist": []}
    assert not keys.exists()
    assert {method for method, _ in proxy.calls} == {"GET"}


@pytest.mark.parametrize("how", ["owner", "name"])
def test_a_key_file_of_somebody_else_gets_no_key(
    cli: Run, proxy: Proxy, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    keys.touch(mode=0o600)
    if how == "name":
        (tmp_path / "another").hardlink_to(keys)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: keys.stat().st_uid + 1)
    assert cli("bulk", "create", csv_of(tmp_path / "a.csv", "not-1"), "--keys", keys) == 2
    assert keys.read_bytes() == b""
    assert "POST" not in {method for method, _ in proxy.calls}


def test_every_field_of_the_api_is_a_column(cli: Run, owner: Client, keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text(
        "\ufeffusername,email,role,keyTypes,displayName,description,labels,allowedNetworks,administrators,expiresAt\n"
        'full-1,full-1@demo.example,READ_ONLY,MONITORING,"Full, one",What it does,team=a env=b,'
        "203.0.113.0/24 2001:db8::/32,owner,2099-01-01T00:00:00Z\n"
    )
    assert cli.json("bulk", "create", file, "--keys", keys)["done"] == 1
    made = owner.request("GET", "/v1/service-users/full-1")
    assert (made["displayName"], made["labels"]) == ("Full, one", {"team": "a", "env": "b"})
    assert made["apiKeys"]["apiKeys"][0]["allowedNetworks"] == ["203.0.113.0/24", "2001:db8::/32"]
    assert keys.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("username,email,colour\nx-1,x@demo.example,red\n", "unknown columns colour"),
        ("username,role\nx-1,READ_ONLY\n", "columns email are missing"),
        ("username,email,role\nx-1,x@demo.example,ROOT\n", "line 2, role: 'ROOT' is not one of"),
        ("username,email,role\nx,x@demo.example,READ_ONLY\n", "line 2, username"),
        (
            "username,email,role\nx-1,a@demo.example,READ_ONLY\nX-1,b@demo.example,READ_ONLY\n",
            "is in line 2 too",
        ),
        ("username,email,role\nx-1,a@demo.example\n", "not as many values"),
        ("username,email,role\n,a@demo.example,READ_ONLY\n", "username is empty"),
        ("username,email,role,labels\nx-1,a@demo.example,READ_ONLY,team\n", "name=value"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_done(
    cli: Run, proxy: Proxy, keys: Path, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text(text)
    assert cli("bulk", "create", file, "--keys", keys) == 2
    assert told in cli.err
    assert not [method for method, _ in proxy.calls if method != "GET"]


@pytest.mark.parametrize("kind", ["lost", "cut", "504"])
def test_a_lost_response_is_recovered_in_the_same_run(
    cli: Run, server: Server, proxy: Proxy, keys: Path, tmp_path: Path, kind: str
) -> None:
    name = f"lost-{kind}"
    proxy.faults.append(Fault(kind, CREATE, "POST"))
    report = cli.json("bulk", "create", csv_of(tmp_path / "a.csv", name), "--keys", keys)
    assert (report["done"], report["recovered"]) == (1, 1)
    (line,) = lines(keys)
    assert works(server, name, line["keys"]["MONITORING"])


def test_what_somebody_else_created_is_left_alone(
    cli: Run, server: Server, bot: Bot, keys: Path, tmp_path: Path
) -> None:
    made = bot(username="theirs-1")
    file = csv_of(tmp_path / "a.csv", "theirs-1", "ours-1")
    assert cli("bulk", "create", file, "--keys", keys) == 1
    assert json.loads(cli.out)["refused"][0]["unit"] == "theirs-1"
    assert [line["username"] for line in lines(keys)] == ["ours-1"]
    assert works(server, "theirs-1", secret_of(made))
    assert cli("bulk", "create", file, "--keys", keys) == 1
    report = json.loads(cli.out)
    assert (report["already"], len(report["refused"])) == (1, 1)
    assert works(server, "theirs-1", secret_of(made))


def test_a_name_taken_while_the_response_was_lost_is_left_alone(
    cli: Run, server: Server, proxy: Proxy, owner: Client, keys: Path, tmp_path: Path
) -> None:
    """The request never arrived, and another person made a Service User of the name for another purpose."""
    theirs: list[dict[str, Any]] = []

    def take(method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/service-users") and not theirs:
            body = {"username": "raced-1", "email": "else@demo.example", "role": "READ_ONLY"}
            theirs.append(owner.request("POST", "/v1/service-users", body=body))

    proxy.before = take
    proxy.faults.append(Fault("refused", CREATE, "POST"))
    assert cli("bulk", "create", csv_of(tmp_path / "a.csv", "raced-1"), "--keys", keys) == 1
    assert "did not create it" in cli.err
    assert works(server, "raced-1", secret_of(theirs[0]))


def test_a_budget_is_waited_for(cli: Run, proxy: Proxy, keys: Path, tmp_path: Path) -> None:
    proxy.faults += [Fault("429", CREATE, "POST", "37"), Fault("429", CREATE, "POST", "1800")]
    assert cli.json("bulk", "create", csv_of(tmp_path / "a.csv", "patient-1"), "--keys", keys)["done"] == 1
    assert cli.pauses == [37, 1800]
    assert "Waiting 1800 s" in cli.err


def test_a_refused_key_stops_the_run_and_the_next_goes_on(
    cli: Run, proxy: Proxy, keys: Path, tmp_path: Path
) -> None:
    file = csv_of(tmp_path / "a.csv", *(f"stopped-{number}" for number in range(6)))
    proxy.faults.append(Fault("401", CREATE, "POST"))
    assert cli("bulk", "create", file, "--keys", keys, "--parallel", "1") == 3
    assert "Run the same command again" in cli.err
    assert lines(keys) == []
    report = cli.json("bulk", "create", file, "--keys", keys)
    assert (report["done"], report["recovered"]) == (6, 0)


def test_ctrl_c_ends_a_wait_and_the_next_run_goes_on(
    cli: Run, server: Server, proxy: Proxy, home: Path, keys: Path, tmp_path: Path
) -> None:
    file = csv_of(tmp_path / "a.csv", "waiting-1", "waiting-2")
    proxy.faults += [Fault("429", CREATE, "POST", "1800")] * 2
    process = command(home, "bulk", "create", file, "--keys", keys)
    assert process.stderr is not None
    assert "Waiting 1800 s" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Run the same command again" in err
    assert "Traceback" not in err
    proxy.faults.clear()
    assert cli.json("bulk", "create", file, "--keys", keys)["done"] == 2


def test_a_line_that_was_cut_short_is_recovered(cli: Run, server: Server, keys: Path, tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", "torn-1", "torn-2")
    cli.json("bulk", "create", file, "--keys", keys, "--parallel", "1")
    content = keys.read_bytes()
    keys.write_bytes(content[:-20])
    report = cli.json("bulk", "create", file, "--keys", keys)
    assert (report["already"], report["done"], report["recovered"]) == (1, 1, 1)
    for line in lines(keys):
        assert works(server, line["username"], line["keys"]["MONITORING"])


def test_a_key_file_of_another_run_is_refused(cli: Run, bot: Bot, keys: Path, tmp_path: Path) -> None:
    file = csv_of(tmp_path / "a.csv", "mixed-1")
    cli.json("bulk", "create", file, "--keys", keys)
    bot(labels={"run": "mixed"})
    assert cli("bulk", "rotate", "--label", "run=mixed", "--overlap", "1d", "--keys", keys, "--yes") == 2
    assert "another run" in cli.err
    Path(f"{keys}.progress").unlink()
    assert cli("bulk", "create", file, "--keys", keys) == 2
    keys.chmod(0o644)
    assert cli("bulk", "create", file, "--keys", keys) == 2
    assert "chmod 600" in cli.err
    other = tmp_path / "other"
    other.write_text("username,key\n")
    other.chmod(0o600)
    assert cli("bulk", "create", file, "--keys", other) == 2


def test_two_runs_at_once_are_refused(
    cli: Run, server: Server, proxy: Proxy, home: Path, keys: Path, tmp_path: Path
) -> None:
    file = csv_of(tmp_path / "a.csv", "both-1")
    inside, go_on = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/service-users"):
            inside.set()
            go_on.wait(30)

    proxy.before = hold
    first = command(home, "bulk", "create", file, "--keys", keys, "--json")
    try:
        assert inside.wait(30)
        assert cli("bulk", "create", file, "--keys", keys) == 2
        assert "Another process" in cli.err
    finally:
        go_on.set()
    out, err = first.communicate(timeout=60)
    assert (first.returncode, json.loads(out)["done"]) == (0, 1), err


# Rotate


def test_the_keys_of_a_label_are_rotated_with_an_overlap(
    cli: Run, server: Server, bot: Bot, keys: Path
) -> None:
    made = [bot(labels={"team": "rotated"}) for _ in range(3)]
    other = bot()
    given = ("bulk", "rotate", "--label", "team=rotated", "--overlap", "1d", "--keys", keys)
    assert len(cli.json(*given, "--dry-run")) == 3
    assert cli(*given) == 2, "nobody can be asked"
    assert cli.json(*given, "--yes")["done"] == 3
    assert cli.json(*given, "--yes")["already"] == 3
    for line in lines(keys):
        assert works(server, line["username"], line["key"])
        assert line["oldKeyWorksUntil"]
    for each in (*made, other):
        assert works(server, each["username"], secret_of(each))
    assert sorted(line["username"] for line in lines(keys)) == sorted(it["username"] for it in made)


def test_a_rotation_whose_response_was_lost_keeps_the_key_in_use(
    cli: Run, server: Server, proxy: Proxy, bot: Bot, keys: Path
) -> None:
    made = bot(labels={"team": "lost"})
    given = ("bulk", "rotate", "--label", "team=lost", "--overlap", "1d", "--keys", keys, "--yes")
    proxy.faults.append(Fault("lost", "/rotate$"))
    assert cli(*given) == 1
    assert "--end-overlaps" in cli.err
    assert cli(*given) == 1
    assert works(server, made["username"], secret_of(made)), "no second rotation ended it"
    assert cli.json(*given, "--end-overlaps")["done"] == 1
    (line,) = lines(keys)
    assert works(server, made["username"], line["key"])


def test_a_key_in_an_overlap_is_left_alone(cli: Run, server: Server, bot: Bot, keys: Path) -> None:
    made = bot(labels={"team": "overlap"})
    cli.json("keys", "rotate", made["username"], "MONITORING", "--overlap", "1d")
    given = ("bulk", "rotate", "--label", "team=overlap", "--overlap", "1d", "--keys", keys, "--yes")
    assert cli(*given) == 1
    assert "earlier rotation" in cli.err
    assert works(server, made["username"], secret_of(made))
    assert cli.json(*given, "--end-overlaps")["done"] == 1


def test_a_rotation_that_never_arrived_is_made_again(
    cli: Run, server: Server, proxy: Proxy, bot: Bot, keys: Path
) -> None:
    made = bot(labels={"team": "again"})
    proxy.faults.append(Fault("refused", "/rotate$"))
    assert (
        cli.json("bulk", "rotate", "--label", "team=again", "--overlap", "1d", "--keys", keys, "--yes")[
            "done"
        ]
        == 1
    )
    assert works(server, made["username"], lines(keys)[0]["key"])
    assert works(server, made["username"], secret_of(made))


def test_a_rotation_says_which(cli: Run, keys: Path) -> None:
    assert cli("bulk", "rotate", "--overlap", "1d", "--keys", keys) == 2
    assert cli("bulk", "rotate", "--overlap", "1d", "--keys", keys, "--all", "--prefix", "x") == 2
    assert cli("bulk", "rotate", "--overlap", "soon", "--keys", keys, "--all") == 2


# Revoke


def test_all_that_a_person_was_shown_is_revoked(
    cli: Run, run: Run, server: Server, owner: Client, keys: Path, tmp_path: Path
) -> None:
    owner.request(
        "POST",
        "/v1/users",
        body={"username": "leaver", "email": "leaver@demo.example", "role": "CLUSTER_ADMIN"},
    )
    token = server.mailed("leaver", r"sui_[0-9A-Za-z]{49}")
    activated = run.json("people", "activate", "leaver", "--url", server.url, stdin=token)
    key = {it["keyType"]: it["key"] for it in activated["apiKeys"]["apiKeys"]}["USER_MANAGEMENT"]
    with Client(server.url, "leaver", key) as leaver:
        for number in range(27):
            name = f"left-{number}"
            body = {
                "username": name,
                "email": f"{name}@demo.example",
                "role": "READ_ONLY",
                "keyTypes": ["MONITORING"],
            }
            known = leaver.request("POST", "/v1/service-users", body=body)
    assert len(cli.json("bulk", "revoke", "leaver", "--dry-run")) == 27
    assert works(server, "left-26", secret_of(known))
    assert cli("bulk", "revoke", "leaver") == 2
    assert len(cli.json("bulk", "revoke", "leaver", "--revoke-person", "--yes")) == 27
    assert not works(server, "left-26", secret_of(known))
    assert not works(server, "leaver", key)
    assert cli.json("bulk", "revoke", "leaver", "--yes") == []


def test_revoking_several_people_is_gone_on_with_where_it_was_stopped(cli: Run) -> None:
    for name in ("gone", "stays"):
        cli.json("people", "invite", name, "--email", f"{name}@demo.example", "--role", "CLUSTER_ADMIN")
    assert cli.json("bulk", "revoke", "gone", "--revoke-person", "--yes") == []
    assert cli("bulk", "revoke", "gone", "stays", "--revoke-person", "--yes") == 0, "as after it was killed"
    assert cli("people", "show", "stays") == 4
    assert cli("bulk", "revoke", "nobody-ever", "gone", "--revoke-person", "--yes") == 1
    assert "There is no User 'nobody-ever'" in cli.err


def test_who_cannot_be_revoked_keeps_nobody_else(cli: Run) -> None:
    cli.json("people", "invite", "second", "--email", "second@demo.example", "--role", "CLUSTER_ADMIN")
    assert cli("bulk", "revoke", "owner", "second", "--revoke-person", "--yes") == 3, "not oneself"
    assert cli.out.strip() == "[]", "what was done is shown nevertheless"
    cli.json("bulk", "revoke", "second", "--revoke-person", "--yes")


@pytest.mark.parametrize("tries", [1, 3, 99])
def test_revoking_goes_on_until_the_api_says_that_it_is_done(
    cli: Run, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    """A Service User that changes at every try is left out of a response without a cursor."""
    calls: list[dict[str, Any]] = []

    def pages(_self: Client, _path: str, query: Any = None, *, method: str = "GET") -> Iterator[Any]:
        if method == "GET":
            return
        calls.append(query)
        key = {"username": "bot", "keyType": "MONITORING", "key": "•••…abcde", "validUntil": None}
        yield {"ended": [key], "complete": len(calls) >= tries}

    monkeypatch.setattr(Client, "pages", pages)
    status = cli("bulk", "revoke", "eve", "--revoke-person", "--yes")
    assert status == (1 if tries == 99 else 0)
    assert calls[0] == {"revokeUser": True}
    assert calls[1:] == [None] * (min(tries, 6) - 1), "the person is revoked once"


assert os.name == "posix"

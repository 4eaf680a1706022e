"""clients/python: against the running API, and what happens when a call fails."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from service_users_client import (
    AsyncClient,
    BadRequest,
    Client,
    Conflict,
    InvalidName,
    InvalidResponse,
    NoResponse,
    NotFound,
    NotStored,
    PreconditionFailed,
    ProfileError,
    Profiles,
    ResponseLost,
    Retries,
    ServerProblem,
    ServiceUsersError,
    TooManyRequests,
    Unauthenticated,
)
from service_users_client.client import _proxy, path_of
from service_users_client.errors import problem_of
from service_users_client.generated.api.people import list_users
from service_users_client.generated.api.service_users import (
    create_service_user,
    delete_service_user,
    read_service_user,
    revoke_service_user_key_of_type,
)
from service_users_client.generated.models import CreateServiceUser, KeyType, RotateKey, ServiceUser
from service_users_client.profiles import checked_url

from tests.clients.packages.conftest import secret_of
from tests.clients.packages.support import ROOT, Fault, Proxy, Server

Bot = Callable[..., dict[str, Any]]
ROTATE = "/v1/api-keys/rotate$"


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, proxy: Proxy, pauses: list[float]) -> Iterator[Client]:
    with server.client(proxy.url, sleep=pauses.append) as client:
        yield client


def machine(proxy: Proxy, made: dict[str, Any], pauses: list[float]) -> Client:
    return Client(proxy.url, made["username"], secret_of(made), sleep=pauses.append)


def signs_in(server: Server, username: str, key: str) -> bool:
    with Client(server.url, username, key) as client:
        try:
            client.whoami()
        except Unauthenticated:
            return False
    return True


# Calls


def test_a_generated_function_is_called_with_its_types(client: Client) -> None:
    body = CreateServiceUser.from_dict(
        {"username": "typed-bot", "email": "typed-bot@demo.example", "role": "READ_ONLY", "keyTypes": []}
    )
    made: ServiceUser = client.call(create_service_user.sync, body=body)
    read = client.call(read_service_user.sync, "typed-bot")
    assert (made.username, read.username) == ("typed-bot", "typed-bot")


def test_a_key_type_of_another_catalogue_is_read(owner: Client, bot: Bot) -> None:
    made = bot()
    key = {**made["apiKeys"]["apiKeys"][0], "keyType": "BILLING"}
    made["apiKeys"] = {
        "allowedApiKeyTypes": [{"name": "BILLING", "displayName": "Billing"}],
        "apiKeys": [key],
    }
    assert ServiceUser.from_dict(made).api_keys.api_keys[0].key_type == "BILLING"


def test_a_key_type_of_the_deployments_own_is_read_and_sent() -> None:
    """Each deployment has its own key types; this client was generated for the default ones."""
    asked = RotateKey.from_dict({"keyType": "orders-read", "overlapSeconds": 0})
    assert asked.key_type == KeyType("orders-read")
    assert asked.to_dict() == {"keyType": "orders-read", "overlapSeconds": 0}
    with pytest.raises(ValueError, match="not a valid KeyType"):
        KeyType(3)  # type: ignore[arg-type]


def test_lists_are_followed_over_their_pages(client: Client, proxy: Proxy, bot: Bot) -> None:
    names = {bot(username=f"paged-{number}", keyTypes=[])["username"] for number in range(5)}
    found = [it.username for it in client.service_users(prefix="paged-", limit=2)]
    assert sorted(found) == sorted(names)
    assert len([path for _, path in proxy.calls if "prefix=paged-" in path]) == 3
    assert "owner" in {it.username for it in client.users()}
    events = [it.subject.username for it in client.events(username="paged-1", order="oldest", limit=1)]
    assert events == ["paged-1"]
    assert [it.username for it in client.shown_keys("owner")].count("paged-1") == 0


def test_the_key_alone_signs_in(server: Server, bot: Bot) -> None:
    made = bot()
    with Client(server.url, key=secret_of(made)) as client:
        assert client.whoami().username == made["username"]
    with Client(server.url) as client:
        assert client.request("GET", "/health")["status"] == "ok"
        with pytest.raises(Unauthenticated):
            client.whoami()


def test_a_problem_has_the_fields_of_the_response(client: Client) -> None:
    with pytest.raises(BadRequest) as caught:
        client.request("POST", "/v1/service-users", body={"username": "x", "role": "READ_ONLY"})
    problem = caught.value
    assert (problem.status, problem.title) == (400, "Bad Request")
    assert problem.type == "urn:service-users:problem:bad-request"
    assert problem.request_id
    assert {error.pointer for error in problem.errors} >= {"/username", "/email"}
    assert "/username" in str(problem)


def test_each_status_has_its_class(client: Client, bot: Bot) -> None:
    made = bot()
    body = {"username": made["username"], "email": "else@demo.example", "role": "READ_ONLY"}
    with pytest.raises(Conflict):
        client.request("POST", "/v1/service-users", body=body)
    with pytest.raises(NotFound):
        client.request("GET", "/v1/service-users/nobody-here")
    with pytest.raises(PreconditionFailed):
        client.request("DELETE", f"/v1/service-users/{made['username']}", if_match='"stale"')


@pytest.mark.parametrize(("status", "kind"), [(418, BadRequest), (599, ServerProblem)])
def test_an_unknown_status_and_body_are_a_problem_too(status: int, kind: type) -> None:
    problem = problem_of(status, b"<html>suk_secret</html>")
    assert type(problem) is kind
    assert "suk_secret" not in str(problem)
    assert type(problem_of(status, b'{"detail": 1, "errors": [1, {}]}')) is kind


# Retries


def test_a_used_up_budget_is_waited_for_as_long_as_it_says(
    client: Client, proxy: Proxy, pauses: list[float]
) -> None:
    proxy.faults += [Fault("429", retry_after="7"), Fault("429", retry_after="3")]
    assert client.whoami().username == "owner"
    assert pauses == [7, 3]


def test_a_budget_is_waited_for_also_before_a_creation(
    client: Client, proxy: Proxy, pauses: list[float]
) -> None:
    proxy.faults.append(Fault("429", method="POST", retry_after="2"))
    body = {"username": "waited-bot", "email": "waited@demo.example", "role": "READ_ONLY", "keyTypes": []}
    assert client.request("POST", "/v1/service-users", body=body)["username"] == "waited-bot"
    assert pauses == [2]


def test_a_wait_that_is_too_long_is_raised_with_its_seconds(
    client: Client, proxy: Proxy, pauses: list[float]
) -> None:
    proxy.faults.append(Fault("429", retry_after="3600"))
    with pytest.raises(TooManyRequests) as caught:
        client.whoami()
    assert caught.value.retry_after == 3600
    assert not caught.value.may_have_taken_effect
    assert pauses == []


@pytest.mark.parametrize("kind", ["503", "502", "500", "504", "lost", "cut", "refused"])
def test_a_read_is_tried_again(client: Client, proxy: Proxy, pauses: list[float], kind: str) -> None:
    proxy.faults.append(Fault(kind, retry_after="" if kind == "502" else "1"))
    assert client.whoami().username == "owner"
    assert len(pauses) == 1


@pytest.mark.parametrize("kind", ["503", "lost", "cut"])
def test_a_creation_is_never_made_twice(client: Client, proxy: Proxy, pauses: list[float], kind: str) -> None:
    proxy.faults.append(Fault(kind, method="POST"))
    body = {"username": f"once-{kind}", "email": f"once-{kind}@demo.example", "role": "READ_ONLY"}
    with pytest.raises(ServiceUsersError) as caught:
        client.request("POST", "/v1/service-users", body=body)
    assert caught.value.may_have_taken_effect
    assert isinstance(caught.value, ServerProblem if kind == "503" else ResponseLost)
    assert pauses == []
    assert [method for method, _ in proxy.calls] == ["POST"]


def test_a_deletion_whose_response_was_lost_succeeds(client: Client, proxy: Proxy, bot: Bot) -> None:
    path = f"/v1/service-users/{bot()['username']}"
    proxy.faults.append(Fault("lost", method="DELETE"))
    assert client.request("DELETE", path) is None
    with pytest.raises(NotFound):
        client.request("DELETE", path)


def test_a_change_of_a_version_is_not_repeated(client: Client, proxy: Proxy, bot: Bot) -> None:
    path = f"/v1/service-users/{bot()['username']}"
    etag = client.response("GET", path).headers["ETag"]
    proxy.faults.append(Fault("lost", method="PUT"))
    with pytest.raises(ResponseLost):
        client.request("PUT", path, body={"displayName": "Once"}, if_match=etag)
    assert client.request("GET", path)["displayName"] == "Once"


def test_a_redirect_is_not_followed(client: Client, proxy: Proxy) -> None:
    proxy.faults.append(Fault("302"))
    with pytest.raises(BadRequest) as caught:
        client.whoami()
    assert caught.value.status == 302
    assert len(proxy.calls) == 1


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
        asked: list[bytes] = []

        def refuse() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with (
            Client("https://api.example.com", "owner", "suk_x", retries=Retries(tries=1)) as client,
            pytest.raises(NoResponse),
        ):
            client.request("POST", "/v1/service-users", body={})
        thread.join(10)
    assert asked[0].startswith(b"CONNECT api.example.com:443")
    assert b"Authorization" not in asked[0]
    monkeypatch.setenv("no_proxy", "example.com")
    assert _proxy("https://api.example.com") is None
    assert _proxy("http://127.0.0.1:8000") is None


def test_a_service_that_cannot_be_reached_has_done_nothing(pauses: list[float]) -> None:
    with (
        Client(
            "http://127.0.0.1:9", "owner", "suk_x", sleep=pauses.append, retries=Retries(tries=3)
        ) as client,
        pytest.raises(NoResponse) as caught,
    ):
        client.request("POST", "/v1/service-users", body={})
    assert not caught.value.may_have_taken_effect
    assert len(pauses) == 2
    assert pauses[0] < pauses[1] * 2


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_call_another_address_is_refused_before_any_call(
    client: Client, proxy: Proxy, bot: Bot, name: str
) -> None:
    """Revoking the key ".." of a Service User would be deleting the Service User."""
    username = bot()["username"]
    with pytest.raises(InvalidName, match="Nothing was sent"):
        path_of("service-users", username, "api-keys", name)
    with pytest.raises(InvalidName):
        client.call(revoke_service_user_key_of_type.sync, username, name)
    with pytest.raises(InvalidName):
        client.call(delete_service_user.sync, name)
    with pytest.raises(InvalidName):
        list(client.shown_keys(name))
    assert proxy.calls == []
    assert client.call(read_service_user.sync, username).username == username
    assert path_of("users", "...", "a/../b c") == "/v1/users/.../a%2F..%2Fb%20c"


def test_a_response_that_is_not_the_json_it_says_it_is(client: Client, proxy: Proxy, bot: Bot) -> None:
    made = bot()
    path = f"/v1/service-users/{made['username']}"
    proxy.faults += [Fault("garbled")] * 4
    with pytest.raises(InvalidResponse, match="not the JSON") as caught:
        client.request("GET", path)
    assert not caught.value.may_have_taken_effect
    with pytest.raises(InvalidResponse):
        client.call(read_service_user.sync, made["username"])
    with pytest.raises(InvalidResponse, match="read before you try again") as caught:
        client.request("POST", f"{path}/suspend", body={})
    assert caught.value.may_have_taken_effect
    with pytest.raises(InvalidResponse):
        list(client.service_users())
    assert client.request("GET", path)["suspendedAt"], "it had taken effect"


def test_no_key_is_in_a_representation_or_an_error(server: Server) -> None:
    with server.client() as client:
        assert server.owner["apiKey"] not in repr(client)
        assert server.owner["apiKey"] not in repr(client._http.auth)


# Self-rotation


@pytest.mark.parametrize("faults", [[], ["lost"], ["lost", "cut", "503"], ["429"], ["refused", "lost"]])
def test_a_rotation_survives_lost_responses(
    server: Server, proxy: Proxy, bot: Bot, pauses: list[float], faults: list[str]
) -> None:
    made = bot()
    proxy.faults += [Fault(kind, ROTATE) for kind in faults]
    stored: list[str] = []
    with machine(proxy, made, pauses) as client:
        key = client.rotate_own_key(timedelta(hours=1), store=stored.append)
        assert key.key not in repr(key)
        assert client.whoami().key.key[-5:] == key.key[-5:]
    assert stored == [key.key]
    assert signs_in(server, made["username"], key.key)
    assert signs_in(server, made["username"], secret_of(made)), "the old key works for the overlap"
    assert len(pauses) == len(faults)


def test_a_rotation_whose_responses_are_all_lost_can_be_made_again(
    server: Server, proxy: Proxy, bot: Bot, pauses: list[float]
) -> None:
    made = bot()
    proxy.faults += [Fault("lost", ROTATE)] * 5
    stored: list[str] = []
    with machine(proxy, made, pauses) as client:
        with pytest.raises(ResponseLost):
            client.rotate_own_key(3600, store=stored.append)
        assert client.whoami().username == made["username"]
        client.rotate_own_key(3600, store=stored.append)
    assert signs_in(server, made["username"], stored[0])


def test_a_key_that_cannot_be_stored_is_not_used(
    server: Server, proxy: Proxy, bot: Bot, pauses: list[float]
) -> None:
    made = bot()

    def full(_: str) -> None:
        raise OSError("no space")

    with machine(proxy, made, pauses) as client:
        with pytest.raises(NotStored, match="works until 20"):
            client.rotate_own_key(3600, store=full)
        stored: list[str] = []
        client.rotate_own_key(3600, store=stored.append)
    assert signs_in(server, made["username"], stored[0])
    assert signs_in(server, made["username"], secret_of(made))


def test_a_rotation_needs_a_place_and_an_overlap(proxy: Proxy, bot: Bot, pauses: list[float]) -> None:
    with machine(proxy, bot(), pauses) as client:
        with pytest.raises(NotStored):
            client.rotate_own_key()
        for overlap in (0, 59, timedelta(days=8)):
            with pytest.raises(ValueError, match="overlap"):
                client.rotate_own_key(overlap, store=print)
    assert not [path for _, path in proxy.calls if "rotate" in path]


def test_a_profile_keeps_its_rotated_key(server: Server, bot: Bot) -> None:
    made = bot()
    profiles = Profiles()
    profiles.add("mine", server.url, made["username"], secret_of(made))
    with Client.from_profile("mine") as client:
        key = client.rotate_own_key()
    assert profiles.key(profiles.get("mine")) == key.key
    with Client.from_profile() as client:
        assert client.whoami().key.key[-5:] == key.key[-5:]


# Async


def test_the_async_client_does_the_same(server: Server, proxy: Proxy, bot: Bot) -> None:
    made = bot(username="async-bot")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def walk() -> str:
        proxy.faults.append(Fault("429", retry_after="4"))
        async with AsyncClient(proxy.url, "owner", server.owner["apiKey"], sleep=sleep) as client:
            assert (await client.whoami()).username == "owner"
            assert pauses == [4]
            found = [it.username async for it in client.service_users(prefix="async-", limit=1)]
            assert found == ["async-bot"]
            assert "owner" in [it.username async for it in client.users()]
            assert [it.subject.username async for it in client.events(username="async-bot")] == ["async-bot"]
            assert [it async for it in client.shown_keys("owner")]
            people = await client.call(list_users.asyncio)
            assert isinstance(people, list)
            with pytest.raises(NotFound):
                await client.request("GET", "/v1/users/nobody-here")
            proxy.faults.append(Fault("lost", method="POST"))
            with pytest.raises(ResponseLost):
                await client.request("POST", "/v1/service-users", body={"username": "x"})
            proxy.faults.append(Fault("lost", method="DELETE"))
            await client.request("DELETE", "/v1/service-users/async-bot/api-keys/MONITORING", repeatable=True)
        return ""

    asyncio.run(walk())

    async def rotate() -> tuple[str, list[str]]:
        made = bot()
        stored: list[str] = []

        async def store(key: str) -> None:
            stored.append(key)

        proxy.faults += [Fault("lost", ROTATE), Fault("cut", ROTATE)]
        async with AsyncClient(proxy.url, made["username"], secret_of(made), sleep=sleep) as client:
            key = await client.rotate_own_key(3600, store=store)
            assert (await client.whoami()).key.key[-5:] == key.key[-5:]
            with pytest.raises(NotStored):
                await client.rotate_own_key()
        return made["username"], stored

    username, stored = asyncio.run(rotate())
    assert signs_in(server, username, stored[0])
    assert made["username"] == "async-bot"


# Profiles


def test_keys_are_in_a_file_of_their_owner_where_there_is_no_keyring(home: Path) -> None:
    profiles = Profiles()
    profile = profiles.add("one", "https://api.example.com/", "ci-bot", " suk_abc\n")
    assert (profile.storage, profile.url) == ("file", "https://api.example.com")
    assert profiles.key(profiles.get()) == "suk_abc"
    for name in ("profiles.json", "keys.json"):
        assert (home / name).stat().st_mode & 0o777 == 0o600
    assert "suk_" not in (home / "profiles.json").read_text()
    profiles.add("two", "https://api.example.com", "ci-bot", "suk_abc")
    profiles.use("two")
    profiles.remove("two")
    assert profiles.key(profiles.get("one")) == "suk_abc", "the other profile's key is kept"
    with pytest.raises(ProfileError, match="no profile"):
        profiles.get()
    profiles.remove("one")
    assert "suk_" not in (home / "keys.json").read_text()


def test_keys_are_in_the_keyring_where_there_is_one(home: Path) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 1
        kept: dict[tuple[str, str], str] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    keyring.set_keyring(Memory())  # type: ignore[no-untyped-call]
    profiles = Profiles()
    profile = profiles.add("one", "https://api.example.com", "ci-bot", "suk_abc")
    assert profile.storage == "keyring"
    assert Memory.kept == {("service-users", "ci-bot at https://api.example.com"): "suk_abc"}
    assert not (home / "keys.json").exists()
    assert profiles.key(profile) == "suk_abc"
    profiles.remove("one")
    assert Memory.kept == {}
    assert profiles.add("file", "https://api.example.com", "x", "suk_a", use_keyring=False).storage == "file"


def test_a_file_that_others_can_read_is_refused(home: Path) -> None:
    profiles = Profiles()
    profile = profiles.add("one", "https://api.example.com", "ci-bot", "suk_abc")
    (home / "keys.json").chmod(0o644)
    with pytest.raises(ProfileError, match="chmod 600"):
        profiles.key(profile)
    (home / "keys.json").chmod(0o600)
    (home / "keys.json").write_text("[")
    with pytest.raises(ProfileError, match="not valid JSON"):
        profiles.key(profile)


def test_the_environment_is_a_profile(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("SERVICE_USERS_URL", server.url)
    monkeypatch.setenv("SERVICE_USERS_USERNAME", "owner")
    with pytest.raises(ProfileError, match="SERVICE_USERS_API_KEY"):
        Client.from_profile()
    monkeypatch.setenv("SERVICE_USERS_API_KEY", server.owner["apiKey"])
    with Client.from_profile() as client:
        assert client.whoami().username == "owner"
        with pytest.raises(ProfileError, match="cannot be replaced"):
            client.rotate_own_key()


@pytest.mark.parametrize(
    "url",
    ["http://api.example.com", "ftp://localhost", "api.example.com", "https://u:p@x.example", "https://[x"],
)
def test_a_key_is_sent_to_https_addresses_only(url: str) -> None:
    with pytest.raises(ProfileError):
        Client(url, "owner", "suk_x")
    assert checked_url("http://[::1]:8000/") == "http://[::1]:8000"


def test_something_that_is_not_a_key_is_refused_and_not_shown() -> None:
    with pytest.raises(ProfileError) as caught:
        Client("https://api.example.com", "owner", "password123")
    assert "password123" not in str(caught.value)


# The generated client


@pytest.mark.skipif(
    not Path(sys.executable).with_name("openapi-python-client").exists(), reason="no generator"
)
def test_the_generated_client_is_up_to_date(tmp_path: Path) -> None:
    fresh = tmp_path / "generated"
    subprocess.run([sys.executable, ROOT / "clients" / "python" / "generate.py", fresh], check=True)
    kept = ROOT / "clients" / "python" / "src" / "service_users_client" / "generated"

    def files(folder: Path) -> dict[str, str]:
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}

    assert files(fresh) == files(kept), "run: make clients-generate"

"""The functions as Lambda starts them: configured by their environment alone."""

import json
import logging
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.functions import enforce_policies, mailer, publisher, settings
from chalicelib.functions.public_url import as_browsers_send
from chalicelib.http.call import Service
from chalicelib.rules import service_users
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ValidationError
from chalicelib.rules.service_users import MAX_ADMINISTRATORS, ServiceUserUpdate
from chalicelib.store import client as store_client
from tests.support.api_client import Key, Stack, Tables, items
from tests.support.aws import Aws
from tests.support.publishing import Publishing

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

APP = Path(__file__).resolve().parent.parent.parent / "app.py"
SCHEDULED = {
    "version": "0",
    "account": "123456789012",
    "region": "us-east-1",
    "detail": {},
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "time": "2026-01-01T00:00:00Z",
    "id": "1",
    "resources": [],
}


class Context:
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def started(
    dynamodb: "DynamoDBClient", tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What app.py is in an environment of its own."""
    monkeypatch.setenv("DIRECTORY_TABLE", tables.directory)
    monkeypatch.setenv("EVENTS_TABLE", tables.events)
    monkeypatch.setenv("SENDER", "service-users@demo.example")
    monkeypatch.setenv("PUBLIC_URL", "https://api.example")
    caches = (settings.service, store_client.dynamodb, mailer._outbox, mailer._ses)
    for cache in caches:
        cache.cache_clear()
    yield runpy.run_path(str(APP))
    for cache in caches:
        cache.cache_clear()


def test_the_client_is_created_while_the_environment_starts(started: dict[str, Any]) -> None:
    assert settings.service.cache_info().currsize == 1
    service = started["api"].service()
    assert isinstance(service, Service)
    assert service.public_url == "https://api.example"
    assert service is started["api"].service()


@pytest.mark.parametrize("port", ["", ":443"])
def test_the_console_leads_no_browser_to_the_address_where_it_is(
    started: dict[str, Any], stack: Stack, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    """Browsers send the host in lower case, and without the usual port: else they would be led on forever."""
    monkeypatch.setenv("PUBLIC_URL", f"https://Users.Example{port}/Base")
    settings.service.cache_clear()
    assert settings.service().public_url == "https://users.example/Base"
    for host, status in (("users.example", 200), ("Users.Example", 200), ("users.example:8443", 303)):
        shown = started["app"](stack.event("GET", "/console/sign-in", headers={"host": host}), Context())
        assert shown["statusCode"] == status, host


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("", ""),
        ("https://a.example", "https://a.example"),
        ("https://A.example:8443", "https://a.example:8443"),
        ("https://a.example:443/x/", "https://a.example/x"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://a.example:80", "https://a.example:80"),
    ],
)
def test_the_address_of_the_stack_is_as_browsers_send_it(given: str, used: str) -> None:
    assert as_browsers_send(given) == used


def test_the_aws_client_never_logs_what_it_sends() -> None:
    """At DEBUG, which a stack may have, that would be digests, tokens and the role's credentials."""
    for name in ("botocore", "botocore.endpoint", "botocore.auth", "botocore.parsers"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


def test_every_function_can_be_invoked(started: dict[str, Any]) -> None:
    made = started["create_account"](
        {"accountName": "Demo", "username": "owner", "email": "owner@demo.example"}, Context()
    )
    assert Key(made["username"], made["apiKey"]).secret.startswith("suk_")
    again = started["recover_owner"]({"username": "owner"}, Context())
    assert again["apiKey"] not in ("", made["apiKey"])
    assert started["notify"]({"Records": []}, Context()) == {"batchItemFailures": []}
    assert started["resend"](SCHEDULED, Context())["taken"] == 2


def test_publish_and_archive_are_configured_by_their_environment(
    dynamodb: "DynamoDBClient", tables: Tables, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = Publishing(stack, monkeypatch)
    aws = Aws()
    for name, value in (
        ("EVENTS_TABLE", tables.events),
        ("EVENT_BUS_NAME", aws.bus),
        ("ARCHIVE_BUCKET", aws.bucket),
    ):
        monkeypatch.setenv(name, value)
    caches = (store_client.dynamodb, publisher._bridge, publisher._s3)
    for cache in caches:
        cache.cache_clear()
    started = runpy.run_path(str(APP))
    stack.account()
    assert started["publish"]({"Records": publishing.new_records()}, Context()) == {"published": 1}
    assert started["publish"](SCHEDULED, Context()) == {"late": 0}
    assert started["archive"]({"Records": aws.records()}, Context()) == {"batchItemFailures": []}
    assert len(aws.s3.list_objects_v2(Bucket=aws.bucket)["Contents"]) == 1
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("bus", ["on", "off"])
def test_every_function_that_writes_events_marks_them_where_they_are_published(
    started: dict[str, Any],
    tables: Tables,
    dynamodb: "DynamoDBClient",
    monkeypatch: pytest.MonkeyPatch,
    bus: str,
) -> None:
    monkeypatch.setenv("EVENT_BUS", bus)
    settings.service.cache_clear()
    enforce_policies._sweeps.cache_clear()
    assert enforce_policies._sweeps()._publishes is (bus == "on")
    started["create_account"]({"accountName": "D", "username": "owner", "email": "o@demo.example"}, Context())
    marked = [it for it in items(dynamodb, tables.events) if it["account"].startswith("PUBLISH#")]
    assert len(marked) == (1 if bus == "on" else 0)
    enforce_policies._sweeps.cache_clear()
    template = json.loads((APP.parent / ".chalice" / "resources.json").read_text(encoding="utf-8"))
    for name, resource in template["Resources"].items():
        variables = resource.get("Properties", {}).get("Environment", {}).get("Variables", {})
        if "EVENTS_TABLE" in variables and name not in ("Notify", "Resend", "Publish"):
            assert variables["EVENT_BUS"] == {"Ref": "EventBus"}, name


def test_events_come_in_pages_newest_first_of_all_and_of_one(stack: Stack) -> None:
    owner = stack.account()
    for name in ("one", "two"):
        stack.service_user(owner, name)
        for _ in range(3):
            stack.clock.forward(1)
            stack.call("PUT", f"/v1/service-users/{name}", owner, {"displayName": f"{stack.clock()}"})
    for query in ("", "username=one&"):
        whole = [it["id"] for it in stack.call("GET", f"/v1/events?{query}", owner).json]
        assert whole == sorted(whole, reverse=True)
        assert len(whole) == (4 if query else 9)
        paged: list[str] = []
        path: str | None = f"/v1/events?{query}limit=3"
        while path is not None:
            page = stack.call("GET", path, owner)
            assert page.status == 200
            assert len(page.json) <= 3
            paged += [it["id"] for it in page.json]
            path = page.next_path
        assert paged == whole


@pytest.mark.parametrize("count", [0, MAX_ADMINISTRATORS + 1])
def test_the_rules_themselves_keep_to_one_to_twenty_administrators(stack: Stack, count: int) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    directory = stack.service.directory
    auth = sign_in(
        directory, owner.username, owner.secret, Origin("198.51.100.7", "request-1", stack.clock())
    )
    wanted = ServiceUserUpdate(administrators=tuple(f"person-{number}" for number in range(count)))
    with pytest.raises(ValidationError) as refused:
        service_users.update(directory, auth, "bot", wanted)
    assert [fault.pointer for fault in refused.value.errors] == ["/administrators"]

"""The links in responses, in a stack that was deployed without a URL of its own."""

import pytest

import app
from tests.support.api_client import Stack


@pytest.mark.parametrize(("stage", "prefix"), [("api", "/api"), ("$default", "")])
def test_links_are_by_api_gateways_own_address(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, stage: str, prefix: str
) -> None:
    owner = stack.account()
    service = stack.service._replace(public_url="")
    monkeypatch.setattr(app.api, "service", lambda: service)
    event = stack.event(
        "POST",
        "/v1/service-users",
        owner,
        {"username": "bot", "email": "bot@machines.example", "role": "READ_ONLY"},
    )
    event["requestContext"].update(domainName="abc.execute-api.eu-west-1.amazonaws.com", stage=stage)
    response = stack.app(event, None)
    assert response["statusCode"] == 201
    assert response["headers"]["Location"] == (
        f"https://abc.execute-api.eu-west-1.amazonaws.com{prefix}/v1/service-users/bot"
    )


@pytest.mark.parametrize(
    ("context", "location"),
    [({}, "/v1/service-users/bot"), ({"stage": "api"}, "/api/v1/service-users/bot")],
)
def test_a_committed_change_gets_its_response_even_if_the_event_names_no_host(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, context: dict[str, str], location: str
) -> None:
    """As from the console's test: after the commit nothing may fail, or the keys are lost."""
    owner = stack.account()
    service = stack.service._replace(public_url="")
    monkeypatch.setattr(app.api, "service", lambda: service)
    body = {"username": "bot", "email": "bot@machines.example", "role": "READ_ONLY"}
    event = stack.event("POST", "/v1/service-users", owner, body)
    for name in ("domainName", "stage"):
        event["requestContext"].pop(name, None)
    event["requestContext"].update(context)
    response = stack.app(event, None)
    assert response["statusCode"] == 201
    assert response["headers"]["Location"] == location
    pages = stack.event("GET", "/v1/service-users?limit=1", owner)
    pages["requestContext"].pop("domainName", None)
    assert stack.app(pages, None)["statusCode"] == 200

"""The links in answers, in a stack that was deployed without a URL of its own."""

import pytest

import app
from tests.support.api_client import Stack


def test_links_are_by_api_gateways_own_address(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = stack.account()
    service = stack.service._replace(public_url="")
    monkeypatch.setattr(app.api, "service", lambda: service)
    event = stack.event(
        "POST",
        "/v1/service-users",
        owner,
        {"username": "bot", "email": "bot@machines.example", "role": "READ_ONLY"},
    )
    event["requestContext"].update(domainName="abc.execute-api.eu-west-1.amazonaws.com", stage="api")
    response = stack.app(event, None)
    assert response["statusCode"] == 201
    assert response["headers"]["Location"] == (
        "https://abc.execute-api.eu-west-1.amazonaws.com/api/v1/service-users/bot"
    )

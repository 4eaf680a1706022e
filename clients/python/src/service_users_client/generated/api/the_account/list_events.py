import datetime
from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.event import Event
from ...models.list_events_order import ListEventsOrder
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    username: str | Unset = UNSET,
    actor: str | Unset = UNSET,
    action: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    order: ListEventsOrder | Unset = ListEventsOrder.NEWEST,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["username"] = username

    params["actor"] = actor

    params["action"] = action

    json_since: str | Unset = UNSET
    if not isinstance(since, Unset):
        json_since = since.isoformat()
    params["since"] = json_since

    json_until: str | Unset = UNSET
    if not isinstance(until, Unset):
        json_until = until.isoformat()
    params["until"] = json_until

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order.value

    params["order"] = json_order

    params["limit"] = limit

    params["cursor"] = cursor

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/events",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | list[Event] | None:
    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = Event.from_dict(response_200_item_data)

            response_200.append(response_200_item)

        return response_200

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Problem.from_dict(response.json())

        return response_500

    if response.status_code == 502:
        response_502 = Problem.from_dict(response.json())

        return response_502

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if response.status_code == 504:
        response_504 = Problem.from_dict(response.json())

        return response_504

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | list[Event]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    username: str | Unset = UNSET,
    actor: str | Unset = UNSET,
    action: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    order: ListEventsOrder | Unset = ListEventsOrder.NEWEST,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
) -> Response[Problem | list[Event]]:
    """List the account's events

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    filters are combined. With `action`, or with both `username` and `actor`, at most 500 events are
    read for a page: it can have fewer members than `limit`, or none, although `Link` says that there
    are more. A collector asks with `order=oldest`, keeps the last `Link` and resumes there. `Accept:
    application/x-ndjson` or `text/csv` returns the page in that form.

    Args:
        username (str | Unset):
        actor (str | Unset):
        action (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        order (ListEventsOrder | Unset):  Default: ListEventsOrder.NEWEST.
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[Event]]
    """

    kwargs = _get_kwargs(
        username=username,
        actor=actor,
        action=action,
        since=since,
        until=until,
        order=order,
        limit=limit,
        cursor=cursor,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    username: str | Unset = UNSET,
    actor: str | Unset = UNSET,
    action: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    order: ListEventsOrder | Unset = ListEventsOrder.NEWEST,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
) -> Problem | list[Event] | None:
    """List the account's events

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    filters are combined. With `action`, or with both `username` and `actor`, at most 500 events are
    read for a page: it can have fewer members than `limit`, or none, although `Link` says that there
    are more. A collector asks with `order=oldest`, keeps the last `Link` and resumes there. `Accept:
    application/x-ndjson` or `text/csv` returns the page in that form.

    Args:
        username (str | Unset):
        actor (str | Unset):
        action (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        order (ListEventsOrder | Unset):  Default: ListEventsOrder.NEWEST.
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[Event]
    """

    return sync_detailed(
        client=client,
        username=username,
        actor=actor,
        action=action,
        since=since,
        until=until,
        order=order,
        limit=limit,
        cursor=cursor,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    username: str | Unset = UNSET,
    actor: str | Unset = UNSET,
    action: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    order: ListEventsOrder | Unset = ListEventsOrder.NEWEST,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
) -> Response[Problem | list[Event]]:
    """List the account's events

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    filters are combined. With `action`, or with both `username` and `actor`, at most 500 events are
    read for a page: it can have fewer members than `limit`, or none, although `Link` says that there
    are more. A collector asks with `order=oldest`, keeps the last `Link` and resumes there. `Accept:
    application/x-ndjson` or `text/csv` returns the page in that form.

    Args:
        username (str | Unset):
        actor (str | Unset):
        action (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        order (ListEventsOrder | Unset):  Default: ListEventsOrder.NEWEST.
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[Event]]
    """

    kwargs = _get_kwargs(
        username=username,
        actor=actor,
        action=action,
        since=since,
        until=until,
        order=order,
        limit=limit,
        cursor=cursor,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    username: str | Unset = UNSET,
    actor: str | Unset = UNSET,
    action: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    order: ListEventsOrder | Unset = ListEventsOrder.NEWEST,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
) -> Problem | list[Event] | None:
    """List the account's events

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    filters are combined. With `action`, or with both `username` and `actor`, at most 500 events are
    read for a page: it can have fewer members than `limit`, or none, although `Link` says that there
    are more. A collector asks with `order=oldest`, keeps the last `Link` and resumes there. `Accept:
    application/x-ndjson` or `text/csv` returns the page in that form.

    Args:
        username (str | Unset):
        actor (str | Unset):
        action (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        order (ListEventsOrder | Unset):  Default: ListEventsOrder.NEWEST.
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[Event]
    """

    return (
        await asyncio_detailed(
            client=client,
            username=username,
            actor=actor,
            action=action,
            since=since,
            until=until,
            order=order,
            limit=limit,
            cursor=cursor,
        )
    ).parsed

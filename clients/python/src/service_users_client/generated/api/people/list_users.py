from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.list_users_status import ListUsersStatus
from ...models.list_users_suspended import ListUsersSuspended
from ...models.person import Person
from ...models.problem import Problem
from ...models.role import Role
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    status: ListUsersStatus | Unset = UNSET,
    suspended: ListUsersSuspended | Unset = ListUsersSuspended.FALSE,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["cursor"] = cursor

    json_role: str | Unset = UNSET
    if not isinstance(role, Unset):
        json_role = role.value

    params["role"] = json_role

    json_status: str | Unset = UNSET
    if not isinstance(status, Unset):
        json_status = status.value

    params["status"] = json_status

    json_suspended: str | Unset = UNSET
    if not isinstance(suspended, Unset):
        json_suspended = suspended.value

    params["suspended"] = json_suspended

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/users",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | list[Person] | None:
    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = Person.from_dict(response_200_item_data)

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
) -> Response[Problem | list[Person]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    status: ListUsersStatus | Unset = UNSET,
    suspended: ListUsersSuspended | Unset = ListUsersSuspended.FALSE,
) -> Response[Problem | list[Person]]:
    """List the account's Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined. With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        status (ListUsersStatus | Unset):
        suspended (ListUsersSuspended | Unset):  Default: ListUsersSuspended.FALSE.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[Person]]
    """

    kwargs = _get_kwargs(
        limit=limit,
        cursor=cursor,
        role=role,
        status=status,
        suspended=suspended,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    status: ListUsersStatus | Unset = UNSET,
    suspended: ListUsersSuspended | Unset = ListUsersSuspended.FALSE,
) -> Problem | list[Person] | None:
    """List the account's Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined. With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        status (ListUsersStatus | Unset):
        suspended (ListUsersSuspended | Unset):  Default: ListUsersSuspended.FALSE.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[Person]
    """

    return sync_detailed(
        client=client,
        limit=limit,
        cursor=cursor,
        role=role,
        status=status,
        suspended=suspended,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    status: ListUsersStatus | Unset = UNSET,
    suspended: ListUsersSuspended | Unset = ListUsersSuspended.FALSE,
) -> Response[Problem | list[Person]]:
    """List the account's Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined. With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        status (ListUsersStatus | Unset):
        suspended (ListUsersSuspended | Unset):  Default: ListUsersSuspended.FALSE.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[Person]]
    """

    kwargs = _get_kwargs(
        limit=limit,
        cursor=cursor,
        role=role,
        status=status,
        suspended=suspended,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    status: ListUsersStatus | Unset = UNSET,
    suspended: ListUsersSuspended | Unset = ListUsersSuspended.FALSE,
) -> Problem | list[Person] | None:
    """List the account's Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined. With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        status (ListUsersStatus | Unset):
        suspended (ListUsersSuspended | Unset):  Default: ListUsersSuspended.FALSE.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[Person]
    """

    return (
        await asyncio_detailed(
            client=client,
            limit=limit,
            cursor=cursor,
            role=role,
            status=status,
            suspended=suspended,
        )
    ).parsed

from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.list_service_users_never_used import ListServiceUsersNeverUsed
from ...models.list_service_users_sort import ListServiceUsersSort
from ...models.list_service_users_without_networks import (
    ListServiceUsersWithoutNetworks,
)
from ...models.problem import Problem
from ...models.role import Role
from ...models.service_user import ServiceUser
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    sort: ListServiceUsersSort | Unset = ListServiceUsersSort.USERNAME,
    prefix: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    administrator: str | Unset = UNSET,
    label: str | Unset = UNSET,
    never_used: ListServiceUsersNeverUsed | Unset = ListServiceUsersNeverUsed.FALSE,
    without_networks: ListServiceUsersWithoutNetworks
    | Unset = ListServiceUsersWithoutNetworks.FALSE,
    unused_for_days: int | Unset = UNSET,
    ending_within_days: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["cursor"] = cursor

    json_sort: str | Unset = UNSET
    if not isinstance(sort, Unset):
        json_sort = sort.value

    params["sort"] = json_sort

    params["prefix"] = prefix

    json_role: str | Unset = UNSET
    if not isinstance(role, Unset):
        json_role = role.value

    params["role"] = json_role

    params["administrator"] = administrator

    params["label"] = label

    json_never_used: str | Unset = UNSET
    if not isinstance(never_used, Unset):
        json_never_used = never_used.value

    params["neverUsed"] = json_never_used

    json_without_networks: str | Unset = UNSET
    if not isinstance(without_networks, Unset):
        json_without_networks = without_networks.value

    params["withoutNetworks"] = json_without_networks

    params["unusedForDays"] = unused_for_days

    params["endingWithinDays"] = ending_within_days

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/service-users",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | list[ServiceUser] | None:
    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = ServiceUser.from_dict(response_200_item_data)

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
) -> Response[Problem | list[ServiceUser]]:
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
    sort: ListServiceUsersSort | Unset = ListServiceUsersSort.USERNAME,
    prefix: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    administrator: str | Unset = UNSET,
    label: str | Unset = UNSET,
    never_used: ListServiceUsersNeverUsed | Unset = ListServiceUsersNeverUsed.FALSE,
    without_networks: ListServiceUsersWithoutNetworks
    | Unset = ListServiceUsersWithoutNetworks.FALSE,
    unused_for_days: int | Unset = UNSET,
    ending_within_days: int | Unset = UNSET,
) -> Response[Problem | list[ServiceUser]]:
    """List the account's Service Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined; those on keys must hold for one and the same key that has not expired. They
    read what the list reads: With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more. `prefix` alone reads only
    what it finds. Sorted by creation, the list takes no condition, and a page can have fewer members
    too. Uses are recorded to the hour.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        sort (ListServiceUsersSort | Unset):  Default: ListServiceUsersSort.USERNAME.
        prefix (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        administrator (str | Unset):
        label (str | Unset):
        never_used (ListServiceUsersNeverUsed | Unset):  Default: ListServiceUsersNeverUsed.FALSE.
        without_networks (ListServiceUsersWithoutNetworks | Unset):  Default:
            ListServiceUsersWithoutNetworks.FALSE.
        unused_for_days (int | Unset):
        ending_within_days (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[ServiceUser]]
    """

    kwargs = _get_kwargs(
        limit=limit,
        cursor=cursor,
        sort=sort,
        prefix=prefix,
        role=role,
        administrator=administrator,
        label=label,
        never_used=never_used,
        without_networks=without_networks,
        unused_for_days=unused_for_days,
        ending_within_days=ending_within_days,
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
    sort: ListServiceUsersSort | Unset = ListServiceUsersSort.USERNAME,
    prefix: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    administrator: str | Unset = UNSET,
    label: str | Unset = UNSET,
    never_used: ListServiceUsersNeverUsed | Unset = ListServiceUsersNeverUsed.FALSE,
    without_networks: ListServiceUsersWithoutNetworks
    | Unset = ListServiceUsersWithoutNetworks.FALSE,
    unused_for_days: int | Unset = UNSET,
    ending_within_days: int | Unset = UNSET,
) -> Problem | list[ServiceUser] | None:
    """List the account's Service Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined; those on keys must hold for one and the same key that has not expired. They
    read what the list reads: With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more. `prefix` alone reads only
    what it finds. Sorted by creation, the list takes no condition, and a page can have fewer members
    too. Uses are recorded to the hour.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        sort (ListServiceUsersSort | Unset):  Default: ListServiceUsersSort.USERNAME.
        prefix (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        administrator (str | Unset):
        label (str | Unset):
        never_used (ListServiceUsersNeverUsed | Unset):  Default: ListServiceUsersNeverUsed.FALSE.
        without_networks (ListServiceUsersWithoutNetworks | Unset):  Default:
            ListServiceUsersWithoutNetworks.FALSE.
        unused_for_days (int | Unset):
        ending_within_days (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[ServiceUser]
    """

    return sync_detailed(
        client=client,
        limit=limit,
        cursor=cursor,
        sort=sort,
        prefix=prefix,
        role=role,
        administrator=administrator,
        label=label,
        never_used=never_used,
        without_networks=without_networks,
        unused_for_days=unused_for_days,
        ending_within_days=ending_within_days,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    sort: ListServiceUsersSort | Unset = ListServiceUsersSort.USERNAME,
    prefix: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    administrator: str | Unset = UNSET,
    label: str | Unset = UNSET,
    never_used: ListServiceUsersNeverUsed | Unset = ListServiceUsersNeverUsed.FALSE,
    without_networks: ListServiceUsersWithoutNetworks
    | Unset = ListServiceUsersWithoutNetworks.FALSE,
    unused_for_days: int | Unset = UNSET,
    ending_within_days: int | Unset = UNSET,
) -> Response[Problem | list[ServiceUser]]:
    """List the account's Service Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined; those on keys must hold for one and the same key that has not expired. They
    read what the list reads: With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more. `prefix` alone reads only
    what it finds. Sorted by creation, the list takes no condition, and a page can have fewer members
    too. Uses are recorded to the hour.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        sort (ListServiceUsersSort | Unset):  Default: ListServiceUsersSort.USERNAME.
        prefix (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        administrator (str | Unset):
        label (str | Unset):
        never_used (ListServiceUsersNeverUsed | Unset):  Default: ListServiceUsersNeverUsed.FALSE.
        without_networks (ListServiceUsersWithoutNetworks | Unset):  Default:
            ListServiceUsersWithoutNetworks.FALSE.
        unused_for_days (int | Unset):
        ending_within_days (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[ServiceUser]]
    """

    kwargs = _get_kwargs(
        limit=limit,
        cursor=cursor,
        sort=sort,
        prefix=prefix,
        role=role,
        administrator=administrator,
        label=label,
        never_used=never_used,
        without_networks=without_networks,
        unused_for_days=unused_for_days,
        ending_within_days=ending_within_days,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = 100,
    cursor: str | Unset = UNSET,
    sort: ListServiceUsersSort | Unset = ListServiceUsersSort.USERNAME,
    prefix: str | Unset = UNSET,
    role: Role | Unset = UNSET,
    administrator: str | Unset = UNSET,
    label: str | Unset = UNSET,
    never_used: ListServiceUsersNeverUsed | Unset = ListServiceUsersNeverUsed.FALSE,
    without_networks: ListServiceUsersWithoutNetworks
    | Unset = ListServiceUsersWithoutNetworks.FALSE,
    unused_for_days: int | Unset = UNSET,
    ending_within_days: int | Unset = UNSET,
) -> Problem | list[ServiceUser] | None:
    """List the account's Service Users

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. The
    conditions are combined; those on keys must hold for one and the same key that has not expired. They
    read what the list reads: With a condition, at most 500 members are read for a page: it can have
    fewer than `limit`, or none, although `Link` says that there are more. `prefix` alone reads only
    what it finds. Sorted by creation, the list takes no condition, and a page can have fewer members
    too. Uses are recorded to the hour.

    Args:
        limit (int | Unset):  Default: 100.
        cursor (str | Unset):
        sort (ListServiceUsersSort | Unset):  Default: ListServiceUsersSort.USERNAME.
        prefix (str | Unset):
        role (Role | Unset): What a principal may do, lowest first.
        administrator (str | Unset):
        label (str | Unset):
        never_used (ListServiceUsersNeverUsed | Unset):  Default: ListServiceUsersNeverUsed.FALSE.
        without_networks (ListServiceUsersWithoutNetworks | Unset):  Default:
            ListServiceUsersWithoutNetworks.FALSE.
        unused_for_days (int | Unset):
        ending_within_days (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[ServiceUser]
    """

    return (
        await asyncio_detailed(
            client=client,
            limit=limit,
            cursor=cursor,
            sort=sort,
            prefix=prefix,
            role=role,
            administrator=administrator,
            label=label,
            never_used=never_used,
            without_networks=without_networks,
            unused_for_days=unused_for_days,
            ending_within_days=ending_within_days,
        )
    ).parsed

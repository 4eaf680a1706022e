from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.create_service_user import CreateServiceUser
from ...models.problem import Problem
from ...models.service_user import ServiceUser
from ...types import Response


def _get_kwargs(
    *,
    body: CreateServiceUser,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/service-users",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | ServiceUser | None:
    if response.status_code == 201:
        response_201 = ServiceUser.from_dict(response.json())

        return response_201

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

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
) -> Response[Problem | ServiceUser]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateServiceUser,
) -> Response[Problem | ServiceUser]:
    """Create a Service User with its keys

     Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key. The role given must
    not be higher than the caller's. Whoever creates a Service User becomes its Administrator. Name the
    key types that the machine needs (`keyTypes`); without that it gets a key of every type that its
    role allows.

    Args:
        body (CreateServiceUser): A Service User to create. `role` and `profile` are one field
            under two names; give either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ServiceUser]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: CreateServiceUser,
) -> Problem | ServiceUser | None:
    """Create a Service User with its keys

     Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key. The role given must
    not be higher than the caller's. Whoever creates a Service User becomes its Administrator. Name the
    key types that the machine needs (`keyTypes`); without that it gets a key of every type that its
    role allows.

    Args:
        body (CreateServiceUser): A Service User to create. `role` and `profile` are one field
            under two names; give either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ServiceUser
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateServiceUser,
) -> Response[Problem | ServiceUser]:
    """Create a Service User with its keys

     Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key. The role given must
    not be higher than the caller's. Whoever creates a Service User becomes its Administrator. Name the
    key types that the machine needs (`keyTypes`); without that it gets a key of every type that its
    role allows.

    Args:
        body (CreateServiceUser): A Service User to create. `role` and `profile` are one field
            under two names; give either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ServiceUser]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: CreateServiceUser,
) -> Problem | ServiceUser | None:
    """Create a Service User with its keys

     Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key. The role given must
    not be higher than the caller's. Whoever creates a Service User becomes its Administrator. Name the
    key types that the machine needs (`keyTypes`); without that it gets a key of every type that its
    role allows.

    Args:
        body (CreateServiceUser): A Service User to create. `role` and `profile` are one field
            under two names; give either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ServiceUser
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed

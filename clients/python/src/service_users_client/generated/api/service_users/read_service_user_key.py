from http import HTTPStatus
from typing import Any

import httpx
from service_users_client.paths import quoted_part

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_key import ApiKey
from ...models.key_type import KeyType
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    username: str,
    key_type: KeyType,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/service-users/{username}/api-keys/{key_type}".format(
            username=quoted_part(str(username)),
            key_type=quoted_part(str(key_type)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ApiKey | Problem | None:
    if response.status_code == 200:
        response_200 = ApiKey.from_dict(response.json())

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

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

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
) -> Response[ApiKey | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    username: str,
    key_type: KeyType,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ApiKey | Problem]:
    """Read a Service User's key of a type

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. A
    Service User may read its own keys, with a key of any type. During the overlap of a rotation, the
    key has its predecessor with it.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiKey | Problem]
    """

    kwargs = _get_kwargs(
        username=username,
        key_type=key_type,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    username: str,
    key_type: KeyType,
    *,
    client: AuthenticatedClient | Client,
) -> ApiKey | Problem | None:
    """Read a Service User's key of a type

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. A
    Service User may read its own keys, with a key of any type. During the overlap of a rotation, the
    key has its predecessor with it.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiKey | Problem
    """

    return sync_detailed(
        username=username,
        key_type=key_type,
        client=client,
    ).parsed


async def asyncio_detailed(
    username: str,
    key_type: KeyType,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ApiKey | Problem]:
    """Read a Service User's key of a type

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. A
    Service User may read its own keys, with a key of any type. During the overlap of a rotation, the
    key has its predecessor with it.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiKey | Problem]
    """

    kwargs = _get_kwargs(
        username=username,
        key_type=key_type,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    username: str,
    key_type: KeyType,
    *,
    client: AuthenticatedClient | Client,
) -> ApiKey | Problem | None:
    """Read a Service User's key of a type

     Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key. A
    Service User may read its own keys, with a key of any type. During the overlap of a rotation, the
    key has its predecessor with it.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiKey | Problem
    """

    return (
        await asyncio_detailed(
            username=username,
            key_type=key_type,
            client=client,
        )
    ).parsed

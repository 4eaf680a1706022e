from http import HTTPStatus
from typing import Any

import httpx
from service_users_client.paths import quoted_part

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.end_shown_keys_revoke_user import EndShownKeysRevokeUser
from ...models.ended_keys import EndedKeys
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    username: str,
    *,
    revoke_user: EndShownKeysRevokeUser | Unset = EndShownKeysRevokeUser.FALSE,
    cursor: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_revoke_user: str | Unset = UNSET
    if not isinstance(revoke_user, Unset):
        json_revoke_user = revoke_user.value

    params["revokeUser"] = json_revoke_user

    params["cursor"] = cursor

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/users/{username}/shown-keys".format(
            username=quoted_part(str(username)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> EndedKeys | Problem | None:
    if response.status_code == 200:
        response_200 = EndedKeys.from_dict(response.json())

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
) -> Response[EndedKeys | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    username: str,
    *,
    client: AuthenticatedClient | Client,
    revoke_user: EndShownKeysRevokeUser | Unset = EndShownKeysRevokeUser.FALSE,
    cursor: str | Unset = UNSET,
) -> Response[EndedKeys | Problem]:
    """End the keys of Service Users that a person was shown, and their access if wanted

     Requires a User with the role OWNER, and a USER_MANAGEMENT key. With `revokeUser=true` the person is
    first revoked from the account, whatever becomes of the keys. A call ends the keys of 25 Service
    Users at most: while `complete` is false, follow the `Link` by DELETE. Repeating a call does no
    harm. Of a predecessor, only that ends.

    Args:
        username (str):
        revoke_user (EndShownKeysRevokeUser | Unset):  Default: EndShownKeysRevokeUser.FALSE.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[EndedKeys | Problem]
    """

    kwargs = _get_kwargs(
        username=username,
        revoke_user=revoke_user,
        cursor=cursor,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    username: str,
    *,
    client: AuthenticatedClient | Client,
    revoke_user: EndShownKeysRevokeUser | Unset = EndShownKeysRevokeUser.FALSE,
    cursor: str | Unset = UNSET,
) -> EndedKeys | Problem | None:
    """End the keys of Service Users that a person was shown, and their access if wanted

     Requires a User with the role OWNER, and a USER_MANAGEMENT key. With `revokeUser=true` the person is
    first revoked from the account, whatever becomes of the keys. A call ends the keys of 25 Service
    Users at most: while `complete` is false, follow the `Link` by DELETE. Repeating a call does no
    harm. Of a predecessor, only that ends.

    Args:
        username (str):
        revoke_user (EndShownKeysRevokeUser | Unset):  Default: EndShownKeysRevokeUser.FALSE.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        EndedKeys | Problem
    """

    return sync_detailed(
        username=username,
        client=client,
        revoke_user=revoke_user,
        cursor=cursor,
    ).parsed


async def asyncio_detailed(
    username: str,
    *,
    client: AuthenticatedClient | Client,
    revoke_user: EndShownKeysRevokeUser | Unset = EndShownKeysRevokeUser.FALSE,
    cursor: str | Unset = UNSET,
) -> Response[EndedKeys | Problem]:
    """End the keys of Service Users that a person was shown, and their access if wanted

     Requires a User with the role OWNER, and a USER_MANAGEMENT key. With `revokeUser=true` the person is
    first revoked from the account, whatever becomes of the keys. A call ends the keys of 25 Service
    Users at most: while `complete` is false, follow the `Link` by DELETE. Repeating a call does no
    harm. Of a predecessor, only that ends.

    Args:
        username (str):
        revoke_user (EndShownKeysRevokeUser | Unset):  Default: EndShownKeysRevokeUser.FALSE.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[EndedKeys | Problem]
    """

    kwargs = _get_kwargs(
        username=username,
        revoke_user=revoke_user,
        cursor=cursor,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    username: str,
    *,
    client: AuthenticatedClient | Client,
    revoke_user: EndShownKeysRevokeUser | Unset = EndShownKeysRevokeUser.FALSE,
    cursor: str | Unset = UNSET,
) -> EndedKeys | Problem | None:
    """End the keys of Service Users that a person was shown, and their access if wanted

     Requires a User with the role OWNER, and a USER_MANAGEMENT key. With `revokeUser=true` the person is
    first revoked from the account, whatever becomes of the keys. A call ends the keys of 25 Service
    Users at most: while `complete` is false, follow the `Link` by DELETE. Repeating a call does no
    harm. Of a predecessor, only that ends.

    Args:
        username (str):
        revoke_user (EndShownKeysRevokeUser | Unset):  Default: EndShownKeysRevokeUser.FALSE.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        EndedKeys | Problem
    """

    return (
        await asyncio_detailed(
            username=username,
            client=client,
            revoke_user=revoke_user,
            cursor=cursor,
        )
    ).parsed

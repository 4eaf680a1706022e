from http import HTTPStatus
from typing import Any, cast

import httpx
from service_users_client.paths import quoted_part

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.key_type import KeyType
from ...models.problem import Problem
from ...models.revoke_service_user_key_of_type_even_if_locked_out import (
    RevokeServiceUserKeyOfTypeEvenIfLockedOut,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    username: str,
    key_type: KeyType,
    *,
    even_if_locked_out: RevokeServiceUserKeyOfTypeEvenIfLockedOut
    | Unset = RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE,
    if_match: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(if_match, Unset):
        headers["If-Match"] = if_match

    params: dict[str, Any] = {}

    json_even_if_locked_out: str | Unset = UNSET
    if not isinstance(even_if_locked_out, Unset):
        json_even_if_locked_out = even_if_locked_out.value

    params["evenIfLockedOut"] = json_even_if_locked_out

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/service-users/{username}/api-keys/{key_type}".format(
            username=quoted_part(str(username)),
            key_type=quoted_part(str(key_type)),
        ),
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | Problem | None:
    if response.status_code == 204:
        response_204 = cast(Any, None)
        return response_204

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

    if response.status_code == 412:
        response_412 = Problem.from_dict(response.json())

        return response_412

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
) -> Response[Any | Problem]:
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
    even_if_locked_out: RevokeServiceUserKeyOfTypeEvenIfLockedOut
    | Unset = RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE,
    if_match: str | Unset = UNSET,
) -> Response[Any | Problem]:
    """Revoke a Service User's key of a type

     Requires a USER_MANAGEMENT key of an OWNER User, or of an Administrator of the Service User. During
    the overlap of a rotation, the key has its predecessor with it. Both are revoked. No body is needed;
    one with the fields of the call that names the type in its body is taken.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.
        even_if_locked_out (RevokeServiceUserKeyOfTypeEvenIfLockedOut | Unset):  Default:
            RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE.
        if_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem]
    """

    kwargs = _get_kwargs(
        username=username,
        key_type=key_type,
        even_if_locked_out=even_if_locked_out,
        if_match=if_match,
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
    even_if_locked_out: RevokeServiceUserKeyOfTypeEvenIfLockedOut
    | Unset = RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE,
    if_match: str | Unset = UNSET,
) -> Any | Problem | None:
    """Revoke a Service User's key of a type

     Requires a USER_MANAGEMENT key of an OWNER User, or of an Administrator of the Service User. During
    the overlap of a rotation, the key has its predecessor with it. Both are revoked. No body is needed;
    one with the fields of the call that names the type in its body is taken.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.
        even_if_locked_out (RevokeServiceUserKeyOfTypeEvenIfLockedOut | Unset):  Default:
            RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE.
        if_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem
    """

    return sync_detailed(
        username=username,
        key_type=key_type,
        client=client,
        even_if_locked_out=even_if_locked_out,
        if_match=if_match,
    ).parsed


async def asyncio_detailed(
    username: str,
    key_type: KeyType,
    *,
    client: AuthenticatedClient | Client,
    even_if_locked_out: RevokeServiceUserKeyOfTypeEvenIfLockedOut
    | Unset = RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE,
    if_match: str | Unset = UNSET,
) -> Response[Any | Problem]:
    """Revoke a Service User's key of a type

     Requires a USER_MANAGEMENT key of an OWNER User, or of an Administrator of the Service User. During
    the overlap of a rotation, the key has its predecessor with it. Both are revoked. No body is needed;
    one with the fields of the call that names the type in its body is taken.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.
        even_if_locked_out (RevokeServiceUserKeyOfTypeEvenIfLockedOut | Unset):  Default:
            RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE.
        if_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem]
    """

    kwargs = _get_kwargs(
        username=username,
        key_type=key_type,
        even_if_locked_out=even_if_locked_out,
        if_match=if_match,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    username: str,
    key_type: KeyType,
    *,
    client: AuthenticatedClient | Client,
    even_if_locked_out: RevokeServiceUserKeyOfTypeEvenIfLockedOut
    | Unset = RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE,
    if_match: str | Unset = UNSET,
) -> Any | Problem | None:
    """Revoke a Service User's key of a type

     Requires a USER_MANAGEMENT key of an OWNER User, or of an Administrator of the Service User. During
    the overlap of a rotation, the key has its predecessor with it. Both are revoked. No body is needed;
    one with the fields of the call that names the type in its body is taken.

    Args:
        username (str):
        key_type (KeyType): What an API key may be used for. Each deployment has its own key
            types, those of its catalogue.
        even_if_locked_out (RevokeServiceUserKeyOfTypeEvenIfLockedOut | Unset):  Default:
            RevokeServiceUserKeyOfTypeEvenIfLockedOut.FALSE.
        if_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem
    """

    return (
        await asyncio_detailed(
            username=username,
            key_type=key_type,
            client=client,
            even_if_locked_out=even_if_locked_out,
            if_match=if_match,
        )
    ).parsed

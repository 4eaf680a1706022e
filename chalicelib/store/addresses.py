"""Addresses: items of table Directory that make an email unique within its account, and never across.

A principal's item and its address are written and deleted together. ``ACCOUNT_EMAIL#`` begins the key, and
not ``EMAIL#`` as in version 1.0, because an email may contain a ``#``: no address of one account is to be the
key of another's.

In version 1.0 an address was unique in the whole table, in ``EMAIL#<address>``, which does not say of which
account its holder is. ``emailByAccount`` on a principal says that its address is kept by account. One that is
not is moved (:func:`move`) by the daily sweep, or before that by whoever next asks for the same address.
"""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.rules.errors import concurrent_change
from chalicelib.rules.model import Principal
from chalicelib.rules.names import fold_email, fold_username
from chalicelib.store.operations import Operation
from chalicelib.store.principals import principal_from_item, principal_key
from chalicelib.store.requests import call_dynamodb, cancellations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.errors import ApiError
    from chalicelib.store.items import Item

PREFIX = "ACCOUNT_EMAIL#"
OLD_PREFIX = "EMAIL#"
_ABSENT = {"ConditionExpression": "attribute_not_exists(pk)"}


class OldAddressError(Exception):
    """An address is kept as version 1.0 did, by the principal ``username``, of an account yet to be read."""

    def __init__(self, address: str, username: str) -> None:
        super().__init__(address)
        self.address = address
        self.username = username


def name(account: str, email: str) -> str:
    """Return the ``pk`` of an address in an account."""
    return f"{names_of(account)}{fold_email(email)}"


def names_of(account: str) -> str:
    """Return how the keys of an account's addresses begin."""
    return f"{PREFIX}{account}#"


def old_name(email: str) -> str:
    """Return the ``pk`` under which version 1.0 kept an address."""
    return f"{OLD_PREFIX}{fold_email(email)}"


def additions(table: str, principal: Principal, taken: "ApiError | None") -> "Iterator[Operation]":
    """Return the operations that give a new principal its address.

    Refused with ``taken`` if it is taken in the account; None for the first principal of a new account. The
    error is OldAddressError if version 1.0 kept the address.
    """
    put = {"TableName": table, "Item": _item(principal)}
    if taken is None:
        yield Operation({"Put": put}, concurrent_change())
        return
    yield Operation({"Put": {**put, **_ABSENT}}, taken)
    check = {
        "TableName": table,
        "Key": _key(old_name(principal.email)),
        **_ABSENT,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    yield Operation({"ConditionCheck": check}, taken, lambda old: _old_address(old, taken))


def removals(table: str, principal: Principal) -> "Iterator[Operation]":
    """Return the operations that free the address of a principal who goes.

    What is kept as in version 1.0 is deleted only where it is this principal's: after a roll-back, the
    address may be another's there.
    """
    names = [name(principal.account, principal.email)]
    if not principal.email_by_account:
        names.append(old_name(principal.email))
    for pk in names:
        delete = {"TableName": table, "Key": _key(pk), **_free_or_own(principal.username)}
        yield Operation({"Delete": delete}, concurrent_change(), optional=True)


def move(client: "DynamoDBClient", table: str, address: str, username: str) -> bool:
    """Move an address that version 1.0 kept into its holder's account.

    If it is nobody's, or its holder's account has it already, it is deleted. Returns False if anything
    changed since it was read: whoever needs it moved tries again.
    """
    key = principal_key(username)
    response = call_dynamodb(client.get_item, TableName=table, Key=key, ConsistentRead=True)
    item: Item | None = response.get("Item")
    holder: Principal | None = None if item is None else principal_from_item(item)
    if holder is None or fold_email(holder.email) != address:
        return _delete_old(client, table, address, username, holder)
    return move_of(client, table, holder)


def move_of(client: "DynamoDBClient", table: str, holder: Principal) -> bool:
    """Move the address of a principal that version 1.0 stored into its account, as :func:`move`."""
    update = {
        "TableName": table,
        "Key": principal_key(holder.username),
        "UpdateExpression": "SET emailByAccount = :true",
        **_of_version(holder),
    }
    update["ExpressionAttributeValues"] = {**update["ExpressionAttributeValues"], ":true": {"BOOL": True}}
    own = _free_or_own(holder.username)
    address = fold_email(holder.email)
    items: list[Any] = [
        {"Update": update},
        {"Put": {"TableName": table, "Item": _item(holder), **own}},
        {"Delete": {"TableName": table, "Key": _key(OLD_PREFIX + address), **own}},
    ]
    codes = _transact(client, items)
    if not codes:
        return True
    if codes[0] == "None" and "ConditionalCheckFailed" in codes:
        return _delete_old(client, table, address, holder.username, holder)
    return False


def _delete_old(
    client: "DynamoDBClient", table: str, address: str, username: str, holder: Principal | None
) -> bool:
    """Delete an address that its holder, if any, needs not in the form of version 1.0."""
    check = {"TableName": table, "Key": principal_key(username)}
    check |= _ABSENT if holder is None else _of_version(holder)
    delete = {"TableName": table, "Key": _key(OLD_PREFIX + address), **_free_or_own(username)}
    return not _transact(client, [{"ConditionCheck": check}, {"Delete": delete}])


def _transact(client: "DynamoDBClient", items: list[Any]) -> list[str]:
    """Return why a transaction was cancelled, by operation; nothing if it was not."""
    try:
        call_dynamodb(client.transact_write_items, writing=True, TransactItems=items)
    except ClientError as error:
        codes = cancellations(error)
        if not {"ConditionalCheckFailed", "TransactionConflict"}.intersection(codes):
            raise
        return codes
    return []


def _old_address(old: "Item | None", taken: "ApiError") -> Exception:
    if old is None:  # pragma: no cover - an engine that returns no item
        return taken
    return OldAddressError(old["pk"]["S"].removeprefix(OLD_PREFIX), old["username"]["S"])


def _item(principal: Principal) -> "Item":
    return {**_key(name(principal.account, principal.email)), **_username(principal)}


def _username(principal: Principal) -> "Item":
    return {"username": {"S": fold_username(principal.username)}}


def _key(pk: str) -> "Item":
    return {"pk": {"S": pk}}


def _free_or_own(username: str) -> dict[str, Any]:
    return {
        "ConditionExpression": "attribute_not_exists(pk) OR username = :username",
        "ExpressionAttributeValues": {":username": {"S": fold_username(username)}},
    }


def _of_version(principal: Principal) -> dict[str, Any]:
    return {
        "ConditionExpression": "version = :version",
        "ExpressionAttributeValues": {":version": {"S": principal.version}},
    }

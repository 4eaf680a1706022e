"""What version 1.0 stored, which is to be read and changed for ever."""

from chalicelib.rules.names import fold_email
from chalicelib.store import addresses
from tests.support.api_client import Stack


def keep_address_as_1_0(stack: Stack, *usernames: str) -> None:
    """Keep the addresses of principals as version 1.0 did: unique in the whole table."""
    for username in usernames:
        item = stack.item(username)
        new = addresses.name(item["account"], item["email"])
        stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": {"S": new}})
        put_old_address(stack, item["email"], username)
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": item["pk"]}},
            UpdateExpression="REMOVE emailByAccount",
        )


def put_old_address(stack: Stack, email: str, username: str) -> None:
    """Put the item that keeps an address in version 1.0."""
    item = {"pk": {"S": f"EMAIL#{fold_email(email)}"}, "username": {"S": username.lower()}}
    stack.client.put_item(TableName=stack.tables.directory, Item=item)


def addresses_of(stack: Stack) -> dict[str, str]:
    """Return whose each address in the table is, by its key."""
    items = stack.items(stack.tables.directory)
    return {it["pk"]: it["username"] for it in items if "EMAIL#" in it["pk"].partition("@")[0]}

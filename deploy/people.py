"""What is known of a person: exporting it for them, and erasing it once they are revoked.

Events are the proof of who did what, so erasing does not delete them. It replaces the person's username by
a pseudonym, the same in every event of the account, and removes their name and addresses: the trail still
says that somebody did it, and what else the same somebody did, and no longer who that was.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.http.responses import moment
from chalicelib.publishing.form import published
from chalicelib.rules import api_keys
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.model import Cause, ServiceUser, User
from chalicelib.rules.names import fold_email, fold_username
from chalicelib.store import counters
from chalicelib.store.principals import LIST_PREFIX
from chalicelib.store.trail import FEEDBACK, aside_of, index_key
from deploy import credentials
from deploy.bulk import Tables, account_name, directory_of, principals, refuse_passed_over
from deploy.export import partition, readable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

STATE = "ERASURE#"
"""The key of the item with the pseudonym of an unfinished erasure begins with this."""

PSEUDONYM = re.compile(r"erased-[0-9a-f]{12}")
"""The form of the pseudonyms of erased people."""

_NAMED_BY = ("createdBy", "rotatedBy", "shownTo", "suspendedBy", "invitedBy", "username")
"""Attributes of a principal, its keys and its invitation that name somebody."""

_BY_NAME = ("told", "refused", "administrators")
"""Attributes of an event that have one entry for each person, by folded username."""

_FREE = ("administrators", "description", "displayName", "labels", "name")
"""Changed fields whose values can name somebody. Those of the others are words of ours, such as roles."""


class Erased(NamedTuple):
    """The result of an erasure: the pseudonym, and how many events and principals were changed."""

    pseudonym: str
    events: int
    principals: int


def export_person(
    client: "DynamoDBClient",
    tables: Tables,
    account: str,
    username: str,
    left_out: list[str] | None = None,
) -> dict[str, Any]:
    """Return what an account's tables have about a person, for themselves: no key, no digest.

    Also works for somebody who was revoked, of whom only events are left. The ids of events about them that
    this version cannot read are added to ``left_out``. Raises LookupError if there is no
    such account, or nothing about the person.
    """
    name = account_name(client, tables.directory, account)
    folded = fold_username(username)
    found = directory_of(client, tables).principal(username)
    person = _described(found) if isinstance(found, User) and found.account == account else None
    members = list(principals(client, tables.directory, account))
    concerned = [
        (item, readable(item))
        for item in _events(client, tables.events, account)
        if _Name(folded).is_in(item)
    ]
    events = [
        {**published(event), "mailedToThem": folded in item.get("told", {}).get("M", {})}
        for item, event in concerned
        if event is not None
    ]
    if left_out is not None:
        left_out.extend(str(item["id"]["S"]) for item, event in concerned if event is None)
    if person is None and not concerned:
        raise LookupError(f"The account {name} has nothing about '{username}'.")
    return {
        "account": {"id": account, "name": name},
        "person": person,
        "administers": sorted(
            it.username
            for it in members
            if isinstance(it, ServiceUser)
            and isinstance(found, User)
            and it.administrators.get(folded) == found.membership
        ),
        "events": events,
    }


def erase_person(
    client: "DynamoDBClient",
    tables: Tables,
    account: str,
    username: str,
    report: Callable[[str], None] = print,
    now: float | None = None,
) -> Erased:
    """Replace a revoked person by a pseudonym wherever the account's tables name them.

    If it is interrupted, run it again: it goes on with the same pseudonym. Raises LookupError if there is no
    such account, if somebody of the account still has the username, if API keys that they were shown still
    work, which nobody could find by their name afterwards, or if events about the person are still to be
    mailed.
    """
    account_name(client, tables.directory, account)
    found = directory_of(client, tables).principal(username)
    if found is not None and found.account == account:
        raise LookupError(f"'{username}' is still there. Revoke them first (DELETE /v1/users/{username}).")
    name = _Name(fold_username(username))
    at = time.time() if now is None else now
    refuse_passed_over(client, tables.directory, account)
    members = principals(client, tables.directory, account)
    machines = (it for it in members if isinstance(it, ServiceUser))
    if known := sum(len(api_keys.shown_keys(it, name.folded, at)) for it in machines):
        raise LookupError(
            f"{known} API keys of Service Users that '{username}' was shown still work. End them first "
            f"(DELETE /v1/users/{username}/shown-keys), or have them rotated."
        )
    emails = _emails(client, tables.events, account, name)
    concerned = [it for it in _events(client, tables.events, account) if name.is_in(it, emails)]
    if waiting := sum("waiting" in it for it in concerned):
        raise LookupError(f"{waiting} events about '{username}' are still to be mailed. Try again later.")
    state = f"{STATE}{account}#{hashlib.sha256(name.folded.encode()).hexdigest()}"
    pseudonym = _pseudonym(client, tables.directory, state)
    # Before the events lose the addresses, so that an interrupted erasure still knows them.
    changed = sum(
        _rename(client, tables.directory, it, name, pseudonym, emails)
        for it in _members(client, tables.directory, account)
    )
    _delete_counters(client, tables.directory, account, name, emails)
    # Those that have the addresses come last, for the same reason.
    for done, item in enumerate(sorted(concerned, key=name.is_subject), 1):
        new = name.replaced(item, pseudonym, emails)
        client.put_item(TableName=tables.events, Item=new, ConditionExpression="attribute_exists(id)")
        if done % 500 == 0:
            report(f"Changed {done} events.")
    credentials.delete_left_behind(client, tables.directory)
    client.delete_item(TableName=tables.directory, Key={"pk": {"S": state}})
    return Erased(pseudonym, len(concerned), changed)


class _Name:
    """A username in items of both tables."""

    def __init__(self, folded: str) -> None:
        self.folded = folded
        self._word = re.compile(rf"(?<![\w.-]){re.escape(folded)}(?![\w.-])", re.IGNORECASE)

    def is_it(self, attribute: Any) -> bool:
        """Return whether an attribute is the username, in any case."""
        return bool(attribute) and fold_username(attribute.get("S", "")) == self.folded

    def is_subject(self, event: Item) -> bool:
        """Return whether an event's item is about the person."""
        return self.is_it(event.get("subject", {}).get("M", {}).get("username"))

    def is_in(self, event: Item, emails: frozenset[str] = frozenset()) -> bool:
        """Return whether an event's item names the person, also by one of the addresses they had."""
        parts = (event.get("actor", {}).get("M", {}), event.get("subject", {}).get("M", {}))
        if any(self.is_it(part.get("username")) for part in parts):
            return True
        if f"{FEEDBACK}{self.folded}" in event:
            return True
        if any(self.folded in event.get(field, {}).get("M", {}) for field in _BY_NAME):
            return True
        if any(self.is_it(it) for it in event.get("holders", {}).get("L", ())):
            return True
        return any(self.in_text(text, "", emails) != text for text in self._texts(event))

    def replaced(self, event: Item, pseudonym: str, emails: frozenset[str]) -> Item:
        """Return an event's item that names the pseudonym instead, and nothing else of the person."""
        new = dict(event)
        for field, key in (("actor", "actorKey"), ("subject", "subjectKey")):
            part = new.get(field, {}).get("M", {})
            if self.is_it(part.get("username")):
                left = {it: value for it, value in part.items() if it not in ("displayName", "email")}
                if "credential" in left:  # without its passkey's name, which the person chose
                    used = left["credential"]["M"]
                    left["credential"] = {"M": {it: used[it] for it in used if it != "passkey"}}
                new[field] = {"M": {**left, "username": {"S": pseudonym}}}
                if key in new:
                    account = event["account"]["S"].removeprefix(aside_of(""))
                    new[key] = {"S": index_key(account, pseudonym)}
                if field == "actor":
                    new.pop("sourceIp", None)
        if (outcome := new.pop(f"{FEEDBACK}{self.folded}", None)) is not None:
            new[f"{FEEDBACK}{pseudonym}"] = outcome
        for field in _BY_NAME:
            if self.folded in new.get(field, {}).get("M", {}):
                entries = dict(new[field]["M"])
                entries[pseudonym] = entries.pop(self.folded)
                new[field] = {"M": entries}
        if "holders" in new:
            holders = [{"S": pseudonym} if self.is_it(it) else it for it in new["holders"]["L"]]
            new["holders"] = {"L": holders}
        if _reason_can_name(new):
            new["reason"] = {"S": self.in_text(new["reason"]["S"], pseudonym, emails)}
        if "changes" in new:
            new["changes"] = {
                "M": self._changes(new["changes"]["M"], pseudonym, emails, self.is_subject(event))
            }
        return new

    def _changes(self, changes: Item, pseudonym: str, emails: frozenset[str], is_subject: bool) -> Item:
        personal = ("displayName", "email", "passkey", "browser") if is_subject else ()
        return {
            field: {
                "L": [
                    {"S": "" if field in personal else self.in_text(it["S"], pseudonym, emails)}
                    for it in pair["L"]
                ]
            }
            if field in (*_FREE, *personal)
            else pair
            for field, pair in changes.items()
        }

    def in_text(self, text: str, pseudonym: str, emails: frozenset[str]) -> str:
        """Return a text that has the pseudonym in place of the username and the addresses."""
        for email in emails:
            whole = rf"(?<![\w.+-]){re.escape(email)}(?![\w-])"
            text = re.sub(whole, pseudonym, text, flags=re.IGNORECASE)
        return self._word.sub(pseudonym, text)

    def _texts(self, event: Item) -> Iterator[str]:
        if _reason_can_name(event):
            yield event["reason"]["S"]
        for field, pair in event.get("changes", {}).get("M", {}).items():
            if field in _FREE:
                yield from (text["S"] for text in pair["L"])


def _reason_can_name(event: Item) -> bool:
    """Return whether a reason can name somebody: it says who was shown a secret, or is of version 1.0."""
    cause = event.get("cause", {}).get("S", Cause.SHOWN_KEYS_ENDED.value)
    return "reason" in event and cause == Cause.SHOWN_KEYS_ENDED.value


def _described(user: User) -> dict[str, Any]:
    def time(at: int | None) -> str | None:
        return None if at is None else moment(at)

    return {
        "username": user.username,
        "email": user.email,
        "displayName": user.display_name,
        "role": user.role.value,
        "createdAt": time(user.created_at),
        "invitedBy": user.invited_by or None,
        "activated": user.invitation is None,
        "suspendedAt": time(user.suspended_at),
        "emailFailure": user.email_failure
        and {"outcome": user.email_failure.outcome.value, "at": time(user.email_failure.at)},
        "apiKeys": [
            {
                "keyType": key_type.value,
                "last5": key.last5,
                "createdAt": time(key.created_at),
                "lastUsedAt": time(key.last_used_at),
                "expiresAt": time(key.expires_at),
                "allowedNetworks": list(key.networks),
            }
            for key_type, key in user.keys.items()
        ],
        "passkeys": [
            {
                "name": it.name,
                "createdAt": time(it.created_at),
                "lastUsedAt": time(it.last_used_at),
                "lastAddress": it.last_ip,
            }
            for it in user.passkeys.values()
        ],
        "sessions": [
            {
                "startedAt": time(it.started_at),
                "seenAt": time(it.seen_at),
                "address": it.source_ip,
                "browser": it.browser,
            }
            for it in user.sessions.values()
        ],
    }


def _events(client: "DynamoDBClient", table: str, account: str) -> Iterator[Item]:
    for part in (account, aside_of(account)):
        yield from map(dict, partition(client, table, part))


def _members(client: "DynamoDBClient", table: str, account: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            if item["pk"]["S"].startswith("USER#") and item.get("account") == {"S": account}:
                yield dict(item)


def _pseudonym(client: "DynamoDBClient", table: str, state: str) -> str:
    """Return the pseudonym of an unfinished erasure, or store and return a new one."""
    stored = client.update_item(
        TableName=table,
        Key={"pk": {"S": state}},
        UpdateExpression="SET pseudonym = if_not_exists(pseudonym, :new)",
        ExpressionAttributeValues={":new": {"S": f"erased-{secrets.token_hex(6)}"}},
        ReturnValues="ALL_NEW",
    )
    return str(stored["Attributes"]["pseudonym"]["S"])


def _rename(
    client: "DynamoDBClient", table: str, item: Item, name: _Name, pseudonym: str, emails: frozenset[str]
) -> bool:
    """Replace the person in one principal; return whether it named them.

    A call that changes the principal meanwhile wins: then it is read again.
    """
    while True:
        changed = _renamed(item, name, pseudonym, emails)
        if not changed:
            return False
        names = {f"#{number}": field for number, field in enumerate(changed)}
        values = {f":{number}": value for number, value in enumerate(changed.values())}
        sets = ", ".join(f"#{number} = :{number}" for number in range(len(changed)))
        try:
            client.update_item(
                TableName=table,
                Key={"pk": item["pk"]},
                UpdateExpression=f"SET {sets}, version = :new",
                ConditionExpression="version = :old",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={**values, ":new": {"S": new_version()}, ":old": item["version"]},
            )
        except client.exceptions.ConditionalCheckFailedException:
            read = client.get_item(TableName=table, Key={"pk": item["pk"]}, ConsistentRead=True)
            if "Item" not in read:
                return False
            item = dict(read["Item"])
        else:
            return True


def _renamed(item: Item, name: _Name, pseudonym: str, emails: frozenset[str]) -> Item:
    """Return the attributes of a principal that name the person, changed.

    In what people wrote of a Service User, the pseudonym is cut off where the text would be too long. A
    label's name stays: tools look for it. A User's display name is their own.
    """
    changed: Item = {}
    if item["listKey"]["S"].startswith(LIST_PREFIX[ServiceUser]):
        for field, most in _TEXTS.items():
            text = item.get(field, {}).get("S", "")
            if (new := name.in_text(text, pseudonym, emails)) != text:
                changed[field] = {"S": new[:most].rstrip()}
        labels = item.get("labels", {}).get("M", {})
        replaced = {it: {"S": pseudonym} if name.is_it(value) else value for it, value in labels.items()}
        if replaced != labels:
            changed["labels"] = {"M": replaced}
    for field, value in item.items():
        if field == "username":
            continue
        new_value = _replace(field, value, name, pseudonym)
        if new_value != value:
            changed[field] = new_value
    return changed


_TEXTS = {"displayName": 128, "description": 500}
"""Texts of a Service User that can name somebody, and their most characters."""


def _replace(field: str, value: Any, name: _Name, pseudonym: str) -> Any:
    if field in _NAMED_BY and name.is_it(value):
        return {"S": pseudonym}
    if field == "administrators" and name.folded in value.get("M", {}):
        return {"M": {pseudonym if it == name.folded else it: link for it, link in value["M"].items()}}
    if "M" in value:
        return {"M": {it: _replace(it, inner, name, pseudonym) for it, inner in value["M"].items()}}
    return value


def _emails(client: "DynamoDBClient", table: str, account: str, name: _Name) -> frozenset[str]:
    """Return the addresses that a person had, as the events about them have them."""
    about = (it for it in _events(client, table, account) if name.is_subject(it))
    found = {it["subject"]["M"].get("email", {}).get("S", "") for it in about}
    return frozenset(found - {""})


def _delete_counters(
    client: "DynamoDBClient", table: str, account: str, name: _Name, emails: frozenset[str]
) -> None:
    """Delete the counters of the person's addresses and searches; they would end by themselves."""
    prefix = counters.budgets_of(account)
    theirs = {name.folded} | {hashlib.sha256(fold_email(it).encode()).hexdigest() for it in emails}
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            pk = item["pk"]["S"]
            if pk.startswith(prefix) and theirs.intersection(pk.removeprefix(prefix).split("#")):
                client.delete_item(TableName=table, Key={"pk": item["pk"]})

"""What is known of a person: exporting it for them, and erasing it once they are revoked.

Events are the proof of who did what, so erasing does not delete them. It replaces the person's username by
a pseudonym, the same in every event of the account, and removes their name and addresses: the trail still
says that somebody did it, and what else the same somebody did, and no longer who that was.

A person is known by their memberships: others may have had the username before or after, people and machines.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.http.responses import moment
from chalicelib.publishing.form import published
from chalicelib.rules import api_keys
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.model import Cause, Kind, Principal, ServiceUser, User
from chalicelib.rules.names import fold_email, fold_username
from chalicelib.store import counters
from chalicelib.store.principals import LIST_PREFIX
from chalicelib.store.trail import FEEDBACK, aside_of, index_key
from deploy import credentials
from deploy.bulk import Tables, account_name, directory_of, principals, refuse_passed_over
from deploy.export import partition, readable
from deploy.stays import History, Stay, history_of, is_name, stays_of

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
    membership: str = "",
) -> dict[str, Any]:
    """Return what an account's tables have about a person, for themselves: no key, no digest.

    Also works for somebody who was revoked, of whom only events are left. The ids of events about them that
    this version cannot read are added to ``left_out``. Raises LookupError if there is no
    such account, or nothing about the person; and, without a ``membership``, if several people had the
    username or it is a Service User's now.
    """
    name = account_name(client, tables.directory, account)
    folded = fold_username(username)
    found = _present(client, tables, account, username)
    history = history_of(
        stays_of(_events(client, tables.events, account), folded, found), username, membership
    )
    if isinstance(found, ServiceUser) and not membership:
        raise LookupError(
            f"'{username}' is a Service User now. To export the person who had the username before, say so "
            f"with --membership:\n  {history.stay}"
        )
    them = _Name(folded, history)
    is_there = isinstance(found, User) and found.membership in history.stay.ids
    person = _described(found) if isinstance(found, User) and is_there else None
    members = list(principals(client, tables.directory, account))
    concerned = [
        (item, readable(item)) for item in _events(client, tables.events, account) if them.is_in(item)
    ]
    events = [
        {
            **published(event),
            "mailedToThem": folded in item.get("told", {}).get("M", {}) and them.is_named_by(item),
        }
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
            and is_there
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
    membership: str = "",
) -> Erased:
    """Replace a revoked person by a pseudonym wherever the account's tables name them.

    What is of others who had the username, people or Service Users, stays. If it is interrupted, run it
    again: it goes on with the same person and pseudonym. Raises LookupError if there is no such account, if
    the person is still there, if API keys that somebody of the username was shown still work, which nobody
    could find by the name afterwards, if events about the person are still to be mailed, or if several people
    had the username and no ``membership`` says which.
    """
    account_name(client, tables.directory, account)
    folded = fold_username(username)
    state = f"{STATE}{account}#{hashlib.sha256(folded.encode()).hexdigest()}"
    found = _present(client, tables, account, username)
    stays = stays_of(_events(client, tables.events, account), folded, found)
    history = _unfinished(client, tables.directory, state, stays)
    if history is None:
        history = history_of(stays, username, membership)
    elif membership and membership not in history.stay.ids:
        raise LookupError(
            f"The erasure of another '{username}' was interrupted. Finish it first, with --membership:"
            f"\n  {history.stay}"
        )
    if isinstance(found, User) and found.membership in history.stay.ids:
        raise LookupError(f"'{username}' is still there. Revoke them first (DELETE /v1/users/{username}).")
    name = _Name(folded, history)
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
    pseudonym = _pseudonym(client, tables.directory, state, history)
    # Before the events lose the addresses, so that an interrupted erasure still knows them.
    changed = sum(
        _rename(client, tables.directory, it, name, pseudonym, emails)
        for it in _members(client, tables.directory, account)
    )
    _delete_counters(client, tables.directory, account, {folded} if found is None else set(), emails)
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
    """A person's username in items of both tables, where it is not that of another who had it."""

    def __init__(self, folded: str, history: History) -> None:
        self.folded = folded
        self.history = history
        self._word = re.compile(rf"(?<![\w.-]){re.escape(folded)}(?![\w.-])", re.IGNORECASE)

    def is_it(self, attribute: Any) -> bool:
        """Return whether an attribute is the username, in any case."""
        return is_name(attribute, self.folded)

    def is_id(self, attribute: Any) -> bool:
        """Return whether an attribute is a membership of the person.

        If nobody else had the username, any is, and so is none, of before memberships were recorded.
        """
        return not self.history.others or (attribute or {}).get("S") in self.history.stay.ids

    def is_part(self, part: Item) -> bool:
        """Return whether an actor or a subject is the person."""
        is_user = part.get("kind", {}).get("S") == Kind.USER.value
        return is_user and self.is_it(part.get("username")) and self.is_id(part.get("id"))

    def is_subject(self, event: Item) -> bool:
        """Return whether an event's item is about the person."""
        return self.is_part(event.get("subject", {}).get("M", {}))

    def is_named_by(self, event: Item) -> bool:
        """Return whether the username in an event's item, where it has no id beside it, is the person's.

        An id that the event has of the username elsewhere says so, and otherwise the time.
        """
        parts = [event.get(field, {}).get("M", {}) for field in ("actor", "subject")]
        named = [part for part in parts if self.is_it(part.get("username"))]
        link = event.get("administrators", {}).get("M", {}).get(self.folded)
        if any(map(self.is_part, named)) or (link is not None and self.is_id(link)):
            return True
        return not named and link is None and self.history.is_theirs_at(event["id"]["S"])

    def is_in(self, event: Item, emails: frozenset[str] = frozenset()) -> bool:
        """Return whether an event's item names the person, also by one of the addresses they had."""
        return self.replaced(event, "", emails) != event

    def replaced(self, event: Item, pseudonym: str, emails: frozenset[str]) -> Item:
        """Return an event's item that names the pseudonym instead, and nothing else of the person."""
        new = dict(event)
        is_named = self.is_named_by(event)
        for field, key in (("actor", "actorKey"), ("subject", "subjectKey")):
            part = new.get(field, {}).get("M", {})
            if self.is_part(part):
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
        if is_named and (outcome := new.pop(f"{FEEDBACK}{self.folded}", None)) is not None:
            new[f"{FEEDBACK}{pseudonym}"] = outcome
        for field in _BY_NAME:
            entries = dict(new.get(field, {}).get("M", {}))
            if self.folded in entries and (
                self.is_id(entries[self.folded]) if field == "administrators" else is_named
            ):
                entries[pseudonym] = entries.pop(self.folded)
                new[field] = {"M": entries}
        if is_named and "holders" in new:
            holders = [{"S": pseudonym} if self.is_it(it) else it for it in new["holders"]["L"]]
            new["holders"] = {"L": holders}
        if _reason_can_name(new):
            text = self.in_text(new["reason"]["S"], pseudonym, emails, is_named=is_named)
            new["reason"] = {"S": text}
        if "changes" in new:
            new["changes"] = {"M": self._changes(event, pseudonym, emails, is_named=is_named)}
        return new

    def _changes(self, event: Item, pseudonym: str, emails: frozenset[str], *, is_named: bool) -> Item:
        personal = ("displayName", "email", "passkey", "browser") if self.is_subject(event) else ()

        def changed(field: str, text: str) -> str:
            if field in personal:
                return ""
            return self.in_text(text, pseudonym, emails, is_named=is_named)

        return {
            field: {"L": [{"S": changed(field, it["S"])} for it in pair["L"]]}
            if field in (*_FREE, *personal)
            else pair
            for field, pair in event["changes"]["M"].items()
        }

    def in_text(self, text: str, pseudonym: str, emails: frozenset[str], *, is_named: bool) -> str:
        """Return a text with the pseudonym in place of the addresses and, if it ``is_named``, the name."""
        for email in emails:
            whole = rf"(?<![\w.+-]){re.escape(email)}(?![\w-])"
            text = re.sub(whole, pseudonym, text, flags=re.IGNORECASE)
        return self._word.sub(pseudonym, text) if is_named else text


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


def _present(client: "DynamoDBClient", tables: Tables, account: str, username: str) -> Principal | None:
    """Return the principal of the account who has a username now."""
    found = directory_of(client, tables).principal(username)
    return found if found is not None and found.account == account else None


def _members(client: "DynamoDBClient", table: str, account: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            if item["pk"]["S"].startswith("USER#") and item.get("account") == {"S": account}:
                yield dict(item)


def _unfinished(client: "DynamoDBClient", table: str, state: str, stays: list[Stay]) -> History | None:
    """Return the history that an unfinished erasure began with, and of whoever came since.

    The events that it has changed already no longer say it.
    """
    item = client.get_item(TableName=table, Key={"pk": {"S": state}}, ConsistentRead=True).get("Item", {})
    if "stays" not in item:
        return None
    stay, *others = (
        Stay(tuple(ids), is_user, first, ended)
        for ids, is_user, first, ended in json.loads(item["stays"]["S"])
    )
    known = {id_ for it in (stay, *others) for id_ in it.ids}
    since = [it for it in stays if it.ids and known.isdisjoint(it.ids)]
    return History(stay, (*others, *since))


def _pseudonym(client: "DynamoDBClient", table: str, state: str, history: History) -> str:
    """Return the pseudonym of an unfinished erasure, or store and return a new one, with the history."""
    stored = client.update_item(
        TableName=table,
        Key={"pk": {"S": state}},
        UpdateExpression="SET pseudonym = if_not_exists(pseudonym, :new), stays = if_not_exists(stays, :of)",
        ExpressionAttributeValues={
            ":new": {"S": f"erased-{secrets.token_hex(6)}"},
            ":of": {"S": json.dumps([history.stay, *history.others])},
        },
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
    is_last = name.history.is_last  # nobody knows when a text was written, or whom it names
    if item["listKey"]["S"].startswith(LIST_PREFIX[ServiceUser]):
        for field, most in _TEXTS.items():
            text = item.get(field, {}).get("S", "")
            if (new := name.in_text(text, pseudonym, emails, is_named=is_last)) != text:
                changed[field] = {"S": new[:most].rstrip()}
        labels = item.get("labels", {}).get("M", {})
        replaced = {
            it: {"S": pseudonym} if is_last and name.is_it(value) else value for it, value in labels.items()
        }
        if replaced != labels:
            changed["labels"] = {"M": replaced}
    for field, value in item.items():
        if field in ("username", "labels"):
            continue
        new_value = _replace(field, value, item, name, pseudonym)
        if new_value != value:
            changed[field] = new_value
    return changed


_TEXTS = {"displayName": 128, "description": 500}
"""Texts of a Service User that can name somebody, and their most characters."""


_WHEN = {"createdBy": "createdAt", "rotatedBy": "rotatedAt", "suspendedBy": "suspendedAt"}
"""The time beside an attribute that names somebody. Any other is about as old as what it is part of."""


def _replace(field: str, value: Any, around: Item, name: _Name, pseudonym: str) -> Any:
    """Return an attribute with the pseudonym in place of the person; ``around`` are those beside it."""
    if field in _NAMED_BY and name.is_it(value):
        if "id" in around and field == "username":
            return {"S": pseudonym} if name.is_id(around["id"]) else value
        time_of = around.get(_WHEN.get(field, "")) or around.get("createdAt") or {"N": "0"}
        # The last of that second: events have milliseconds.
        is_theirs = name.history.is_theirs_at(f"{int(time_of['N']) * 1000 + 999:012x}~")
        return {"S": pseudonym} if is_theirs else value
    if field == "administrators":
        links = value.get("M", {})
        if name.folded in links and name.is_id(links[name.folded]):
            return {"M": {pseudonym if it == name.folded else it: link for it, link in links.items()}}
    if "M" in value:
        # What a key has of its predecessor has no time of its own.
        beside: Item = {**_of(around), **value["M"]}
        return {"M": {it: _replace(it, part, beside, name, pseudonym) for it, part in value["M"].items()}}
    return value


def _of(around: Item) -> Item:
    return {"createdAt": around["createdAt"]} if "createdAt" in around else {}


def _emails(client: "DynamoDBClient", table: str, account: str, name: _Name) -> frozenset[str]:
    """Return the addresses that a person had, as the events about them have them."""
    about = (it for it in _events(client, table, account) if name.is_subject(it))
    found = {it["subject"]["M"].get("email", {}).get("S", "") for it in about}
    return frozenset(found - {""})


def _delete_counters(
    client: "DynamoDBClient", table: str, account: str, names: set[str], emails: frozenset[str]
) -> None:
    """Delete the counters of the person's addresses and searches; they would end by themselves.

    ``names`` is empty if somebody else has the username now, whose searches they may count.
    """
    prefix = counters.budgets_of(account)
    theirs = names | {hashlib.sha256(fold_email(it).encode()).hexdigest() for it in emails}
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            pk = item["pk"]["S"]
            if pk.startswith(prefix) and theirs.intersection(pk.removeprefix(prefix).split("#")):
                client.delete_item(TableName=table, Key={"pk": item["pk"]})

"""Maintenance of a deployed stack's tables: restore them, delete an account, find whose a key is.

The first two write to the tables directly, so that only CloudTrail has a record of them.
"""

import hashlib
import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from chalicelib.rules import key_format
from chalicelib.rules.api_keys import beginning
from chalicelib.rules.identifiers import recorded_at
from chalicelib.rules.key_search import keys_of
from chalicelib.rules.model import Action, Change, Event, Kind
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import UnknownEvent
from chalicelib.rules.roles import Role
from chalicelib.rules.suspension import OPERATOR
from chalicelib.store import addresses, counters, pointers
from chalicelib.store.directory import credential_key
from chalicelib.store.principals import mailed
from chalicelib.store.publications import PREFIX as MARKERS
from chalicelib.store.trail import any_event, aside_of
from deploy import credentials, deletions, people, revocation
from deploy.bulk import readable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
_BATCH = 25
_READ_BATCH = 100
_UNDER_WAY = 60
"""Seconds, more than a call takes. An event has the time at which its call began, not that of its write."""


class Restored(NamedTuple):
    """The result of restoring table Directory; ``revoked`` counts ended keys that were left out.

    ``suspended`` are those who were suspended again, ``not_suspended`` those who could not be: all OWNERs of
    their account, whom nobody could resume. ``left_out`` are accounts that were deleted.
    """

    written: int
    deleted: int
    revoked: int
    suspended: tuple[str, ...] = ()
    not_suspended: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class RestoredEvents(NamedTuple):
    """How many events were restored, and the deleted accounts whose events were not."""

    events: int
    left_out: tuple[str, ...] = ()


class DeadKey(NamedTuple):
    """A key that was revoked or replaced: whose it was, its type, and its last five characters."""

    holder: str
    key_type: str
    last5: str


class Suspension(NamedTuple):
    """When somebody was suspended, and by whom."""

    at: int
    by: str


class Withdrawn(NamedTuple):
    """What was withdrawn since the time to which a table is restored, and must not come back.

    ``rotated`` maps holders and key types whose key was rotated to the last five of the keys that came of it:
    any other key of the type was replaced. An event does not name one whose response was lost. ``revoked``
    maps them to the last five that revocations named, which may be of a key that was rotated at that moment,
    and a time: a key that was generated before it ended, but for one whose predecessor alone is named.
    ``passkeys`` are holders and names. ``users``, revoked, invited again or recovered, have no passkey,
    session or token left; ``signed_out``, by themselves (also by removing a passkey) or by the operator, no
    session or token.
    ``inviters`` were revoked or are no longer an OWNER, so that the invitations they sent have no token left.
    ``suspended`` are those who were suspended and not resumed. All by folded username.
    ``deleted`` are the ids of accounts that were deleted, and do not come back. Those ``brought_back`` do,
    without a key, passkey, session or token: only the deleted events said which of these had been withdrawn.
    ``unreadable`` are the ids of events that this version cannot read: what they withdrew comes back.
    """

    keys: frozenset[DeadKey] = frozenset()
    rotated: dict[tuple[str, str], frozenset[str]] = {}
    revoked: dict[tuple[str, str], frozenset[tuple[str, int]]] = {}
    passkeys: frozenset[tuple[str, str]] = frozenset()
    users: frozenset[str] = frozenset()
    signed_out: frozenset[str] = frozenset()
    inviters: frozenset[str] = frozenset()
    suspended: dict[str, Suspension] = {}
    deleted: frozenset[str] = frozenset()
    brought_back: frozenset[str] = frozenset()
    unreadable: tuple[str, ...] = ()


_NOTHING = Withdrawn()


def restore_directory(
    client: "DynamoDBClient", source: str, target: str, withdrawn: Withdrawn = _NOTHING
) -> Restored:
    """Make the items of table Directory those of ``source``, but for what is ``withdrawn``.

    Keys that were generated since are lost. Budgets are not restored: they expire by themselves. Holds
    one page of a table at a time, so that it takes no more memory for a large table; an interrupted restore
    can be repeated. Raises LookupError, and changes nothing, if an account that is to be left out is still in
    ``target``.
    """
    deletions.refuse_if_any_lives(client, target, withdrawn.deleted)
    written = deleted = revoked = 0
    again: set[str] = set()
    left_out: set[str] = set()
    members = _members(client, source, withdrawn.deleted | withdrawn.brought_back)
    powerless = {name for name, account in members.items() if account in withdrawn.brought_back}
    withdrawn = withdrawn._replace(users=withdrawn.users | powerless)
    active = _owners_left_active(client, source, withdrawn)
    ended_credentials = _credentials_withdrawn(client, source, withdrawn)
    withdrawn = withdrawn._replace(
        suspended={name: it for name, it in withdrawn.suspended.items() if name not in active}
    )

    def stays_out(item: Item) -> bool:
        pk, account = item["pk"]["S"], _account_of(item, members)
        if account in withdrawn.deleted:
            left_out.add(account)
            return True
        is_pointer = pk.startswith(pointers.PREFIX)
        return pk in ended_credentials or (is_pointer and account in withdrawn.brought_back)

    for page in _pages(client, source):
        wanted = {}
        for item in page:
            if _counts(item) or stays_out(item):
                continue
            restored, ended = _without(item, withdrawn, powerless)
            wanted[item["pk"]["S"]] = _withdraw(restored, withdrawn)
            revoked += ended
            again |= {item["pk"]["S"].removeprefix("USER#")} & withdrawn.suspended.keys()
        current = _get(client, target, wanted)
        puts = [{"PutRequest": {"Item": item}} for key, item in wanted.items() if current.get(key) != item]
        write_items(client, target, puts)
        written += len(puts)
    for page in _pages(client, target):
        here = [item["pk"]["S"] for item in page]
        kept = {key for key, item in _get(client, source, here).items() if not stays_out(item)}
        gone = [_deletion(key) for key in here if key not in kept and not key.startswith(counters.BUDGET)]
        write_items(client, target, gone)
        deleted += len(gone)
    suspended = tuple(sorted(again)), tuple(sorted(active))
    return Restored(written, deleted, revoked, *suspended, tuple(sorted(left_out)))


def _members(client: "DynamoDBClient", source: str, accounts: frozenset[str]) -> dict[str, str]:
    """Return the accounts, of some, of the principals in a table, by folded username."""
    return {
        item["pk"]["S"].removeprefix("USER#"): item["account"]["S"]
        for item in (_items(client, source) if accounts else ())
        if item["pk"]["S"].startswith("USER#") and item.get("account", {}).get("S") in accounts
    }


def _account_of(item: Item, members: dict[str, str]) -> str:
    """Return the account of an item of table Directory; of what names only a holder, that of the member."""
    if "account" in item:
        return str(item["account"]["S"])
    kind, _, rest = item["pk"]["S"].partition("#")
    if f"{kind}#" in _OF_ACCOUNTS:
        return str(rest.partition("#")[0])
    return members.get(fold_username(item.get("username", {}).get("S", "")), "")


_OF_ACCOUNTS = ("ACCOUNT#", addresses.PREFIX, revocation.STATE, people.STATE)
"""The prefixes of keys that have an account's id after them."""


def _owners_left_active(client: "DynamoDBClient", source: str, withdrawn: Withdrawn) -> set[str]:
    """Return the OWNERs who are not suspended again, because all OWNERs of their account would be.

    But whom the operator suspended, the operator can resume.
    """
    found: set[str] = set()
    by_others = {name for name, it in withdrawn.suspended.items() if it.by != OPERATOR}
    for item in _items(client, source) if by_others else ():
        owners = item.get("owners", {}).get("M", {}).keys()
        if owners and owners <= by_others:
            found |= owners
    return found


def _credentials_withdrawn(client: "DynamoDBClient", source: str, withdrawn: Withdrawn) -> set[str]:
    """Return the keys of the items that name the holders of passkeys that are not restored."""
    found: set[str] = set()
    for item in _items(client, source) if withdrawn.passkeys or withdrawn.users else ():
        before = item.get("passkeys", {}).get("M", {})
        after = _withdraw(item, withdrawn).get("passkeys", {}).get("M", {}) if before else {}
        for passkey_id in before.keys() - after.keys():
            credential_id = before[passkey_id]["M"]["credentialId"]["B"]
            found.add(str(credential_key(credential_id)["pk"]["S"]))
    return found


def withdrawn_since(client: "DynamoDBClient", events: str, source: str, since: int) -> Withdrawn:
    """Return what was withdrawn since a time (Unix time), by the events, from the table ``source``.

    Whose an event is says its subject's id, of a Service User or of a User's membership. Only where nobody in
    ``source`` has it, the username does; or, of somebody who was erased since, the pseudonym that another
    event has beside a membership.

    A key with an overlap is among the ``keys``: its successor is lost by a restore, and its holder gets a new
    one. What a call that began within a minute before the time has withdrawn is withdrawn too, because its
    write may have come later; not what it rotated or invited, which left something that works.
    """
    keys: set[DeadKey] = set()
    rotated: dict[tuple[str, str], set[str]] = defaultdict(set)
    revoked: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    passkeys: set[tuple[str, str]] = set()
    users: set[str] = set()
    signed_out: set[str] = set()
    inviters: set[str] = set()
    switched: dict[str, Event] = {}
    memberships = _memberships(client, source)
    erased = {
        it.subject.username: memberships[it.subject.id]
        for it in _events_since(client, events, since)
        if isinstance(it, Event)
        and it.subject.id in memberships
        and people.PSEUDONYM.fullmatch(it.subject.username)
        and it.subject.username not in memberships.values()
    }
    unreadable: list[str] = []
    for event in _events_since(client, events, since):
        if not isinstance(event, Event):
            unreadable.append(str(event.fields["id"]))
            continue
        named = fold_username(event.subject.username)
        holder = memberships.get(event.subject.id) or erased.get(named, named)
        for key in event.keys:
            if key.change is Change.REVOKED:
                keys.add(DeadKey(holder, key.key_type.value, key.last5))
                # In the second of a call that began before the time, another key may have been generated.
                before = event.at + (event.at >= since)
                revoked[holder, key.key_type.value].add((key.last5, before))
            if key.previous_last5 and event.at >= since:
                keys.add(DeadKey(holder, key.key_type.value, key.previous_last5))
            if key.change is Change.ROTATED and event.at >= since:
                rotated[holder, key.key_type.value].add(key.last5)
        if event.action is Action.PASSKEY_REMOVED:
            passkeys.add((holder, event.changes["passkey"][0]))
        recovered = event.actor.kind is Kind.OPERATOR and event.action in _RECOVERIES
        if event.action is Action.USER_REVOKED or (
            (event.action is Action.USER_INVITED or recovered) and event.at >= since
        ):
            users.add(holder)
        if event.action in _SIGN_OUTS or event.actor.kind is Kind.OPERATOR:
            signed_out.add(holder)
        if event.action in _REMOVALS or event.changes.get("role", ("", ""))[0] == Role.OWNER.value:
            inviters.add(holder)
        if event.action in _SWITCHES:
            last = switched.get(holder)
            switched[holder] = event if last is None or event.id > last.id else last
    suspended = {
        holder: Suspension(event.at, OPERATOR if event.actor.kind is Kind.OPERATOR else event.actor.username)
        for holder, event in switched.items()
        if event.action in _SUSPENSIONS
    }
    found = list(deletions.deletions(client, events))
    return Withdrawn(
        frozenset(keys),
        {of: frozenset(last5s) for of, last5s in rotated.items()},
        {of: frozenset(named) for of, named in revoked.items()},
        frozenset(passkeys),
        frozenset(users),
        frozenset(signed_out),
        frozenset(inviters),
        suspended,
        frozenset(it.account for it in found if it.brought_back_at is None),
        # A copy that was made since has nothing of before; the clocks may differ a little.
        frozenset(
            it.account
            for it in found
            if it.brought_back_at is not None and since < it.brought_back_at + _UNDER_WAY
        ),
        tuple(sorted(unreadable)),
    )


def _events_since(client: "DynamoDBClient", table: str, since: int) -> Iterator[Event | UnknownEvent]:
    """Return the events since a time, and those of calls that were under way then.

    Only those of accounts' own partitions: nothing else withdraws anything, and functions that may not do so
    write there. A later version, which has been rolled back, may have recorded one that this version cannot
    read; one whose time is not that of its id is not believed, and is returned as if it could not be.
    """
    scanned = client.get_paginator("scan").paginate(
        TableName=table,
        ConsistentRead=True,
        # A marker of an event that is not published yet is no event.
        FilterExpression="#at >= :since AND attribute_exists(#action)",
        ExpressionAttributeNames={"#at": "at", "#action": "action"},
        ExpressionAttributeValues={":since": {"N": str(since - _UNDER_WAY)}},
    )
    for page in scanned:
        for item in page["Items"]:
            if not deletions.is_account(item["account"]["S"]):
                continue
            event = any_event(cast("Any", item))
            # Both are of one moment, to the second and to the millisecond.
            if isinstance(event, Event) and abs(event.at - recorded_at(event.id)) > 1:
                event = UnknownEvent({"id": event.id})
            if event is not None:
                yield event


def _memberships(client: "DynamoDBClient", source: str) -> dict[str, str]:
    """Return the folded usernames of those in a table, by their memberships and the ids of Service Users."""
    return {
        id_["S"]: item["pk"]["S"].removeprefix("USER#")
        for item in _items(client, source)
        if item["pk"]["S"].startswith("USER#") and (id_ := item.get("membership") or item.get("id"))
    }


_RECOVERIES = (Action.API_KEY_GENERATED, Action.API_KEY_ROTATED)
_SIGN_OUTS = (Action.SIGNED_OUT, Action.PASSKEY_REMOVED)
_REMOVALS = (Action.USER_REVOKED, Action.SERVICE_USER_DELETED)
_SUSPENSIONS = (Action.USER_SUSPENDED, Action.SERVICE_USER_SUSPENDED)
_SWITCHES = (*_SUSPENSIONS, Action.USER_RESUMED, Action.SERVICE_USER_RESUMED)


def _withdraw(item: Item, withdrawn: Withdrawn) -> Item:
    """Return an item without the passkeys, sessions, tokens and OWNERs that were withdrawn, and suspended."""
    if "owners" in item:
        owners = item["owners"]["M"]
        suspended = {name for name, it in withdrawn.suspended.items() if it.by != OPERATOR}
        left = {name: it for name, it in owners.items() if name not in suspended}
        return {**item, "owners": {"M": left}}
    holder = item["pk"]["S"].removeprefix("USER#")
    new = dict(item)
    invitation = new.get("invitation", {}).get("M", {})
    inviter = invitation.get("inviter", {}).get("M", {}).get("username", {}).get("S", "")
    ended = holder in withdrawn.users | withdrawn.signed_out or fold_username(inviter) in withdrawn.inviters
    if ended and invitation:
        new["invitation"] = {"M": {name: it for name, it in invitation.items() if name != "digests"}}
        new.pop(mailed(invitation["id"]["S"]), None)
    if holder in withdrawn.users:
        new.pop("passkeys", None)
    elif "passkeys" in new:
        left = {
            id_: it
            for id_, it in new["passkeys"]["M"].items()
            if (holder, it["M"]["name"]["S"]) not in withdrawn.passkeys
        }
        new["passkeys"] = {"M": left}
    if (suspension := withdrawn.suspended.get(holder)) is not None:
        new["suspendedAt"] = {"N": str(suspension.at)}
        new["suspendedBy"] = {"S": suspension.by}
    if ended or suspension is not None:
        for name in ("sessions", "enrolment"):
            new.pop(name, None)
    return new


def _without(item: Item, withdrawn: Withdrawn, powerless: set[str]) -> tuple[Item, int]:
    """Return a principal's item without its ended keys, and their number; any other item unchanged.

    Of whoever is ``powerless``, every key has ended.
    """
    dead = withdrawn.keys
    holder = item["pk"]["S"].removeprefix("USER#")
    keys = item.get("keys", {}).get("M", {})
    if keys and item["pk"]["S"].startswith("USER#") and holder in powerless:
        return {**item, "keys": {"M": {}}}, len(keys)
    left, ended = {}, 0
    for key_type, key in keys.items():
        fields = dict(key["M"])
        last5 = fields["last5"]["S"]
        overlapping = fields.get("predecessor", {}).get("M")
        predecessor = overlapping["last5"]["S"] if overlapping else ""
        left_by_rotation = withdrawn.rotated.get((holder, key_type), {last5})
        created = int(fields["createdAt"]["N"])
        revocations = withdrawn.revoked.get((holder, key_type), frozenset())
        if (
            DeadKey(holder, key_type, last5) in dead
            or last5 not in left_by_rotation
            or any(named != predecessor and created < before for named, before in revocations)
        ):
            ended += 1
            continue
        if overlapping and DeadKey(holder, key_type, predecessor) in dead:
            ended += 1
            del fields["predecessor"]
            # What was invited with it stays withdrawn.
            revoked = fields.get("revokedPredecessors", {"L": []})["L"]
            fields["revokedPredecessors"] = {"L": [*revoked, {"B": beginning(overlapping["digest"]["B"])}]}
        left[key_type] = {"M": fields}
    return ({**item, "keys": {"M": left}} if ended else item), ended


def restore_events(client: "DynamoDBClient", source: str, target: str) -> RestoredEvents:
    """Restore the events that are missing in table Events, without notifications.

    But for those of accounts that were deleted, by the records in the two tables.
    """
    deleted = deletions.deleted(client, (source, target))
    restored = 0
    left_out: set[str] = set()
    for page in _pages(client, source):
        wanted = {}
        for item in page:
            account = _account_of_event(item)
            if account in deleted:
                left_out.add(account)
            else:
                wanted[_event_key(item)] = item
        present = {_event_key(item) for item in _get_keys(client, target, [_key_of(k) for k in wanted])}
        missing = [item for key, item in wanted.items() if key not in present]
        for item in missing:
            # What makes an event pending; its recipients were notified when it happened.
            item.pop("waiting", None)
            item.pop("dueAt", None)
        write_items(client, target, [{"PutRequest": {"Item": item}} for item in missing])
        restored += len(missing)
    return RestoredEvents(restored, tuple(sorted(left_out)))


def _account_of_event(item: Item) -> str:
    """Return the account of an event, or of a marker of one that is to be published."""
    partition, id_ = _event_key(item)
    of_event = id_.rpartition("#")[0] if partition.startswith(MARKERS) else partition
    return of_event.removeprefix(aside_of(""))


def delete_account(client: "DynamoDBClient", directory: str, events: str, account: str) -> tuple[int, int]:
    """Delete an account with all its data; return the numbers of principals and events deleted.

    A record stays, so that a restored table does not bring it back (:mod:`deploy.deletions`). It is written
    first and the account item is deleted last, so that an interrupted deletion can be repeated. Raises
    LookupError if there is no such account.
    """
    key: Item = {"pk": {"S": f"ACCOUNT#{account}"}}
    if "Item" not in client.get_item(TableName=directory, Key=key, ConsistentRead=True):
        raise LookupError(f"There is no account {account}. Its id is in GET /v1/whoami and in every event.")
    deletions.record(client, events, account)
    count = 0
    # Not by the index, which may lag; and repeated, for principals created in the meantime.
    while principals := [
        item
        for item in _items(client, directory)
        if item["pk"]["S"].startswith("USER#") and item.get("account") == {"S": account}
    ]:
        count += sum(_delete_principal(client, directory, item) for item in principals)
    trail = [item for part in (account, aside_of(account)) for item in _keys_of_events(client, events, part)]
    write_items(client, events, [{"DeleteRequest": {"Key": item}} for item in trail])
    left = [
        item["pk"]["S"]
        for item in _items(client, directory)
        if item["pk"]["S"].startswith((counters.budgets_of(account), addresses.names_of(account)))
        or (item["pk"]["S"].startswith(pointers.PREFIX) and item.get("account") == {"S": account})
    ]
    write_items(client, directory, [_deletion(pk) for pk in left])
    credentials.delete_left_behind(client, directory)
    client.delete_item(TableName=directory, Key={"pk": {"S": f"{revocation.STATE}{account}"}})
    client.delete_item(TableName=directory, Key=key)
    return count, len(trail)


class Found(NamedTuple):
    """A key that was found: its holder and its last five characters."""

    account: str
    username: str
    key_type: str
    last5: str
    is_predecessor: bool


def find_key(client: "DynamoDBClient", directory: str, *, secret: str = "", last5: str = "") -> list[Found]:
    """Return the keys with this value or these last five characters, in any account, with their holders.

    Searching by value takes one read if the key has a pointer; otherwise the whole table is read. A principal
    that cannot be read is passed over.
    """
    digest = key_format.digest(secret) if secret else b""
    items: Iterable[Item] = _items(client, directory)
    if digest:
        key: Item = {"pk": {"S": pointers.name(digest)}}
        pointer = client.get_item(TableName=directory, Key=key, ConsistentRead=True).get("Item")
        if pointer is not None:
            holder: Item = {"pk": {"S": f"USER#{pointer['username']['S']}"}}
            response = client.get_item(TableName=directory, Key=holder, ConsistentRead=True)
            items = [response["Item"]] if "Item" in response else []
    holders = (readable(item) for item in items if item["pk"]["S"].startswith("USER#"))
    return [
        Found(holder.account, holder.username, it.key_type.value, it.last5, it.is_predecessor)
        for holder in holders
        if holder is not None
        for it in keys_of(holder)
        if (it.digest == digest if digest else it.last5 == last5)
    ]


def _pages(client: "DynamoDBClient", table: str) -> Iterator[list[Item]]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield [dict(item) for item in page["Items"]]


def _items(client: "DynamoDBClient", table: str) -> Iterator[Item]:
    for page in _pages(client, table):
        yield from page


def _get(client: "DynamoDBClient", table: str, keys: Iterable[str]) -> dict[str, Item]:
    """Return the items of these keys that there are, by key."""
    found = _get_keys(client, table, [{"pk": {"S": key}} for key in keys])
    return {item["pk"]["S"]: item for item in found}


def _get_keys(client: "DynamoDBClient", table: str, keys: list[Item]) -> Iterator[Item]:
    for start in range(0, len(keys), _READ_BATCH):
        left: Any = {table: {"Keys": keys[start : start + _READ_BATCH], "ConsistentRead": True}}
        for pause in _pauses():
            response = client.batch_get_item(RequestItems=left)
            yield from (dict(item) for item in response["Responses"].get(table, ()))
            left = response.get("UnprocessedKeys")
            if not left:
                break
            time.sleep(pause)


def _pauses() -> Iterator[float]:
    """Yield the pauses between retries of what DynamoDB left unprocessed, growing up to ten seconds."""
    for tried in itertools.count():
        yield min(0.05 * 2**tried, 10.0)


def _key_of(key: tuple[str, str]) -> Item:
    return {"account": {"S": key[0]}, "id": {"S": key[1]}}


def _counts(item: Item) -> bool:
    return bool(item["pk"]["S"].startswith(counters.BUDGET))


def _keys_of_events(client: "DynamoDBClient", table: str, partition: str) -> Iterator[Item]:
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="#account = :account",
        ExpressionAttributeNames={"#account": "account", "#id": "id"},
        ExpressionAttributeValues={":account": {"S": partition}},
        ProjectionExpression="#account, #id",
        ConsistentRead=True,
    )
    for page in pages:
        yield from page["Items"]


def _event_key(item: Item) -> tuple[str, str]:
    return item["account"]["S"], item["id"]["S"]


def _deletion(pk: str) -> Any:
    return {"DeleteRequest": {"Key": {"pk": {"S": pk}}}}


def _delete_principal(client: "DynamoDBClient", table: str, item: Item) -> bool:
    """Delete a principal and its email address; return False if it no longer belongs to the account.

    A name that became free may belong to another account by now.
    """
    conditional: Any = {
        "TableName": table,
        "Key": {"pk": item["pk"]},
        "ConditionExpression": "#account = :account",
        "ExpressionAttributeNames": {"#account": "account"},
        "ExpressionAttributeValues": {":account": item["account"]},
    }
    deletions: Any = [{"Delete": conditional}]
    for key in (*_address_keys(client, table, item), *_credential_keys(item)):
        deletions.append({"Delete": {"TableName": table, "Key": {"pk": {"S": key}}}})
    try:
        client.transact_write_items(TransactItems=deletions)
    except client.exceptions.TransactionCanceledException:
        return False
    return True


def _address_keys(client: "DynamoDBClient", table: str, item: Item) -> list[str]:
    """Return the keys of the items that keep a principal's address: by account, or as version 1.0 did."""
    email, username = item["email"]["S"], item["pk"]["S"].removeprefix("USER#")
    keys = [addresses.name(item["account"]["S"], email), addresses.old_name(email)]
    return [pk for pk, it in _get(client, table, keys).items() if it["username"]["S"] == username]


def _credential_keys(item: Item) -> list[str]:
    """Return the keys of the items that map a user's passkeys to the user."""
    passkeys = item.get("passkeys", {}).get("M", {}).values()
    ids = [passkey["M"]["credentialId"]["B"] for passkey in passkeys]
    return [f"CREDENTIAL#{hashlib.sha256(id_).hexdigest()}" for id_ in ids]


def write_items(client: "DynamoDBClient", table: str, requests: list[Any]) -> None:
    """Make writes of a table, given as BatchWriteItem takes them, until none is left unprocessed."""
    for start in range(0, len(requests), _BATCH):
        unprocessed: Any = {table: requests[start : start + _BATCH]}
        for pause in _pauses():
            unprocessed = client.batch_write_item(RequestItems=unprocessed)["UnprocessedItems"]
            if not unprocessed:
                break
            time.sleep(pause)

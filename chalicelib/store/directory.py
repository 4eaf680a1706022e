"""Table Directory: principals and accounts, and the items that are written with them.

Each has one item, read by its key and strongly consistent; lists are read from the index by account. A change
is one transaction that includes its event, and each write is conditional on what was read.
"""

import hashlib
import logging
import random
import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.rules.api_keys import without_predecessor
from chalicelib.rules.authentication import HOUR
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.errors import Conflict
from chalicelib.rules.limits import DEFAULT, Limits
from chalicelib.rules.model import Account, Challenge, Event, Principal, ServiceUser, User
from chalicelib.rules.names import USERNAME, fold_username
from chalicelib.rules.ports import (
    Add,
    AddAccount,
    CountCall,
    CountChange,
    CountEmail,
    Creation,
    InviterIsOwner,
    OtherOwner,
    P,
    Page,
    Remove,
    Replace,
    RevokeKey,
    StillEntitled,
    Suspend,
    UpdateAccount,
    UseChallenge,
    Write,
)
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store import addresses, counters, pointers
from chalicelib.store.addresses import OldAddressError
from chalicelib.store.counters import AccountWrite, FullCounters, UncountedError
from chalicelib.store.items import Item, from_item, to_attribute, to_item
from chalicelib.store.operations import Condition, Operation, account_key
from chalicelib.store.principals import (
    ENDED,
    ENDED_MANAGEMENT_KEY,
    LIST_PREFIX,
    REFUSED,
    USED,
    ended_requests,
    is_principal,
    item_from_principal,
    note,
    principal_from_item,
    principal_key,
)
from chalicelib.store.probe import NOTHING, Probe
from chalicelib.store.publications import event_puts
from chalicelib.store.requests import (
    batch_get,
    call_dynamodb,
    cancellations,
    log_failed_note,
    paginate,
    reasons,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.model import ApiKey
    from chalicelib.store.items import AttributeValue

_LOG = logging.getLogger(__name__)
_CONFLICT_TRIES = 5
_PATIENT_TRIES = 20
_PREPARATIONS = 5
"""Tries of a write that finds items of version 1.0 to count or to move, before the caller is to retry."""

_MAX_PAUSE = 0.8
"""Seconds between two tries at most: about 0.3 seconds in all, or 6 (12 at most) with ``patient``."""
_NEW = "attribute_not_exists({0}) OR NOT attribute_type({0}, :number) OR {0} <= :since"
_SINCE = f"attribute_exists(pk) AND ({_NEW})"
"""The condition of a note: the principal still exists, and the same was not noted since ``:since``.

One that is no time is overwritten."""
_NUMBER: Item = {":number": {"S": "N"}}
MAX_REMOVED = 60
"""The most attributes of removed secrets that one change removes: an expression has at most 4,096 bytes."""
_USERNAME = re.compile(USERNAME)
_KIND: dict[type[Principal], str] = {ServiceUser: "SERVICE_USER", User: "USER"}


class DynamoDirectory:
    """Implements ``rules.ports.Directory`` on DynamoDB."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        events_table: str,
        retention_days: int,
        notes: "Callable[[], DynamoDBClient] | None" = None,
        limits: Limits = DEFAULT,
        *,
        publishes: bool = False,
    ) -> None:
        """Use two tables through ``client``, and ``notes()`` for writes that must not delay a sign-in.

        ``publishes`` says whether events are published, so that each needs its marker.
        """
        self.limits = limits
        self._client = client
        self._notes = notes or (lambda: client)
        self._table = table
        self._events_table = events_table
        self._retention_days = retention_days
        self._publishes = publishes
        self._full = FullCounters()
        self._probe = Probe("Directory", self._read_nothing)

    def is_readable(self, now: int) -> bool:
        """Return whether the table can be read, as seen at most ten seconds ago: one GetItem at most."""
        return self._probe.works(now)

    def _read_nothing(self) -> None:
        self._client.get_item(TableName=self._table, Key={"pk": {"S": NOTHING}}, ConsistentRead=True)

    def principal(self, username: str) -> Principal | None:
        """Return the principal with a username, in any case: one strongly consistent GetItem.

        None, without a read, if it is not a valid username: DynamoDB refuses keys of over 2,048 bytes.
        """
        if not _USERNAME.match(username):
            return None
        item = self._get(f"USER#{fold_username(username)}")
        return None if item is None or not is_principal(item) else principal_from_item(item)

    def username_of(self, digest: bytes) -> str | None:
        """Return the folded username in a key's pointer: one strongly consistent GetItem."""
        item = self._get(pointers.name(digest))
        return None if item is None else str(item["username"]["S"])

    def usernames_of(self, digests: frozenset[bytes]) -> dict[bytes, str]:
        """Return the folded usernames in keys' pointers: one strongly consistent BatchGetItem."""
        names = {pointers.name(digest): digest for digest in digests}
        found = batch_get(self._client, self._table, [{"pk": {"S": name}} for name in sorted(names)])
        return {names[item["pk"]["S"]]: str(item["username"]["S"]) for item in found}

    def usernames_by_last5(self, account: str, last5: str, most: int) -> frozenset[str]:
        """Return the usernames in an account's pointers with this last five: one Query of the index."""
        response = call_dynamodb(
            self._client.query,
            TableName=self._table,
            IndexName="byAccount",
            KeyConditionExpression="account = :account AND listKey = :key",
            ExpressionAttributeValues={":account": {"S": account}, ":key": {"S": pointers.list_key(last5)}},
            Limit=most,
        )
        return frozenset(str(item["username"]["S"]) for item in response["Items"])

    def principals(self, usernames: frozenset[str]) -> dict[str, Principal]:
        """Return the principals with these folded usernames: one strongly consistent BatchGetItem."""
        items = batch_get(
            self._client, self._table, [{"pk": {"S": f"USER#{name}"}} for name in sorted(usernames)]
        )
        found: list[Principal] = [principal_from_item(item) for item in items if is_principal(item)]
        return {fold_username(it.username): it for it in found}

    def users(self, usernames: frozenset[str]) -> dict[str, User]:
        """Return the Users with these folded usernames: one strongly consistent BatchGetItem."""
        found = self.principals(usernames)
        return {name: user for name, user in found.items() if isinstance(user, User)}

    def account(self, account: str) -> Account | None:
        """Return an account: one strongly consistent GetItem."""
        item = self._get(f"ACCOUNT#{account}")
        return None if item is None else from_item(item, Account)

    def page(self, account: str, kind: type[P], limit: int, after: str | None, prefix: str = "") -> Page[P]:
        """Return a page of the index by account: one Query, eventually consistent."""
        start: dict[str, Any] = {}
        kind_prefix = LIST_PREFIX[kind]
        if after is not None:
            start["ExclusiveStartKey"] = {
                "pk": {"S": f"USER#{after}"},
                "account": {"S": account},
                "listKey": {"S": f"{kind_prefix}{after}"},
            }
        response = call_dynamodb(
            self._client.query,
            TableName=self._table,
            IndexName="byAccount",
            KeyConditionExpression="account = :account AND begins_with(listKey, :prefix)",
            ExpressionAttributeValues={":account": {"S": account}, ":prefix": {"S": kind_prefix + prefix}},
            Limit=limit + 1,
            **start,
        )
        items, last = paginate(response, limit, "listKey")
        members = tuple(it for it in map(principal_from_item, items) if isinstance(it, kind))
        return Page(members, last and last.removeprefix(kind_prefix))

    def account_and_users(
        self, account: str, usernames: frozenset[str]
    ) -> tuple[Account | None, dict[str, User]]:
        """Return an account and Users: one strongly consistent BatchGetItem."""
        keys = [account_key(account), *(principal_key(name) for name in sorted(usernames))]
        items = batch_get(self._client, self._table, keys)
        first = next((item for item in items if item["pk"] == keys[0]["pk"]), None)
        members = [item for item in items if item is not first and is_principal(item)]
        principals = [principal_from_item(item) for item in members]
        users = {fold_username(it.username): it for it in principals if isinstance(it, User)}
        return None if first is None else from_item(first, Account), users

    def creations(
        self, account: str, kind: type[Principal], most: int, after: Creation | None, *, newest_first: bool
    ) -> tuple[tuple[Creation, ...], Creation | None]:
        """Return a page of the index by creation: one Query, eventually consistent."""
        start: dict[str, Any] = {}
        if after is not None:
            place = {"account": {"S": account}, "createdAt": {"N": str(after.at)}}
            start["ExclusiveStartKey"] = {**principal_key(after.username), **place}
        response = call_dynamodb(
            self._client.query,
            TableName=self._table,
            IndexName="byCreation",
            KeyConditionExpression="account = :account",
            ExpressionAttributeValues={":account": {"S": account}},
            ScanIndexForward=not newest_first,
            Limit=most,
            **start,
        )
        found = tuple(_creation(item) for item in response["Items"] if item.get("kind") == {"S": _KIND[kind]})
        last = response.get("LastEvaluatedKey")
        return found, None if last is None else _creation(last)

    def commit(self, event: Event | None, *writes: Write, patient: bool = False) -> None:
        """Make all writes and record the event in one transaction, or do nothing."""
        puts: list[dict[str, Any]] = []
        if event is not None:
            puts = self._event_puts(event)
            puts[0]["Put"]["ConditionExpression"] = "attribute_not_exists(id)"
        for _ in range(_PREPARATIONS):
            try:
                self._transact(writes, puts, _PATIENT_TRIES if patient else _CONFLICT_TRIES)
            except UncountedError as error:
                counters.count(self._client, self._table, error.account)
            except OldAddressError as error:
                addresses.move(self._client, self._table, error.address, error.username)
            else:
                return
        raise unavailable()

    def count_call(self, call: CountCall) -> None:
        """Count a call with one UpdateItem. Raises its error if its budget is used up."""
        counters.count_call(self._client, self._table, call)

    def record_use(self, principal: Principal, digest: bytes, now: int) -> None:
        """Record a use with one UpdateItem, once an hour. Log a failure, never raise it."""
        self._note(
            principal,
            UpdateExpression="SET #used = :now",
            ConditionExpression=_SINCE.format("#used"),
            ExpressionAttributeNames={"#used": note(USED, digest)},
            ExpressionAttributeValues={":now": {"N": str(now)}, ":since": {"N": str(now - HOUR)}, **_NUMBER},
        )

    def store_challenge(self, digest: bytes, challenge: Challenge) -> None:
        """Store a challenge with one PutItem. The table's TTL removes it some time after it expired."""
        item = {**_challenge_key(digest), **to_item(challenge, ttl=challenge.ends_at)}
        call_dynamodb(self._client.put_item, writing=True, TableName=self._table, Item=item)

    def challenge(
        self, digest: bytes, credential_id: bytes | None = None
    ) -> tuple[Challenge | None, str | None]:
        """Return a challenge, and the username of a credential: one strongly consistent BatchGetItem."""
        keys = [_challenge_key(digest)]
        if credential_id is not None:
            keys.append(credential_key(credential_id))
        challenge, username = None, None
        for item in batch_get(self._client, self._table, keys):
            if item["pk"] == keys[0]["pk"]:
                challenge = from_item(item, Challenge)
            else:
                username = item["username"]["S"]
        return challenge, username

    def record_session_use(self, user: User, session: str, digest: bytes, now: int) -> None:
        """Record a session's use with one UpdateItem. Log a failure, never raise it."""
        path = "#sessions.#session"
        self._note(
            user,
            UpdateExpression=f"SET {path}.seenAt = :now",
            ConditionExpression=f"{path}.digest = :digest AND {path}.seenAt < :now",
            ExpressionAttributeNames={"#sessions": "sessions", "#session": session},
            ExpressionAttributeValues={":now": {"N": str(now)}, ":digest": {"B": digest}},
        )

    def record_refusal(self, principal: Principal, key_type: "KeyType", since: int, event: Event) -> None:
        """Record a refusal, unless one was since ``since``. Log a failure, never raise it."""
        update = {
            "TableName": self._table,
            "Key": _key(principal),
            "UpdateExpression": "SET #refused = :now",
            "ConditionExpression": _SINCE.format("#refused"),
            "ExpressionAttributeNames": {"#refused": note(REFUSED, principal.keys[key_type].digest)},
            "ExpressionAttributeValues": {
                ":now": {"N": str(event.at)},
                ":since": {"N": str(since)},
                **_NUMBER,
            },
        }
        puts: list[Any] = self._event_puts(event)
        try:
            self._notes().transact_write_items(TransactItems=[{"Update": update}, *puts])  # type: ignore[typeddict-item]
        except (ClientError, BotoCoreError) as error:
            log_failed_note(_LOG, "a refusal was not recorded", error)

    def _event_puts(self, event: Event) -> list[dict[str, Any]]:
        return event_puts(self._events_table, event, self._retention_days, publishes=self._publishes)

    def _note(self, principal: Principal, **update: Any) -> None:
        try:
            self._notes().update_item(TableName=self._table, Key=_key(principal), **update)
        except (ClientError, BotoCoreError) as error:
            log_failed_note(_LOG, "a use was not recorded", error)

    def _get(self, key: str) -> Item | None:
        response = call_dynamodb(
            self._client.get_item, TableName=self._table, Key={"pk": {"S": key}}, ConsistentRead=True
        )
        item: Item | None = response.get("Item")
        return item

    def _transact(self, writes: "tuple[Write, ...]", puts: list[dict[str, Any]], tries: int) -> None:
        """Write all or nothing. Retry while other transactions conflict; after ``tries``, raise Conflict.

        Each try picks another counter of the account's changes. If the counter was the only conflict, the
        last try counts by a write of its own first, so that concurrency alone refuses no change within its
        budget, and lets none past it. That change stays counted, even if the transaction is then refused.
        """
        counted = True
        left_out: list[dict[str, Any]] = []
        for attempt in range(tries):
            if not counted:
                for write in writes:
                    if isinstance(write, CountChange):
                        self._full.count_alone(self._client, self._table, write)
            operations = [
                operation
                for write in counters.merge_account_writes(writes)
                if counted or not isinstance(write, CountChange)
                for operation in self._operations(write)
                if operation.item not in left_out
            ]
            items = [*(operation.item for operation in operations), *puts]
            try:
                call_dynamodb(self._client.transact_write_items, writing=True, TransactItems=items)
            except ClientError as error:
                codes = _raise_first(error, operations)
                counted = attempt != tries - 2 or not _only_counter(codes, operations)
                left_out += _refused_optional(codes, operations)
            else:
                return
            longest = min(_MAX_PAUSE, 0.02 * 2**attempt)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - a pause, no secret
        raise Conflict("Concurrent calls keep changing this; nothing was done. Try again.")

    def _operations(self, write: "Write | AccountWrite") -> "Iterable[Operation]":
        if isinstance(write, CountChange):
            return (self._full.operation(self._table, write),)
        return _operations(self._table, write)


def _raise_first(error: ClientError, operations: "list[Operation]") -> list[str]:
    """Raise the error of the first condition that failed. Return the codes if a retry can succeed."""
    codes = cancellations(error)
    for reason, operation in zip(reasons(error), operations, strict=False):
        if reason.get("Code") == "ConditionalCheckFailed" and not operation.optional:
            raise operation.error_for(reason.get("Item")) from error
    if "TransactionConflict" not in codes and not _refused_optional(codes, operations):
        raise error
    return codes


def _refused_optional(codes: list[str], operations: "list[Operation]") -> list[dict[str, Any]]:
    """Return the operations whose condition failed and without which the transaction is to be made."""
    return [
        operation.item
        for code, operation in zip(codes, operations, strict=False)
        if code == "ConditionalCheckFailed" and operation.optional
    ]


def _only_counter(codes: list[str], operations: "list[Operation]") -> bool:
    """Return whether the counter of an account's changes was a transaction's only conflict."""
    return all(
        code != "TransactionConflict" or (number < len(operations) and operations[number].counter)
        for number, code in enumerate(codes)
    )


def _creation(item: "Mapping[str, AttributeValue]") -> Creation:
    return Creation(int(item["createdAt"]["N"]), str(item["pk"]["S"]).removeprefix("USER#"))


def _key(principal: Principal) -> Item:
    return principal_key(principal.username)


def _challenge_key(digest: bytes) -> Item:
    """Return the key of a challenge's item: hashed, because CloudTrail can log keys, and no digest may be."""
    return {"pk": {"S": f"CHALLENGE#{hashlib.sha256(b'challenge:' + digest).hexdigest()}"}}


def credential_key(credential_id: bytes) -> Item:
    """Return the key of a credential's item, which names its User. Hashed: ids can be too long for a key."""
    return {"pk": {"S": f"CREDENTIAL#{hashlib.sha256(credential_id).hexdigest()}"}}


def _operations(table: str, write: "Write | AccountWrite") -> "Iterable[Operation]":
    """Return a write as DynamoDB operations, each with the error to raise if its condition fails."""
    match write:
        case Add(principal, username_taken, email_taken):
            absent = {"TableName": table, "ConditionExpression": "attribute_not_exists(pk)"}
            yield Operation({"Put": {**absent, "Item": item_from_principal(principal)}}, username_taken)
            yield from addresses.additions(table, principal, email_taken)
            for item in pointers.changes(table, principal, {}, principal.keys):
                yield Operation(item, username_taken)
        case Replace(old, new, changed):
            replacement = {"TableName": table, "Key": _key(old), **_replacement(write)}
            yield Operation({"Update": replacement}, changed)
            for item in pointers.changes(table, old, old.keys, new.keys):
                yield Operation(item, changed)
            for item in _credentials(table, old, new):
                yield Operation(item, write.passkey_taken or changed)
        case Remove(old, changed):
            yield Operation({"Delete": {"TableName": table, "Key": _key(old), **_removal(write)}}, changed)
            yield from addresses.removals(table, old)
            for item in (*pointers.changes(table, old, old.keys, {}), *_credentials(table, old, None)):
                yield Operation(item, changed)
        case RevokeKey(holder, _, _, changed):
            yield Operation({"Update": {"TableName": table, **_key_revocation(write)}}, changed)
            for item in pointers.changes(table, holder, *_revoked(write)):
                yield Operation(item, changed)
        case Suspend(_, _, changed):
            yield Operation({"Update": {"TableName": table, **_suspension(write)}}, changed)
        case UseChallenge(digest, used):
            present = {"TableName": table, "ConditionExpression": "attribute_exists(pk)"}
            yield Operation({"Delete": {**present, "Key": _challenge_key(digest)}}, used)
        case StillEntitled():
            yield Operation({"ConditionCheck": {"TableName": table, **_entitled(write)}}, write.ended)
        case AddAccount(account, taken):
            absent = {"TableName": table, "ConditionExpression": "attribute_not_exists(pk)"}
            item = {**account_key(account.id), **to_item(account)}
            yield Operation({"Put": {**absent, "Item": item}}, taken)
        case UpdateAccount():
            yield Operation({"Update": {"TableName": table, **_account_update(write)}}, write.refused)
        case OtherOwner(account, refused):
            check = {
                "Key": account_key(account),
                "ConditionExpression": "size(owners) > :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
            yield Operation({"ConditionCheck": {"TableName": table, **check}}, refused)
        case InviterIsOwner():
            yield Operation({"ConditionCheck": {"TableName": table, **_inviter(write)}}, write.ended)
        case AccountWrite():
            yield counters.account_operation(table, write)
        case CountEmail():
            yield counters.email_operation(table, write)
        case _:  # pragma: no cover - the other writes are merged (AccountWrite), or made by FullCounters
            raise TypeError(type(write).__name__)


def _credentials(table: str, old: Principal, new: Principal | None) -> "Iterable[dict[str, Any]]":
    """Return the operations that add and delete the items of a User's credentials as passkeys change."""
    before = _credential_ids(old)
    after = set() if new is None else _credential_ids(new)
    for removed in sorted(before - after):
        yield {"Delete": {"TableName": table, "Key": credential_key(removed)}}
    for added in sorted(after - before):
        item = {**credential_key(added), "username": {"S": fold_username(old.username)}}
        yield {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}


def _credential_ids(principal: Principal) -> set[bytes]:
    passkeys = principal.passkeys.values() if isinstance(principal, User) else ()
    return {passkey.credential_id for passkey in passkeys}


def _unchanged(old: Principal) -> dict[str, Any]:
    return {
        "ConditionExpression": "version = :version",
        "ExpressionAttributeValues": {":version": {"S": old.version}},
    }


def _replacement(write: Replace) -> dict[str, Any]:
    """Return the update from the old to the new principal, which writes only what differs.

    So it overwrites no note that was made meanwhile without a new version: a key's use, its refusal, or a
    mailed token.
    """
    old, new = item_from_principal(write.old), item_from_principal(write.new)
    # A sign-in can leave it to this write to record the use of the key that is replaced. Dropping the note
    # from the old item makes it differ, so that it is written.
    for name in _moved_uses(write.old, write.new):
        old.pop(name, None)
    update = _Update()
    update.write_difference((), old, new)
    for path in write.old.stale[:MAX_REMOVED]:  # the next change removes others
        update.remove(path)
    for name in ended_requests(write.old, write.new):
        update.remove((name,))  # also if the mailer wrote it after the read
    condition = "version = :version"
    if write.unused is not None:
        condition += "".join(
            f" AND attribute_not_exists({update.path(path)})"
            for path in (
                ("keys", write.unused.value, "lastUsedAt"),  # where version 1.0 recorded it
                (note(USED, write.old.keys[write.unused].digest),),
            )
            if path not in write.old.stale
        )
    return {
        "UpdateExpression": update.expression(),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": update.names,
        "ExpressionAttributeValues": {**update.values, ":version": {"S": write.old.version}},
    }


def _moved_uses(old: Principal, new: Principal) -> "Iterable[str]":
    """Yield the notes of use of the keys that a rotation made predecessors."""
    for key_type, key in new.keys.items():
        before = old.keys.get(key_type)
        if key.predecessor is not None and before is not None and before.digest != key.digest:
            yield note(USED, key.predecessor.digest)


class _Update:
    """Builds an UpdateExpression from two items: what differs, field by field within some maps.

    An expression has at most 4,096 bytes. So placeholders are numbered: with the names themselves, the change
    of a principal with a key of each of thirty types with long names would be longer.
    """

    def __init__(self) -> None:
        self.values: Item = {}
        self._placeholders: dict[str, str] = {}
        self._set: dict[tuple[str, ...], str] = {}
        self._removed: dict[tuple[str, ...], None] = {}

    @property
    def names(self) -> dict[str, str]:
        """The names, by their placeholders."""
        return {placeholder: name for name, placeholder in self._placeholders.items()}

    def path(self, names: tuple[str, ...]) -> str:
        """Return a document path of placeholders, because any name may be a reserved word."""
        found = self._placeholders
        return ".".join(found.setdefault(name, f"#n{len(found)}") for name in names)

    def write_difference(self, parent: tuple[str, ...], old: Item, new: Item) -> None:
        """Set and remove what turns the map ``old`` at the path ``parent`` into ``new``."""
        for name in sorted(old.keys() | new.keys()):
            path, before, after = (*parent, name), old.get(name), new.get(name)
            if before == after:
                continue
            if before and after and _compare_fields(path, before, after):
                self.write_difference(path, before["M"], after["M"])
            elif after is None:
                self.remove(path)
            else:
                value = f":v{len(self.values)}"
                self.values[value] = after
                self._set[path] = value

    def remove(self, path: tuple[str, ...]) -> None:
        """Remove what is at a path, unless it or one of its parents is set or removed already."""
        parents = {path[:depth] for depth in range(1, len(path) + 1)}
        if not parents & (self._set.keys() | self._removed.keys()):
            self._removed[path] = None

    def expression(self) -> str:
        """Return the UpdateExpression. It always has a SET, because the version is always new."""
        removal = f" REMOVE {', '.join(map(self.path, self._removed))}" if self._removed else ""
        return f"SET {', '.join(f'{self.path(it)} = {value}' for it, value in self._set.items())}{removal}"


def _compare_fields(path: tuple[str, ...], before: Item, after: Item) -> bool:
    """Return whether to update a map field by field.

    True for the maps of keys, sessions and passkeys, and for one of them whose secret is unchanged.
    """
    match path:
        case ("keys" | "sessions" | "passkeys",):
            return True
        case ("keys" | "sessions", _):
            return bool(before["M"]["digest"] == after["M"]["digest"])
        case ("passkeys", _):
            return bool(before["M"]["credentialId"] == after["M"]["credentialId"])
    return False


def _is_same(principal: ServiceUser | User) -> Condition:
    """Return the condition that an item is this principal, in any version."""
    field, value = (
        ("membership", principal.membership) if isinstance(principal, User) else ("id", principal.id)
    )
    return Condition(
        f"kind = :kind AND account = :account AND {field} = :this",
        {},
        {
            ":kind": {"S": _KIND[type(principal)]},
            ":account": {"S": principal.account},
            ":this": {"S": value},
        },
    )


def _removal(write: Remove) -> dict[str, Any]:
    """Return the condition of a removal.

    It includes a User's role, invitation and suspension, which decide whether they count as an OWNER.
    """
    old = write.old
    if not write.any_version:
        return _unchanged(old)
    return _with_caller(_counts_as_before(old), write.caller).parameters()


def _counts_as_before(old: ServiceUser | User) -> Condition:
    """Return the condition that an item is this principal and, if a User, counts as an OWNER as it did."""
    if not isinstance(old, User):
        return _is_same(old)
    invitation = "attribute_not_exists" if old.invitation is None else "attribute_exists"
    suspended = "attribute_not_exists" if old.suspended_at is None else "attribute_exists"
    unchanged = f"#role = :role AND {invitation}(invitation) AND {suspended}(suspendedAt)"
    return _is_same(old).and_also(Condition(unchanged, {"#role": "role"}, {":role": {"S": old.role.value}}))


def _suspension(write: Suspend) -> dict[str, Any]:
    active = Condition("attribute_not_exists(suspendedAt)", {}, {})
    update = _counts_as_before(write.old).and_also(active).parameters()
    update["ExpressionAttributeValues"] |= {
        ":version": {"S": write.new.version},
        ":suspendedAt": to_attribute(write.new.suspended_at),
        ":suspendedBy": {"S": write.new.suspended_by},
    }
    changes = "SET version = :version, suspendedAt = :suspendedAt, suspendedBy = :suspendedBy"
    if isinstance(write.old, User):
        changes += " REMOVE #sessions, #enrolment"
        names = {"#sessions": "sessions", "#enrolment": "enrolment"}
        update["ExpressionAttributeNames"] = {**update.get("ExpressionAttributeNames", {}), **names}
    return {"Key": _key(write.old), "UpdateExpression": changes, **update}


def _revoked(write: RevokeKey) -> "tuple[dict[KeyType, ApiKey], dict[KeyType, ApiKey]]":
    """Return the key of a revocation as it was, and what is left of it."""
    key = write.holder.keys[write.key_type]
    left = {} if write.predecessor is None else {write.key_type: without_predecessor(key)}
    return {write.key_type: key}, left


def _key_revocation(write: RevokeKey) -> dict[str, Any]:
    names, path = {"#keys": "keys", "#revoked": write.key_type.value}, "#keys.#revoked"
    key = Condition(f"attribute_exists({path})", names, {})
    if write.predecessor is not None:
        path += ".predecessor"
        key = Condition(f"{path}.digest = :predecessor", names, {":predecessor": {"B": write.predecessor}})
    update = _with_caller(_is_same(write.holder).and_also(key), write.caller).parameters()
    update["ExpressionAttributeValues"] |= {":version": {"S": write.version}}
    changes = "SET version = :version"
    if write.predecessor is not None:
        _, left = _revoked(write)
        changes += ", #keys.#revoked.revokedPredecessors = :revoked"
        revoked = to_attribute(left[write.key_type].revoked_predecessors)
        update["ExpressionAttributeValues"] |= {":revoked": revoked}
    return {"Key": _key(write.holder), "UpdateExpression": f"{changes} REMOVE {path}", **update}


def _with_caller(condition: Condition, caller: StillEntitled | None) -> Condition:
    return condition if caller is None else condition.and_also(_entitlement(caller))


def _entitled(write: StillEntitled) -> dict[str, Any]:
    return {"Key": _key(write.caller), **_entitlement(write).parameters()}


def _entitlement(write: StillEntitled) -> Condition:
    caller = write.caller
    condition = (
        "kind = :kind AND account = :account AND #role = :role AND attribute_not_exists(suspendedAt) AND "
    )
    names = {"#role": "role"}
    if isinstance(write.credential, PresentedKey):
        condition += (
            "(#keys.#type.digest = :digest OR #keys.#type.predecessor.digest = :digest) AND "
            "NOT #ended = :true"
        )
        names |= {
            "#keys": "keys",
            "#type": write.credential.key_type.value,
            "#ended": note(ENDED, write.credential.digest),
        }
    else:
        condition += "#sessions.#session.digest = :digest"
        names |= {"#sessions": "sessions", "#session": write.credential.id}
    values: Item = {
        ":kind": {"S": _KIND[type(caller)]},
        ":account": {"S": caller.account},
        ":role": {"S": caller.role.value},
        ":digest": {"B": write.credential.digest},
    }
    if isinstance(write.credential, PresentedKey):
        values[":true"] = {"BOOL": True}
    if isinstance(caller, User):
        condition += " AND membership = :membership"
        values[":membership"] = {"S": caller.membership}
    return Condition(condition, names, values)


def _inviter(write: InviterIsOwner) -> dict[str, Any]:
    inviter = write.inviter
    condition = Condition(
        "kind = :kind AND account = :account AND #role = :owner AND attribute_not_exists(suspendedAt) "
        f"AND {'id' if inviter.machine else 'membership'} = :this",
        {"#role": "role"},
        {
            ":kind": {"S": _KIND[ServiceUser if inviter.machine else User]},
            ":account": {"S": write.account},
            ":owner": {"S": Role.OWNER.value},
            ":this": {"S": inviter.id},
        },
    )
    if inviter.passkey:
        # The daily function leaves a passkey that it ended in the item until the next change; but what was
        # sent with one that was not used for so long has expired.
        names = {"#passkeys": "passkeys", "#passkey": inviter.passkey}
        condition = condition.and_also(Condition("attribute_exists(#passkeys.#passkey)", names, {}))
    elif inviter.key_created_at is not None:
        same_key = Condition(
            "#keys.#type.createdAt = :created AND NOT contains(#keys.#type.revokedPredecessors, :key) "
            "AND NOT #keys.#type.digest = #ended "
            "AND (attribute_not_exists(#keys.#type.expiresAt) OR #keys.#type.expiresAt > :now)",
            {"#keys": "keys", "#type": KeyType.USER_MANAGEMENT.value, "#ended": ENDED_MANAGEMENT_KEY},
            {
                ":created": {"N": str(inviter.key_created_at)},
                ":key": {"B": inviter.key},
                ":now": {"N": str(write.now)},
            },
        )
        condition = condition.and_also(same_key)
        if inviter.key_first:
            first = {":first": {"B": inviter.key_first}}
            condition = condition.and_also(
                Condition("#keys.#type.#first = :first", {"#first": "first"}, first)
            )
    return {"Key": {"pk": {"S": f"USER#{fold_username(inviter.username)}"}}, **condition.parameters()}


def _account_update(write: UpdateAccount) -> dict[str, Any]:
    return {
        "Key": account_key(write.old.id),
        "UpdateExpression": (
            "SET #name = :name, #policy = :policy, version = :new, machinesManageOwners = :machines, "
            "budgetFullAt = :full"
        ),
        "ConditionExpression": "version = :old AND size(owners) >= :owners",
        "ExpressionAttributeNames": {"#name": "name", "#policy": "policy"},
        "ExpressionAttributeValues": {
            ":name": {"S": write.new.name},
            ":policy": to_attribute(msgspec.to_builtins(write.new.policy)),
            ":new": {"S": write.new.version},
            ":machines": {"BOOL": write.new.machines_manage_owners},
            ":full": to_attribute(write.new.budget_full_at),
            ":old": {"S": write.old.version},
            ":owners": {"N": str(write.owners)},
        },
    }

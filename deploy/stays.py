"""Who had a username in an account, one after the other, by the account's events.

A username is free again once a User is revoked or a Service User deleted, so that it alone says of nobody who
they were. Events have the id of a Service User or a User's membership, which does.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from chalicelib.http.responses import moment
from chalicelib.rules.identifiers import recorded_at
from chalicelib.rules.model import Action, Kind, Principal, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import Role

Item = dict[str, Any]


class Stay(NamedTuple):
    """The time for which one User or Service User had a username in an account.

    ``ids`` are the User's memberships, several if their role was lowered to READ_ONLY, the oldest first, or
    the Service User's id; none if all events are of before ids were recorded. ``first`` is the id of the
    first event, which sorts by time, and ``ended`` that of the User's revocation; empty if there is none.
    """

    ids: tuple[str, ...]
    is_user: bool
    first: str
    ended: str = ""

    def __str__(self) -> str:
        ended = f"to {moment(recorded_at(self.ended))}" if self.ended else "not revoked, by the events"
        return f"{self.ids[-1] if self.ids else '?'} (from {moment(recorded_at(self.first))} {ended})"


class History(NamedTuple):
    """A User's stay, and those of all others who had the username in the account."""

    stay: Stay
    others: tuple[Stay, ...] = ()

    @property
    def is_last(self) -> bool:
        """Return whether nobody else had the username later."""
        return all(it.first < self.stay.first for it in self.others)

    def is_theirs_at(self, event_id: str) -> bool:
        """Return whether the username was this User's when an event happened, or would be next."""
        before = [it for it in self.others if it.first <= event_id]
        if self.stay.first <= event_id:
            return all(it.first < self.stay.first for it in before)
        return not before and all(self.stay.first < it.first for it in self.others)


def stays_of(events: Iterable[Item], folded: str, present: Principal | None) -> list[Stay]:
    """Return who had a username, by the items of an account's events, the oldest first.

    ``present`` is the principal of the account who has it now. Raises LookupError if there are events of
    before ids were recorded, and not all of them can be of one User.
    """
    first: dict[tuple[bool, str], str] = {}
    ended: dict[str, str] = {}
    lowered: set[str] = set()
    revocations = 0
    for event in events:
        for field in ("actor", "subject"):
            part = event.get(field, {}).get("M", {})
            kind = part.get("kind", {}).get("S")
            if kind in _PRINCIPALS and is_name(part.get("username"), folded):
                key = kind == Kind.USER.value, part.get("id", {}).get("S", "")
                first[key] = min(first.get(key, "~"), event["id"]["S"])
                if field == "subject" and key[0]:
                    if event["action"]["S"] == Action.USER_REVOKED.value:
                        ended[key[1]] = event["id"]["S"]
                        revocations += 1
                    elif _is_lowered(event):
                        lowered.add(key[1])
    users = sorted((at, id_) for (is_user, id_), at in first.items() if is_user and id_)
    machines = [Stay((id_,) if id_ else (), False, at) for (is_user, id_), at in first.items() if not is_user]
    start = "" if present is None else f"{present.created_at * 1000:012x}"
    if isinstance(present, User) and (True, present.membership) not in first:
        users.append((start, present.membership))
    if isinstance(present, ServiceUser) and (False, present.id) not in first:
        machines.append(Stay((present.id,), False, start))
    people: list[Stay] = []
    for at, id_ in users:
        last = people[-1].ids[-1] if people else ""
        if last in lowered and last not in ended:
            # The event that lowers a role has the membership of before, and those after it the new one.
            people[-1] = people[-1]._replace(ids=(*people[-1].ids, id_), ended=ended.get(id_, ""))
        else:
            people.append(Stay((id_,), True, at, ended.get(id_, "")))
    if (old := first.get((True, ""))) is not None:
        if machines or len(people) > 1 or revocations > 1 or (people and "" in ended):
            raise LookupError(
                f"Several had the username '{folded}', and some events are of before the trail had ids, so "
                "nobody can tell whose they are. Nothing was changed. Try again once those have expired."
            )
        [one] = people or [Stay((), True, old, ended.get("", ""))]
        people = [one._replace(first=old)]
    return sorted((*people, *machines), key=lambda it: it.first)


def history_of(stays: list[Stay], username: str, membership: str = "") -> History:
    """Return the history of the one User who had a username, or of the one with a membership.

    If nobody is known to have had it, that is of somebody whose events are gone. Raises LookupError if there
    were several and none is given, if only Service Users had it, or if nobody had it with that membership.
    """
    people = [it for it in stays if it.is_user]
    listed = "".join(f"\n  {it}" for it in people)
    if membership:
        found = [it for it in people if membership in it.ids]
        if not found:
            raise LookupError(f"No User '{username}' had the membership {membership}. Known are:{listed}")
    else:
        found = people if stays else [Stay((), True, "")]
        if not found:
            raise LookupError(f"Only Service Users had the username '{username}', and no person.")
        if len(found) > 1:
            raise LookupError(
                f"Several people had the username '{username}'. Say which with --membership:{listed}"
            )
    return History(found[0], tuple(it for it in stays if it is not found[0]))


def is_name(attribute: Any, folded: str) -> bool:
    """Return whether an item's attribute is a username, in any case."""
    return bool(attribute) and fold_username(str(attribute.get("S", ""))) == folded


def _is_lowered(event: Item) -> bool:
    """Return whether an event gave a User a new membership, for a role that administers nothing."""
    role = event.get("changes", {}).get("M", {}).get("role", {}).get("L", ())
    is_update = bool(event["action"]["S"] == Action.USER_UPDATED.value)
    return is_update and role[1:] == [{"S": Role.READ_ONLY.value}]


_PRINCIPALS = (Kind.USER.value, Kind.SERVICE_USER.value)

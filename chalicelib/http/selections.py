"""The conditions of lists, from their query parameters."""

import re
from collections.abc import Mapping

from chalicelib.rules.errors import ValidationError
from chalicelib.rules.names import LABEL_NAME, LABEL_VALUE, USERNAME, fold_username
from chalicelib.rules.roles import Role
from chalicelib.rules.selection import PeopleSelection, Selection
from chalicelib.rules.service_users import MAX_LABELS

OF_SERVICE_USERS = (
    *("role", "administrator", "label", "neverUsed", "withoutNetworks"),
    *("unusedForDays", "endingWithinDays"),
)
OF_USERS = ("role", "status", "suspended")

BY_USERNAME, OLDEST, NEWEST = SORTS = ("username", "oldest", "newest")

MAX_DAYS = 3650
"""The most days of a condition."""


def of_service_users(query: Mapping[str, str]) -> Selection:
    """Return the conditions on Service Users in a query. Raise ValidationError."""
    administrator = query.get("administrator")
    if administrator is not None and not re.match(USERNAME, administrator):
        raise ValidationError("'administrator' must be a username: 3 to 64 letters, digits, '.', '_' or '-'.")
    return Selection(
        role=_role(query),
        administrator=None if administrator is None else fold_username(administrator),
        labels=_labels(query),
        never_used=_flag(query, "neverUsed"),
        without_networks=_flag(query, "withoutNetworks"),
        unused_for_days=_days(query, "unusedForDays"),
        ending_within_days=_days(query, "endingWithinDays"),
    )


def sort_of(query: Mapping[str, str]) -> str:
    """Return how to sort Service Users: one of SORTS. Raise ValidationError.

    Raises it too for a condition beside a sort by creation: the index by creation has nothing of what
    conditions are on, so each member would have to be read.
    """
    sort = query.get("sort", BY_USERNAME)
    if sort not in SORTS:
        raise ValidationError(f"'sort' must be one of {', '.join(SORTS)}.")
    if sort != BY_USERNAME and ("prefix" in query or not of_service_users(query).is_empty):
        raise ValidationError(
            f"'sort={sort}' takes no condition: finding who fulfils one would read the whole account in that "
            "order. Leave out 'sort' or the conditions."
        )
    return sort


def of_users(query: Mapping[str, str]) -> PeopleSelection:
    """Return the conditions on Users in a query. Raise ValidationError."""
    status = query.get("status")
    if status not in (None, "INVITED", "ACTIVE"):
        raise ValidationError("'status' must be INVITED or ACTIVE.")
    return PeopleSelection(
        role=_role(query),
        invited=None if status is None else status == "INVITED",
        suspended=_flag(query, "suspended"),
    )


def _labels(query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if "label" not in query:
        return ()
    given = query["label"].split(",")
    found = [re.fullmatch(f"(?P<name>{LABEL_NAME}):(?P<value>{LABEL_VALUE})", it) for it in given]
    labels = tuple((it["name"], it["value"]) for it in found if it is not None)
    if len(labels) < len(given) or len(given) > MAX_LABELS:
        raise ValidationError(
            "'label' must be a label's name and value with a ':' between, as team:payments; several of "
            f"different names, at most {MAX_LABELS}, with a ',' between."
        )
    if len(dict(labels)) < len(labels):
        raise ValidationError("'label' has one name twice, and a label has one value. Give each name once.")
    return labels


def _role(query: Mapping[str, str]) -> Role | None:
    given = query.get("role")
    if given is not None and given not in Role.__members__:
        raise ValidationError(f"'role' must be one of {', '.join(Role.__members__)}.")
    return None if given is None else Role(given)


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Return a flag. A false one counts as not given, because generated clients send it with every call."""
    given = query.get(name, "false")
    if given not in ("true", "false"):
        raise ValidationError(f"'{name}' must be true or false.")
    return given == "true"


def _days(query: Mapping[str, str], name: str) -> int | None:
    given = query.get(name)
    if given is None:
        return None
    if not (re.fullmatch(r"[0-9]{1,4}", given) and 1 <= int(given) <= MAX_DAYS):
        raise ValidationError(f"'{name}' must be a whole number of days from 1 to {MAX_DAYS}.")
    return int(given)

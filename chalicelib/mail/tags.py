"""The tags of an email: which events it is about, and to whom it goes. SES repeats them in its reports.

SES allows letters, digits, ``_`` and ``-`` in a value, and 256 characters. So names are in hexadecimal, and
the ids of a digest email's events fill several tags. An address is there as its fingerprint alone: what is
done about a report never depends on the text of an address.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from chalicelib.rules.email_feedback import fingerprint
from chalicelib.rules.names import USERNAME
from chalicelib.rules.notifications import ASIDE, EventKey, Recipient

SET = "ses:configuration-set"
"""The tag with which SES names the configuration set that an email was sent with."""

_ACCOUNT, _RECIPIENT, _ADDRESS, _EVENTS = "account", "recipient", "address", "events"
_ID = 28
_IDS_IN_TAG = 9
_EVENT_TAG = re.compile(rf"{_EVENTS}-\d{{1,2}}")
_ASIDE = "aside"
_FORMS = {
    _ACCOUNT: re.compile(r"[0-9A-Za-z-]{1,64}"),
    _RECIPIENT: re.compile(r"([0-9a-f]{2}){3,64}"),
    _ADDRESS: re.compile(r"[0-9a-f]{32}"),
    _EVENTS: re.compile(rf"([0-9a-f]{{{_ID}}}){{1,{_IDS_IN_TAG}}}"),
    _ASIDE: re.compile("yes"),
}


class Tags(NamedTuple):
    """What the tags of an email say; ``recipient`` is a folded username."""

    events: tuple[EventKey, ...]
    recipient: str
    address: str


def tags_of(events: Iterable[EventKey], recipient: Recipient) -> list[dict[str, str]]:
    """Return the tags of an email about events of one account to a recipient, as SES takes them."""
    keys = list(events)
    tags = {
        _ACCOUNT: keys[0].account,
        _RECIPIENT: recipient.name.encode().hex(),
        _ADDRESS: fingerprint(recipient.email),
    }
    if keys[0].partition != keys[0].account:
        tags[_ASIDE] = "yes"
    for number, start in enumerate(range(0, len(keys), _IDS_IN_TAG)):
        tags[f"{_EVENTS}-{number}"] = "".join(key.id for key in keys[start : start + _IDS_IN_TAG])
    return [{"Name": name, "Value": value} for name, value in tags.items()]


def read_tags(tags: Mapping[str, Any]) -> Tags | None:
    """Return what the tags in a report of SES say; None if they are not the tags of an email of ours."""
    account, recipient, address = (_value(tags, name) for name in (_ACCOUNT, _RECIPIENT, _ADDRESS))
    ids = list(_ids(tags))
    if not (account and recipient and address and ids):
        return None
    name = bytes.fromhex(recipient).decode("ascii", "replace")
    if not re.match(USERNAME, name):
        return None
    partition = f"{ASIDE}{account}" if _value(tags, _ASIDE) else account
    return Tags(tuple(EventKey(partition, id_) for id_ in ids), name, address)


def _ids(tags: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(tags):
        if _EVENT_TAG.fullmatch(name):
            ids = _value(tags, name, _EVENTS)
            yield from (ids[start : start + _ID] for start in range(0, len(ids), _ID))


def _value(tags: Mapping[str, Any], name: str, form: str = "") -> str:
    """Return the value of a tag, which SES repeats as a list; empty if it has not the form of ours."""
    values = tags.get(name)
    value = values[0] if isinstance(values, list) and len(values) == 1 else None
    return value if isinstance(value, str) and _FORMS[form or name].fullmatch(value) else ""

"""Judges an IAM policy as an authorizer answers it: what API Gateway does with it, here."""

import re
from collections.abc import Mapping
from typing import Any


def allows(document: Mapping[str, Any], action: str, resource: str, *, loose: bool = False) -> bool:
    """Answer whether a policy document allows ``action`` on ``resource``.

    An explicit Deny wins over every Allow, and what neither speaks of is denied (IAM user guide,
    "Policy evaluation logic"). Knows Effect, Action and Resource, and refuses statements with more;
    for ``loose`` see :func:`matches`.
    """
    effects = set()
    for statement in document["Statement"]:
        if unknown := statement.keys() - {"Effect", "Action", "Resource", "Sid"}:
            raise ValueError(f"Cannot judge {', '.join(sorted(unknown))} in a policy.")
        actions, resources = (_listed(statement[element]) for element in ("Action", "Resource"))
        if any(matches(one, action, loose=True) for one in actions) and any(
            matches(one, resource, loose=loose) for one in resources
        ):
            effects.add(statement["Effect"])
    return "Allow" in effects and "Deny" not in effects


def matches(pattern: str, text: str, *, loose: bool = False) -> bool:
    """Answer whether a name in a policy, with its wildcards, is for ``text``.

    ``*`` is any number of characters, slashes too, and ``?`` is one; case counts. Within an ARN
    neither crosses a colon, but for a ``*`` that is the last character before one or of them all
    (IAM user guide, "Using wildcards in resource ARNs"). ``loose`` lets every wildcard cross, for
    that is how much of what judges policies does it.
    """
    within = "." if loose else "[^:]"
    segments = []
    for segment in pattern.split(":"):
        body, end = (segment[:-1], ".*") if segment.endswith("*") else (segment, "")
        expression = "".join({"*": f"{within}*", "?": within}.get(each, re.escape(each)) for each in body)
        segments.append(expression + end)
    return re.fullmatch(":".join(segments), text, re.DOTALL) is not None


def _listed(element: str | list[str]) -> list[str]:
    return [element] if isinstance(element, str) else element

"""Evaluates IAM policies: those that an authorizer returns, and those of the packaged template's roles.

Supports what these policies use and refuses everything else: Effect, Action, Resource, and in a role's
policy the condition operators StringEquals, StringEqualsIfExists and StringLike with their set prefixes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

# The policy of an authorizer's response


def allows(document: Mapping[str, Any], action: str, resource: str, *, loose: bool = False) -> bool:
    """Return whether a policy document allows ``action`` on ``resource``.

    An explicit Deny overrides every Allow, and what no statement matches is denied (IAM user guide,
    "Policy evaluation logic"). Raises ValueError for a statement with further elements; for ``loose``
    see :func:`matches`.
    """
    effects = set()
    for statement in document["Statement"]:
        if unknown := statement.keys() - {"Effect", "Action", "Resource", "Sid"}:
            raise ValueError(f"Cannot evaluate {', '.join(sorted(unknown))} in a policy.")
        actions, resources = (_as_list(statement[element]) for element in ("Action", "Resource"))
        if any(matches(one, action, loose=True) for one in actions) and any(
            matches(one, resource, loose=loose) for one in resources
        ):
            effects.add(statement["Effect"])
    return "Allow" in effects and "Deny" not in effects


def matches(pattern: str, text: str, *, loose: bool = False) -> bool:
    """Return whether a pattern of a policy, with its wildcards, matches ``text``.

    ``*`` matches any number of characters, slashes included, and ``?`` exactly one; case counts. Within
    an ARN neither crosses a colon, except a ``*`` that ends a segment (IAM user guide, "Using wildcards
    in resource ARNs"). ``loose`` lets every wildcard cross colons, as many policy evaluators do.
    """
    within = "." if loose else "[^:]"
    segments = []
    for segment in pattern.split(":"):
        body, end = (segment[:-1], ".*") if segment.endswith("*") else (segment, "")
        expression = "".join({"*": f"{within}*", "?": within}.get(each, re.escape(each)) for each in body)
        segments.append(expression + end)
    return re.fullmatch(":".join(segments), text, re.DOTALL) is not None


# The policies of a function's role

_EXPRESSION_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "between",
        "in",
        "set",
        "remove",
        "add",
        "delete",
        "attribute_exists",
        "attribute_not_exists",
        "attribute_type",
        "begins_with",
        "contains",
        "size",
        "if_not_exists",
        "list_append",
    ]
)
_WRITES = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


class Reading(Enum):
    """Possible values of ``dynamodb:Attributes`` for a nested attribute ``keys.MONITORING.lastUsedAt``.

    AWS documents only attributes of the item itself. A policy is evaluated under one reading, so one
    that depends on two readings at once is refused under each.
    """

    TOP_LEVEL = "the attribute of the item: keys"
    PATH = "the whole path: keys.MONITORING.lastUsedAt"
    NAMES = "the attribute of the item, and each name in ExpressionAttributeNames: keys, MONITORING"


class IamRequest(NamedTuple):
    """A request to IAM: an action on a resource, with the values of the condition keys."""

    action: str
    resource: str
    context: dict[str, frozenset[str]]


class Permission(NamedTuple):
    """One action of one statement."""

    sid: str
    action: str


def iam_requests(
    operation: str, parameters: Mapping[str, Any], *, region: str, account: str, reading: Reading
) -> Iterator[IamRequest]:
    """Yield the IAM requests that one call of DynamoDB or SES makes."""
    table_arns = f"arn:aws:dynamodb:{region}:{account}:table/"
    match operation:
        case "SendEmail":
            found = re.search(r"<?([^<>\s]+@[^<>\s]+?)>?$", parameters["FromEmailAddress"])
            sender = found[1] if found else ""
            context = {"ses:FromAddress": frozenset({sender})}
            used = parameters.get("ConfigurationSetName", "default-of-the-identity")
            for resource in _ses_resources(sender, parameters["Destination"]["ToAddresses"], used):
                # SES checks both for a raw message (SendEmail of its second API).
                for action in ("ses:SendEmail", "ses:SendRawEmail"):
                    yield IamRequest(action, f"arn:aws:ses:{region}:{account}:{resource}", context)
        case "TransactWriteItems":
            for item in parameters["TransactItems"]:
                [(kind, write)] = item.items()
                yield _dynamodb_request(_WRITES[kind], write, table_arns, reading)
        case "BatchGetItem":
            for table, wanted in parameters["RequestItems"].items():
                for key in wanted["Keys"]:
                    get = {**wanted, "Key": key, "TableName": table}
                    yield _dynamodb_request("BatchGetItem", get, table_arns, reading)
        case "BatchWriteItem":
            for table, requests in parameters["RequestItems"].items():
                for [(kind, write)] in (one.items() for one in requests):
                    item = {
                        "TableName": table,
                        "Item" if kind == "PutRequest" else "Key": next(iter(write.values())),
                    }
                    yield _dynamodb_request("BatchWriteItem", item, table_arns, reading)
        case _:
            yield _dynamodb_request(operation, parameters, table_arns, reading)


def _ses_resources(sender: str, recipients: Iterable[str], used: str) -> Iterator[str]:
    """Yield every resource that SES was observed to authorize for one message.

    The sender's identity, which can be the address, its domain, or a domain above it; the configuration set
    that is ``used``, the identity's default one if the message names none; and a recipient that is an
    identity of the account as well, as all are in the sandbox.
    """
    yield f"identity/{sender}"
    labels = sender.partition("@")[2].split(".")
    for start in range(len(labels) - 1):
        yield f"identity/{'.'.join(labels[start:])}"
    yield f"configuration-set/{used}"
    for recipient in recipients:
        yield f"identity/{recipient}"


def permissions(statements: Iterable[Mapping[str, Any]]) -> set[Permission]:
    """Return everything that statements allow, one action each."""
    return {Permission(one["Sid"], action) for one in statements for action in _as_list(one["Action"])}


def permissions_for(statements: Iterable[Mapping[str, Any]], request: IamRequest) -> set[Permission]:
    """Return the permissions that allow a request; an empty set if it is denied."""
    return {
        Permission(one["Sid"], request.action)
        for one in statements
        if request.action in _as_list(one["Action"])
        and any(matches(pattern, request.resource) for pattern in _as_list(one["Resource"]))
        and all(
            _holds(operator, tests, request.context) for operator, tests in one.get("Condition", {}).items()
        )
    }


def _dynamodb_request(
    operation: str, parameters: Mapping[str, Any], table_arns: str, reading: Reading
) -> IamRequest:
    index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
    key = parameters.get("Key") or parameters.get("Item") or {}
    # Directory's partition key is pk, that of Events account; an item of Directory can have an account too.
    partition = key.get("pk") or key.get("account") or {}
    leading = set(partition.values())
    attributes = set(_attributes(parameters, reading)) | set(key)
    context = {"dynamodb:LeadingKeys": frozenset(leading), "dynamodb:Attributes": frozenset(attributes)}
    if operation in ("GetItem", "BatchGetItem", "Scan", "Query"):
        projected = "ProjectionExpression" in parameters
        context["dynamodb:Select"] = frozenset({"SPECIFIC_ATTRIBUTES" if projected else "ALL_ATTRIBUTES"})
    else:
        context["dynamodb:ReturnValues"] = frozenset({parameters.get("ReturnValues", "NONE")})
    return IamRequest(f"dynamodb:{operation}", table_arns + parameters["TableName"] + index, context)


def _attributes(parameters: Mapping[str, Any], reading: Reading) -> Iterator[str]:
    """Yield every attribute that the expressions name, under a reading."""
    names = parameters.get("ExpressionAttributeNames", {})
    if reading is Reading.NAMES:
        yield from names.values()
    for field in ("UpdateExpression", "ConditionExpression", "ProjectionExpression"):
        for path in re.findall(r"(?<![:\w])[#A-Za-z_][\w#.]*", parameters.get(field, "")):
            if path.lower() not in _EXPRESSION_WORDS:
                parts = [names.get(part, part) for part in path.split(".")]
                yield ".".join(parts) if reading is Reading.PATH else parts[0]


def _holds(operator: str, tests: Mapping[str, Any], context: Mapping[str, frozenset[str]]) -> bool:
    kind = operator.rpartition(":")[2]
    if kind not in ("StringEquals", "StringEqualsIfExists", "StringLike"):
        raise NotImplementedError(operator)
    for name, patterns in tests.items():
        if name not in context:
            # "ForAllValues" and "IfExists" hold without the key, a hole if AWS did not send it.
            if kind == "StringEqualsIfExists":
                continue
            return False
        for value in context[name]:
            if kind.startswith("StringEquals") and value not in _as_list(patterns):
                return False
            if kind == "StringLike" and not any(matches(p, value, loose=True) for p in _as_list(patterns)):
                return False
    return True


def _as_list(element: str | list[str]) -> list[str]:
    return [element] if isinstance(element, str) else element

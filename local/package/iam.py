"""What AWS would ask IAM about a call, and what a role of the packaged template would answer."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from local.package.aws_proxy import Call
from local.package.template import ACCOUNT, REGION

_WORDS = frozenset(
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
_TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/"


class Question(NamedTuple):
    """May this be done to that, in these circumstances?"""

    action: str
    resource: str
    context: dict[str, frozenset[str]]


class Grant(NamedTuple):
    """One action of one statement."""

    sid: str
    action: str


def questions(call: Call) -> Iterator[Question]:
    """Answer what IAM is asked for one call of DynamoDB or SES."""
    asked = call.input
    match call.operation:
        case "SendEmail":
            found = re.search(r"<?([^<>\s]+@[^<>\s]+?)>?$", asked["FromEmailAddress"])
            sender = found[1] if found else ""
            # SES asks for both where the message is raw (SendEmail of its second API).
            for action in ("ses:SendEmail", "ses:SendRawEmail"):
                resource = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/{sender}"
                yield Question(action, resource, {"ses:FromAddress": frozenset({sender})})
        case "TransactWriteItems":
            for item in asked["TransactItems"]:
                [(kind, write)] = item.items()
                yield _question(_WRITES[kind], write)
        case "BatchGetItem":
            for table, wanted in asked["RequestItems"].items():
                for key in wanted["Keys"]:
                    yield _question("BatchGetItem", {**wanted, "Key": key, "TableName": table})
        case operation:
            yield _question(operation, asked)


def _question(operation: str, asked: dict[str, Any]) -> Question:
    resource = _TABLE + asked["TableName"] + (f"/index/{asked['IndexName']}" if "IndexName" in asked else "")
    key = asked.get("Key") or asked.get("Item") or {}
    leading = {value["S"] for name, value in key.items() if name in ("pk", "account") and "S" in value}
    attributes = set(_attributes(asked)) | set(key)
    context = {"dynamodb:LeadingKeys": frozenset(leading), "dynamodb:Attributes": frozenset(attributes)}
    if operation in ("GetItem", "BatchGetItem", "Scan", "Query"):
        part = "ProjectionExpression" in asked
        context["dynamodb:Select"] = frozenset({"SPECIFIC_ATTRIBUTES" if part else "ALL_ATTRIBUTES"})
    else:
        context["dynamodb:ReturnValues"] = frozenset({asked.get("ReturnValues", "NONE")})
    return Question(f"dynamodb:{operation}", resource, context)


def _attributes(asked: dict[str, Any]) -> Iterator[str]:
    """Answer every attribute that expressions name: alone, and with the path below it."""
    names = asked.get("ExpressionAttributeNames", {})
    for field in ("UpdateExpression", "ConditionExpression", "ProjectionExpression"):
        for path in re.findall(r"(?<![:\w])[#A-Za-z_][\w#.]*", asked.get(field, "")):
            if path.lower() not in _WORDS:
                parts = [names.get(part, part) for part in path.split(".")]
                yield parts[0]
                yield ".".join(parts)


def grants(statements: Iterable[dict[str, Any]]) -> set[Grant]:
    """Answer everything that statements allow, one action each."""
    return {Grant(one["Sid"], action) for one in statements for action in _listed(one["Action"])}


def allowing(statements: Iterable[dict[str, Any]], asked: Question) -> set[Grant]:
    """Answer what allows it; nothing where it is refused."""
    return {
        Grant(one["Sid"], asked.action)
        for one in statements
        if asked.action in _listed(one["Action"])
        and any(fnmatch.fnmatchcase(asked.resource, pattern) for pattern in _listed(one["Resource"]))
        and all(_holds(*condition, asked.context) for condition in one.get("Condition", {}).items())
    }


def _holds(operator: str, tests: dict[str, Any], context: dict[str, frozenset[str]]) -> bool:
    kind = operator.rpartition(":")[2]
    for name, patterns in tests.items():
        for value in context[name] if kind != "StringEqualsIfExists" else context.get(name, ()):
            if kind.startswith("StringEquals") and value not in _listed(patterns):
                return False
            if kind == "StringLike" and not any(fnmatch.fnmatchcase(value, p) for p in _listed(patterns)):
                return False
            if kind not in ("StringEquals", "StringEqualsIfExists", "StringLike"):
                raise NotImplementedError(operator)
    return True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

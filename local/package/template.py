"""The packaged template, with parameter values, and references resolved as in CloudFormation."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REGION = "us-east-1"
ACCOUNT = "123456789012"
FUNCTIONS = (
    "APIHandler",
    "Authorizer",
    "Verify",
    "Notify",
    "Resend",
    "EnforcePolicies",
    "CreateAccount",
    "RecoverOwner",
)
OPTIONAL_FUNCTIONS = ("Feedback", "Publish", "Archive")
"""Functions that a stack has where its parameters say so. The emulator does not start them."""

_PSEUDO = {
    "AWS::StackName": "service-users-test",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


NO_VALUE = "AWS::NoValue"
"""What a property has that is left out."""


class Template:
    """A template with values for its parameters.

    ``names`` maps logical to physical names; every other resource keeps its logical name. ``attributes``
    gives values for ``Fn::GetAtt``. Raises KeyError for a parameter that the template does not declare.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        parameters: Mapping[str, str],
        names: Mapping[str, str] | None = None,
        attributes: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self.resources: dict[str, Any] = dict(document["Resources"])
        declared = document["Parameters"]
        self.parameters = {name: str(p["Default"]) for name, p in declared.items() if "Default" in p}
        self.parameters.update(parameters)
        if unknown := self.parameters.keys() - declared.keys():
            raise KeyError(f"no such parameter: {unknown}")
        self._conditions = document["Conditions"]
        self._names = names or {}
        self._attributes = attributes or {}

    @classmethod
    def read(
        cls,
        file: Path,
        parameters: Mapping[str, str],
        names: Mapping[str, str] | None = None,
        attributes: Mapping[tuple[str, str], str] | None = None,
    ) -> "Template":
        """Return the template in ``file``."""
        return cls(json.loads(file.read_text(encoding="utf-8")), parameters, names, attributes)

    def properties(self, name: str) -> dict[str, Any]:
        """Return the properties of a resource, resolved."""
        resolved: dict[str, Any] = self.resolve(self.resources[name]["Properties"])
        return resolved

    def exists(self, name: str) -> bool:
        """Return whether the stack has a resource, with the parameters' values."""
        condition = self.resources[name].get("Condition")
        return condition is None or self.holds(condition)

    def of_type(self, kind: str) -> list[str]:
        """Return the logical names of all resources of a type."""
        return [name for name, resource in self.resources.items() if resource["Type"] == kind]

    def arn(self, name: str) -> str:
        """Return the ARN of a resource (``Fn::GetAtt: [name, Arn]``)."""
        physical = self._names.get(name, name)
        match self.resources[name]["Type"]:
            case "AWS::DynamoDB::Table":
                return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{physical}"
            case "AWS::SQS::Queue":
                return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{physical}"
        return f"arn:aws:any:{REGION}:{ACCOUNT}:{physical}"

    def resolve(self, node: Any) -> Any:
        """Return a part of the template with its intrinsic functions evaluated."""
        if isinstance(node, list):
            return [self.resolve(child) for child in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(function, argument)] = node.items()
            match function:
                case "Ref":
                    return self._ref(argument)
                case "Fn::GetAtt":
                    return self._attribute(argument[0], argument[1])
                case "Fn::If":
                    return self.resolve(argument[1 if self.holds(argument[0]) else 2])
                case "Fn::Join":
                    return str(argument[0]).join(self.resolve(argument[1]))
                case "Fn::Select":
                    return self.resolve(argument[1])[int(argument[0])]
                case "Fn::Split":
                    return self.resolve(argument[1]).split(argument[0])
                case "Fn::Sub":
                    text, more = (argument, {}) if isinstance(argument, str) else argument
                    return self._substitute(text, {name: self.resolve(value) for name, value in more.items()})
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value != NO_VALUE}

    def _ref(self, name: str) -> str:
        if name in self.parameters:
            return self.parameters[name]
        return _PSEUDO.get(name) or self._names.get(name, name)

    def _attribute(self, name: str, attribute: str) -> str:
        if (name, attribute) in self._attributes:
            return self._attributes[name, attribute]
        if attribute == "Arn":
            return self.arn(name)
        return f"{self._names.get(name, name)}.{attribute}"

    def _substitute(self, text: str, more: Mapping[str, str]) -> str:
        def one(found: re.Match[str]) -> str:
            name, _, attribute = found[1].partition(".")
            if name in more:
                return more[name]
            return self._attribute(name, attribute) if attribute else self._ref(name)

        return re.sub(r"\$\{([^}]+)\}", one, text)

    def holds(self, condition: str) -> bool:
        """Return whether a condition holds with the parameters' values."""
        return self._evaluate(self._conditions[condition])

    def _evaluate(self, node: Mapping[str, Any]) -> bool:
        [(function, arguments)] = node.items()
        if function == "Fn::Not":
            return not self._evaluate(arguments[0])
        if function == "Fn::Equals":
            left, right = self.resolve(arguments)
            return bool(left == right)
        if function == "Fn::And":
            return all(self._evaluate(it) for it in arguments)
        if function == "Condition":
            return self.holds(str(arguments))
        raise NotImplementedError(function)

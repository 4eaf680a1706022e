"""What CloudFormation refuses of a template before it creates anything, and cfn-lint does not know."""

import json
from collections.abc import Iterator
from typing import Any

from deploy.package import RESOURCES

IN_RULES = {
    *("Ref", "Fn::And", "Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn", "Fn::Equals", "Fn::Not"),
    *("Fn::Or", "Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"),
}


def functions(value: Any) -> Iterator[str]:
    """Yield the intrinsic functions in a part of a template."""
    if isinstance(value, dict):
        yield from (name for name in value if name == "Ref" or name.startswith("Fn::"))
        for one in value.values():
            yield from functions(one)
    elif isinstance(value, list):
        for one in value:
            yield from functions(one)


def test_rules_use_only_what_cloudformation_evaluates_in_them() -> None:
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))
    used = set(functions(template["Rules"]))
    assert used
    assert used <= IN_RULES

"""The catalogue of a stack: checked, and compared with the deployed one, before anything is deployed."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from chalicelib.authorizer.catalogue_check import Checked, InvalidCatalogue, check
from chalicelib.authorizer.route_rules import RouteRule, Rules, load_rules, rules_of
from chalicelib.rules import catalogue as catalogues
from chalicelib.rules.catalogue import USER_MANAGEMENT, Catalogue
from chalicelib.rules.roles import KeyType, Role
from deploy import aws_cli
from deploy.aws_cli import DeployError
from deploy.package import METADATA
from deploy.stack import Stack, require_valid_rules

DEFAULT_NAME = "default"
"""What an operator gives in place of a file to go back to the default catalogue."""

DEFAULT_CATALOGUE = Checked(catalogues.DEFAULT, "")
"""What a stack has that was never given a catalogue."""

GIVEN_DEFAULT = check(msgspec.json.encode(catalogues.DEFAULT).decode())
"""The same key types as a catalogue that is given, for a stack that had other ones.

What was stored under those stays readable, and the contract of a given catalogue says so.
"""

SHOWN = 20
"""The most holders of keys that a refusal names."""


def read_catalogue(named: str) -> Checked | None:
    """Return the catalogue in a file, or the default one if it is named; None if nothing is given.

    Raises DeployError if the file is missing or the catalogue invalid, with every error in it.
    """
    if not named:
        return None
    if named == DEFAULT_NAME:
        return GIVEN_DEFAULT
    try:
        return check(Path(named).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"The catalogue cannot be read: {error}") from error
    except InvalidCatalogue as invalid:
        errors = "\n  ".join(invalid.errors)
        raise DeployError(f"{named}: the catalogue is invalid (docs/catalogue.md).\n  {errors}") from None


def deployed_catalogue(stack: Stack) -> Checked:
    """Return the catalogue that a stack was deployed with. Raises DeployError if it cannot be read."""
    answer = aws_cli.ask("cloudformation", "get-template", "--stack-name", stack.name)
    body = answer.get("TemplateBody") or {}
    template = json.loads(body) if isinstance(body, str) else body
    kept = template.get("Metadata", {}).get(METADATA)
    if kept is None:
        return DEFAULT_CATALOGUE
    try:
        return check(json.dumps(kept))
    except InvalidCatalogue as invalid:
        errors = "\n  ".join(invalid.errors)
        raise DeployError(
            f"This version does not accept the catalogue of {stack.name}. "
            f"Give one: CATALOGUE=file.\n  {errors}"
        ) from None


def catalogue_to_deploy(
    stage: str, stack: Stack, parameters: Mapping[str, str], given: Checked | None
) -> Checked:
    """Return the catalogue to deploy: the one given, or else the deployed one, or else the default.

    Raises DeployError if the stack's rules for the authorizer name a key type that it does not have, and if
    what it changes would take the type of keys that work, or let existing keys do more.
    """
    deployed = DEFAULT_CATALOGUE if stack.is_new else deployed_catalogue(stack)
    is_still_default = given == GIVEN_DEFAULT and deployed == DEFAULT_CATALOGUE
    chosen = deployed if given is None or is_still_default else given
    kept = "" if stack.is_new else stack.parameters.get("AuthorizerRules", "")
    own_rules = parameters.get("AuthorizerRules", kept)
    if own_rules.strip():
        names = [it.name for it in chosen.catalogue.key_types]
        require_valid_rules("AuthorizerRules", own_rules, names)
    if not stack.is_new:
        before = load_rules(kept, None) if kept.strip() else rules_of(deployed.catalogue)
        # Rules of the operator's own are their decision; they do not follow from a catalogue.
        after = () if own_rules.strip() else rules_of(chosen.catalogue)
        _require_harmless(stage, stack, deployed.catalogue, chosen.catalogue, before, after)
    return chosen


def _require_harmless(
    stage: str, stack: Stack, old: Catalogue, new: Catalogue, before: Rules, after: Rules
) -> None:
    """Raise DeployError if keys exist whose type is removed, added, or opens more."""
    had, has = ({it.name for it in each.key_types} for each in (old, new))
    reasons = dict.fromkeys(
        sorted(had - has),
        "is not in the catalogue any more, but keys of it exist. End them first, or keep the type",
    )
    reasons |= dict.fromkeys(
        sorted(has - had),
        "is new in the catalogue, but keys of an earlier type of this name exist, which would work again. "
        "End them first, or choose another name",
    )
    reasons |= dict.fromkeys(
        sorted(name for name in had & has if opens_more(KeyType(name), before, after)),
        "opens more than before, and keys of it exist, which their Administrators never meant for that. "
        "Make another type for what is new, or end them first",
    )
    if USER_MANAGEMENT in reasons:  # whose keys are not ended
        reasons[USER_MANAGEMENT] = (
            "opens more than before, and keys of it exist. Make another type for what is new, or give the "
            "stack rules of its own (RULES=file)"
        )
    if not reasons:
        return
    refusals = list(_refusals(stage, stack, reasons))
    if refusals:
        raise DeployError("\n".join(["The catalogue cannot be changed so. Nothing was deployed.", *refusals]))


def _refusals(stage: str, stack: Stack, reasons: Mapping[str, str]) -> Iterator[str]:
    import boto3  # a development requirement, which no deployed function has

    from deploy.key_types import holders_of

    client = boto3.client("dynamodb", region_name=aws_cli.region())
    found = holders_of(client, stack.outputs["DirectoryName"], reasons.keys())
    for name, why in reasons.items():
        holders = sorted(f"{it.username} (account {it.account})" for it in found if name in it.keys)
        if holders:
            more = f" and {len(holders) - SHOWN} more" if len(holders) > SHOWN else ""
            how = "" if name == USER_MANAGEMENT else f" (make end-keys STAGE={stage} TYPE={name})"
            yield f"  {name} {why}{how}. {len(holders)} keys: {', '.join(holders[:SHOWN])}{more}."


def opens_more(key_type: KeyType, before: Rules, after: Rules) -> bool:
    """Return whether a key of a type, of any role, may call more by other rules than it may now."""
    return any(
        not any(_covers(old, rule, method, role) for old in before if key_type in old.key_types)
        for role in Role
        for rule in after
        if rule.admits(key_type, role)
        for method in rule.expanded_methods()
    )


def _covers(old: RouteRule, new: RouteRule, method: str, role: Role) -> bool:
    """Return whether a rule allows a role all that another does by one method."""
    if not (role.covers(old.least_role) and method in old.expanded_methods()):
        return False
    if new.path.endswith("/*") and not old.path.endswith("/*"):
        return False
    return old.covers(new.path.removesuffix("*"))

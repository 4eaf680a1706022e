"""What CloudFormation refuses of a template, and cfn-lint does not know; and what no emulator shows."""

import json
import re
from collections.abc import Iterator
from typing import Any

from chalicelib.rules.limits import DEFAULT, VARIABLES
from deploy.package import RESOURCES
from local.package.template import Template

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


def test_the_archive_keeps_each_event_as_its_parameters_say() -> None:
    """The emulator of AWS makes the bucket without its Object Lock, so this looks at the template."""
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))
    bucket = template["Resources"]["EventArchiveBucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert properties["ObjectLockEnabled"] is True
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    rule = properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert rule == {"Mode": {"Ref": "EventArchive"}, "Days": {"Ref": "EventArchiveDays"}}
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}


def test_only_reports_of_the_stacks_own_set_reach_its_queue() -> None:
    """The emulator reports too; which rules and policies bound it there, no emulator shows."""
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))
    resources = template["Resources"]
    own = {"Ref": "EmailConfigurationSet"}
    destination = resources["EmailEventDestination"]["Properties"]
    assert destination["ConfigurationSetName"] == own
    assert destination["EventDestination"]["MatchingEventTypes"] == ["bounce", "complaint"]
    rule = resources["FeedbackRule"]["Properties"]
    assert "EventBusName" not in rule  # SES reports to the default bus alone
    assert rule["EventPattern"]["source"] == ["aws.ses"]
    assert rule["EventPattern"]["detail"]["mail"]["tags"] == {"ses:configuration-set": [own]}
    [denied, allowed] = resources["FeedbackQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (denied["Effect"], allowed["Principal"]) == ("Deny", {"Service": "events.amazonaws.com"})
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["FeedbackRule", "Arn"]}}}
    assert resources["Feedback"]["Properties"]["Environment"]["Variables"]["CONFIGURATION_SET"] == own


def test_without_feedback_a_stack_has_nothing_of_it_and_sends_as_before() -> None:
    document = json.loads(RESOURCES.read_text(encoding="utf-8"))
    parameters = {"SenderAddress": "service-users@example.com"}
    for value in ("on", "off"):
        template = Template(document, {**parameters, "EmailFeedback": value})
        own = {
            name for name in template.resources if re.match("Feedback|Email|OwnerUnreachableReported", name)
        }
        assert len(own) >= 11
        assert {template.exists(name) for name in own} == {value == "on"}
        for mailer in ("Notify", "Resend"):
            variables = template.properties(mailer)["Environment"]["Variables"]
            assert variables["CONFIGURATION_SET"] == ("EmailConfigurationSet" if value == "on" else "")
        raised_by = template.properties("LookTomorrow")["AlarmRule"]
        assert ("FeedbackBehindAlarm" in raised_by) is (value == "on")
        assert "OwnerUnreachableAlarm" in raised_by  # for emails that SES refuses at once


def test_a_limits_parameter_takes_what_the_functions_take() -> None:
    """A value that a deploy takes and the functions refuse would stop them all."""
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))
    variables = {
        name: value["Ref"]
        for resource in template["Resources"].values()
        for name, value in resource.get("Properties", {}).get("Environment", {}).get("Variables", {}).items()
        if isinstance(value, dict) and "Ref" in value
    }
    for field, (name, least, most) in VARIABLES.items():
        parameter = template["Parameters"][variables[name]]
        bounds = [int(parameter[it]) for it in ("MinValue", "Default", "MaxValue")]
        assert bounds == [least, getattr(DEFAULT, field), most], name


def test_an_address_is_refused_that_no_browser_would_send() -> None:
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))
    allowed = re.compile(template["Parameters"]["PublicUrl"]["AllowedPattern"])
    for good in ("", "https://a.example", "https://A.b-c.example:8443", "https://a.example/x/y"):
        assert allowed.fullmatch(good), good
    for bad in (
        *("http://a.example", "HTTPS://a.example", "https://", "https://a.example/", "https://a.example/x/"),
        *("https://a.example.", "https://ä.example", "https://me@a.example", "https://a.example:"),
        *("https://a.example?x", "https://a.example/#x", "https://a .example"),
    ):
        assert not allowed.fullmatch(bad), bad

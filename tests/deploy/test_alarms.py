"""Each alarm is raised for its reason, by what the functions log and AWS measures, and no other with it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

import app
from bench import costs
from deploy.package import RESOURCES
from local.package.template import Template
from tests.authorizer.test_gateway import NAMES, golden
from tests.support.api_client import Key, Stack
from tests.support.dynamodb_faults import inject_faults, refuses
from tests.support.feedback import COMPLAINT, Feedback
from tests.support.mail import Faults, MailFixture, ses_error
from tests.support.monitoring import Monitoring

ELSEWHERE = "203.0.113.9"
THRESHOLDS = {
    "AlarmGatewayThrottles": "3",
    "AlarmBudgetRefusals": "3",
    "AlarmRefusedSignIns": "3",
    "AlarmKeysOutsideNetworks": "3",
}


@pytest.fixture
def monitoring() -> Monitoring:
    return monitoring_of("rest")


def monitoring_of(gateway: str) -> Monitoring:
    document = json.loads(RESOURCES.read_text(encoding="utf-8"))
    parameters = {"SenderAddress": "service-users@example.com", "EventBus": "on", **THRESHOLDS}
    made = Monitoring(Template(document, {**parameters, "Gateway": gateway}))
    made.add("ServiceUsers/service-users-test", "EventsUnpublished", 0)
    return made


def call(stack: Stack, monitoring: Monitoring, method: str, path: str, *more: Any, **others: Any) -> int:
    """Call the API as deployed: its function logs, and API Gateway measures and logs its response."""
    with monitoring.running("APIHandlerLog"):
        status = stack.call(method, path, *more, **others).status
    monitoring.respond(status)
    return status


def refused(stack: Stack, monitoring: Monitoring, key: Key | None, times: int = 3, **more: Any) -> None:
    for _ in range(times):
        assert call(stack, monitoring, "GET", "/v1/whoami", key, **more) in (401, 403)


def test_nothing_is_raised_where_nothing_is_wrong(stack: Stack, monitoring: Monitoring) -> None:
    owner = stack.account()
    assert call(stack, monitoring, "GET", "/v1/whoami", owner) == 200
    assert call(stack, monitoring, "GET", "/v1/service-users/nobody", owner) == 404
    assert (monitoring.raised(), monitoring.composites()) == (set(), set())


def test_a_refused_sign_in_is_counted_by_its_reason(stack: Stack, monitoring: Monitoring) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "bot", "CLUSTER_ADMIN", allowedNetworks=["198.51.100.0/24"])
    expires = {"keyType": "PROVISIONING", "expiresAt": "2030-03-17T18:00:00Z"}
    assert stack.call("PATCH", "/v1/service-users/bot/api-keys", owner, expires).status == 200
    replaced = keys["PROVISIONING_READONLY"]
    body = {"keyType": "PROVISIONING_READONLY", "overlapSeconds": 60}
    assert stack.call("POST", "/v1/service-users/bot/api-keys/rotate", owner, body).status == 200
    stack.clock.forward(2 * 86_400)
    other = stack.service_user(owner, "other")["MONITORING"]
    reasons: list[tuple[str, Key | None, dict[str, Any]]] = [
        ("MISSING", None, {}),
        ("MISSING", None, {"headers": {"authorization": "Basic ???"}}),
        ("MALFORMED", Key("bot", "not-a-key"), {}),
        ("WRONG", Key("bot", other.secret), {}),
        ("WRONG", Key("nobody", other.secret), {}),
        ("EXPIRED", keys["PROVISIONING"], {}),
        ("EXPIRED", replaced, {}),
        ("NETWORK", keys["MONITORING"], {"source_ip": ELSEWHERE}),
    ]
    for reason, key, more in reasons:
        before = monitoring.total("SignInsRefused", Reason=reason)
        whole = sum(monitoring.total("SignInsRefused", Reason=it) for it, *_ in set(map(first, reasons)))
        refused(stack, monitoring, key, 1, **more)
        assert monitoring.total("SignInsRefused", Reason=reason) == before + 1
        after = sum(monitoring.total("SignInsRefused", Reason=it) for it, *_ in set(map(first, reasons)))
        assert after == whole + 1
    assert stack.call("POST", "/v1/service-users/bot/suspend", owner).status == 200
    refused(stack, monitoring, keys["MONITORING"], 1)
    assert monitoring.total("SignInsRefused", Reason="SUSPENDED") == 1


def first(reason: tuple[Any, ...]) -> tuple[Any, ...]:
    return reason[:1]


def test_what_is_refused_after_sign_in_is_no_refused_sign_in(stack: Stack, monitoring: Monitoring) -> None:
    owner = stack.account()
    machine = stack.service_user(owner, "bot")["MONITORING"]
    for _ in range(4):
        assert call(stack, monitoring, "GET", "/v1/events", machine) == 403
    assert not [name for _, name, _ in monitoring.samples if name == "SignInsRefused"]
    assert monitoring.raised() == set()


@pytest.mark.parametrize("wrong", ["malformed", "wrong"])
def test_many_wrong_keys_raise_an_alarm_for_tomorrow(
    stack: Stack, monitoring: Monitoring, wrong: str
) -> None:
    owner = stack.account()
    other = stack.service_user(owner, "bot")["MONITORING"]
    key = Key("owner", "not-a-key" if wrong == "malformed" else other.secret)
    refused(stack, monitoring, key, 2)
    assert monitoring.raised() == set()
    refused(stack, monitoring, key, 1)
    assert (monitoring.raised(), monitoring.composites()) == ({"RefusedSignInsAlarm"}, {"LookTomorrow"})


def test_the_authorizer_and_verify_count_as_the_api_does(stack: Stack, monitoring: Monitoring) -> None:
    stack.account()
    event = golden(NAMES[0], Key("owner", "not-a-key").header)
    with monitoring.running("AuthorizerLog"), pytest.raises(Exception, match=r"^Unauthorized$"):
        app.authorizer(event, None)
    asked = {"sourceIp": "198.51.100.7", "method": "GET", "path": "/", "authorization": "Bearer not-a-key"}
    for _ in range(2):
        with monitoring.running("VerifyLog"):
            assert app.verify(asked, None)["status"] == 401
    assert monitoring.total("SignInsRefused", Reason="MALFORMED") == 3
    assert monitoring.raised() == {"RefusedSignInsAlarm"}


def test_requests_without_credentials_raise_nothing(stack: Stack, monitoring: Monitoring) -> None:
    """Scanners of the internet send them all day."""
    refused(stack, monitoring, None, 10)
    assert monitoring.total("SignInsRefused", Reason="MISSING") == 10
    assert monitoring.raised() == set()


def test_right_keys_from_elsewhere_raise_their_own_alarm(stack: Stack, monitoring: Monitoring) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "bot", allowedNetworks=["198.51.100.0/24"])
    refused(stack, monitoring, keys["MONITORING"], 2, source_ip=ELSEWHERE)
    assert monitoring.raised() == set()
    refused(stack, monitoring, keys["MONITORING"], 1, source_ip=ELSEWHERE)
    assert monitoring.raised() == {"KeysOutsideNetworksAlarm"}
    assert monitoring.composites() == {"LookTomorrow"}


def test_the_keys_of_a_suspended_holder_raise_nothing(stack: Stack, monitoring: Monitoring) -> None:
    """Its machines go on asking; that is what a suspension is for."""
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    assert stack.call("POST", "/v1/service-users/bot/suspend", owner).status == 200
    refused(stack, monitoring, key, 10)
    assert monitoring.raised() == set()


@pytest.mark.parametrize("gateway", ["rest", "http"])
@pytest.mark.parametrize(
    ("refused_by_gateway", "raised", "composite"),
    [("THROTTLED", "GatewayThrottlesAlarm", "PageMe"), ("-", "BudgetRefusalsAlarm", "LookTomorrow")],
)
def test_a_429_of_the_gateway_and_one_of_a_budget_raise_one_alarm_each(
    gateway: str, refused_by_gateway: str, raised: str, composite: str
) -> None:
    monitoring = monitoring_of(gateway)
    for _ in range(3):
        monitoring.respond(429, refused_by_gateway)
    assert (monitoring.raised(), monitoring.composites()) == ({raised}, {composite})


@pytest.mark.parametrize("gateway", ["rest", "http"])
def test_the_api_is_watched_whichever_its_kind(gateway: str) -> None:
    monitoring = monitoring_of(gateway)
    for status in (200, 404, 429):
        monitoring.respond(status)
    assert monitoring.raised() == set()
    monitoring.respond(500)
    assert monitoring.raised() == {"ServerErrorsAlarm"}
    monitoring = monitoring_of(gateway)
    monitoring.add("AWS/ApiGateway", "Latency", 2500, **monitoring.api)
    assert monitoring.raised() == {"LatencyAlarm"}


def test_a_429_of_a_budget_raises_the_budgets_alarm(
    stack: Stack, monitoring: Monitoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    limits = stack.service.directory.limits._replace(key_searches_per_minute=1)
    monkeypatch.setattr(stack.service.directory, "limits", limits)
    statuses = [
        call(stack, monitoring, "POST", "/v1/api-keys/find", owner, {"last5": "abcde"}) for _ in range(4)
    ]
    assert statuses[1:] == [429, 429, 429]
    assert (monitoring.raised(), monitoring.composites()) == ({"BudgetRefusalsAlarm"}, {"LookTomorrow"})


def test_a_new_owner_raises_the_owners_alarm_and_is_counted(
    stack: Stack, mail: MailFixture, monitoring: Monitoring
) -> None:
    owner = stack.account()
    with monitoring.running("NotifyLog"):
        mail.resend()
    assert (monitoring.total("OwnersChange"), monitoring.total("NewOwners")) == (1, 1)
    stack.user(owner, "admin", "CLUSTER_ADMIN")
    with monitoring.running("NotifyLog"):
        mail.resend()
    assert monitoring.total("OwnersChange") == 1
    stack.call(
        "POST", "/v1/users", owner, {"username": "ann", "email": "ann@people.example", "role": "OWNER"}
    )
    with monitoring.running("ResendLog"):
        mail.resend()
    assert (monitoring.total("OwnersChange"), monitoring.total("NewOwners")) == (2, 1)
    stack.activate("ann")
    assert stack.call("PUT", "/v1/users/admin", owner, {"role": "OWNER"}).status == 200
    with monitoring.running("NotifyLog"):
        mail.resend()
    assert (monitoring.total("OwnersChange"), monitoring.total("NewOwners")) == (4, 3)
    assert stack.call("PUT", "/v1/users/admin", owner, {"role": "READ_ONLY"}).status == 200
    with monitoring.running("NotifyLog"):
        mail.resend()
    assert (monitoring.total("OwnersChange"), monitoring.total("NewOwners")) == (5, 3)
    assert (monitoring.raised(), monitoring.composites()) == ({"OwnersChangeAlarm"}, {"LookTomorrow"})


def test_an_owner_whom_emails_do_not_reach_raises_its_alarm_and_other_failures_none(
    mail: MailFixture, monitoring: Monitoring
) -> None:
    """An address that bounces is the OWNERs' business; their own, where nobody else is notified, ours."""
    mail.demo_account("alice")
    feedback = Feedback(mail)
    mail.notify(mail.event())
    with monitoring.running("FeedbackLog"):
        feedback.fails("alice@people.example")
        feedback.fails("alice@people.example", COMPLAINT)
    with monitoring.running("ResendLog"):
        mail.resend()
    assert monitoring.total("EmailsFailed", Outcome="PERMANENT_BOUNCE") == 1
    assert monitoring.total("EmailsFailed", Outcome="COMPLAINT") == 1
    assert monitoring.raised() == set()
    with monitoring.running("FeedbackLog"):
        feedback.fails("owner@people.example")
    assert (monitoring.raised(), monitoring.composites()) == ({"OwnerUnreachableAlarm"}, {"LookTomorrow"})


@pytest.mark.parametrize("log", ["NotifyLog", "ResendLog"])
def test_the_failing_address_of_the_only_owner_raises_its_alarm(
    mail: MailFixture, monitoring: Monitoring, log: str
) -> None:
    mail.demo_account()
    feedback = Feedback(mail)
    mail.notify(mail.event(administrators={"owner": "m-owner"}))
    with monitoring.running("FeedbackLog"):
        feedback.fails("owner@people.example")
    assert monitoring.raised() == set()
    with monitoring.running(log):
        mail.resend()
    assert monitoring.raised() == {"OwnerUnreachableAlarm"}


@pytest.mark.parametrize("log", ["NotifyLog", "ResendLog"])
@pytest.mark.parametrize("others", [True, False])
def test_an_event_of_which_ses_refuses_every_email_raises_its_alarm(
    mail: MailFixture, monitoring: Monitoring, log: str, others: bool
) -> None:
    mail.demo_account("alice", "bob")

    def hook(recipient: str) -> None:
        if not others or recipient == "bob@people.example":
            raise ses_error("MessageRejected", "The address is on the suppression list.")

    mail.ses.hook = hook
    event = mail.event(administrators={"alice": "m-alice", "bob": "m-bob"})
    with monitoring.running(log):
        mail.notify(event) if log == "NotifyLog" else mail.resend()
    assert monitoring.raised() == (set() if others else {"OwnerUnreachableAlarm"})


def test_a_denied_call_of_feedback_pages(mail: MailFixture, monitoring: Monitoring) -> None:
    def deny(_number: int, operation: str) -> str:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, operation)

    mail.demo_account("alice")
    feedback = Feedback(mail)
    mail.notify(mail.event())
    feedback.client = Faults(deny).wrap(mail.client)
    with monitoring.running("FeedbackLog"):
        assert feedback.fails("alice@people.example") == ["0"]
    assert (monitoring.raised(), monitoring.composites()) == ({"AccessDeniedAlarm"}, {"PageMe"})


def test_a_server_error_pages(stack: Stack, monitoring: Monitoring) -> None:
    owner = stack.account()
    with inject_faults(stack, "GetItem", refuses("InternalServerError", 500), repeat_last=True):
        assert call(stack, monitoring, "GET", "/v1/whoami", owner) == 503
    assert (monitoring.raised(), monitoring.composites()) == ({"ServerErrorsAlarm"}, {"PageMe"})


def test_a_denied_call_pages(stack: Stack, monitoring: Monitoring) -> None:
    owner = stack.account()
    with inject_faults(stack, "GetItem", refuses("AccessDeniedException"), repeat_last=True):
        assert call(stack, monitoring, "GET", "/v1/whoami", owner) >= 500
    assert monitoring.raised() == {"AccessDeniedAlarm", "ServerErrorsAlarm"}
    assert monitoring.composites() == {"PageMe"}


MEASURED: dict[str, Callable[[Monitoring], object]] = {
    "LatencyAlarm": lambda it: it.add(
        "AWS/ApiGateway", "Latency", 2500, ApiName="service-users-test", Stage="api"
    ),
    "ThrottlesAlarm": lambda it: it.add("AWS/Lambda", "Throttles", 1, FunctionName="Authorizer"),
    "FunctionErrorsAlarm": lambda it: it.add("AWS/Lambda", "Errors", 1, FunctionName="Notify"),
    "StreamLagAlarm": lambda it: it.add("AWS/Lambda", "IteratorAge", 400_000, FunctionName="Notify"),
    "DeadLettersAlarm": lambda it: it.add(
        "AWS/SQS", "ApproximateNumberOfMessagesVisible", 1, QueueName="DeadLetters.QueueName"
    ),
    "OwnerRecoveredAlarm": lambda it: it.add("AWS/Lambda", "Invocations", 1, FunctionName="RecoverOwner"),
    "EventsWaitingAlarm": lambda it: it.log("ResendLog", {"level": "INFO", "waiting": 3}),
    "EventsUnpublishedAlarm": lambda it: (
        it.samples.pop(("ServiceUsers/service-users-test", "EventsUnpublished", frozenset())) and None
    ),
    "ResendIdleAlarm": lambda it: (
        it.samples.pop(("AWS/Lambda", "Invocations", frozenset({("FunctionName", "Resend")}))) and None
    ),
    "EnforcePoliciesIdleAlarm": lambda it: (
        it.samples.pop(("AWS/Lambda", "Invocations", frozenset({("FunctionName", "EnforcePolicies")})))
        and None
    ),
    "BouncesAlarm": lambda it: it.add("AWS/SES", "Reputation.BounceRate", 0.06),
    "FeedbackBehindAlarm": lambda it: it.add(
        "AWS/SQS", "ApproximateAgeOfOldestMessage", 3600, QueueName="FeedbackQueue.QueueName"
    ),
    "ComplaintsAlarm": lambda it: it.add("AWS/SES", "Reputation.ComplaintRate", 0.002),
    "PublishErrorsAlarm": lambda it: it.add("AWS/Lambda", "Errors", 1, FunctionName="Publish"),
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_aws_measures_raises_one_alarm_and_one_composite(name: str, monitoring: Monitoring) -> None:
    MEASURED[name](monitoring)
    assert monitoring.raised() == {name}
    assert len(monitoring.composites()) == 1


def test_usual_rates_of_bounces_and_complaints_raise_nothing(monitoring: Monitoring) -> None:
    monitoring.add("AWS/SES", "Reputation.BounceRate", 0.04)
    monitoring.add("AWS/SES", "Reputation.ComplaintRate", 0.0005)
    assert monitoring.raised() == set()


def test_the_costs_count_every_alarm() -> None:
    """Those of a stack with every parameter at its default."""
    document = json.loads(RESOURCES.read_text(encoding="utf-8"))
    made, template = Template(document, {"SenderAddress": "a@example.com"}), document["Resources"]
    alarms = [template[name] for name in made.of_type("AWS::CloudWatch::Alarm") if made.exists(name)]
    expressions = [it["Properties"].get("Metrics", ()) for it in alarms]
    counted = sum(sum("MetricStat" in it for it in metrics) or 1 for metrics in expressions)
    composites = sum(it["Type"] == "AWS::CloudWatch::CompositeAlarm" for it in template.values())
    assert (counted, composites) == (costs.ALARMED_METRICS, costs.COMPOSITE_ALARMS)


def test_every_alarm_is_in_one_composite() -> None:
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))["Resources"]
    composites = [one for one in template.values() if one["Type"] == "AWS::CloudWatch::CompositeAlarm"]
    assert len(composites) == 2
    for name, resource in template.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            named = [one for one in composites if f"${{{name}}}" in json.dumps(one)]
            assert len(named) == 1, name

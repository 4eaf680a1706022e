"""``make smoke``: checks that a deployed stack works, with a temporary account in it.

Every function is called once, so that its role's permissions are used, and what must be refused
is tried. The account uses addresses of SES's mailbox simulator, which accepts mail in the sandbox too
and delivers it to nobody. At the end the account is deleted.
"""

import base64
import contextlib
import http.client
import json
import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from deploy import aws_cli
from deploy.checks import CheckFailed, Report, Skipped, Warned
from deploy.maintenance import delete_account
from deploy.stack import FunctionFailed, Stack, describe_stack, invoke, log_groups, stack_name

MAIL_SECONDS = 60
_LIMITED = {"keyType": "MONITORING"}
_SECRET = re.compile(r"su[ki]_[0-9A-Za-z]{20}")
_FOREIGN = "203.0.113.77"


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed. Raise CheckFailed if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CheckFailed(f"A {self.status} response is not JSON.") from None


class Smoke:
    """The checks of one stack; ``url`` is where its API is called."""

    def __init__(self, stage: str, url: str = "", only: frozenset[str] = frozenset()) -> None:
        self.report = Report("smoke", stage, only)
        self.name = stack_name(stage)
        self.url = url
        self.stack = Stack(self.name)
        self.resources: dict[str, str] = {}
        self.began_ms = int(time.time() * 1000)
        self.suffix = secrets.token_hex(4)
        self.owner = ("", "")
        self.account = ""
        self.bot = f"smoke-bot-{self.suffix}"
        self.keys: dict[str, str] = {}

    def run(self) -> Report:
        """Run every check, print each result, clean up, and return the report."""
        check = self.report.check
        if not check("stack", self._stack, needed=True):
            return self.report
        for name, make in self._of_the_stack().items():
            check(name, make)
        try:
            if check("create_account", self._create_account, needed=True):
                for name, make in self._of_the_account().items():
                    check(name, make, needed=name in _NEEDED)
        finally:
            if self.account:
                check("cleaned up", self._clean_up, needed=True)
        for name, make in {"logs": self._logs, "access log": self._access_log}.items():
            check(name, make)
        return self.report

    def _of_the_stack(self) -> dict[str, Callable[[], str | None]]:
        return {
            "one stage": self._one_stage,
            "throttle": self._throttle,
            "TLS": self._tls,
            "stream": self._stream,
            "schedules": self._schedules,
            "concurrency of the functions": self._reserved,
            "alarm subscription": self._subscription,
            "dead letters": self._dead_letters,
        }

    def _of_the_account(self) -> dict[str, Callable[[], str | None]]:
        return {
            "sign in": self._sign_in,
            "wrong key": self._wrong_key,
            "method not allowed": self._method,
            "unknown path": self._unknown_path,
            "large body": self._large_body,
            "invite": self._invite,
            "create a Service User": self._create_bot,
            "a machine manages nothing": self._machine,
            "networks": self._networks,
            "authorizer": self._authorizer,
            "rotate": self._rotate,
            "revoke": self._revoke,
            "emails": self._emails,
            "resend": lambda: self._scheduled("Resend"),
            "enforce_policies": lambda: self._scheduled("EnforcePolicies"),
            "recover_owner": self._recover_owner,
        }

    # The stack

    def _stack(self) -> str:
        self.stack = describe_stack(self.name)
        if not self.stack.status.endswith("_COMPLETE") or self.stack.status == "ROLLBACK_COMPLETE":
            raise CheckFailed(f"{self.name} is {self.stack.status or 'not there'}: make deploy.")
        self.url = (
            self.url or self.stack.parameters.get("PublicUrl") or self.stack.outputs["EndpointURL"]
        ).rstrip("/")
        listed = aws_cli.ask("cloudformation", "list-stack-resources", "--stack-name", self.name)
        self.resources = {
            one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
            for one in listed["StackResourceSummaries"]
        }
        self.report.about["deployed"] = self.stack.outputs.get("Version", "")
        return f"version {self.report.about['deployed']}"

    def _one_stage(self) -> None:
        stages = aws_cli.ask("apigateway", "get-stages", "--rest-api-id", self.resources["RestAPI"])["item"]
        names = sorted(stage["stageName"] for stage in stages)
        if names != ["api"]:
            others = ", ".join(name for name in names if name != "api")
            raise CheckFailed(
                f"The API has other stages, without throttle, log and alarms: {others}. Delete them: "
                "aws apigateway delete-stage"
            )

    def _throttle(self) -> str:
        [stage] = [
            one
            for one in aws_cli.ask("apigateway", "get-stages", "--rest-api-id", self.resources["RestAPI"])[
                "item"
            ]
            if one["stageName"] == "api"
        ]
        settings = stage.get("methodSettings", {}).get("*/*", {})
        if not settings.get("throttlingRateLimit"):
            raise CheckFailed("The stage 'api' has no throttle, which is the bound on cost: deploy again.")
        return f"{settings['throttlingRateLimit']:g} calls a second"

    def _tls(self) -> str | None:
        parts = urlsplit(self.url)
        if parts.scheme != "https":
            raise Skipped("The URL is not https.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=10, context=context)
        try:
            connection.connect()
        except (ssl.SSLError, ConnectionError):
            return "TLS 1.1 is refused"
        finally:
            connection.close()
        raise CheckFailed("TLS 1.1 is accepted: deploy with a TlsPolicy, or set the domain name's.")

    def _stream(self) -> None:
        mappings = aws_cli.ask(
            "lambda", "list-event-source-mappings", "--function-name", self.resources["Notify"]
        )
        states = [one["State"] for one in mappings["EventSourceMappings"]]
        if states != ["Enabled"]:
            raise CheckFailed(
                f"The stream does not feed notify ({', '.join(states) or 'no mapping'}): deploy again."
            )

    def _schedules(self) -> None:
        for logical, name in self.resources.items():
            if logical in ("ResendResendEvent", "EnforcePoliciesEnforcePoliciesEvent"):
                state = aws_cli.ask("events", "describe-rule", "--name", name)["State"]
                if state != "ENABLED":
                    raise CheckFailed(f"The rule {logical} is {state}: aws events enable-rule --name {name}")

    def _reserved(self) -> None:
        for logical in _FUNCTIONS:
            reserved = aws_cli.ask(
                "lambda", "get-function-concurrency", "--function-name", self.resources[logical]
            )
            if reserved.get("ReservedConcurrentExecutions") == 0:
                raise CheckFailed(
                    f"{logical} may not run: aws lambda delete-function-concurrency --function-name "
                    f"{self.resources[logical]}"
                )

    def _subscription(self) -> None:
        if not self.stack.parameters.get("AlarmAddress"):
            raise Warned("Nobody is mailed by the alarms: deploy with ALARMS=address.")
        found = aws_cli.ask("sns", "list-subscriptions-by-topic", "--topic-arn", self.resources["Alarms"])
        if not [one for one in found["Subscriptions"] if one["SubscriptionArn"].startswith("arn:")]:
            raise Warned(
                "Nobody has confirmed the link in the mail of AWS Notifications: no alarm is mailed."
            )

    def _dead_letters(self) -> None:
        queue, attribute = self.stack.outputs["DeadLettersUrl"], "ApproximateNumberOfMessages"
        found = _client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[attribute])
        if count := int(found["Attributes"][attribute]):
            raise CheckFailed(f"{count} dead letters: docs/operations.md, Work the dead letters.")

    # The account

    def _create_account(self) -> None:
        username = f"smoke-owner-{self.suffix}"
        payload = {
            "accountName": f"Smoke {self.suffix}",
            "username": username,
            "email": self._address("success"),
        }
        made = invoke(self.resources["CreateAccount"], payload)
        self.account = made["account"]
        self.owner = (username, made["apiKey"])

    def _sign_in(self) -> None:
        answer = self._call("GET", "/v1/whoami", self.owner)
        self._expect(answer, 200)
        if answer.json["role"] != "OWNER":
            raise CheckFailed("The first person of an account is not its OWNER.")

    def _wrong_key(self) -> None:
        wrong = (self.owner[0], self.owner[1][:-6] + "000000")
        for key in (wrong, (self.owner[0], "wrong"), None):
            answer = self._call("GET", "/v1/whoami", key)
            self._expect(answer, 401)
            names = {name.lower() for name in answer.headers}
            if not names & {"www-authenticate", "x-amzn-remapped-www-authenticate"}:
                raise CheckFailed("A 401 has no challenge.")

    def _method(self) -> None:
        for method in ("PATCH", "DELETE"):
            answer = self._call(method, "/v1/whoami", self.owner)
            self._expect(answer, 405)
            if "GET" not in answer.headers.get("Allow", ""):
                raise CheckFailed("A 405 does not say in Allow what is allowed.")

    def _unknown_path(self) -> None:
        for key in (self.owner, None):
            answer = self._call("GET", "/v1/nowhere", key)
            if answer.status not in (403, 404):
                raise CheckFailed(f"An unknown path is answered with {answer.status}.")
            sent = _basic(self.owner)["Authorization"]
            if self.owner[1].encode() in answer.body or sent.encode() in answer.body:
                raise CheckFailed("The response to an unknown path repeats the Authorization header.")
        if answer.status == 403:
            raise Warned("An unknown path is 403 and no problem document: gateway responses are not applied.")

    def _large_body(self) -> None:
        body = {"username": "x" * 70_000}
        self._expect(self._call("POST", "/v1/service-users", self.owner, body), 413)

    def _invite(self) -> None:
        body = {"username": f"smoke-user-{self.suffix}", "email": self._address("ooto"), "role": "READ_ONLY"}
        self._expect(self._call("POST", "/v1/users", self.owner, body), 201)

    def _create_bot(self) -> None:
        body = {"username": self.bot, "email": f"{self.bot}@machines.invalid", "role": "READ_ONLY"}
        answer = self._call("POST", "/v1/service-users", self.owner, body)
        self._expect(answer, 201)
        self.keys = {key["keyType"]: key["key"] for key in answer.json["apiKeys"]["apiKeys"]}
        escaped = self.bot.replace("-", "%2D")
        self._expect(self._call("GET", f"/v1/service-users/{escaped}", self.owner), 200)

    def _machine(self) -> None:
        machine = (self.bot, self.keys["MONITORING"])
        self._expect(self._call("GET", "/v1/whoami", machine), 200)
        for method, path in (("GET", "/v1/service-users"), ("GET", "/v1/users"), ("GET", "/v1/events")):
            self._expect(self._call(method, path, machine), 403)
        self._expect(self._call("DELETE", f"/v1/service-users/{self.bot}", machine), 403)

    def _networks(self) -> None:
        path = f"/v1/service-users/{self.bot}/api-keys"
        elsewhere = {**_LIMITED, "allowedNetworks": [f"{_FOREIGN}/32"]}
        self._expect(self._call("PATCH", path, self.owner, elsewhere), 200)
        self._expect(self._call("GET", "/v1/whoami", (self.bot, self.keys["MONITORING"])), 403)
        self._expect(self._call("PATCH", path, self.owner, {**_LIMITED, "allowedNetworks": []}), 200)

    def _authorizer(self) -> None:
        name, key = self.bot, self.keys["PROVISIONING_READONLY"]
        decision = self._authorize(name, key, _FOREIGN)
        if decision.get("principalId") != name:
            raise CheckFailed("The authorizer does not know a good key.")
        try:
            self._authorize(name, key[:-6] + "000000", _FOREIGN)
        except FunctionFailed as error:
            if str(error) != "Unauthorized":
                raise CheckFailed(
                    "The authorizer fails instead of refusing a wrong key: see its log."
                ) from None
        else:
            raise CheckFailed("The authorizer lets a wrong key in.")
        # Both are written by its own role: the use of a key, and a refusal by network.
        if not self._key("PROVISIONING_READONLY")["lastUsedAt"]:
            raise CheckFailed(
                "The authorizer does not note the use of a key, and a policy would revoke it as inactive. "
                "If that says AccessDenied, deploy with PARAMETERS=AttributeConditions=off."
            )
        body = {"keyType": "PROVISIONING_READONLY", "allowedNetworks": ["198.51.100.1/32"]}
        self._expect(self._call("PATCH", f"/v1/service-users/{self.bot}/api-keys", self.owner, body), 200)
        refused = self._authorize(name, key, _FOREIGN)
        if "Allow" in json.dumps(refused):
            raise CheckFailed("The authorizer lets a key in from outside its networks.")
        if not [event for event in self._events(self.bot) if event["sourceIp"] == _FOREIGN]:
            raise CheckFailed("The authorizer does not put a refusal on record: see its log.")

    def _rotate(self) -> None:
        old = self.keys["MONITORING"]
        answer = self._call("POST", "/v1/api-keys/rotate", (self.bot, old), {"overlapSeconds": 600})
        self._expect(answer, 200)
        new = answer.json["key"]
        for key in (old, new):
            self._expect(self._call("GET", "/v1/whoami", (self.bot, key)), 200)
        answer = self._call("POST", f"/v1/service-users/{self.bot}/api-keys/rotate", self.owner, _LIMITED)
        self._expect(answer, 200)
        for key in (old, new):
            self._expect(self._call("GET", "/v1/whoami", (self.bot, key)), 401)
        self.keys["MONITORING"] = answer.json["key"]

    def _revoke(self) -> None:
        machine = (self.bot, self.keys["MONITORING"])
        self._expect(self._call("GET", "/v1/whoami", machine), 200)
        answer = self._call("DELETE", f"/v1/service-users/{self.bot}/api-keys", self.owner, _LIMITED)
        self._expect(answer, 204)
        self._expect(self._call("GET", "/v1/whoami", machine), 401)

    def _emails(self) -> str:
        ends = time.monotonic() + MAIL_SECONDS
        while True:
            events = self._events()
            waiting = [event for event in events if event["mail"]["waiting"]]
            lost = [
                event for event in events if set(event["mail"]["undeliverable"]) - set(event["mail"]["told"])
            ]
            if lost:
                raise CheckFailed(f"SES refused an address of its own simulator for {lost[0]['action']}.")
            if not waiting:
                return f"{sum(bool(event['mail']['told']) for event in events)} events were mailed"
            if time.monotonic() > ends:
                raise CheckFailed(
                    f"{len(waiting)} events are not mailed after {MAIL_SECONDS} s ({waiting[-1]['action']}). "
                    "docs/operations.md, Events waiting: the log of notify says why."
                )
            time.sleep(2)

    def _scheduled(self, function: str) -> str:
        event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": []}
        event |= {
            "version": "0",
            "id": self.suffix,
            "account": "",
            "region": "",
            "time": "2026-01-01T00:00:00Z",
        }
        counts = invoke(self.resources[function], event)
        return ", ".join(f"{name} {count}" for name, count in counts.items())

    def _recover_owner(self) -> None:
        old = self.owner
        made = invoke(self.resources["RecoverOwner"], {"username": self.owner[0]})
        self.owner = (self.owner[0], made["apiKey"])
        self._expect(self._call("GET", "/v1/whoami", self.owner), 200)
        self._expect(self._call("GET", "/v1/whoami", old), 401)

    def _clean_up(self) -> None:
        tables = self.stack.outputs["DirectoryName"], self.stack.outputs["EventsName"]
        delete_account(_client("dynamodb"), *tables, self.account)
        if self.owner[1]:
            self._expect(self._call("GET", "/v1/whoami", self.owner), 401)

    # The logs

    def _logs(self) -> str:
        lines = 0
        for group in log_groups(self.name):
            for event in self._logged(group):
                lines += 1
                short = group.rpartition("/")[2]
                if _SECRET.search(event):
                    raise CheckFailed(
                        f"The log '{short}' has a key or a token. Delete it, and report this bug."
                    )
                if "AccessDenied" in event:
                    raise CheckFailed(
                        f"The log '{short}' has AccessDenied: docs/operations.md, Access denied."
                    )
                if '"ERROR"' in event and "Unauthorized" not in event:
                    raise CheckFailed(
                        f"The log '{short}' has a line of level ERROR: docs/operations.md, Function errors."
                    )
        return f"{lines} lines"

    def _access_log(self) -> str:
        lines = 0
        for event in self._logged(f"/service-users/{self.name}/access"):
            lines += 1
            with contextlib.suppress(ValueError):
                if json.loads(event)["status"]:
                    continue
            raise CheckFailed("A line of the access log is not JSON, so no filter finds it.")
        if not lines:
            raise Warned("There is no line yet; API Gateway writes them within minutes. Run this again.")
        return f"{lines} lines"

    def _logged(self, group: str) -> list[str]:
        since = ("--start-time", str(self.began_ms))
        found = aws_cli.run("logs", "filter-log-events", "--log-group-name", group, *since, check=False)
        if found is None:
            raise CheckFailed(f"The log group {group} is not there: deploy again.")
        return [event["message"] for event in aws_cli.parse(found).get("events", ())]

    # Calls

    def _call(self, method: str, path: str, key: tuple[str, str] | None, body: Any = None) -> Answer:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=30)
        headers = _basic(key) if key else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, parts.path + path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except (OSError, http.client.HTTPException) as error:
            raise CheckFailed(f"{method} {path} is not answered: {type(error).__name__}.") from None
        finally:
            connection.close()

    def _expect(self, answer: Answer, status: int) -> None:
        if answer.status != status:
            detail = ""
            with contextlib.suppress(CheckFailed):
                detail = _SECRET.sub("…", str(answer.json.get("detail", "")))
            raise CheckFailed(f"{answer.status} instead of {status}. {detail}".strip())

    def _authorize(self, name: str, key: str, source_ip: str) -> dict[str, Any]:
        arn = "arn:aws:execute-api:us-east-1:123456789012:smoke/live/GET/v1/clusters"
        decision: dict[str, Any] = invoke(
            self.resources["Authorizer"],
            {
                "type": "REQUEST",
                "methodArn": arn,
                "headers": _basic((name, key)),
                "requestContext": {"identity": {"sourceIp": source_ip}},
            },
        )
        return decision

    def _key(self, key_type: str) -> dict[str, Any]:
        answer = self._call("GET", f"/v1/service-users/{self.bot}", self.owner)
        self._expect(answer, 200)
        [found] = [key for key in answer.json["apiKeys"]["apiKeys"] if key["keyType"] == key_type]
        return dict(found)

    def _events(self, username: str = "") -> list[dict[str, Any]]:
        only = f"&username={username}" if username else ""
        answer = self._call("GET", f"/v1/events?limit=100{only}", self.owner)
        self._expect(answer, 200)
        events: list[dict[str, Any]] = answer.json
        return events

    def _address(self, mailbox: str) -> str:
        """Return an address of SES's simulator."""
        return f"{mailbox}@simulator.amazonses.com"


_NEEDED = frozenset({"sign in", "create a Service User"})
_FUNCTIONS = (
    *("APIHandler", "Authorizer", "Verify", "Notify", "Resend"),
    *("EnforcePolicies", "CreateAccount", "RecoverOwner"),
)


def smoke(stage: str, url: str = "", only: frozenset[str] = frozenset()) -> Report:
    """Check a deployed stack, and return the report. Raise DeployError if the AWS CLI is missing."""
    return Smoke(stage, url, only).run()


def _client(service: Literal["dynamodb", "sqs"]) -> Any:
    import boto3  # a development requirement; no function has it

    return boto3.client(service, region_name=aws_cli.region())


def _basic(key: tuple[str, str]) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(":".join(key).encode()).decode()}

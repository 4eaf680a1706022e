"""``make smoke``: checks that a deployed stack works, with a temporary account in it.

Every function is called once, so that its role's permissions are used, and what must be refused
is tried. The account uses addresses of SES's mailbox simulator, which accepts mail in the sandbox too
and delivers it to nobody. At the end the account is deleted.
"""

import base64
import contextlib
import datetime
import hashlib
import http.client
import json
import re
import secrets
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from deploy import aws_cli
from deploy.checks import CheckFailed, Report, Skipped, Warned
from deploy.maintenance import delete_account
from deploy.package import PROJECT
from deploy.stack import FunctionFailed, Stack, describe_stack, invoke, log_groups, stack_name

MAIL_SECONDS = 60
PAUSE = 2.0
"""Seconds between two looks at whether the emails have gone out."""
EXPIRY_SECONDS = 2
_LARGE = (6_500_000, 10_500_000)
"""Bytes of a body that Lambda refuses, and of one that API Gateway refuses before it."""
_VIEWER = PROJECT / "chalicelib" / "http" / "viewer"
_EVERYWHERE = {"allowedNetworks": ["0.0.0.0/0", "::/0"]}
"""Restrictions that restrict nothing, and that a key type accepts that requires networks."""
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
        self.first = self.second = ""
        """The types of two of its keys. The second is empty if the catalogue has one type for READ_ONLY."""

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
            "IPv6": self._ipv6,
            "stream": self._stream,
            "schedules": self._schedules,
            "concurrency of the functions": self._reserved,
            "alarm subscription": self._subscription,
            "dead letters": self._dead_letters,
            "rights of the roles": self._rights,
            "documentation": self._documentation,
        }

    def _of_the_account(self) -> dict[str, Callable[[], str | None]]:
        return {
            "sign in": self._sign_in,
            "wrong key": self._wrong_key,
            "method not allowed": self._method,
            "unknown path": self._unknown_path,
            "media type": self._media_type,
            "large body": self._large_body,
            "invite": self._invite,
            "create a Service User": self._create_bot,
            "a machine manages nothing": self._machine,
            "networks": self._networks,
            "authorizer": self._authorizer,
            "verify": self._verify,
            "rotate": self._rotate,
            "revoke": self._revoke,
            "enforce_policies": self._enforce_policies,
            "emails": self._emails,
            "resend": self._resend,
            "publish": self._publish,
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
        names = sorted(self._stages())
        own = self._stage_name()
        if names != [own]:
            others = ", ".join(name for name in names if name != own)
            service = "apigatewayv2" if self._is_http_api() else "apigateway"
            raise CheckFailed(
                f"The API has other stages, without throttle, log and alarms: {others}. Delete them: "
                f"aws {service} delete-stage"
            )

    def _throttle(self) -> str:
        stage = self._stages()[self._stage_name()]
        if self._is_http_api():
            limit = stage.get("DefaultRouteSettings", {}).get("ThrottlingRateLimit")
        else:
            limit = stage.get("methodSettings", {}).get("*/*", {}).get("throttlingRateLimit")
        if not limit:
            raise CheckFailed(
                f"The stage '{self._stage_name()}' has no throttle, which is the bound on cost: deploy again."
            )
        return f"{float(limit):g} calls a second"

    def _is_http_api(self) -> bool:
        return self.stack.gateway == "http"

    def _stage_name(self) -> str:
        return "$default" if self._is_http_api() else "api"

    def _stages(self) -> dict[str, dict[str, Any]]:
        """Return the stages of the API by name, as API Gateway describes them."""
        if self._is_http_api():
            found = aws_cli.ask("apigatewayv2", "get-stages", "--api-id", self.resources["HttpApi"])
            return {stage["StageName"]: stage for stage in found["Items"]}
        found = aws_cli.ask("apigateway", "get-stages", "--rest-api-id", self.resources["RestAPI"])
        return {stage["stageName"]: stage for stage in found["item"]}

    def _tls(self) -> str | None:
        parts = urlsplit(self.url)
        if parts.scheme != "https":
            raise Skipped("The URL is not https.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Nothing is sent, and whoever answers: a certificate that is not trusted must not pass for a refusal.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=10, context=context)
        try:
            connection.connect()
        except ssl.SSLError as error:
            if error.reason == "NO_PROTOCOLS_AVAILABLE":
                raise Skipped("This machine's OpenSSL has no TLS 1.1 to try.") from None
            return "TLS 1.1 is refused"
        except ConnectionError:
            return "TLS 1.1 is refused"
        finally:
            connection.close()
        raise CheckFailed("TLS 1.1 is accepted: deploy with a TlsPolicy, or set the domain name's.")

    def _ipv6(self) -> str:
        if self.stack.parameters.get("IpAddressType") != "dualstack":
            raise Skipped("The stack is deployed for IPv4 alone.")
        host = str(urlsplit(self.stack.outputs["EndpointURL"]).hostname)
        try:
            socket.getaddrinfo(host, 443, socket.AF_INET6)
        except socket.gaierror:
            raise CheckFailed(
                f"{host} has no IPv6 address: deploy with PARAMETERS=IpAddressType=dualstack."
            ) from None
        return "there is an address"

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
        for logical in (*_FUNCTIONS, *(name for name in _OPTIONAL_FUNCTIONS if name in self.resources)):
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

    def _rights(self) -> str:
        """Ask IAM itself whether the roles are as narrow as the template has them."""
        directory = f"table/{self.stack.outputs['DirectoryName']}"
        for role, action, allowed in _RIGHTS:
            if self._may(role, action, directory) != allowed:
                raise CheckFailed(
                    f"{role} {'may' if not allowed else 'may not'} {action}, unlike in the template: "
                    "somebody changed the role, or a boundary does. Undo that, or deploy again."
                )
        return f"{len(_RIGHTS)} rights asked for"

    def _may(self, role: str, action: str, table: str) -> bool:
        name = self.resources[role]
        described = aws_cli.ask("iam", "get-role", "--role-name", name)["Role"]["Arn"]
        _, partition, _, _, account, _ = described.split(":", 5)
        resource = (
            f"arn:{partition}:dynamodb:{aws_cli.region()}:{account}:{table}"
            if action.startswith("dynamodb:")
            else f"arn:{partition}:ses:{aws_cli.region()}:{account}:identity/example.com"
        )
        found = aws_cli.ask(
            *("iam", "simulate-principal-policy", "--policy-source-arn", described),
            *("--action-names", action, "--resource-arns", resource),
        )
        return bool(found["EvaluationResults"][0]["EvalDecision"] == "allowed")

    def _documentation(self) -> str:
        described = self._call("GET", "/openapi.json", None)
        self._expect(described, 200)
        public = self.stack.parameters.get("PublicUrl") or self.stack.outputs["EndpointURL"]
        named = [str(server["url"]).rstrip("/") for server in described.json["servers"]]
        if named != [public.rstrip("/")]:
            raise CheckFailed(f"openapi.json names {', '.join(named)} as its server, instead of {public}.")
        self._expect(self._call("GET", "/docs", None), 200)
        files = [file for file in sorted(_VIEWER.iterdir()) if file.suffix in (".js", ".css")]
        for file in files:
            response = self._call("GET", f"/docs/{file.name}", None)
            self._expect(response, 200)
            if hashlib.sha256(response.body).digest() != hashlib.sha256(file.read_bytes()).digest():
                raise CheckFailed(
                    f"/docs/{file.name} is not the file of this version. Deploy this version, or check "
                    "out the deployed one."
                )
        return f"{len(files)} files are as they were packaged"

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
        response = self._call("GET", "/v1/whoami", self.owner)
        self._expect(response, 200)
        if response.json["role"] != "OWNER":
            raise CheckFailed("The first person of an account is not its OWNER.")

    def _wrong_key(self) -> None:
        wrong = (self.owner[0], self.owner[1][:-6] + "000000")
        for key in (wrong, (self.owner[0], "wrong"), None):
            response = self._call("GET", "/v1/whoami", key)
            self._expect(response, 401)
            names = {name.lower() for name in response.headers}
            if not names & {"www-authenticate", "x-amzn-remapped-www-authenticate"}:
                raise CheckFailed("A 401 has no challenge.")

    def _method(self) -> None:
        self._expect(self._call("HEAD", "/v1/whoami", self.owner), 200)
        for method in ("PATCH", "DELETE", "OPTIONS"):
            response = self._call(method, "/v1/whoami", self.owner)
            self._expect(response, 405)
            if "GET" not in response.headers.get("Allow", ""):
                raise CheckFailed("A 405 does not say in Allow what is allowed.")

    def _unknown_path(self) -> None:
        for key in (self.owner, None):
            response = self._call("GET", "/v1/nowhere", key)
            if response.status not in (403, 404):
                raise CheckFailed(f"An unknown path returned {response.status}.")
            sent = _basic(self.owner)["Authorization"]
            if self.owner[1].encode() in response.body or sent.encode() in response.body:
                raise CheckFailed("The response to an unknown path repeats the Authorization header.")
        if response.status == 403:
            raise Warned("An unknown path is 403 and no problem document: gateway responses are not applied.")

    def _media_type(self) -> None:
        image = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
        for path in ("/v1/service-users", "/v1/users"):
            self._expect(self._send("POST", path, self.owner, image, "image/png"), 415)

    def _large_body(self) -> str:
        body = {"username": "x" * 70_000}
        self._expect(self._call("POST", "/v1/service-users", self.owner, body), 413)
        statuses = []
        for size in _LARGE:
            response = self._send("POST", "/v1/service-users", self.owner, b" " * size, "application/json")
            if not (400 <= response.status < 500 or response.status in (500, 502)):
                raise CheckFailed(f"A body of {size} bytes returned {response.status}.")
            statuses.append(response.status)
        if max(statuses) >= 500:
            raise Warned(f"A body that Lambda or API Gateway refuses returned {max(statuses)}.")
        return f"{', '.join(f'{size / 1e6:g} MB' for size in _LARGE)}: {', '.join(map(str, statuses))}"

    def _invite(self) -> None:
        body = {"username": f"smoke-user-{self.suffix}", "email": self._address("ooto"), "role": "READ_ONLY"}
        self._expect(self._call("POST", "/v1/users", self.owner, body), 201)

    def _create_bot(self) -> None:
        body = {"username": self.bot, "email": f"{self.bot}@machines.invalid", "role": "READ_ONLY"}
        response = self._call("POST", "/v1/service-users", self.owner, body)
        if response.status == 400:  # a key type requires networks
            response = self._call("POST", "/v1/service-users", self.owner, {**body, **_EVERYWHERE})
        self._expect(response, 201)
        made = response.json["apiKeys"]
        self.keys = {key["keyType"]: key["key"] for key in made["apiKeys"]}
        for allowed in made["allowedApiKeyTypes"]:
            if len(self.keys) < 2 and allowed["name"] not in self.keys:
                wanted = {"keyType": allowed["name"], **_EVERYWHERE}
                path = f"/v1/service-users/{self.bot}/api-keys"
                more = self._call("POST", path, self.owner, wanted)
                self._expect(more, 201)
                self.keys[allowed["name"]] = more.json["key"]
        self.first, self.second = (*self.keys, "")[:2]
        escaped = self.bot.replace("-", "%2D")
        self._expect(self._call("GET", f"/v1/service-users/{escaped}", self.owner), 200)

    def _machine(self) -> None:
        machine = (self.bot, self.keys[self.first])
        self._expect(self._call("GET", "/v1/whoami", machine), 200)
        for method, path in (("GET", "/v1/service-users"), ("GET", "/v1/users"), ("GET", "/v1/events")):
            self._expect(self._call(method, path, machine), 403)
        self._expect(self._call("DELETE", f"/v1/service-users/{self.bot}", machine), 403)

    def _networks(self) -> None:
        path = f"/v1/service-users/{self.bot}/api-keys"
        elsewhere = {"keyType": self.first, "allowedNetworks": [f"{_FOREIGN}/32"]}
        self._expect(self._call("PATCH", path, self.owner, elsewhere), 200)
        self._expect(self._call("GET", "/v1/whoami", (self.bot, self.keys[self.first])), 403)
        everywhere = {"keyType": self.first, **_EVERYWHERE}
        self._expect(self._call("PATCH", path, self.owner, everywhere), 200)

    def _authorizer(self) -> None:
        name, key = self.bot, self._second_key()
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
        if not self._key(self.second)["lastUsedAt"]:
            raise CheckFailed(
                "The authorizer does not note the use of a key, and a policy would revoke it as inactive. "
                "If that says AccessDenied, deploy with PARAMETERS=AttributeConditions=off."
            )
        body = {"keyType": self.second, "allowedNetworks": ["198.51.100.1/32"]}
        self._expect(self._call("PATCH", f"/v1/service-users/{self.bot}/api-keys", self.owner, body), 200)
        refused = self._authorize(name, key, _FOREIGN)
        if "Allow" in json.dumps(refused):
            raise CheckFailed("The authorizer lets a key in from outside its networks.")
        if not [event for event in self._events(self.bot) if event["sourceIp"] == _FOREIGN]:
            raise CheckFailed("The authorizer does not record a refusal: see its log.")

    def _verify(self) -> None:
        key = self.keys[self.first]
        for secret, status in ((key, 200), (key[:-6] + "000000", 401)):
            question = {
                "sourceIp": _FOREIGN,
                "method": "GET",
                "path": "/v1/clusters",
                "authorization": _basic((self.bot, secret))["Authorization"],
            }
            decision = invoke(self.resources["Verify"], question)
            # Rules of the deployment may not open this path: whose key it is is told even so.
            if status == 200 and decision["status"] == 403 and decision.get("username") == self.bot:
                continue
            if decision["status"] != status or decision["allowed"] != (status == 200):
                raise CheckFailed(f"verify decides {decision['status']} instead of {status}: see its log.")

    def _rotate(self) -> None:
        old = self.keys[self.first]
        response = self._call("POST", "/v1/api-keys/rotate", (self.bot, old), {"overlapSeconds": 600})
        self._expect(response, 200)
        new = response.json["key"]
        for key in (old, new):
            self._expect(self._call("GET", "/v1/whoami", (self.bot, key)), 200)
        response = self._call(
            "POST", f"/v1/service-users/{self.bot}/api-keys/rotate", self.owner, {"keyType": self.first}
        )
        self._expect(response, 200)
        for key in (old, new):
            self._expect(self._call("GET", "/v1/whoami", (self.bot, key)), 401)
        self.keys[self.first] = response.json["key"]

    def _revoke(self) -> None:
        machine = (self.bot, self.keys[self.first])
        self._expect(self._call("GET", "/v1/whoami", machine), 200)
        response = self._call(
            "DELETE", f"/v1/service-users/{self.bot}/api-keys", self.owner, {"keyType": self.first}
        )
        self._expect(response, 204)
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
            time.sleep(PAUSE)

    def _enforce_policies(self) -> str:
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=EXPIRY_SECONDS)
        self._second_key()
        body = {"keyType": self.second, "expiresAt": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
        self._expect(self._call("PATCH", f"/v1/service-users/{self.bot}/api-keys", self.owner, body), 200)
        time.sleep(EXPIRY_SECONDS)
        counts = self._scheduled("EnforcePolicies")
        if not counts.get("done"):
            raise Warned(f"The sweep is not done in one run: {_listed(counts)}. The next one goes on.")
        if not counts.keys() - {"done"}:
            raise Warned(
                "Today's sweep was done before, so that its role was asked for little. Run this again "
                "tomorrow (UTC) before the first full hour, or in a stage of its own."
            )
        if [key for key in self._keys() if key["keyType"] == body["keyType"]]:
            raise CheckFailed("The sweep does not end an expired key: see the log of enforce_policies.")
        return _listed(counts)

    def _resend(self) -> str:
        return _listed(self._scheduled("Resend")) or "nothing waits"

    def _publish(self) -> str:
        if "Publish" not in self.resources:
            raise Skipped("The stack does not publish its events.")
        counts: dict[str, int] = invoke(self.resources["Publish"], {})
        if counts.get("late"):
            raise CheckFailed(f"{counts['late']} events are not published: see the log of publish.")
        return _listed(counts)

    def _scheduled(self, function: str) -> dict[str, int]:
        event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": []}
        event |= {
            "version": "0",
            "id": self.suffix,
            "account": "",
            "region": "",
            "time": "2026-01-01T00:00:00Z",
        }
        counts: dict[str, int] = invoke(self.resources[function], event)
        return counts

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
                if "was not noted" in event:
                    raise CheckFailed(f"The log '{short}' says that a use or refusal of a key was not noted.")
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
        data = None if body is None else json.dumps(body).encode()
        return self._send(method, path, key, data, "application/json")

    def _send(
        self, method: str, path: str, key: tuple[str, str] | None, data: bytes | None, media_type: str
    ) -> Answer:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=30)
        headers = _basic(key) if key else {}
        if data is not None:
            headers["Content-Type"] = media_type
        try:
            connection.request(method, parts.path + path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except (OSError, http.client.HTTPException) as error:
            raise CheckFailed(f"{method} {path} got no response: {type(error).__name__}.") from None
        finally:
            connection.close()

    def _expect(self, response: Answer, status: int) -> None:
        if response.status != status:
            detail = ""
            with contextlib.suppress(CheckFailed):
                detail = _SECRET.sub("…", str(response.json.get("detail", "")))
            raise CheckFailed(f"{response.status} instead of {status}. {detail}".strip())

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

    def _keys(self) -> list[dict[str, Any]]:
        response = self._call("GET", f"/v1/service-users/{self.bot}", self.owner)
        self._expect(response, 200)
        keys: list[dict[str, Any]] = response.json["apiKeys"]["apiKeys"]
        return keys

    def _second_key(self) -> str:
        if not self.second:
            raise Skipped("The catalogue has one key type that a READ_ONLY may hold.")
        return self.keys[self.second]

    def _key(self, key_type: str) -> dict[str, Any]:
        [found] = [key for key in self._keys() if key["keyType"] == key_type]
        return found

    def _events(self, username: str = "") -> list[dict[str, Any]]:
        only = f"&username={username}" if username else ""
        response = self._call("GET", f"/v1/events?limit=100{only}", self.owner)
        self._expect(response, 200)
        events: list[dict[str, Any]] = response.json
        return events

    def _address(self, mailbox: str) -> str:
        """Return an address of SES's simulator."""
        return f"{mailbox}@simulator.amazonses.com"


_NEEDED = frozenset({"sign in", "create a Service User"})
_FUNCTIONS = (
    *("APIHandler", "Authorizer", "Verify", "Notify", "Resend"),
    *("EnforcePolicies", "CreateAccount", "RecoverOwner"),
)
_OPTIONAL_FUNCTIONS = ("Feedback", "Publish", "Archive")
_RIGHTS = (
    ("APIHandlerRole", "dynamodb:GetItem", True),
    ("APIHandlerRole", "dynamodb:Scan", False),
    ("APIHandlerRole", "ses:SendEmail", False),
    ("AuthorizerRole", "dynamodb:PutItem", False),
    ("AuthorizerRole", "dynamodb:Query", False),
    ("VerifyRole", "dynamodb:PutItem", False),
    ("NotifyRole", "dynamodb:PutItem", False),
    ("NotifyRole", "dynamodb:DeleteItem", False),
    ("NotifyRole", "ses:SendEmail", False),  # in nobody's name
    ("ResendRole", "ses:SendEmail", False),
    ("EnforcePoliciesRole", "dynamodb:DeleteTable", False),
)
"""What roles may do to the table Directory or in SES, asked without any further word: the first is
there to see that IAM answers."""


def smoke(stage: str, url: str = "", only: frozenset[str] = frozenset()) -> Report:
    """Check a deployed stack, and return the report. Raise DeployError if the AWS CLI is missing."""
    return Smoke(stage, url, only).run()


def _client(service: Literal["dynamodb", "sqs"]) -> Any:
    import boto3  # a development requirement; no function has it

    return boto3.client(service, region_name=aws_cli.region())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _basic(key: tuple[str, str]) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(":".join(key).encode()).decode()}

"""A deployed stack on this machine: packaged functions, API Gateway, DynamoDB Local, and moto's SES."""

import email
import email.policy
import json
import logging
import re
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import ExitStack
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import boto3
from moto.server import ThreadedMotoServer

from local import budgets
from local.package.api_gateway import ApiGateway, HttpApi, ResponseObserver, ignore_response
from local.package.aws_proxy import AwsProxy
from local.package.event_source_mapping import EventSourceMapping
from local.package.runtime import Function
from local.package.template import ACCOUNT, FUNCTIONS, REGION, Template
from local.server import HttpServer
from local.tables import create_tables

SENDER = "service-users@example.com"


class Key(NamedTuple):
    """Credentials of a caller: a username and an API key."""

    username: str
    secret: str


class ApiResponse(NamedTuple):
    """The HTTP response to a call."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Email(NamedTuple):
    """An email as SES accepted it."""

    recipient: str
    message: EmailMessage

    @property
    def text(self) -> str:
        """The plain text part, or nothing."""
        part = self.message.get_body(("plain",))
        return "" if part is None else part.get_content()

    @property
    def token(self) -> str:
        """The invitation's token. Raises LookupError if the email has none."""
        found = re.search(r"sui_\w+", self.text)
        if found is None:
            raise LookupError("This email has no token.")
        return found[0]


class Emulator(ExitStack):
    """One deployed stack, with tables of its own. Close it after use.

    ``packaged`` is the folder that ``python -m deploy package`` makes, ``engine`` the URL of DynamoDB
    Local, ``logs`` a folder for the functions' logs. ``observe`` is called with every response of the
    API's function. The functions reach DynamoDB at ``endpoint``, if it is given. With ``proxied``, every
    function calls AWS through an ``AwsProxy``. Without a ``public_url``, the stack has API Gateway's own
    address. ``gateway`` is ``rest`` or ``http``, as the stack's parameter.
    """

    def __init__(
        self,
        packaged: Path,
        engine: str,
        logs: Path,
        *,
        proxied: bool = True,
        endpoint: str = "",
        observe: ResponseObserver = ignore_response,
        public_url: str = "https://users.example.com",
        gateway: str = "rest",
    ) -> None:
        super().__init__()
        suffix = uuid4().hex[:8]
        names = {"Directory": f"Directory-{suffix}", "Events": f"Events-{suffix}"}
        resources = packaged / "sam.json"
        self.session = boto3.Session(
            aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION
        )
        self.dynamodb = self.session.client("dynamodb", endpoint_url=engine)
        self.streams = self.session.client("dynamodbstreams", endpoint_url=engine)
        tables = create_tables(self.dynamodb, names, resources)
        for name in names.values():
            self.callback(self.dynamodb.delete_table, TableName=name)
        self.directory, self.events = names["Directory"], names["Events"]
        self.stream_arn = tables["Events"]["LatestStreamArn"]
        self.template = Template.read(
            resources,
            {"SenderAddress": SENDER, "PublicUrl": public_url, "Gateway": gateway},
            names,
            {("Events", "StreamArn"): self.stream_arn},
        )
        self.mail = MailServer()
        self.callback(self.mail.close)
        self.proxies: dict[str, FunctionProxies] = {}
        self.functions: dict[str, Function] = {}
        for name in FUNCTIONS:
            endpoints = endpoint or engine, self.mail.url
            if proxied:
                proxies = self.proxies[name] = FunctionProxies(AwsProxy(engine), AwsProxy(self.mail.url))
                self.callback(proxies.dynamodb.close)
                self.callback(proxies.ses.close)
                endpoints = proxies.dynamodb.url, proxies.ses.url
            self.functions[name] = self._function(packaged / "unpacked", name, *endpoints, logs)
            self.callback(self.functions[name].close)
        api = HttpApi if self.template.exists("HttpApi") else ApiGateway
        respond = api(self.template, self.functions["APIHandler"], observe).respond
        self.url = self.enter_context(HttpServer(respond).serving()).url
        mapping = self.template.properties("Notify")["Events"]["NotifyDynamodbEventSource"]["Properties"]
        self.event_source = EventSourceMapping(
            self.streams, self.stream_arn, mapping, self.functions["Notify"].invoke
        )

    def _function(self, code: Path, name: str, dynamodb: str, ses: str, logs: Path) -> Function:
        properties = self.template.properties(name)
        return Function(
            name=name,
            task_root=code,
            handler=properties["Handler"],
            variables={
                **properties.get("Environment", {}).get("Variables", {}),
                **budgets.HIGHEST,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
                "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
                "AWS_ENDPOINT_URL_SESV2": ses,
            },
            seconds=float(properties["Timeout"]),
            logs=logs,
        )

    # Actions of customers and operators

    def call(
        self, method: str, path: str, key: Key | None = None, body: Any = None, **headers: str
    ) -> ApiResponse:
        """Call the API over HTTP and return the response, whatever its status."""
        data = None if body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if key is not None:
            sent["Authorization"] = "Basic " + b64encode(f"{key.username}:{key.secret}".encode()).decode()
        request = Request(self.url + path, data, sent, method=method)
        try:
            with urlopen(request, timeout=60) as response:
                return ApiResponse(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return ApiResponse(error.code, cast("Mapping[str, str]", error.headers), error.read())

    def create_account(self, name: str = "Acme", username: str = "") -> Key:
        """Create an account as its operator does, and return its first OWNER's key."""
        username = username or f"owner-{uuid4().hex[:8]}"
        created = self.functions["CreateAccount"].invoke(
            {"accountName": name, "username": username, "email": f"{username}@example.com"}
        )
        return Key(created["username"], created["apiKey"])

    def recover_owner(self, username: str) -> Key:
        """Issue a replacement key to a locked-out OWNER as the operator does, and return it."""
        recovered = self.functions["RecoverOwner"].invoke({"username": username})
        return Key(recovered["username"], recovered["apiKey"])

    # Actions of AWS

    def deliver_stream(self) -> int:
        """Pass all new records of the stream to ``notify``, and return how many there were."""
        return self.event_source.deliver()

    def run_schedule(self, name: str) -> Any:
        """Run a scheduled function once, and return its result."""
        return self.functions[name].invoke(
            {
                "version": "0",
                "id": str(uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": ACCOUNT,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "region": REGION,
                "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"],
                "detail": {},
            }
        )

    # Inspection

    def logs(self) -> str:
        """Return everything that the functions have logged."""
        return "".join(function.read_logs() for function in self.functions.values())

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return every item of a table, in DynamoDB's attribute form."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [dict(item) for page in pages for item in page["Items"]]


class FunctionProxies(NamedTuple):
    """The proxies through which one function calls AWS."""

    dynamodb: AwsProxy
    ses: AwsProxy


class MailServer:
    """moto's SES, and the emails it has accepted."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST")):
            pass
        client = boto3.client(
            "sesv2",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        client.create_email_identity(EmailIdentity=SENDER)

    def sent(self) -> list[Email]:
        """Return every email so far, in the order in which SES accepted them."""
        from moto.backends import get_backend

        return [_email(message) for message in get_backend("ses")[ACCOUNT][REGION].sent_messages]

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()


def _email(sent: Any) -> Email:
    message = email.message_from_string(sent.raw_data, policy=email.policy.default)
    [recipient] = set(sent.destinations)  # moto lists both the call's destination and the message's own To
    return Email(recipient, message)

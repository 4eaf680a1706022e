"""The whole stack on this machine: packaged functions, API Gateway's side, DynamoDB Local, moto's SES."""

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
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import boto3
from moto.server import ThreadedMotoServer

from chalicelib.store.items import from_attribute
from local.package.api_gateway import Front, FrontServer
from local.package.aws_proxy import Proxy
from local.package.event_source_mapping import EventSource
from local.package.runtime import Function
from local.package.template import ACCOUNT, FUNCTIONS, REGION, Template
from local.tables import create_tables
from tests.support.secret_scan import CapturedOutput, assert_no_secret, assert_no_secret_in_output

SENDER = "service-users@example.com"


class Key(NamedTuple):
    """Who signs in, with what."""

    username: str
    secret: str


class Answer(NamedTuple):
    """What a call answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Mail(NamedTuple):
    """An email as SES took it."""

    recipient: str
    message: EmailMessage

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return "" if part is None else part.get_content()

    @property
    def token(self) -> str:
        found = re.search(r"sui_\w+", self.text)
        if found is None:
            raise LookupError("There is no token in this email.")
        return found[0]


class Cloud(ExitStack):
    """A stack of its own: tables with names that nobody else has. Close it after use."""

    def __init__(self, packaged: Path, engine: str, logs: Path, *, proxied: bool = True) -> None:
        super().__init__()
        mark = uuid4().hex[:8]
        names = {"Directory": f"Directory-{mark}", "Events": f"Events-{mark}"}
        resources = packaged / "sam.json"
        credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": REGION}
        self.session = boto3.Session(**credentials)
        self.dynamodb = self.session.client("dynamodb", endpoint_url=engine)
        self.streams = self.session.client("dynamodbstreams", endpoint_url=engine)
        tables = create_tables(self.dynamodb, names, resources)
        for name in names.values():
            self.callback(self.dynamodb.delete_table, TableName=name)
        self.directory, self.events = names["Directory"], names["Events"]
        self.stream_arn = tables["Events"]["LatestStreamArn"]
        self.template = Template.read(
            resources,
            {"SenderAddress": SENDER, "PublicUrl": "https://users.example.com"},
            names,
            {("Events", "StreamArn"): self.stream_arn},
        )
        self.mail = MailServer()
        self.callback(self.mail.close)
        self.proxies: dict[str, tuple[Proxy, Proxy]] = {}
        self.functions: dict[str, Function] = {}
        for name in FUNCTIONS:
            if proxied:
                proxy, mail_proxy = self.proxies[name] = Proxy(engine), Proxy(self.mail.url)
                self.callback(proxy.close)
                self.callback(mail_proxy.close)
                endpoints = proxy.url, mail_proxy.url
            else:
                endpoints = engine, self.mail.url
            self.functions[name] = self._function(packaged / "unpacked", name, *endpoints, logs)
            self.callback(self.functions[name].close)
        front = Front(self.template, self.functions["APIHandler"])
        self.drifts = front.drifts
        self._front = FrontServer(front)
        self.callback(self._front.close)
        self.url = self._front.url
        source = self.template.properties("Notify")["Events"]["NotifyDynamodbEventSource"]["Properties"]
        self.source = EventSource(self.streams, self.stream_arn, source, self.functions["Notify"].invoke)

    def _function(self, code: Path, name: str, dynamodb: str, ses: str, logs: Path) -> Function:
        properties = self.template.properties(name)
        return Function(
            name=name,
            task_root=code,
            handler=properties["Handler"],
            variables={
                **properties.get("Environment", {}).get("Variables", {}),
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

    # A customer's side

    def call(
        self, method: str, path: str, key: Key | None = None, body: Any = None, **headers: str
    ) -> Answer:
        """Make a call over HTTP and answer what came back, whatever its status."""
        data = None if body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if key is not None:
            sent["Authorization"] = "Basic " + b64encode(f"{key.username}:{key.secret}".encode()).decode()
        request = Request(self.url + path, data, sent, method=method)
        try:
            with urlopen(request, timeout=60) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def account(self, name: str = "Acme", username: str = "") -> Key:
        """Make an account as its operator does, and answer its first OWNER's key."""
        username = username or f"owner-{uuid4().hex[:8]}"
        made = self.functions["CreateAccount"].invoke(
            {"accountName": name, "username": username, "email": f"{username}@example.com"}
        )
        return Key(made["username"], made["apiKey"])

    def recover(self, username: str) -> Key:
        """Have the operator give an OWNER a new key, and answer it."""
        made = self.functions["RecoverOwner"].invoke({"username": username})
        return Key(made["username"], made["apiKey"])

    # What AWS does by itself

    def stream(self) -> int:
        """Have the stream feed ``notify`` all that is new; answer how many records it was handed."""
        return self.source.pump()

    def schedule(self, name: str) -> Any:
        """Run a scheduled function once."""
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

    def logged(self) -> str:
        """Answer everything that any function has logged."""
        return "".join(function.logged() for function in self.functions.values())

    def find_nothing_wrong(self) -> None:
        """Look through all that was answered, logged, kept and mailed; raises AssertionError.

        No answer is one that the document does not tell of, and no secret is where none may be.
        """
        assert self.drifts == []
        said = CapturedOutput([self.logged()], [(mail.recipient, mail.message) for mail in self.mail.taken()])
        assert_no_secret_in_output(said)
        tables = (self.items(self.directory), self.items(self.events))
        assert_no_secret(*([from_attribute({"M": item}) for item in table] for table in tables), said)

    def items(self, table: str) -> list[dict[str, Any]]:
        """Answer every item of a table."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]


class MailServer:
    """moto's SES, and the emails it has taken."""

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

    def taken(self) -> list[Mail]:
        """Answer every email so far, in the order SES took them."""
        from moto.backends import get_backend

        sent = get_backend("ses")[ACCOUNT][REGION].sent_messages
        return [_mail(message) for message in sent]

    def close(self) -> None:
        self._server.stop()


def _mail(sent: Any) -> Mail:
    message = email.message_from_string(sent.raw_data, policy=email.policy.default)
    [recipient] = set(sent.destinations)  # moto has both what it was told and the message's own To
    return Mail(recipient, message)  # type: ignore[arg-type]

"""SES's mailbox simulator: emails to some addresses bounce or are marked as spam, and SES reports it.

As in SES, those are ``bounce``, ``complaint`` and ``suppressionlist`` at ``simulator.amazonses.com``, with or
without a label (``bounce+ann@…``). A report comes as the stack's queue has it: a message in a batch, whose
body is the event of EventBridge.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import traceback
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.handlers import BUILTIN_HANDLERS

from local.event_sources import lambda_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.event_sources import Handler

DOMAIN = "simulator.amazonses.com"
CONFIGURATION_SET = "local"
_CONTEXT_KEY = "mailbox_simulator_parameters"


def report_of(sent: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what SES reports on EventBridge of an email, given the parameters of SendEmail.

    None for an address that is not the simulator's, or an email without a configuration set.
    """
    [address] = sent["Destination"]["ToAddresses"]
    local, _, domain = address.lower().partition("@")
    name = local.partition("+")[0]
    details: dict[str, tuple[str, dict[str, Any]]] = {
        "bounce": ("Email Bounced", _bounce(address, "General")),
        "suppressionlist": ("Email Bounced", _bounce(address, "OnAccountSuppressionList")),
        "complaint": ("Email Complaint Received", _complaint(address)),
    }
    if domain != DOMAIN or name not in details or "ConfigurationSetName" not in sent:
        return None
    kind, detail = details[name]
    tags = {it["Name"]: [it["Value"]] for it in sent.get("EmailTags", ())}
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": "aws.ses",
        "account": "123456789012",
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": "eu-central-1",
        "resources": [],
        "detail": {
            **detail,
            "mail": {
                "source": sent["FromEmailAddress"],
                "messageId": uuid.uuid4().hex,
                "destination": [address],
                "headersTruncated": False,
                "headers": [],
                "tags": {"ses:configuration-set": [sent["ConfigurationSetName"]], **tags},
            },
        },
    }


def message_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as a record of the batch with which Lambda starts the function."""
    return {"messageId": str(uuid.uuid4()), "eventSource": "aws:sqs", "body": json.dumps(report)}


def _bounce(address: str, subtype: str) -> dict[str, Any]:
    return {
        "eventType": "Bounce",
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": subtype,
            "bouncedRecipients": [
                {
                    "emailAddress": address,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ],
            "feedbackId": uuid.uuid4().hex,
        },
    }


def _complaint(address: str) -> dict[str, Any]:
    return {
        "eventType": "Complaint",
        "complaint": {
            "complainedRecipients": [{"emailAddress": address}],
            "complaintFeedbackType": "abuse",
            "feedbackId": uuid.uuid4().hex,
        },
    }


class MailboxSimulator(threading.Thread):
    """Invokes ``handler`` with a report of each email to an address of the simulator, under ``lock``.

    Set ``handler`` before it starts.
    """

    handler: Handler

    def __init__(self, lock: contextlib.AbstractContextManager[Any]) -> None:
        super().__init__(name="mailbox simulator", daemon=True)
        self._lock = lock
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Report of every email that SES v2 accepts from a session created while the block runs."""
        hooks: list[tuple[str, Any]] = [
            ("provide-client-params.sesv2.SendEmail", self._remember_parameters),
            ("after-call.sesv2.SendEmail", self._report),
        ]
        BUILTIN_HANDLERS.extend(hooks)
        try:
            yield
        finally:
            for hook in hooks:
                BUILTIN_HANDLERS.remove(hook)

    def run(self) -> None:
        """Take reports until stopped."""
        while (report := self._reports.get()) is not None:
            try:
                with self._lock:
                    self.handler({"Records": [message_of(report)]}, lambda_context("feedback"))
            except Exception:  # the next report may succeed
                traceback.print_exc()

    def stop(self) -> None:
        """End the thread after the reports that there are."""
        self._reports.put(None)

    def _remember_parameters(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_CONTEXT_KEY] = params

    def _report(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        report = report_of(context.pop(_CONTEXT_KEY)) if "MessageId" in parsed else None
        if report is not None:
            self._reports.put(report)

"""The one DynamoDB client of a function's environment, and how its calls may fail.

A throttled or lost call is tried three times in all (botocore's standard mode), each time for at
most four seconds, so that one DynamoDB that hangs is told of (503) before API Gateway's 29 seconds are over.
TransactWriteItems carries a ClientRequestToken that botocore makes once for all tries of a call: a
transaction that took effect while its answer was lost is answered as done when it is tried again.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING, cast

import botocore.session
from botocore.config import Config

# At DEBUG it logs what it sends: digests, mails with their tokens, the role's own credentials.
logging.getLogger("botocore").setLevel(logging.WARNING)

if TYPE_CHECKING:
    from botocore.session import Session
    from types_boto3_dynamodb import DynamoDBClient

CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    tcp_keepalive=True,
    # What is sent is built here, from checked input; and a user agent of our own is not put together anew
    # for every call. Together that is a sixth of what a call costs outside DynamoDB.
    parameter_validation=False,
    user_agent="service-users",
)

NOTES_CONFIG = CONFIG.merge(
    Config(connect_timeout=0.3, read_timeout=0.3, retries={"mode": "standard", "total_max_attempts": 1})
)
"""One short try, for what a sign-in notes on its way: a DynamoDB that hangs there must not slow it."""


@cache
def session() -> "Session":
    """Return the environment's botocore session; boto3 would add imports to every start, and no more."""
    return botocore.session.get_session()


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the environment's client, made at the first call."""
    return cast("DynamoDBClient", session().create_client("dynamodb", config=CONFIG))


@cache
def notes() -> "DynamoDBClient":
    """Return the environment's client for notes, made at the first one: 7 ms, once, off the cold start."""
    return cast("DynamoDBClient", session().create_client("dynamodb", config=NOTES_CONFIG))

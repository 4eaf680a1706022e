"""The DynamoDB clients of a Lambda environment, and their timeouts and retries.

A call that is throttled or times out is tried three times (botocore's standard mode), each for at most four
seconds. So a caller gets 503 well before API Gateway's timeout of 29 seconds if DynamoDB hangs.
TransactWriteItems carries a ClientRequestToken, which botocore makes once for all tries of a call. So the
retry of a transaction that took effect, but whose response was lost, succeeds.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING, cast

import botocore.session
from botocore.config import Config

# At DEBUG, botocore logs what it sends: digests, emails with their tokens, the role's credentials.
logging.getLogger("botocore").setLevel(logging.WARNING)

if TYPE_CHECKING:
    from botocore.session import Session
    from types_boto3_dynamodb import DynamoDBClient

CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    tcp_keepalive=True,
    # Parameters are built here from validated input, and a fixed user agent need not be assembled at every
    # call. Together this saves a sixth of what a call costs outside DynamoDB.
    parameter_validation=False,
    user_agent="service-users",
)

NOTES_CONFIG = CONFIG.merge(
    Config(connect_timeout=0.3, read_timeout=0.3, retries={"mode": "standard", "total_max_attempts": 1})
)
"""One short try, for the uses that a sign-in records: it must not be slow because DynamoDB is."""


@cache
def session() -> "Session":
    """Return the environment's botocore session. boto3 would only add imports to every cold start."""
    return botocore.session.get_session()


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the environment's client, created at the first call."""
    return cast("DynamoDBClient", session().create_client("dynamodb", config=CONFIG))


@cache
def notes() -> "DynamoDBClient":
    """Return the environment's client for notes, created when first needed: 7 ms off the cold start."""
    return cast("DynamoDBClient", session().create_client("dynamodb", config=NOTES_CONFIG))

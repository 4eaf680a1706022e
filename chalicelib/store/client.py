"""The one DynamoDB client of a function's environment, and how its calls may fail.

A throttled or lost call is tried three times in all (botocore's standard mode), each time for at
most three seconds, so that a caller of the API hears of it before API Gateway's 29 seconds are over.
TransactWriteItems carries a ClientRequestToken that botocore makes once for all tries of a call: a
transaction that took effect while its answer was lost is answered as done when it is tried again.
"""

from functools import cache
from typing import TYPE_CHECKING, cast

import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    tcp_keepalive=True,
)


@cache
def dynamodb() -> "DynamoDBClient":
    """Answer the environment's client, made at the first call."""
    client = botocore.session.get_session().create_client("dynamodb", config=CONFIG)
    return cast("DynamoDBClient", client)

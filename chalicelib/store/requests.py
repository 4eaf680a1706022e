"""Calls to DynamoDB, which return their results or raise errors that say what to do."""

import logging
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.rules.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.store.items import Item

_NOT_READ = "The database did not respond in time. Nothing was changed; try again."
_NOT_ANSWERED = (
    "The database did not respond in time. The change may or may not have been made: "
    "read before you try again."
)
BATCH_TRIES = 6
"""The most BatchGetItem calls for unprocessed keys, before the call counts as throttled."""

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "ThrottlingException",
        "ThrottlingError",
        "RequestLimitExceeded",
        "TransactionInProgressException",
        "InternalServerError",
        "ServiceUnavailable",
    }
)


def unavailable(*, writing: bool = False) -> Unavailable:
    """Return the error of a store that did not respond.

    A new one at each call: a raised exception keeps the frames it passed, and the keys in them. A failed read
    means that nothing was changed, because every call of the API reads before it writes.
    """
    return Unavailable(_NOT_ANSWERED if writing else _NOT_READ)


def log_failed_note(log: logging.Logger, message: str, error: ClientError | BotoCoreError) -> None:
    """Log that a note could not be written. The call that wanted to write it goes on.

    The level is ERROR if the function's role does not allow it: no later try would succeed either, and keys
    whose use is never recorded are revoked as inactive.
    """
    _log_failure(log, logging.INFO, message, error)


def log_failed_read(log: logging.Logger, message: str, error: ClientError | BotoCoreError) -> None:
    """Log that a check could not read. The level is ERROR if the function's role does not allow it."""
    _log_failure(log, logging.WARNING, message, error)


def _log_failure(log: logging.Logger, level: int, message: str, error: ClientError | BotoCoreError) -> None:
    code = _code(error) if isinstance(error, ClientError) else ""
    level = logging.ERROR if code.startswith("AccessDenied") else level
    log.log(level, message, extra={"error": type(error).__name__, "code": code})


def call_dynamodb(call: "Callable[..., Any]", *, writing: bool = False, **parameters: Any) -> Any:
    """Make a DynamoDB call. Raise Unavailable if all of botocore's tries were throttled or timed out."""
    try:
        return call(**parameters)
    except ClientError as error:
        if _code(error) in _THROTTLED or _THROTTLED.intersection(cancellations(error)):
            raise unavailable(writing=writing) from error
        raise
    except BotoCoreError as error:
        raise unavailable(writing=writing) from error


def batch_get(
    client: "DynamoDBClient",
    table: str,
    keys: "Sequence[Item]",
    sleep: "Callable[[float], None] | None" = None,
    **part: Any,
) -> "list[Item]":
    """Return the items with these primary keys, strongly consistent. ``part`` selects attributes.

    Asks again for keys that DynamoDB left unprocessed. Raises Unavailable if some always are.
    """
    if not keys:
        return []
    found: list[Item] = []
    request: Any = {table: {"Keys": list(keys), "ConsistentRead": True, **part}}
    for tried in range(BATCH_TRIES):
        if tried:
            (sleep or time.sleep)(0.02 * 2**tried)
        response = call_dynamodb(client.batch_get_item, RequestItems=request)
        found += response["Responses"].get(table, [])
        request = response.get("UnprocessedKeys")
        if not request:
            return found
    raise unavailable()


def paginate(response: dict[str, Any], limit: int, key: str) -> "tuple[list[Item], str | None]":
    """Return at most ``limit`` items of a Query that asked for one more, and the key that ends the page."""
    items: list[Item] = response["Items"]
    last = response.get("LastEvaluatedKey")
    if len(items) > limit:
        items = items[:limit]
        last = items[-1]
    return items, last[key]["S"] if last else None


def reasons(error: ClientError) -> list[dict[str, Any]]:
    """Return the reason why each operation of a transaction was cancelled: ``Code``, and perhaps ``Item``."""
    found: list[dict[str, Any]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    return found


def cancellations(error: ClientError) -> list[str]:
    """Return the cancellation code of each operation of a transaction; 'None' if it was not the cause."""
    return [str(reason.get("Code", "")) for reason in reasons(error)]


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))

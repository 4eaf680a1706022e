"""``python -m bench.measure_botocore``: where botocore spends its time in a warm GetItem.

A canned response replaces the connection, so that only botocore's own work is left: a call in a tight
loop, and the profiler's share of each stage.
"""

import cProfile
import json
import os
import pstats
import time
import zlib
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from chalicelib.store import client as store_client

CALLS = 2_000
STAGES = {
    "signing (SigV4)": ("signers.py", "sign"),
    "parsing the response": ("parsers.py", "parse"),
    "resolving the endpoint": ("client.py", "_resolve_endpoint_ruleset"),
    "serialising the request": ("client.py", "_convert_to_request_dict"),
    "preparing the HTTP request": ("endpoint.py", "prepare_request"),
    "deciding on a retry": ("endpoint.py", "_needs_retry"),
}
_KEY = {"M": {"digest": {"B": "A" * 44}, "last5": {"S": "7ac6a"}, "createdAt": {"N": "1900000000"}}}
_ITEM = {"pk": {"S": "USER#ci-bot"}, "keys": {"M": {"MONITORING": _KEY, "PROVISIONING_READONLY": _KEY}}}
_BODY = json.dumps({"Item": _ITEM}).encode()
_HEADERS = HTTPHeaders()
_HEADERS["Content-Type"] = "application/x-amz-json-1.0"
_HEADERS["x-amz-crc32"] = str(zlib.crc32(_BODY))


class _Raw:
    def stream(self, *_: Any, **__: Any) -> Any:
        yield _BODY


def _canned_response(_session: URLLib3Session, request: AWSRequest | AWSPreparedRequest) -> AWSResponse:
    return AWSResponse(str(request.url), 200, _HEADERS, _Raw())


def main() -> None:
    """Print the time of a call and the share of each stage."""
    os.environ.update(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="example")
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    URLLib3Session.send = _canned_response  # type: ignore[method-assign, assignment]
    client = store_client.dynamodb()

    def calls() -> float:
        began = time.perf_counter()
        for _ in range(CALLS):
            client.get_item(TableName="Directory", Key={"pk": {"S": "USER#ci-bot"}}, ConsistentRead=True)
        return (time.perf_counter() - began) / CALLS * 1000

    calls()
    print(f"A GetItem takes botocore {min(calls() for _ in range(5)):.2f} ms without a connection:")
    profile = cProfile.Profile()
    profile.runcall(calls)
    stats: Any = pstats.Stats(profile)
    total = stats.total_tt
    rest = 1.0
    for stage, (module, function) in STAGES.items():
        spent = sum(
            found[3]
            for (file, _, name), found in stats.stats.items()
            if name == function and file.endswith(f"botocore/{module}")
        )
        rest -= spent / total
        print(f"  {spent / total:5.0%}  {stage}")
    print(f"  {rest:5.0%}  event hooks, and everything else")


if __name__ == "__main__":
    main()

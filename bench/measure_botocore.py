"""Where the time of AWS's client goes in a warm GetItem: ``python -m bench.measure_botocore``.

The answer is put in the place of the connection, so what is left is botocore's own work: a call in a
tight loop, and the share of each of its stages as the profiler sees them.
"""

import cProfile
import json
import os
import pstats
import time
import zlib
from typing import Any

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.httpsession import URLLib3Session

from chalicelib.store import client as store_client

CALLS = 2_000
STAGES = {
    "signing (SigV4)": ("signers.py", "sign"),
    "reading the answer": ("parsers.py", "parse"),
    "finding the endpoint": ("client.py", "_resolve_endpoint_ruleset"),
    "writing the request": ("client.py", "_convert_to_request_dict"),
    "preparing it for the connection": ("endpoint.py", "prepare_request"),
    "whether to try again": ("endpoint.py", "_needs_retry"),
}
_KEY = {"M": {"digest": {"B": "A" * 44}, "last5": {"S": "7ac6a"}, "createdAt": {"N": "1900000000"}}}
_ITEM = {"pk": {"S": "USER#ci-bot"}, "keys": {"M": {"MONITORING": _KEY, "PROVISIONING_READONLY": _KEY}}}
_BODY = json.dumps({"Item": _ITEM}).encode()
_HEADERS = {"Content-Type": "application/x-amz-json-1.0", "x-amz-crc32": str(zlib.crc32(_BODY))}


class _Raw:
    def stream(self, *_: Any, **__: Any) -> Any:
        yield _BODY


def _answered(_session: URLLib3Session, request: AWSRequest) -> AWSResponse:
    return AWSResponse(request.url, 200, _HEADERS, _Raw())


def main() -> None:
    """Print the time of a call, and what share of it each stage has."""
    os.environ.update(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="example")
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    URLLib3Session.send = _answered  # type: ignore[method-assign]
    client = store_client.dynamodb()

    def calls() -> float:
        began = time.perf_counter()
        for _ in range(CALLS):
            client.get_item(TableName="Directory", Key={"pk": {"S": "USER#ci-bot"}}, ConsistentRead=True)
        return (time.perf_counter() - began) / CALLS * 1000

    calls()
    print(f"A GetItem takes botocore {min(calls() for _ in range(5)):.2f} ms without the wire. Of that:")
    profile = cProfile.Profile()
    profile.runcall(calls)
    stats: Any = pstats.Stats(profile)
    whole = stats.total_tt
    rest = 1.0
    for stage, (module, function) in STAGES.items():
        spent = sum(
            found[3]
            for (file, _, name), found in stats.stats.items()
            if name == function and file.endswith(f"botocore/{module}")
        )
        rest -= spent / whole
        print(f"  {spent / whole:5.0%}  {stage}")
    print(f"  {rest:5.0%}  events for its plug-ins, and the rest")


if __name__ == "__main__":
    main()

"""``/health`` and what else anyone may ask."""

import msgspec
from chalice.app import Response

from chalicelib.http.calls import Call, reply


class Health(msgspec.Struct, frozen=True):
    """That the API answers."""

    status: str


def health(call: Call) -> Response:
    """200 where the API answers; reads no table."""
    call.query()
    return reply(200, Health("ok"))

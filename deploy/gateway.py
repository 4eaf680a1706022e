"""The kind of a stack's API: what a deploy refuses to combine with it, or to change in passing."""

import json
from collections.abc import Mapping

from deploy import aws_cli
from deploy.aws_cli import DeployError
from deploy.package import RESOURCES
from deploy.stack import Stack

REST, HTTP = "rest", "http"

_ONLY_REST = {
    "TlsPolicy": (
        "An HTTP API has one security policy at every domain name, TLS_1_2: TLS 1.2 and 1.3, also without "
        "forward secrecy. Leave the default, or stay with GATEWAY=rest"
    ),
    "GatewayLogging": "An HTTP API writes its log without a role of API Gateway's",
}
"""Parameters that only a REST API has, and why."""


def require_valid_gateway(stage: str, stack: Stack, given: Mapping[str, str], confirmed: str) -> None:
    """Raise DeployError if a stack cannot have the gateway that it is deployed with, or may not change it.

    ``given`` are the parameters of this deploy. A change of the gateway replaces the URL; it is made if
    ``confirmed`` is the stage.
    """
    before = REST if stack.is_new else stack.gateway
    wanted = given.get("Gateway") or before
    if wanted not in (REST, HTTP):
        raise DeployError(f"GATEWAY={wanted}: use {REST} or {HTTP}.")
    if wanted == HTTP:
        _require_nothing_of_a_rest_api(stack, given)
    if wanted != before and not stack.is_new:
        if wanted == HTTP:
            _require_no_web_acl(stack)
        if confirmed != stage:
            raise DeployError(_explain_change(stage, stack, wanted))


def _require_nothing_of_a_rest_api(stack: Stack, given: Mapping[str, str]) -> None:
    defaults = json.loads(RESOURCES.read_text(encoding="utf-8"))["Parameters"]
    kept = {} if stack.is_new else {"TlsPolicy": stack.parameters.get("TlsPolicy")}
    for name, why in _ONLY_REST.items():
        value = given.get(name) or kept.get(name)
        if value and value != defaults[name]["Default"]:
            raise DeployError(f"{name}={value} is not for GATEWAY=http. {why}.")


def _require_no_web_acl(stack: Stack) -> None:
    api = stack.outputs.get("RestAPIId", "")
    if not api:
        return
    deployed = aws_cli.ask("apigateway", "get-stage", "--rest-api-id", api, "--stage-name", "api")
    if acl := deployed.get("webAclArn"):
        raise DeployError(
            f"The API has a web ACL of AWS WAF, which an HTTP API cannot have: {acl}. Stay with "
            "GATEWAY=rest, or disassociate it first, and put it on a CloudFront distribution before the API."
        )


def _explain_change(stage: str, stack: Stack, wanted: str) -> str:
    url = stack.outputs.get("EndpointURL", "")
    public = stack.parameters.get("PublicUrl")
    lines = [f"GATEWAY={wanted} replaces the API of {stack.name}, and with it its own URL, {url}."]
    if public:
        lines.append(
            f"Calls of {public} fail from the end of the deploy until you map the domain name to the new one."
        )
    else:
        lines.append(
            "Every caller needs the new one, and calls of the old one fail from the end of the deploy on. "
            "Passkeys belong to the old host name: everybody needs a new one. A domain name of yours "
            "(PUBLIC_URL) avoids that."
        )
    lines.append(f"To replace it, add CONFIRM={stage}. docs/operations.md, REST or HTTP API, has the steps.")
    return "\n".join(lines)

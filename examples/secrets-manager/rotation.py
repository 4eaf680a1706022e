"""Rotate a Service User's API key in AWS Secrets Manager: the rotation function, for Lambda.

The secret is a JSON object with ``url``, ``username`` and ``apiKey``; other fields stay unchanged. The key
rotates itself, so the function needs no other credentials, and its predecessor keeps working for
OVERLAP_HOURS: the version AWSPREVIOUS stays valid for clients that have not read the new one yet.

Secrets Manager calls each of four steps at least once, in order, and retries until it succeeds. Every step
first checks what an earlier call has done, so it may be called twice and may be killed at any line.
"""

import base64
import http.client
import json
import logging
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import boto3

_LOG = logging.getLogger()
_LOG.setLevel(logging.INFO)

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
Secret = dict[str, Any]


class RotationError(Exception):
    """A step cannot be completed; the message, which is logged, says why and what to do."""


def handler(event: dict[str, str], context: object) -> None:  # noqa: ARG001 - Lambda passes it
    """Run one step of a rotation: ``{"Step", "SecretId", "ClientRequestToken"}``. Raise RotationError."""
    step, arn, token = event["Step"], event["SecretId"], event["ClientRequestToken"]
    client = boto3.client("secretsmanager")
    described = client.describe_secret(SecretId=arn)
    stages = described["VersionIdsToStages"]
    if not described.get("RotationEnabled") or token not in stages:
        raise RotationError(f"Version {token} of {arn} is not being rotated.")
    if CURRENT in stages[token]:
        return  # An earlier call has finished the rotation.
    if step == "createSecret":
        create_secret(client, arn, token)
    elif step == "setSecret":
        pass  # The service made the key; there is nowhere else to set it.
    elif step == "testSecret":
        check_secret(client, arn, token)
    elif step == "finishSecret":
        finish_secret(client, arn, token, stages)
    else:
        raise RotationError(f"There is no step {step}.")
    _LOG.info("%s of version %s is done", step, token)


def create_secret(client: Any, arn: str, token: str) -> None:
    """Rotate the current key and store its successor as the pending version.

    A successor that an earlier call received and did not store is unused, so the service replaces it.
    """
    if _version(client, arn, token) is not None:
        return
    current = _secret(client, arn, CURRENT)
    newest = call(current, "GET", "/v1/whoami")["key"]
    if newest["key"][-5:] != current["apiKey"][-5:] and newest["lastUsedAt"] is not None:
        # An earlier rotation was abandoned after its key had been used. That key is the successor.
        successor = _find_stored(client, arn, newest["key"][-5:])
    else:
        overlap = {"overlapSeconds": round(float(os.environ.get("OVERLAP_HOURS", "48")) * 3600)}
        successor = {**current, "apiKey": call(current, "POST", "/v1/api-keys/rotate", overlap)["key"]}
    client.put_secret_value(
        SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(successor), VersionStages=[PENDING]
    )


def check_secret(client: Any, arn: str, token: str) -> None:
    """Sign in with the pending key. Abandon a version whose key is refused, for a new one to start."""
    pending = _version(client, arn, token)
    if pending is None:
        raise RotationError(f"Version {token} of {arn} has no key yet.")
    try:
        call(pending, "GET", "/v1/whoami")
    except RefusedError as refused:
        if refused.status == 401:
            client.update_secret_version_stage(SecretId=arn, VersionStage=PENDING, RemoveFromVersionId=token)
            raise RotationError(
                f"{refused} The pending version was given up. Start the rotation again."
            ) from None
        raise


def finish_secret(client: Any, arn: str, token: str, stages: dict[str, list[str]]) -> None:
    """Make the pending version the current one; Secrets Manager keeps the previous one as AWSPREVIOUS."""
    previous = next(version for version, labels in stages.items() if CURRENT in labels)
    client.update_secret_version_stage(
        SecretId=arn, VersionStage=CURRENT, MoveToVersionId=token, RemoveFromVersionId=previous
    )


class RefusedError(RotationError):
    """The service refused a call with ``status``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which would send the credentials to an address that the secret does not name."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def call(secret: Secret, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Call the service with the credentials in ``secret``. Raise RefusedError or RotationError."""
    url = str(secret["url"]).rstrip("/")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1"):
        raise RotationError("The secret's 'url' is not an https address; a key is never sent unencrypted.")
    login = base64.b64encode(f"{secret['username']}:{secret['apiKey']}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - checked above
    handlers: list[Any] = [_NoRedirect]
    if parts.scheme == "http":  # of this machine; a proxy would get the credentials unencrypted
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            detail = _detail(error.read())
        raise RefusedError(error.code, f"{method} {path} failed with {error.code}: {detail}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RotationError(f"{method} {path} got no response ({type(error).__name__}).") from None


def _detail(content: bytes) -> str:
    try:
        return str(json.loads(content)["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _version(client: Any, arn: str, token: str) -> Secret | None:
    """Return the secret of a version; None if it has none yet."""
    try:
        found = client.get_secret_value(SecretId=arn, VersionId=token)
    except client.exceptions.ResourceNotFoundException:
        return None
    secret: Secret = json.loads(found["SecretString"])
    return secret


def _secret(client: Any, arn: str, stage: str) -> Secret:
    secret: Secret = json.loads(client.get_secret_value(SecretId=arn, VersionStage=stage)["SecretString"])
    for name in ("url", "username", "apiKey"):
        if not isinstance(secret.get(name), str):
            raise RotationError(f"The secret needs '{name}': see the README beside this function.")
    return secret


def _find_stored(client: Any, arn: str, last5: str) -> Secret:
    """Return the secret of the version, no longer labelled, that has the key ending in ``last5``."""
    page = client.list_secret_version_ids(SecretId=arn, IncludeDeprecated=True, MaxResults=100)
    for version in page["Versions"]:
        found = _version(client, arn, version["VersionId"])
        if found is not None and str(found.get("apiKey", ""))[-5:] == last5:
            return found
    raise RotationError(
        f"The current key was rotated, and its successor, which ends in {last5}, is in no version of this "
        "secret. Whoever has it can store it here; or an Administrator generates a new key."
    )

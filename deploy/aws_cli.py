"""Runs the operator's AWS CLI, version 1 or 2."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any


class DeployError(Exception):
    """A command cannot be completed; the message says what to do."""


def run(
    *arguments: str,
    check: bool = True,
    shown: bool = False,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Run the AWS CLI and return its output, or None if it fails and ``check`` is off.

    ``shown`` lets it write to the terminal instead. Raises DeployError with its error message.
    """
    done = complete(*arguments, shown=shown, environment=environment)
    if done.returncode == 0:
        return done.stdout or ""
    if not check:
        return None
    complaint = (done.stderr or "").strip()
    raise DeployError(f"aws {' '.join(arguments[:2])} failed. {complaint}".strip())


def complete(
    *arguments: str, shown: bool = False, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the AWS CLI and return the completed process. Raises DeployError if it is not installed."""
    command = ["aws", *arguments, *(() if shown else ("--output", "json"))]
    variables = {**_regional(), **(environment or {})}
    try:
        return subprocess.run(command, check=False, text=True, capture_output=not shown, env=variables)
    except FileNotFoundError:
        raise DeployError("The AWS CLI is needed: install and configure it (aws configure).") from None


def ask(*arguments: str) -> Any:
    """Run the AWS CLI and return its output, parsed. Raises DeployError if it fails."""
    return parse(run(*arguments))


def parse(output: str | None) -> Any:
    """Return what the AWS CLI printed, parsed; an empty object for nothing."""
    return json.loads(output or "{}")


def region() -> str:
    """Return the region that every command uses. Raise DeployError if none is set."""
    if chosen := _chosen_region():
        return chosen
    if configured := (run("configure", "get", "region", check=False) or "").strip():
        return configured
    raise DeployError("Set AWS_REGION to the region for the stack.")


def _chosen_region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


def _regional() -> dict[str, str]:
    """Return the environment with the region in both variables: version 1 and boto3 read the second alone."""
    chosen = _chosen_region()
    both = {"AWS_REGION": chosen, "AWS_DEFAULT_REGION": chosen} if chosen else {}
    return {**os.environ, **both}

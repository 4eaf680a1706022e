"""Checks whose results are printed as they run, and a report of them that can be pasted into a bug report."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.version import VERSION
from deploy.aws_cli import DeployError


class CheckFailed(Exception):
    """A check failed; the message says what to do."""


class Warned(Exception):
    """A check found something that an operator should know and may accept."""


class Skipped(Exception):
    """A check cannot be made here; the message says why."""


@dataclass
class Report:
    """The results of the checks. ``only`` limits it to the named checks; ``needed`` ones always run."""

    title: str
    stage: str
    only: frozenset[str] = frozenset()
    checks: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def check(self, name: str, make: Callable[[], str | None], *, needed: bool = False) -> bool:
        """Make one check and print its result; return whether checks that depend on it can run."""
        if self.only and name not in self.only and not needed:
            return True
        began = time.monotonic()
        status, detail = "passed", ""
        try:
            detail = make() or ""
        except Warned as found:
            status, detail = "warning", str(found)
        except Skipped as found:
            status, detail = "skipped", str(found)
        except (CheckFailed, DeployError) as found:
            status, detail = "failed", str(found)
        except Exception as error:
            # Its text may contain part of a response, and so a key.
            status, detail = "failed", f"The check itself failed: {type(error).__name__}."
        seconds = round(time.monotonic() - began, 1)
        self.checks.append({"check": name, "status": status, "detail": detail, "seconds": seconds})
        print(f"{status:8} {name} ({seconds} s){f': {detail}' if detail else ''}", flush=True)
        return status in ("passed", "warning")

    def failed(self) -> list[str]:
        """Return the names of the checks that failed."""
        return [one["check"] for one in self.checks if one["status"] == "failed"]

    def json(self) -> str:
        """Return the report. It contains no key, no email address and no AWS account number."""
        whole = {
            "report": self.title,
            "stage": self.stage,
            "version": VERSION,
            **self.about,
            "passed": not self.failed(),
            "checks": self.checks,
        }
        return json.dumps(whole, indent=1, ensure_ascii=False)

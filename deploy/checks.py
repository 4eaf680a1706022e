"""Checks that are shown as they run, and one report of them that can be pasted into a bug report."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.version import VERSION
from deploy.aws_cli import DeployError


class CheckFailed(Exception):
    """What a check found wrong; the message says what to do."""


class Warned(Exception):
    """What a check found that an operator should know and may accept."""


class Skipped(Exception):
    """Why a check cannot be made here."""


@dataclass
class Report:
    """What every check found. ``only`` limits it to the checks that are named; ``needed`` ones always run."""

    title: str
    stage: str
    only: frozenset[str] = frozenset()
    checks: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def check(self, name: str, make: Callable[[], str | None], *, needed: bool = False) -> bool:
        """Make one check and print what came of it; return whether the ones that need it can go on."""
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
            # Its text can have what a response had, and so a key.
            status, detail = "failed", f"The check broke: {type(error).__name__}."
        seconds = round(time.monotonic() - began, 1)
        self.checks.append({"check": name, "status": status, "detail": detail, "seconds": seconds})
        print(f"{status:8} {name} ({seconds} s){f': {detail}' if detail else ''}", flush=True)
        return status in ("passed", "warning")

    def failed(self) -> list[str]:
        """Return the names of the checks that failed."""
        return [one["check"] for one in self.checks if one["status"] == "failed"]

    def json(self) -> str:
        """Return the report. It has no key, no email address and no AWS account's number."""
        whole = {
            "report": self.title,
            "stage": self.stage,
            "version": VERSION,
            **self.about,
            "passed": not self.failed(),
            "checks": self.checks,
        }
        return json.dumps(whole, indent=1, ensure_ascii=False)

"""The name of what is deployed: the version, and the commit it was made of, to check it out again."""

import subprocess
from pathlib import Path
from typing import Any

from chalicelib.version import VERSION

VARIABLE = "RELEASE"
"""The environment variable with the name of the release."""
TAG = "service-users-release"


def release(project: Path) -> str:
    """Return the name of the release in a folder.

    ``1.1.0`` where the tag ``v1.1.0`` is checked out, or where there is no Git; otherwise with the commit,
    ``1.1.0+3f9a1c20d4b7``, and ``.changed`` if files differ from it.
    """
    commit = _git(project, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return VERSION
    changed = bool(_git(project, "status", "--porcelain", "--untracked-files=no"))
    if not changed and f"v{VERSION}" in _git(project, "tag", "--points-at", "HEAD").split():
        return VERSION
    return f"{VERSION}+{commit}{'.changed' if changed else ''}"


def name_release(template: dict[str, Any], name: str) -> None:
    """Put the name of the release into a template: an output, and a variable of the API and the authorizer.

    Their published versions can be told apart by it.
    """
    template["Outputs"]["Release"] = {"Description": "Version, and commit if it is not a tag", "Value": name}
    for function in ("APIHandler", "Authorizer"):
        template["Resources"][function]["Properties"]["Environment"]["Variables"][VARIABLE] = name


def _git(project: Path, *arguments: str) -> str:
    """Return what Git says; nothing where it is not installed, or the folder has no repository of its own."""
    if not (project / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments], text=True, capture_output=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

"""Files that only whoever runs a command may read: personal data, and digests of keys."""

import os
from pathlib import Path


def write(file: Path, text: str) -> None:
    """Write a text into a new file of mode 0600, in place of whatever was there.

    What somebody else has put at the path, a link, or a file that they have open, gets nothing of it.
    Raises FileExistsError if somebody makes the file beside it meanwhile.
    """
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="\n") as out:
        out.write(text)
    beside.replace(file)

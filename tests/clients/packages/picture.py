"""Draw docs/images/command-line.svg: what a terminal shows of a real run of the command line.

    .tools/clients/bin/python -m tests.clients.packages.picture

Run it with PYTHONPATH=clients/python/src:clients/cli/src.
"""

import fcntl
import os
import pty
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from tests.clients.packages.kill_and_resume import environment
from tests.clients.packages.support import ROOT, served

WIDTH = 104
PICTURE = ROOT / "docs" / "images" / "command-line.svg"
MACHINES = """username,email,role,keyTypes,labels
till-berlin,till-berlin@machines.example,READ_ONLY,MONITORING,team=payments
till-lyon,till-lyon@machines.example,READ_ONLY,MONITORING,team=payments
ledger,ledger@machines.example,CLUSTER_ADMIN,MONITORING PROVISIONING,team=payments
"""
COMMANDS = (
    "service-users bulk create machines.csv --keys machines.keys",
    "service-users list --label team=payments",
    "service-users keys rotate ledger PROVISIONING",
    "service-users keys restrict ledger PROVISIONING --network 203.0.113.0/24 --expires 90d",
    "service-users bulk rotate --label team=payments --overlap 1d --keys rotated.keys --yes",
)
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
        font-variant-east-asian: full-width;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <rect x="1" y="1" width="99.7%" height="99.7%" rx="8" fill="none" stroke="#d0d7de" />
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""
"""Rich's own, without a font from another host."""


def shown(command: str, folder: Path) -> str:
    """Run a command on a terminal of its own and return what that shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    program = [sys.executable, "-c", "from service_users_cli.main import entry; entry()"]
    variables = environment(folder / "profiles") | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*program, *shlex.split(command)[1:]],
        cwd=folder,
        env=variables,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    while True:
        try:
            read = os.read(master, 65536)
        except OSError:
            break
        written += read
    os.close(master)
    process.wait()
    text = written.decode().replace("\r\n", "\n")
    # What a progress bar wrote and wiped out again is not seen at the end.
    return text.rpartition("\x1b[2K")[2].lstrip("\r")


def main() -> int:
    """Draw it."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as name, served(Path(name) / "served") as server:
        folder = Path(name)
        (folder / "machines.csv").write_text(MACHINES)
        shown(f"service-users profile add demo --from {server.home / 'owner.json'}", folder)
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(shown(command, folder).rstrip() + "\n"))
    svg = console.export_svg(title="service-users", theme=DEFAULT_TERMINAL_THEME, code_format=SVG)
    PICTURE.write_text(svg, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Generate ``service_users_client.generated`` from docs/openapi.json: ``make clients-generate`` runs this.

generate.py [FOLDER]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs" / "openapi.json"
GENERATED = HERE / "src" / "service_users_client" / "generated"

OPEN = """
    @classmethod
    def _missing_(cls, value: object) -> "KeyType | None":
        if not isinstance(value, str):
            return None
        made = str.__new__(cls, value)
        made._name_ = made._value_ = value
        return made
"""
"""Added to the generated ``KeyType``: each deployment has key types of its own, which have to be readable."""

SECRET = ("    key: str\n", "    key: str = _attrs_field(repr=False)\n")
"""Changed in the generated ``ApiKey``: a log or a notebook that shows one does not show its secret."""

QUOTE = re.compile(r'\bquote\((str\(\w+\)), safe=""\)')
"""Changed in each generated function with a name in its path: ``quote`` lets a name of dots pass."""


def generate(folder: Path) -> None:
    """Write the generated client into a folder, in place of what is there. Raises CalledProcessError."""
    tools = Path(sys.executable).parent
    # It formats what it wrote with the ruff beside it, elsewhere, so that no settings of the project apply.
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "generated"
        command = [tools / "openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none"]
        command += ["--output-path", fresh, "--fail-on-warning"]
        environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        shutil.rmtree(fresh / ".ruff_cache", ignore_errors=True)
        with (fresh / "models" / "key_type.py").open("a", encoding="utf-8") as key_type:
            key_type.write(OPEN)
        api_key = fresh / "models" / "api_key.py"
        made = api_key.read_text(encoding="utf-8")
        if made.count(SECRET[0]) != 1:
            raise SystemExit(f"{api_key.name} has not one line {SECRET[0].strip()!r}. Correct SECRET.")
        api_key.write_text(made.replace(*SECRET), encoding="utf-8")
        for function in (fresh / "api").rglob("*.py"):
            _refuse_dots(function)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(fresh, folder)


def _refuse_dots(function: Path) -> None:
    made = function.read_text(encoding="utf-8")
    if "import quote\n" not in made:
        return
    made = QUOTE.sub(r"quoted_part(\1)", made).replace("from urllib.parse import quote\n", "")
    made = made.replace(
        "import httpx\n", "import httpx\nfrom service_users_client.paths import quoted_part\n", 1
    )
    if re.search(r"\bquote\b", made):
        raise SystemExit(f"{function.name} calls quote() in another form. Correct QUOTE.")
    function.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else GENERATED)

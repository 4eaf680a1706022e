"""What the page on security tells scanners is what the keys are."""

import re
from pathlib import Path
from typing import Any

from chalicelib.rules import key_format

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "security.md").read_text(encoding="utf-8")


def fenced(language: str) -> str:
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def test_the_regular_expression_is_the_one_that_keys_have() -> None:
    assert fenced("regex").strip() == key_format.PATTERN
    assert f"'''{key_format.PATTERN}'''" in fenced("toml")
    assert PAGE.count(key_format.PATTERN) == 3


def test_the_checksum_is_confirmed_as_the_page_says() -> None:
    names: dict[str, Any] = {}
    exec(fenced("python"), names)
    is_secret = names["is_secret"]
    for made in (key_format.new_key(), key_format.new_token()):
        assert is_secret(made)
        assert is_secret(f"x {made}") is False
        for place in range(len(made)):
            other = "A" if made[place] != "A" else "B"
            assert not is_secret(made[:place] + other + made[place + 1 :])


def test_a_scanner_finds_keys_in_what_people_paste() -> None:
    key, token = key_format.new_key(), key_format.new_token()
    pasted = f'curl -u bot:{key} https://x\n{{"token":"{token}"}} API_KEY="{key}";'
    assert re.findall(key_format.PATTERN, pasted) == [key, token, key]


def test_the_picture_of_a_key_shows_one() -> None:
    parts = re.search(r"```\n(suk_) (\w{43}) (\w{6})\n", PAGE)
    assert parts is not None
    assert key_format.well_formed("".join(parts.groups()), key_format.KEY_PREFIX)

"""The operator's settings of the console: whether it is on, its name, and its colour."""

import os
import re
from typing import NamedTuple

NAME = "Service Users"
COLOUR = "#0b4f86"


class Settings(NamedTuple):
    """The console's settings, from the stack's parameters."""

    on: bool
    name: str
    colour: str
    on_colour: str


def settings() -> Settings:
    """Return the settings of the environment; an invalid colour is replaced by the default."""
    colour = os.environ.get("CONSOLE_COLOUR") or COLOUR
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
        colour = COLOUR
    on = os.environ.get("CONSOLE", "on") != "off"
    return Settings(on, os.environ.get("OPERATOR_NAME") or NAME, colour, _readable_on(colour))


def _readable_on(colour: str) -> str:
    """Return black or white, whichever is easier to read on a colour (WCAG 2.2, relative luminance)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"

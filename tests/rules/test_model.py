"""Stored and received values: what is read once cannot be changed on the way."""

import inspect

import msgspec

from chalicelib.http import bodies
from chalicelib.rules import model


def test_what_is_stored_and_what_a_body_says_cannot_be_changed_in_place() -> None:
    structs = {
        one
        for module in (model, bodies)
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, msgspec.Struct) and one is not msgspec.Struct
    }
    assert len(structs) > 20
    assert [one.__name__ for one in structs if not one.__struct_config__.frozen] == []

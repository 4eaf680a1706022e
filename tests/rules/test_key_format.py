"""API keys and invitation tokens: their form, their checksum, and what is kept of them."""

import hashlib
import re
import string
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.rules import key_format

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def checksum(body: str) -> str:
    """The published checksum, worked out a second way."""
    number = zlib.crc32(body.encode("ascii"))
    return "".join(ALPHABET[number // 62**place % 62] for place in range(5, -1, -1))


@pytest.mark.parametrize(
    ("make", "prefix"), [(key_format.new_key, "suk_"), (key_format.new_token, "sui_")], ids=["key", "token"]
)
def test_a_secret_is_256_random_bits_between_a_prefix_and_a_checksum(make, prefix: str) -> None:
    made = [make() for _ in range(2000)]
    assert len(set(made)) == len(made)
    for secret in made:
        assert re.fullmatch(key_format.PATTERN, secret)
        assert secret.startswith(prefix)
        body, check = secret[:-6], secret[-6:]
        assert len(body) == 4 + 43
        assert check == checksum(body)
        assert sum(ALPHABET.index(c) * 62 ** (42 - i) for i, c in enumerate(body[4:])) < 2**256
        assert key_format.well_formed(secret, prefix)
    # Every place takes every character (the first is bound by 256 bits being less than 62 to the 43rd).
    for place in range(5, 47):
        assert len({secret[place] for secret in made}) == 62


def test_a_known_secret_is_well_formed() -> None:
    body = "suk_" + "0" * 43
    assert key_format.well_formed(body + checksum(body), "suk_")
    assert not key_format.well_formed(body + checksum(body), "sui_")


@settings(deadline=None)
@given(place=st.integers(0, 52), character=st.sampled_from(ALPHABET + "_-+/ é\n\0\uff11"))
def test_any_one_wrong_character_is_noticed(place: int, character: str) -> None:
    secret = KEY[:place] + character + KEY[place + 1 :]
    assert key_format.well_formed(secret, "suk_") is (secret == KEY)


@settings(deadline=None)
@given(place=st.integers(0, 51))
def test_any_two_neighbours_that_swapped_are_noticed(place: int) -> None:
    secret = KEY[:place] + KEY[place + 1] + KEY[place] + KEY[place + 2 :]
    assert key_format.well_formed(secret, "suk_") is (secret == KEY)


@settings(deadline=None)
@given(st.text())
def test_no_other_text_is_well_formed(text: str) -> None:
    assert not key_format.well_formed(text, "suk_")
    assert not key_format.well_formed("suk_" + text, "suk_") or len(text) == 49


def test_what_is_kept_is_the_sha_256_digest_and_the_last_five_characters() -> None:
    assert key_format.digest(KEY) == hashlib.sha256(KEY.encode()).digest()
    assert key_format.last5(KEY) == KEY[-5:]


def test_digests_are_compared_whole() -> None:
    digest = key_format.digest(KEY)
    assert key_format.same(digest, key_format.digest(KEY))
    assert not key_format.same(digest, digest[:-1])
    assert not key_format.same(digest, digest[:-1] + bytes([digest[-1] ^ 1]))


KEY = key_format.new_key()

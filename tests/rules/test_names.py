"""Usernames and email addresses: what they may be, and which two are the same."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.rules.names import EMAIL, USERNAME, fold_email, fold_username

LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize("name", ["abc", "ABC", "a.b", "a_b", "a-b", "...", "---", "123", "a" * 64])
def test_a_username(name: str) -> None:
    assert re.match(USERNAME, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 65,
        "a b",
        "a@b",
        "a/b",
        "a:b",
        "abc\n",
        "\nabc",
        "a\0b",
        "äbc",
        "\uff41\uff42\uff43",
        "abc\u0130",
        "\u0661\u0662\u0663",
    ],
)
def test_no_username(name: str) -> None:
    assert not re.match(USERNAME, name)


@settings(deadline=None)
@given(st.from_regex(USERNAME, alphabet=LETTERS + "._-"), st.from_regex(USERNAME, alphabet=LETTERS + "._-"))
def test_usernames_are_the_same_without_regard_to_case(one: str, other: str) -> None:
    assert fold_username(one) == fold_username(one.upper()) == fold_username(fold_username(one))
    assert (fold_username(one) == fold_username(other)) is (one.casefold() == other.casefold())


@pytest.mark.parametrize(
    "email",
    [
        "a@b.example",
        "a.b+c@d-e.example",
        "!#$%&'*+/=?^_`{|}~-@x.example",
        "a@xn--bcher-kva.example",
        "a@1.2.example",
        "a" * 64 + "@b.example",
        "a@" + "b" * 63 + ".example",
        "a@" + "b." * 120 + "example",
    ],
)
def test_an_email(email: str) -> None:
    assert re.match(EMAIL, email)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "@",
        "a@",
        "@b.example",
        "a@b",
        "a@b.",
        "a@.b.example",
        "a@b..example",
        "a@-b.example",
        "a@b-.example",
        "a@b.1",
        "a@127.0.0.1",
        "a@[127.0.0.1]",
        ".a@b.example",
        "a.@b.example",
        "a..b@c.example",
        "a b@c.example",
        '"a b"@c.example',
        "a@b@c.example",
        "a@b.example\n",
        "a\r\nBcc: x@b.example",
        "A <a@b.example>",
        "a@b.example,c@d.example",
        "a\0@b.example",
        "ä@b.example",
        "a@b\u00fccher.example",
        "a" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b." * 130 + "example",
    ],
)
def test_no_email(email: str) -> None:
    assert not re.match(EMAIL, email)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A@B.Example", "a@b.example", True),
        ("a+x@b.example", "a@b.example", True),
        ("a+x+y@b.example", "a+z@b.example", True),
        ("a.b@c.example", "ab@c.example", False),
        ("a.b@gmail.com", "ab@gmail.com", True),
        ("A.B+x@GoogleMail.com", "ab@gmail.com", True),
        ("ab@gmail.com", "ab@gmail.com.example", False),
        ("+x@b.example", "+y@b.example", False),
        ("+x@b.example", "+X@b.example", True),
        ("+.x@gmail.com", "+x@gmail.com", True),
        ("a@b.example", "a@c.example", False),
        ("a-x@b.example", "a@b.example", False),
    ],
)
def test_which_emails_are_the_same(one: str, other: str, same: bool) -> None:
    assert (fold_email(one) == fold_email(other)) is same
    assert (fold_email(other) == fold_email(one)) is same


WORDS = st.lists(st.text(LETTERS + "+-", min_size=1, max_size=6), min_size=1, max_size=3)
DOMAINS = st.sampled_from(["gmail.com", "GoogleMail.com", "corp.example", "x.gmail.com", "a-b.example"])


@settings(deadline=None)
@given(WORDS, DOMAINS)
def test_a_folded_email_is_an_address_that_folds_to_itself(words: list[str], domain: str) -> None:
    email = f"{'.'.join(words)}@{domain}"
    assert re.match(EMAIL, email)
    folded = fold_email(email)
    assert fold_email(folded) == folded
    assert re.fullmatch(r"[^@]+@[^@]+", folded)
    assert folded == folded.lower()

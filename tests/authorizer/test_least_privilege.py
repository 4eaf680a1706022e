"""The judge of IAM policies, on the examples that IAM's own guide gives of its wildcards."""

import pytest

from local.iam import allows, matches

S3 = "arn:aws:s3:::amzn-s3-demo-bucket/*/test/*"


@pytest.mark.parametrize("loose", [False, True])
@pytest.mark.parametrize(
    ("path", "matched"),
    [
        ("1/test/object.jpg", True),
        ("1/2/test/object.jpg", True),
        ("1/2/test/3/object.jpg", True),
        ("1///test///object.jpg", True),
        ("1/test/.jpg", True),
        ("/test/object.jpg", True),
        ("1/test/", True),
        ("1-test/object.jpg", False),
        ("test/object.jpg", False),
        ("1/2/test.jpg", False),
        ("1/TEST/object.jpg", False),
    ],
)
def test_a_star_is_any_characters_with_slashes(path: str, matched: bool, loose: bool) -> None:
    assert matches(S3, f"arn:aws:s3:::amzn-s3-demo-bucket/{path}", loose=loose) is matched


@pytest.mark.parametrize(
    ("pattern", "text", "matched", "loosely"),
    [
        ("a:b?d", "a:bcd", True, True),
        ("a:b?d", "a:bd", False, False),
        ("a:b?d", "a:b:d", False, True),
        ("a:x*z", "a:xyyz", True, True),
        ("a:x*z", "a:xy:yz", False, True),
        ("a:x*", "a:xy:yz", True, True),
        ("a:x*:z", "a:x1:y:z", True, True),
        ("a:x.z", "a:xyz", False, False),
        ("*", "a:b/c\nd", True, True),
        ("a:**z", "a:yz", True, True),
    ],
)
def test_a_wildcard_matches_within_one_part_of_an_arn(
    pattern: str, text: str, matched: bool, loosely: bool
) -> None:
    assert matches(pattern, text) is matched
    assert matches(pattern, text, loose=True) is loosely


def statement(effect: str, resource: str | list[str], action: str = "execute-api:Invoke") -> dict:
    return {"Effect": effect, "Action": action, "Resource": resource}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([statement("Allow", "a:b/*")], True),
        ([statement("Allow", ["a:x", "a:b/*"])], True),
        ([statement("Allow", "a:c/*")], False),
        ([statement("Allow", "a:b/*", "execute-api:*")], True),
        ([statement("Allow", "a:b/*", "execute-api:InvalidateCache")], False),
        ([statement("Allow", "a:b/*"), statement("Deny", "a:b/c")], False),
        ([statement("Deny", "a:b/c"), statement("Allow", "a:b/*")], False),
        ([statement("Allow", "a:b/*"), statement("Deny", "a:b/d")], True),
    ],
)
def test_a_deny_wins_and_silence_denies(statements: list[dict], allowed: bool) -> None:
    assert allows({"Statement": statements}, "execute-api:Invoke", "a:b/c") is allowed


def test_an_unsupported_policy_element_raises_an_error() -> None:
    with pytest.raises(ValueError, match="Condition"):
        allows({"Statement": [{**statement("Allow", "*"), "Condition": {}}]}, "execute-api:Invoke", "a:b")

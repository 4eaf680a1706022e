"""The inactivity policy ends passkeys as it ends keys: after two notices, and never the last way in."""

import re

import pytest

from tests.support.api_client import Key
from tests.support.browser import Browser
from tests.support.mail import ses_error
from tests.support.policies import PolicyAccount

ENDING, REMOVED = "PASSKEY_ENDING", "PASSKEY_REMOVED"


def enrolled(account: PolicyAccount, username: str = "ann", role: str = "OWNER") -> Browser:
    """Return the browser of a person who took an invitation up just now."""
    body = {"username": username, "email": f"{username}@people.example", "role": role}
    assert account.stack.call("POST", "/v1/users", account.owner, body).status == 201
    browser = Browser(account.stack)
    assert browser.activate(username).status == 200
    return browser


def of_passkeys(account: PolicyAccount, *span: int) -> list[tuple[float, str, str]]:
    """Sweep once on each of the days, with the mail going out; return what the policy did about passkeys."""
    for day in range(*span):
        account.go_to(day)
    return [it for it in account.events_by_policy() if it[1] in (ENDING, REMOVED)]


def test_an_unused_passkey_gets_two_notices_and_is_removed(account: PolicyAccount) -> None:
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    assert of_passkeys(account, 0, 31) == [(20, ENDING, "ann"), (29, ENDING, "ann"), (30, REMOVED, "ann")]
    first = account.events(ENDING)[0]
    assert first["changes"]["passkey"][0] == "Laptop"
    assert first["audience"] == "PERSON"
    assert ann.sign_in().status == 401


def test_a_passkey_waits_for_its_notices_to_be_mailed(account: PolicyAccount) -> None:
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()

    def fail(_recipient: str) -> None:
        raise ses_error("ServiceUnavailableException")

    account.mail.ses.hook = fail
    of_passkeys(account, 0, 30)
    assert account.go_to(30)["waiting"] >= 1
    assert REMOVED not in [it[1] for it in of_passkeys(account, 31, 35)]
    account.mail.ses.hook = lambda _recipient: None
    account.set_day(34.5)
    account.send_mail()
    [removed] = [day for day, action, _ in of_passkeys(account, 35, 48) if action == REMOVED]
    assert 34.5 + 10 <= removed <= 34.5 + 12
    assert ann.sign_in().status == 401


def test_a_passkey_that_is_used_in_time_stays(account: PolicyAccount) -> None:
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 25)
    assert ann.sign_in().status == 200
    assert of_passkeys(account, 25, 43) == [(20, ENDING, "ann")]
    assert ann.sign_in().status == 200


def test_an_age_ends_no_passkey(account: PolicyAccount) -> None:
    ann = enrolled(account)
    account.set_policy(maxKeyAgeDays=14)
    account.send_mail()
    assert of_passkeys(account, 0, 20) == []
    assert ann.sign_in().status == 200


def test_a_passkey_is_added_after_another_has_ended(account: PolicyAccount) -> None:
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 31)
    assert account.stack.call("POST", "/v1/users/ann/invitation", account.owner).status == 200
    again = Browser(account.stack)
    assert again.activate("ann").status == 200
    assert again.open("you").words.count("Made") == 1
    assert ann.sign_in().status == 401


def credentials(account: PolicyAccount) -> list[str]:
    """Return whose the credentials are that passkeys are looked up by."""
    stored = account.stack.items(account.stack.tables.directory)
    return sorted(it["username"] for it in stored if it["pk"].startswith("CREDENTIAL#"))


def test_nothing_of_a_passkey_outlives_it(account: PolicyAccount) -> None:
    ann, bea = enrolled(account), enrolled(account, "bea")
    assert credentials(account) == ["ann", "bea"]
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 25)
    assert bea.sign_in().status == 200
    of_passkeys(account, 25, 31)
    assert credentials(account) == ["bea"], "in the transaction that ended it"
    assert account.stack.call("DELETE", "/v1/users/ann", account.owner).status == 204
    assert ann.sign_in().status == 401


def test_an_authenticator_whose_passkey_has_ended_can_be_registered_again(account: PolicyAccount) -> None:
    """Also by the same credential id, for which the end of the earlier passkey was noted."""
    ann = enrolled(account)
    phone = add_phone(ann)
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 25)
    assert phone.sign_in().status == 200
    of_passkeys(account, 25, 31)
    assert ann.sign_in().status == 401
    assert phone.sign_in().status == 200
    made = ann.passkey.create(phone.call("add-begin").json["challenge"])
    assert phone.call("add-finish", {"name": "Laptop", "passkey": made}).status == 200
    assert ann.sign_in().status == 200
    stored = account.stack.item("ann")
    assert sorted(it["name"] for it in stored["passkeys"].values()) == ["Laptop", "Phone"]
    assert not [name for name in stored if name.startswith("ended_")]


def test_one_of_two_ends_and_the_other_signs_in(account: PolicyAccount) -> None:
    ann, phone = enrolled(account), Browser(account.stack)
    made = phone.passkey.create(ann.call("add-begin").json["challenge"])
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 19)
    assert phone.sign_in().status == 200
    assert [it[1] for it in of_passkeys(account, 19, 32)] == [ENDING, ENDING, REMOVED]
    assert phone.sign_in().status == 200
    assert phone.call("add-begin").status == 200, "which reads and writes the person with the ended one"
    assert "Phone" in phone.open("you").words
    assert "Laptop" not in phone.open("you").words.partition("Passkeys")[2].partition("Name of")[0]
    assert ann.sign_in().status == 401


def test_the_only_owners_last_passkey_is_kept_and_notified_again(account: PolicyAccount) -> None:
    ann = enrolled(account)
    assert account.stack.call("DELETE", "/v1/users/owner", account.owner).status == 204
    policy = {"name": "Mine", "maxKeyAgeDays": "", "revokeInactiveAfterDays": "30"}
    asked = ann.edit("account", policy)
    assert 'ann passkey "Laptop"' in asked.words
    assert ann.edit("account", {**policy, "sure": asked.hidden("sure")}).status == 303
    account.send_mail()
    done = of_passkeys(account, 0, 40)
    assert REMOVED not in [it[1] for it in done]
    assert len(done) >= 3
    assert ann.sign_in().status == 200


def add_phone(ann: Browser) -> Browser:
    """Add another passkey to a person who is signed in, and return its browser."""
    phone = Browser(ann.stack)
    made = phone.passkey.create(ann.call("add-begin").json["challenge"])
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    return phone


def leave(account: PolicyAccount) -> None:
    """Have the first OWNER, the only one with an API key, leave the account."""
    assert account.stack.call("DELETE", "/v1/users/owner", account.owner).status == 204


def test_of_an_only_owners_passkeys_that_are_all_unused_one_is_kept(account: PolicyAccount) -> None:
    ann = enrolled(account)
    phone = add_phone(ann)
    account.set_policy(revokeInactiveAfterDays=30)
    leave(account)
    account.send_mail()
    assert [it[1] for it in of_passkeys(account, 0, 40)].count(REMOVED) == 1
    assert sorted((ann.sign_in().status, phone.sign_in().status)) == [200, 401]


def test_of_two_owners_whose_passkeys_are_unused_one_can_still_sign_in(account: PolicyAccount) -> None:
    ann, bea = enrolled(account), enrolled(account, "bea")
    account.set_policy(revokeInactiveAfterDays=30)
    leave(account)
    account.send_mail()
    assert [it[1] for it in of_passkeys(account, 0, 40)].count(REMOVED) == 1
    assert sorted((ann.sign_in().status, bea.sign_in().status)) == [200, 401]


def test_an_owners_last_passkey_is_kept_if_the_other_owners_way_in_is_gone(account: PolicyAccount) -> None:
    ann, bea = enrolled(account), enrolled(account, "bea")
    account.set_policy(revokeInactiveAfterDays=30)
    leave(account)
    account.send_mail()
    of_passkeys(account, 0, 15)
    assert ann.sign_in().status == 200
    done = of_passkeys(account, 15, 60)
    assert [it[2] for it in done if it[1] == REMOVED] == ["bea"]
    assert (ann.sign_in().status, bea.sign_in().status) == (200, 401)


@pytest.mark.parametrize(
    ("expiry", "days"), [({"expiry": "date", "expiresAt": "2030-02-02"}, 45), ({"expiry": "90"}, 95)]
)
def test_an_owners_key_with_an_expiry_does_not_replace_their_last_passkey(
    account: PolicyAccount, expiry: dict[str, str], days: int
) -> None:
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=30)
    leave(account)
    account.send_mail()
    key = {"type": "USER_MANAGEMENT", **expiry}
    assert ann.edit("you/generate?key=USER_MANAGEMENT", key).status == 200
    assert REMOVED not in [it[1] for it in of_passkeys(account, 0, days)]
    assert ann.sign_in().status == 200


def test_an_owners_endless_key_is_no_less_than_their_last_passkey(account: PolicyAccount) -> None:
    """The other OWNER's key has an expiry: it stands in for neither."""
    ann = enrolled(account)
    bea = account.stack.user(account.owner, "bea", "OWNER")
    account.set_policy(revokeInactiveAfterDays=30)
    leave(account)
    account.send_mail()
    key = {"type": "USER_MANAGEMENT", "expiry": "never"}
    page = ann.edit("you/generate?key=USER_MANAGEMENT", key)
    [secret] = re.findall(r"suk_[0-9A-Za-z]{49}", page.text)
    path, ends = "/v1/users/bea/api-keys/USER_MANAGEMENT", {"expiresAt": "2030-05-15T00:00:00Z"}
    assert account.stack.call("PATCH", path, bea, ends).status == 200
    for day in range(1, 36):
        account.set_day(day)
        assert account.stack.call("GET", "/v1/whoami", bea).status == 200
        account.go_to(day)
    ended = [(it[1], it[2]) for it in account.events_by_policy()]
    assert ("API_KEY_REVOKED", "ann") not in ended
    assert account.stack.call("GET", "/v1/whoami", Key("ann", secret)).status == 200


def test_a_policy_of_age_ends_an_owners_endless_key_and_no_last_passkey(account: PolicyAccount) -> None:
    """Under it no key is endless. The other OWNER's key is enough for this one to go, and for no passkey."""
    ann = enrolled(account)
    bea = account.stack.user(account.owner, "bea", "OWNER")
    account.set_policy(revokeInactiveAfterDays=60, maxKeyAgeDays=30)
    account.send_mail()
    key = {"type": "USER_MANAGEMENT", "expiry": "never"}
    assert ann.edit("you/generate?key=USER_MANAGEMENT", key).status == 200
    leave(account)
    account.send_mail()
    for day in range(1, 70):
        account.set_day(day)
        if day == 20:
            rotated = account.stack.call("POST", "/v1/api-keys/rotate", bea, {})
            bea = Key("bea", rotated.json["key"])
        account.go_to(day)
    ended = [(it[1], it[2]) for it in account.events_by_policy()]
    assert ("API_KEY_REVOKED", "ann") in ended
    assert (REMOVED, "ann") not in ended
    assert ann.sign_in().status == 200


@pytest.mark.parametrize("days", ["90", "365"])
def test_of_passkeys_endless_keys_and_keys_with_an_expiry_one_way_in_is_left(
    account: PolicyAccount, days: str
) -> None:
    """Nobody is there for months: passkeys go because of an endless key, which must not go then."""
    ann, bea = enrolled(account), enrolled(account, "bea")
    account.set_policy(revokeInactiveAfterDays=60)
    account.send_mail()
    keys = []
    for browser, name, expiry in ((ann, "ann", "never"), (bea, "bea", days)):
        fields = {"type": "USER_MANAGEMENT", "expiry": expiry, "allowedNetworks": ""}
        page = browser.edit("you/generate?key=USER_MANAGEMENT", fields)
        keys.append(Key(name, re.findall(r"suk_[0-9A-Za-z]{49}", page.text)[0]))
    leave(account)
    account.send_mail()
    for day, key in ((3, keys[0]), (5, keys[1])):
        account.set_day(day)
        assert account.stack.call("GET", "/v1/whoami", key).status == 200
    for day in range(6, int(days) + 5):
        account.go_to(day)
    ways_in = [account.stack.call("GET", "/v1/whoami", key).status for key in keys]
    ways_in += [browser.sign_in().status for browser in (ann, bea)]
    assert 200 in ways_in


@pytest.mark.parametrize(("network", "address"), [("192.0.2.1/32", "192.0.2.1"), ("::/0", "2001:db8::1")])
@pytest.mark.parametrize("used", [False, True])
def test_a_key_tied_to_networks_replaces_an_owners_last_passkey_only_while_it_is_used(
    account: PolicyAccount, used: bool, network: str, address: str
) -> None:
    """Every address of IPv6 is a network too: the API may be reachable by IPv4 alone."""
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=90)
    leave(account)
    account.send_mail()
    key = {"type": "USER_MANAGEMENT", "expiry": "never", "allowedNetworks": network}
    page = ann.edit("you/generate?key=USER_MANAGEMENT", key)
    secret = Key("ann", re.findall(r"suk_[0-9A-Za-z]{49}", page.text)[0])
    for day in range(0, 110, 10 if used else 110):
        account.set_day(day)
        if used:
            assert account.stack.call("GET", "/v1/whoami", secret, source_ip=address).status == 200
        done = of_passkeys(account, day, day + (10 if used else 110))
    assert (REMOVED in [it[1] for it in done]) is used
    assert ann.sign_in().status == (401 if used else 200)


def test_a_notice_is_taken_back_with_the_policy(account: PolicyAccount) -> None:
    ann = enrolled(account)
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 22)
    account.set_policy(revokeInactiveAfterDays=None)
    assert len(of_passkeys(account, 22, 40)) == 1
    assert ann.sign_in().status == 200


def test_what_is_mailed_of_passkeys_says_what_happened_and_what_to_do(account: PolicyAccount) -> None:
    ann = enrolled(account)
    phone = Browser(account.stack, passkey=ann.passkey, source_ip="203.0.113.77")
    assert phone.sign_in().status == 200
    assert phone.sign_in().status == 200
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    of_passkeys(account, 0, 31)
    mails = [
        " ".join(message.get_body(("plain",)).get_content().split())
        for to, message in account.mail.ses.sent
        if to == "ann@people.example"
    ]
    for words in ("was taken up", "from another address", "ends soon", "was removed"):
        found = {text for text in mails if words in text and "new invitation at once" in text}
        assert found, (words, mails[:2])
    assert sum("from another address than" in text for text in mails) == 1

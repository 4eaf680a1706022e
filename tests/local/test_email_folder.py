"""Every email that SES takes becomes a private file."""

import stat
from email.message import EmailMessage

import botocore.session
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from local.email_folder import Outbox, write_private

SENDER = "service-users@demo.example"


@pytest.fixture
def told():
    return []


@pytest.fixture
def outbox(tmp_path, told):
    outbox = Outbox(tmp_path / "outbox", lambda *said: told.append(said))
    outbox.clear()
    return outbox


@pytest.fixture
def ses(outbox):
    with outbox.watching(), mock_aws():
        client = botocore.session.get_session().create_client("sesv2")
        client.create_email_identity(EmailIdentity=SENDER)
        yield client


def message(subject="Keys changed", to="owner@demo.example"):
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = SENDER, to, subject
    made.set_content("Hé\n")
    return made.as_bytes()


def send(ses, raw, to, sender=SENDER):
    ses.send_email(FromEmailAddress=sender, Destination={"ToAddresses": [to]}, Content={"Raw": {"Data": raw}})


def test_a_sent_message_is_a_file_as_it_was_sent(ses, tmp_path, told):
    raw = message()
    send(ses, raw, "owner@demo.example")
    (file,) = (tmp_path / "outbox").iterdir()
    assert file.read_bytes() == raw
    assert file.name.endswith("-001-owner@demo.example.eml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert told == [("owner@demo.example", "Keys changed")]


def test_every_message_has_a_file_of_its_own(ses, tmp_path):
    for _ in range(3):
        send(ses, message(), "owner@demo.example")
    numbers = sorted(file.name.split("-")[1] for file in (tmp_path / "outbox").iterdir())
    assert numbers == ["001", "002", "003"]


def test_a_message_that_was_not_taken_is_none(ses, tmp_path, told):
    with pytest.raises(ClientError):
        send(ses, message(), "owner@demo.example", sender="somebody@else.example")
    assert list((tmp_path / "outbox").iterdir()) == []
    assert told == []


def test_a_subject_is_told_as_people_read_it_on_one_line(ses, told):
    send(ses, message("Schlüssel geändert, " + "sehr lang " * 12), "a@demo.example")
    assert told[0][1].startswith("Schlüssel geändert, sehr lang")
    assert "\n" not in told[0][1]


def test_an_address_cannot_name_a_file_elsewhere(outbox, tmp_path):
    file = outbox.keep(message(), ["../../x y/z@demo.example"])
    assert file.parent == tmp_path / "outbox"
    assert file.name.endswith("-.._.._x_y_z@demo.example.eml")


def test_without_a_destination_the_messages_own_counts(outbox, told):
    outbox.keep(message(to="b@demo.example"), [])
    outbox.keep(b"\n", [])
    assert told == [("b@demo.example", "Keys changed"), ("nobody", "(no subject)")]


def test_when_it_no_longer_watches_nothing_is_kept(outbox, tmp_path):
    with outbox.watching():
        pass
    with mock_aws():
        client = botocore.session.get_session().create_client("sesv2")
        client.create_email_identity(EmailIdentity=SENDER)
        send(client, message(), "owner@demo.example")
    assert list((tmp_path / "outbox").iterdir()) == []


def test_clearing_takes_out_old_messages_and_nothing_else(outbox, tmp_path):
    old = outbox.keep(message(), ["a@demo.example"])
    kept = tmp_path / "outbox" / "notes.eml"
    kept.write_text("mine")
    outbox.clear()
    assert not old.exists()
    assert kept.exists()


def test_a_private_file_replaces_what_was_there(tmp_path):
    file = tmp_path / "f"
    file.write_text("old")
    file.chmod(0o644)
    (tmp_path / ".f.tmp").write_text("left by a crash")
    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["f"]

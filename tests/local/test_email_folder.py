"""Every email that SES accepts becomes a private file."""

import stat
from email.message import EmailMessage

import botocore.session
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from local.email_folder import EmailFolder, write_private

SENDER = "service-users@demo.example"


@pytest.fixture
def reported():
    return []


@pytest.fixture
def folder(tmp_path, reported):
    folder = EmailFolder(tmp_path / "outbox", lambda *email: reported.append(email))
    folder.clear()
    return folder


@pytest.fixture
def ses(folder):
    with folder.recording(), mock_aws():
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


def test_a_sent_email_is_written_as_it_was_sent(ses, tmp_path, reported):
    raw = message()
    send(ses, raw, "owner@demo.example")
    (file,) = (tmp_path / "outbox").iterdir()
    assert file.read_bytes() == raw
    assert file.name.endswith("-001-owner@demo.example.eml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert reported == [("owner@demo.example", "Keys changed")]


def test_every_email_has_a_file_of_its_own(ses, tmp_path):
    for _ in range(3):
        send(ses, message(), "owner@demo.example")
    numbers = sorted(file.name.split("-")[1] for file in (tmp_path / "outbox").iterdir())
    assert numbers == ["001", "002", "003"]


def test_an_email_that_ses_rejects_is_not_written(ses, tmp_path, reported):
    with pytest.raises(ClientError):
        send(ses, message(), "owner@demo.example", sender="somebody@else.example")
    assert list((tmp_path / "outbox").iterdir()) == []
    assert reported == []


def test_a_subject_is_reported_decoded_and_on_one_line(ses, reported):
    send(ses, message("Schlüssel geändert, " + "sehr lang " * 12), "a@demo.example")
    assert reported[0][1].startswith("Schlüssel geändert, sehr lang")
    assert "\n" not in reported[0][1]


def test_an_address_cannot_name_a_file_elsewhere(folder, tmp_path):
    file = folder.write(message(), ["../../x y/z@demo.example"])
    assert file.parent == tmp_path / "outbox"
    assert file.name.endswith("-.._.._x_y_z@demo.example.eml")


def test_without_a_destination_the_message_header_is_used(folder, reported):
    folder.write(message(to="b@demo.example"), [])
    folder.write(b"\n", [])
    assert reported == [("b@demo.example", "Keys changed"), ("nobody", "(no subject)")]


def test_nothing_is_written_after_recording(folder, tmp_path):
    with folder.recording():
        pass
    with mock_aws():
        client = botocore.session.get_session().create_client("sesv2")
        client.create_email_identity(EmailIdentity=SENDER)
        send(client, message(), "owner@demo.example")
    assert list((tmp_path / "outbox").iterdir()) == []


def test_clearing_deletes_old_emails_and_nothing_else(folder, tmp_path):
    old = folder.write(message(), ["a@demo.example"])
    kept = tmp_path / "outbox" / "notes.eml"
    kept.write_text("mine")
    folder.clear()
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

"""The archive: published events in a bucket with Object Lock, each once, in the form of the export."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib.publishing.archive import archive
from chalicelib.publishing.form import line, object_name, published
from chalicelib.publishing.publish import publish_waiting
from deploy.export import check_account, export_account
from tests.support.aws import Aws
from tests.support.mail import make_event
from tests.support.publishing import Publishing

DAY = 86_400


@pytest.fixture
def aws() -> Iterator[Aws]:
    with mock_aws():
        yield Aws()


def test_the_archive_is_complete_and_of_the_exports_form(
    publishing: Publishing, aws: Aws, tmp_path: Path
) -> None:
    stack = publishing.stack
    owner = stack.account()
    account = stack.call("GET", "/v1/account", owner).json["account"]
    key = stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    assert stack.sign_in(key) == 403
    stack.clock.forward(DAY)
    stack.call("DELETE", "/v1/service-users/bot", owner)
    stack.clock.forward(61)
    publish_waiting(publishing.publisher._replace(bridge=aws.events, bus=aws.bus))
    records = aws.records()
    assert archive(records, aws.s3, aws.bucket) == {"batchItemFailures": []}
    assert archive(records, aws.s3, aws.bucket) == {"batchItemFailures": []}, "twice is once"
    names = aws.download(tmp_path / "archive")
    assert len(names) == len(publishing.event_ids()) == 4
    for name in names:
        assert len(aws.s3.list_object_versions(Bucket=aws.bucket, Prefix=name)["Versions"]) == 1
    days = export_account(stack.client, stack.tables.events, account, tmp_path / "export")
    for day in days:
        exported = (tmp_path / "export" / account / f"{day}.jsonl").read_text()
        archived = sorted((tmp_path / "archive" / account / day).glob("*.jsonl"))
        assert "".join(file.read_text() for file in archived) == exported, "in the order of the names"
    assert check_account(stack.client, stack.tables.events, account, tmp_path / "archive") == []
    one = tmp_path / "archive" / names[1]
    one.unlink()
    [fault] = check_account(stack.client, stack.tables.events, account, tmp_path / "archive")
    assert "is missing" in fault


class FailingS3:
    def __init__(self, code: str) -> None:
        self.code = code

    def put_object(self, **_more: Any) -> None:
        raise ClientError({"Error": {"Code": self.code, "Message": ""}}, "PutObject")


def record(detail: Any, name: str = "1") -> dict[str, Any]:
    return {"messageId": name, "body": json.dumps({"detail": detail})}


@pytest.mark.parametrize("code", ["SlowDown", "AccessDenied", "ConditionalRequestConflict"])
def test_what_s3_does_not_take_comes_again(code: str, caplog: pytest.LogCaptureFixture) -> None:
    event = record(published(make_event()))
    assert archive([event], FailingS3(code), "bucket") == {"batchItemFailures": [{"itemIdentifier": "1"}]}  # type: ignore[arg-type]
    assert (caplog.records[-1].levelname == "ERROR") is (code == "AccessDenied")


@pytest.mark.parametrize(
    "detail",
    [
        None,
        {},
        {"account": "../other", "at": "2030-01-01T00:00:00Z", "id": "0" * 28},
        {"account": "one", "at": "2030-01-01T00:00:00Z", "id": "../../x"},
        {"account": "one", "at": "yesterday", "id": "0" * 28},
    ],
)
def test_what_is_no_event_is_not_archived_and_blocks_nothing(detail: Any, aws: Aws) -> None:
    good = published(make_event(id="0" * 28, account="acme"))
    response = archive([record(detail, "bad"), record(good, "good")], aws.s3, aws.bucket)
    assert response == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    [stored] = aws.s3.list_objects_v2(Bucket=aws.bucket)["Contents"]
    assert stored["Key"] == object_name(good)
    body = aws.s3.get_object(Bucket=aws.bucket, Key=stored["Key"])["Body"].read().decode()
    assert body == line(good) + "\n"

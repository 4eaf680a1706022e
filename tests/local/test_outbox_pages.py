"""``/outbox`` of ``make run``: the emails as pages, on this machine alone."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from local.email_folder import EmailFolder
from local.gateway import HttpRequest, HttpResponse
from local.outbox_pages import OutboxPages

ELSEWHERE = HttpResponse(404, [], b"the app", "1")


@pytest.fixture
def folder(tmp_path: Path) -> EmailFolder:
    made = EmailFolder(tmp_path, lambda *_: None)
    made.clear()
    return made


@pytest.fixture
def pages(tmp_path: Path) -> OutboxPages:
    return OutboxPages(tmp_path, lambda _request: ELSEWHERE)


def mail(subject: str, text: str = "Hello", html: str = "<p>Hello</p>") -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "s@demo.example", "owner@demo.example", subject
    made["Date"] = "Sat, 28 Nov 2026 12:00:00 +0000"
    made.set_content(text)
    made.add_alternative(html, subtype="html")
    return made.as_bytes()


def get(pages: OutboxPages, target: str, method: str = "GET", host: str = "localhost:8000") -> HttpResponse:
    return pages.respond(HttpRequest(method, target, [("Host", host)], b"", "127.0.0.1"))


def test_the_newest_email_is_first_and_each_is_a_page(folder: EmailFolder, pages: OutboxPages) -> None:
    assert b"No email" in get(pages, "/outbox").body
    files = [folder.write(mail(f"Number {it} <b>"), ["owner@demo.example"]) for it in range(1, 12)]
    listed = get(pages, "/outbox/").body.decode()
    assert listed.index("Number 11 &lt;b&gt;") < listed.index("Number 10 ") < listed.index("Number 9 ")
    for target in (f"/outbox/{files[0].name}", f"/outbox/{files[0].name.replace('@', '%40')}"):
        one = get(pages, target)
        assert one.status == 200
        assert b"Number 1 &lt;b&gt;" in one.body
        assert b"<pre>Hello" in one.body
        assert f'<iframe sandbox src="/outbox/{files[0].name}/html"'.encode() in one.body
    assert get(pages, f"/outbox/{files[0].name}/html").body == b"<p>Hello</p>\n"


def test_no_page_runs_anything_or_is_kept(folder: EmailFolder, pages: OutboxPages) -> None:
    name = folder.write(mail("x", html="<script>alert(1)</script>"), ["o@demo.example"]).name
    for target in ("/outbox", f"/outbox/{name}", f"/outbox/{name}/html"):
        headers = dict(get(pages, target).headers)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "target", ["/outbox/x", "/outbox/..%2Fowner.json", "/outbox/owner.json", "/outbox/{name}/text"]
)
def test_nothing_else_of_the_folder_is_served(
    folder: EmailFolder, pages: OutboxPages, tmp_path: Path, target: str
) -> None:
    (tmp_path / "owner.json").write_text("secret")
    name = folder.write(mail("x"), ["o@demo.example"]).name
    response = get(pages, target.replace("{name}", name))
    assert response.status == 404
    assert b"secret" not in response.body


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000"]
)
def test_a_page_of_another_host_reads_no_email(folder: EmailFolder, pages: OutboxPages, host: str) -> None:
    folder.write(mail("Token"), ["o@demo.example"])
    refused = get(pages, "/outbox", host=host)
    assert refused.status == 403
    assert b"Token" not in refused.body


def test_other_methods_and_other_paths(pages: OutboxPages) -> None:
    refused = get(pages, "/outbox", method="DELETE")
    assert (refused.status, dict(refused.headers)["Allow"]) == (405, "GET, HEAD")
    assert get(pages, "/outbox", method="HEAD").status == 200
    for target in ("/", "/outboxes", "/v1/outbox"):
        assert get(pages, target) is ELSEWHERE

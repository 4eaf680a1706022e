"""The checks of ``make smoke`` that no emulator can fail: TLS, IPv6 and who is mailed by the alarms.

The stages of an HTTP API too, which an emulator takes a minute for.

All others are tried on a deployed stack: ``make deploy-test``.
"""

import datetime
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from deploy import smoke as smoking
from deploy.checks import CheckFailed, Skipped, Warned
from deploy.smoke import Smoke
from deploy.stack import Stack
from tests.deploy.conftest import Aws

DEFAULT_STAGE: dict[str, object] = {
    "StageName": "$default",
    "DefaultRouteSettings": {"ThrottlingRateLimit": 200.0},
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody trusts, with its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    encoding = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(
            encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        + made.public_bytes(encoding)
    )
    return file


@contextmanager
def listening(certificate: Path, least: ssl.TLSVersion, most: ssl.TLSVersion) -> Iterator[int]:
    """Accept one handshake, and yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = least, most
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_an_old_tls_is_found_whatever_the_certificate(certificate: Path) -> None:
    with listening(certificate, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1) as port:
        smoke = Smoke("acme", f"https://127.0.0.1:{port}")
        with pytest.raises(CheckFailed, match=r"TLS 1\.1 is accepted"):
            smoke._tls()
    with listening(certificate, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3) as port:
        assert Smoke("acme", f"https://127.0.0.1:{port}")._tls() == "TLS 1.1 is refused"
    with pytest.raises(Skipped):
        Smoke("acme", "http://127.0.0.1:1")._tls()


def test_a_dualstack_endpoint_has_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"there.example"}

    def resolve(host: str, port: int, family: int) -> list[str]:
        if host not in known:
            raise socket.gaierror
        return ["::1"]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    smoke = Smoke("acme")
    for host, kind in (
        ("there.example", "dualstack"),
        ("gone.example", "dualstack"),
        ("gone.example", "ipv4"),
    ):
        smoke.stack = Stack("s", "", {"IpAddressType": kind}, {"EndpointURL": f"https://{host}/api"})
        if kind == "ipv4":
            with pytest.raises(Skipped):
                smoke._ipv6()
        elif host in known:
            assert smoke._ipv6() == "there is an address"
        else:
            with pytest.raises(CheckFailed, match="IpAddressType=dualstack"):
                smoke._ipv6()


def test_publish_is_called_where_the_stack_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    smoke = Smoke("acme")
    with pytest.raises(Skipped):
        smoke._publish()
    smoke.resources = {"Publish": "the-function"}
    counts = {"published": 2, "late": 0}
    monkeypatch.setattr(
        smoking, "invoke", lambda function, _payload: counts if function == "the-function" else None
    )
    assert smoke._publish() == "published 2, late 0"
    counts["late"] = 1
    with pytest.raises(CheckFailed, match="1 events are not published"):
        smoke._publish()


@pytest.mark.parametrize(
    ("address", "arn", "said"),
    [
        ("", "", "Nobody is mailed by the alarms"),
        ("ops@example.com", "PendingConfirmation", "Nobody has confirmed"),
        ("ops@example.com", "arn:aws:sns:eu-west-1:1:alarms:2", ""),
    ],
    ids=["nobody", "not confirmed", "confirmed"],
)
def test_whoever_is_mailed_by_the_alarms_has_confirmed_it(
    aws: Aws, address: str, arn: str, said: str
) -> None:
    aws.responses["sns list-subscriptions-by-topic"] = {"says": {"Subscriptions": [{"SubscriptionArn": arn}]}}
    aws.write()
    smoke = Smoke("acme")
    smoke.stack = Stack("s", "", {"AlarmAddress": address})
    smoke.resources = {"Alarms": "arn:aws:sns:eu-west-1:1:alarms"}
    if said:
        with pytest.raises(Warned, match=said):
            smoke._subscription()
    else:
        smoke._subscription()


def smoke_of_http_api(aws: Aws, *stages: dict[str, object]) -> Smoke:
    aws.responses["apigatewayv2 get-stages"] = {"says": {"Items": list(stages)}}
    aws.write()
    smoke = Smoke("acme")
    smoke.stack = Stack("s", "", {"Gateway": "http"})
    smoke.resources = {"HttpApi": "abc"}
    return smoke


def test_an_http_api_has_one_stage_with_a_throttle(aws: Aws) -> None:
    smoke = smoke_of_http_api(aws, DEFAULT_STAGE)
    smoke._one_stage()
    assert smoke._throttle() == "200 calls a second"
    assert aws.calls[0][:4] == ["apigatewayv2", "get-stages", "--api-id", "abc"]


def test_a_second_stage_of_an_http_api_is_named(aws: Aws) -> None:
    smoke = smoke_of_http_api(aws, DEFAULT_STAGE, {"StageName": "try"})
    with pytest.raises(CheckFailed, match=r"other stages.*: try\. .*apigatewayv2 delete-stage"):
        smoke._one_stage()


@pytest.mark.parametrize("limits", [{}, {"ThrottlingRateLimit": 0.0}, {"DetailedMetricsEnabled": False}])
def test_an_http_api_without_a_throttle_is_found(aws: Aws, limits: dict[str, object]) -> None:
    smoke = smoke_of_http_api(aws, {"StageName": "$default", "DefaultRouteSettings": limits})
    with pytest.raises(CheckFailed, match="no throttle"):
        smoke._throttle()

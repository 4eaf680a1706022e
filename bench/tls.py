"""TLS in front of DynamoDB Local, as AWS has it: a certificate authority of the bench's own, and stunnel."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_CONFIGURATION = """\
foreground = yes
pid =
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[dynamodb]
accept = 127.0.0.1:{port}
connect = {engine}
cert = {certificate}
key = {key}
"""


def authority(directory: Path) -> str:
    """Return the certificate (PEM) of the bench's authority; make it, and a server's, where it is missing."""
    root = directory / "root.pem"
    if not root.exists():
        directory.mkdir(parents=True, exist_ok=True)
        authority_key, server_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        issuer = _name("Service Users bench")
        made = _certificate(issuer, issuer, authority_key, authority_key, authority=True)
        server = _certificate(_name("localhost"), issuer, server_key, authority_key, authority=False)
        (directory / "server.pem").write_bytes(server)
        (directory / "server.key").write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        root.write_bytes(made)
    return root.read_text(encoding="ascii")


@contextmanager
def terminated(engine: str, directory: Path) -> Iterator[str]:
    """Serve ``engine``, an http URL, over TLS while the block runs; yield the https URL.

    ``directory`` is the authority's. Raises SystemExit where stunnel is not installed.
    """
    stunnel = shutil.which("stunnel")
    if stunnel is None:
        raise SystemExit(
            "make bench needs stunnel. Install it: apt-get install stunnel4, or brew install stunnel."
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = directory / "stunnel.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            port=port,
            engine=urlsplit(engine).netloc,
            certificate=directory / "server.pem",
            key=directory / "server.key",
        ),
        encoding="utf-8",
    )
    with subprocess.Popen([stunnel, configuration]) as process:
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"https://localhost:{port}"
        finally:
            process.terminate()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    signer: rsa.RSAPrivateKey,
    *,
    authority: bool,
) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if authority:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

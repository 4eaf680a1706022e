"""What is taken out of the package: the certificates that are no root of AWS's."""

import hashlib
import shutil
import ssl
from pathlib import Path

import botocore
import pytest

from deploy import slim

SHIPPED = Path(botocore.__file__).with_name("cacert.pem")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copy(SHIPPED, tmp_path / "cacert.pem"))


def test_only_the_roots_of_aws_stay_and_they_load(bundle: Path) -> None:
    slim.keep_roots(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    roots = context.get_ca_certs(binary_form=True)
    assert {hashlib.sha256(root).hexdigest() for root in roots} == set(slim.ROOTS.values())
    names = {dict(part[0] for part in root["subject"])["commonName"] for root in context.get_ca_certs()}
    assert names == set(slim.ROOTS)
    assert all(root["subject"] == root["issuer"] for root in context.get_ca_certs())


def test_each_root_is_as_botocore_ships_it(bundle: Path) -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    slim.keep_roots(bundle)
    for pem in slim._CERTIFICATE.findall(bundle.read_text(encoding="utf-8")):
        assert pem in shipped


@pytest.mark.parametrize("name", slim.ROOTS)
def test_a_missing_root_fails_the_build(bundle: Path, name: str) -> None:
    text = bundle.read_text(encoding="utf-8")
    [there] = [
        pem
        for pem in slim._CERTIFICATE.findall(text)
        if hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() == slim.ROOTS[name]
    ]
    bundle.write_text(text.replace(there, ""), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=f"lacks certificates that verify AWS's endpoints: {name}$"):
        slim.keep_roots(bundle)

"""Networks a key may be used from: how they are read, and whom they admit."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.rules import networks

ADDRESSES = st.ip_addresses()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1/32", "192.0.2.1/32"),
        ("2001:DB8:0:0:0::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::1/128", "::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", None),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("64:ff9b::/96", "64:ff9b::/96"),
    ],
)
def test_a_network_has_one_spelling(text: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(ValueError, match="host bits"):
            networks.parse(text)
    else:
        assert networks.parse(text) == kept
        assert networks.parse(kept) == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8' has host bits set; the network is probably '10.0.0.0/8'."),
        ("2001:db8::1/32", "'2001:db8::1/32' has host bits set; the network is probably '2001:db8::/32'."),
        ("10.0.0.1", "'10.0.0.1' names one address; write it as the network '10.0.0.1/32'."),
        ("::1", "'::1' names one address; write it as the network '::1/128'."),
        ("10.0.0.0/33", "is not a network in CIDR form"),
        ("10.0.0.0/-1", "is not a network in CIDR form"),
        ("10.0.0.0/255.0.0.0", "is not a network in CIDR form"),
        ("10.0.0.0/0.255.255.255", "is not a network in CIDR form"),
        ("10.0.0.0/", "is not a network in CIDR form"),
        ("/8", "is not a network in CIDR form"),
        ("10/8", "is not a network in CIDR form"),
        ("10.0.0/24", "is not a network in CIDR form"),
        ("010.0.0.0/8", "is not a network in CIDR form"),
        ("10.0.0.0/8/8", "is not a network in CIDR form"),
        (" 10.0.0.0/8", "is not a network in CIDR form"),
        ("10.0.0.0/8\n", "is not a network in CIDR form"),
        ("fe80::%eth0/64", "is not a network in CIDR form"),
        ("167772160/8", "is not a network in CIDR form"),
        ("", "is not a network in CIDR form"),
        ("office", "is not a network in CIDR form"),
        ("\u0661\u0660.0.0.0/8", "is not a network in CIDR form"),
    ],
)
def test_what_is_no_network_is_refused_with_what_was_meant(text: str, said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is looked at below
        networks.parse(text)
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"'{text}' ")


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_network_or_refused(text: str) -> None:
    try:
        kept = networks.parse(text)
    except ValueError as error:
        assert str(error).endswith(".")  # noqa: PT017 - either is right
    else:
        assert str(ipaddress.ip_network(kept)) == kept


@settings(deadline=None)
@given(ADDRESSES, st.integers(0, 128))
def test_a_network_admits_its_own_addresses_in_either_spelling(address, length: int) -> None:
    network = ipaddress.ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
    kept = networks.parse(str(network))
    plain = getattr(address, "ipv4_mapped", None) or address
    admitted = plain in ipaddress.ip_network(kept)
    assert networks.admits((kept,), str(address)) is admitted
    if isinstance(address, ipaddress.IPv4Address):
        assert admitted
        assert networks.admits((kept,), f"::ffff:{address}")
        assert networks.admits((kept,), f"::FFFF:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}")


@settings(deadline=None)
@given(st.text())
def test_nobody_without_an_address_is_admitted_where_there_is_a_list(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert not networks.admits(("0.0.0.0/0", "::/0"), text)
    assert networks.admits((), text)

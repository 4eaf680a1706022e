"""Networks a key may be used from (product page: network-restriction)."""

import ipaddress
import re

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_NETWORKS = 50
"""The most networks of a key."""

# Narrower than ipaddress: no zone, no netmask, only ASCII digits, no leading zero (some parse it as octal).
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_SHAPE = re.compile(rf"{_ADDRESS.pattern}/(0|[1-9][0-9]{{0,2}})")
_SHOWN = 60


def parse(text: str) -> str:
    """Return a CIDR in its canonical spelling.

    An IPv4-mapped IPv6 network becomes the IPv4 network. Raises ValueError for anything that is not a CIDR
    without host bits; the message suggests what was probably meant, if that is clear.
    """
    if not _SHAPE.fullmatch(text):
        raise ValueError(_error_without_prefix(text))
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(_error_with_host_bits(text)) from None
    return str(_unmapped(network))


def admits(networks: tuple[str, ...], source_ip: str) -> bool:
    """Return whether a key with these allowed networks may be used from ``source_ip``; none allow any."""
    if not networks:
        return True
    try:
        address: Address = ipaddress.ip_address(source_ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in networks)


def sender(source_ip: str) -> str:
    """Return what stands for the sender of a call: its IPv4 address, or the /64 network of its IPv6 address.

    Whoever has one IPv6 address usually has all of its /64. Returns "" for what is no address.
    """
    try:
        address: Address = ipaddress.ip_address(source_ip)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def within(networks: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether ``others`` allow every address that ``networks`` allow; no networks allow all."""
    if not others:
        return True
    outer = [ipaddress.ip_network(network) for network in others]
    return bool(networks) and all(
        any(_contains(network, ipaddress.ip_network(inner)) for network in outer) for inner in networks
    )


def halve(networks: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether ``networks`` allow at most half the IPv4 or the IPv6 addresses that ``others`` do."""
    few, many = _sizes(networks), _sizes(others)
    return any(2 * few[version] <= many[version] for version in (4, 6) if many[version])


def are_all(networks: tuple[str, ...]) -> bool:
    """Return whether networks allow every IPv4 or every IPv6 address; none at all allow both."""
    sizes = _sizes(networks)
    return sizes[4] == 2**32 or sizes[6] == 2**128


def are_every_ipv4(networks: tuple[str, ...]) -> bool:
    """Return whether networks allow every IPv4 address: the API may be reachable by IPv4 alone."""
    return _sizes(networks)[4] == 2**32


def _sizes(networks: tuple[str, ...]) -> dict[int, int]:
    """Return the number of addresses of IPv4 and of IPv6."""
    parsed = [ipaddress.ip_network(network) for network in networks or ("0.0.0.0/0", "::/0")]
    # Each address once: otherwise a loop could add a network within another, and take it away again.
    fours = ipaddress.collapse_addresses(it for it in parsed if isinstance(it, ipaddress.IPv4Network))
    sixes = ipaddress.collapse_addresses(it for it in parsed if isinstance(it, ipaddress.IPv6Network))
    return {4: sum(it.num_addresses for it in fours), 6: sum(it.num_addresses for it in sixes)}


def _contains(outer: Network, inner: Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _unmapped(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _error_without_prefix(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        return _not_a_network(text)
    try:
        meant = ipaddress.ip_network(text)
    except ValueError:
        return _not_a_network(text)
    return f"'{text}' names one address; write it as the network '{meant}'."


def _error_with_host_bits(text: str) -> str:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return _not_a_network(text)
    return f"'{text}' has host bits set; the network is probably '{meant}'."


def _not_a_network(text: str) -> str:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"'{shown}' is not a network in CIDR form, such as 203.0.113.0/24 or 2001:db8::/32."

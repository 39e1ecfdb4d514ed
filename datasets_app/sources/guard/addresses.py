"""Which addresses a connection of a user may reach: public ones, and those in networks that the operator allowed.

Only what is known to be ordinary unicast space is public; anything else is refused, with a word that says what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

# IANA's special-purpose registry (RFC 6890), and what clouds put in the middle of public space.
SPECIAL_V4: Final = (
    ("0.0.0.0/8", "an unspecified address"),
    ("10.0.0.0/8", "a private network"),
    ("100.64.0.0/10", "a carrier's private network"),
    ("127.0.0.0/8", "this server itself"),
    ("168.63.129.16/32", "a cloud's metadata service"),  # Azure
    ("169.254.0.0/16", "a link-local network or a cloud's metadata service"),
    ("172.16.0.0/12", "a private network"),
    ("192.0.0.0/24", "a reserved network"),
    ("192.0.2.0/24", "a network for documentation"),
    ("192.88.99.0/24", "a reserved network"),
    ("192.168.0.0/16", "a private network"),
    ("198.18.0.0/15", "a network for benchmarks"),
    ("198.51.100.0/24", "a network for documentation"),
    ("203.0.113.0/24", "a network for documentation"),
    ("224.0.0.0/4", "a multicast network"),
    ("240.0.0.0/4", "a reserved network"),
)
# The forms that carry an IPv4 address are refused whole: a store that is public has an address of its own.
SPECIAL_V6: Final = (
    ("::1/128", "this server itself"),
    ("::/128", "an unspecified address"),
    ("::/96", "an IPv4 address in disguise"),
    ("::ffff:0:0/96", "an IPv4 address in disguise"),
    ("::ffff:0:0:0/96", "an IPv4 address in disguise"),
    ("64:ff9b::/96", "an IPv4 address in disguise"),
    ("64:ff9b:1::/48", "an IPv4 address in disguise"),
    ("2001::/32", "an IPv4 address in disguise"),  # Teredo
    ("2001::/23", "a reserved network"),
    ("2001:db8::/32", "a network for documentation"),
    ("2002::/16", "an IPv4 address in disguise"),  # 6to4
    ("3ffe::/16", "a reserved network"),
    ("3fff::/20", "a network for documentation"),
    ("fc00::/7", "a private network"),
    ("fe80::/10", "a link-local network"),
    ("fec0::/10", "a private network"),
    ("ff00::/8", "a multicast network"),
)
GLOBAL_V6: Final = IPv6Network("2000::/3")
# Interface identifiers that carry an IPv4 address in any prefix (ISATAP, RFC 5214): bits 32 to 63 of the lower half.
ISATAP: Final = (0x00005EFE, 0x02005EFE)

_V4: Final = tuple((IPv4Network(text), word) for text, word in SPECIAL_V4)
_V6: Final = tuple((IPv6Network(text), word) for text, word in SPECIAL_V6)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as `10.1.0.0/16`, `fd12::/48` or a single address. Raises ValueError for anything else."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


def find_objection(text: str, allowed: Sequence[Network]) -> str:
    """Say what is wrong with this address ("a private network"); empty when it may be reached."""
    try:
        address = ip_address(text)
    except ValueError:
        return "not an address"
    if is_named(text, allowed):
        return ""
    return _objection_v4(address) if isinstance(address, IPv4Address) else _objection_v6(address)


def is_named(text: str, allowed: Sequence[Network]) -> bool:
    """Tell whether the operator has named a network of this address."""
    # An address with a zone (fe80::1%eth0) is of a link, and is in no network.
    return "%" not in text and any(ip_address(text) in network for network in allowed)


def _objection_v4(address: IPv4Address) -> str:
    return next((word for network, word in _V4 if address in network), "")


def _objection_v6(address: IPv6Address) -> str:
    for network, word in _V6:
        if address in network:
            return word
    if address not in GLOBAL_V6 or address.scope_id:
        return "a reserved network"
    if (int(address) >> 32) & 0xFFFFFFFF in ISATAP:
        return "an IPv4 address in disguise"
    return ""

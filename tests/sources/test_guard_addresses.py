"""Which addresses the guard lets through."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_app.sources.guard.addresses import find_objection, is_named, parse_networks

REFUSED = (
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2a00:1450:4001::5efe:7f00:1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "not an address",
    "",
)
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "52.216.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450:4001:81c::200e",
)


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused_with_a_word(address: str) -> None:
    assert find_objection(address, ())


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not(address: str) -> None:
    assert find_objection(address, ()) == ""


@given(st.ip_addresses())
def test_only_what_the_world_routes_is_let_through(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if not find_objection(str(address), ()):
        assert address.is_global
        assert not address.is_multicast


def test_the_operator_opens_a_network_and_no_more() -> None:
    allowed = parse_networks(["10.1.0.0/16", " fd12::/32 ", "127.0.0.1"])
    assert find_objection("10.1.200.3", allowed) == ""
    assert find_objection("fd12::9", allowed) == ""
    assert find_objection("127.0.0.1", allowed) == ""
    for address in ("10.2.0.1", "127.0.0.2", "fd13::1", "::ffff:10.1.0.1", "fe80::1%lo"):
        assert find_objection(address, allowed)
    assert is_named("10.1.0.1", allowed)
    assert not is_named("8.8.8.8", allowed)


def test_a_network_that_is_none_is_said() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/40"):
        parse_networks(["10.0.0.0/40"])

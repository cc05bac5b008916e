"""Where a registry may send us."""

import pytest

from agent.errors import Malformed
from agent.registry.addresses import check_addresses, check_host

HOME = "registry.example.com"

NEVER = [
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "169.254.170.23",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "::1",
    "::",
    "fe80::1",
    "ff02::1",
    "fec0::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "::127.0.0.1",
]
PRIVATE = ["10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("home_addresses", [["93.184.216.34"], ["10.0.0.1"], ["127.0.0.1"], []])
def test_addresses_that_no_registry_may_name(address: str, home_addresses: list[str]) -> None:
    """Wherever the registry itself is; one among good ones is enough."""
    with pytest.raises(Malformed):
        check_addresses("other.example", ["93.184.216.34", address], HOME, home_addresses)
    with pytest.raises(Malformed):
        check_host(address, HOME, "redirect", allow_private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    """Only a registry that is at one may name one."""
    check_addresses("other.example", [address], HOME, ["10.9.9.9"])
    check_host(address, HOME, "redirect", allow_private=True)
    for home_addresses in (["93.184.216.34"], ["93.184.216.34", "10.9.9.9"], ["10.9.9.9", "93.184.216.34"], []):
        with pytest.raises(Malformed, match="private"):
            check_addresses("other.example", [address], HOME, home_addresses)
    with pytest.raises(Malformed, match="private"):
        check_host(address, HOME, "realm", allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """Any registry may name these."""
    check_addresses("other.example", [address], HOME, ["93.184.216.34"])
    check_host(address, HOME, "realm", allow_private=False)


def test_names_are_judged_when_resolved() -> None:
    """Not before."""
    check_host("localhost", HOME, "realm", allow_private=False)
    check_host("other.example", HOME, "realm", allow_private=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "169.254.1.1", HOME])
def test_the_registry_itself(host: str) -> None:
    """Who named the image chose it."""
    check_host(host, host, "realm", allow_private=False)
    check_addresses(host, ["127.0.0.1"], host, ["127.0.0.1"])

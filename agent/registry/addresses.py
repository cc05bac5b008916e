"""Which addresses a registry may send us to: a token server or an object store, never the node or its cloud.

A registry chooses the hosts of its realms and redirects; what may be contacted there is decided here, twice: on the
host as it is written, and by the transport on every address that the name resolved to.  Resolves nothing itself.

The rules are those against the class of CVE-2026-48978: loopback, link-local, unspecified, multicast and reserved
addresses and the metadata services that clouds keep at ordinary ones are refused; private addresses are allowed only
to a registry that is itself at one; an IPv4 address inside an IPv6 one counts as itself.
"""

from typing import TYPE_CHECKING, Sequence

from agent.errors import Malformed

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_METADATA = frozenset(
    {
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure, WireServer
        "192.0.0.192",  # Oracle Cloud Classic
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, credentials of pods
        "fd20:ce::254",  # Google Cloud
    }
)
_NAT64 = 0x0064FF9B << 96  # 64:ff9b::/96, RFC 6052
_LOW_32_BITS = (1 << 32) - 1


def check_host(host: str, home: str, where: str, *, allow_private: bool) -> None:
    """Judge a host as it is written, before any name is resolved.  Raises `Malformed`.

    `home` is the registry's own host, which is always allowed: who named the image chose it.  `allow_private` leaves
    private addresses to `check_addresses`, which knows where the registry is.
    """
    address = _literal(host)
    if host == home or address is None:
        return
    reason = _always_refused(address) or ("" if allow_private else _not_public(address))
    if reason:
        raise Malformed(f"{where}: got {host}, {reason}; expected a public host or the registry's own ({home})")


def check_addresses(host: str, found: Sequence[str], home: str, home_addresses: Sequence[str]) -> None:
    """Judge every address that `host` resolved to.  Raises `Malformed`.

    One bad address refuses the host: which of them would be connected to is nobody's promise.  And one public address
    makes the registry a public one: whoever rules its name could add a private one to it.
    """
    if host == home:
        return
    home_is_private = bool(home_addresses) and all(_not_public(_address(each)) for each in home_addresses)
    for text in found:
        address = _address(text)
        reason = _always_refused(address) or ("" if home_is_private else _not_public(address))
        if reason:
            raise Malformed(
                f"{host}: resolved to {address}, {reason}; expected a public address, since {home} sent us there"
            )


def check_elsewhere(host: str, found: Sequence[str], where: str) -> None:
    """Refuse a host that is, or that resolved to, the node or a cloud's metadata service.  Raises `Malformed`."""
    literal = _literal(host)
    for address in (*((literal,) if literal else ()), *map(_address, found)):
        reason = _always_refused(address)
        if reason:
            raise Malformed(f"{where}: got {host} ({address}), {reason}; expected one elsewhere")


def _always_refused(address: "IPv4Address | IPv6Address") -> str:
    for each in _embedded(address):
        if each.is_loopback:
            return "a loopback address"
        if each.is_link_local:
            return "a link-local address"
        if each.is_unspecified:
            return "the unspecified address"
        if each.is_multicast:
            return "a multicast address"
        if str(each) in _METADATA:
            return "a cloud's metadata service"
        if each.is_reserved or (each.version == 6 and each.is_site_local):
            return "a reserved address"
    return ""


def _not_public(address: "IPv4Address | IPv6Address") -> str:
    return "" if all(each.is_global for each in _embedded(address)) else "a private address"


def _embedded(address: "IPv4Address | IPv6Address") -> "list[IPv4Address | IPv6Address]":
    """The addresses that a packet to `address` may end at: itself, or the IPv4 addresses inside it."""
    from ipaddress import IPv4Address

    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if int(address) >> 32 == _NAT64 >> 32:
        return [IPv4Address(int(address) & _LOW_32_BITS)]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    return [address, *(address.teredo or ())]


def _literal(host: str) -> "IPv4Address | IPv6Address | None":
    """The address that `host` (of a checked URL) is, or None for a name."""
    return _address(host) if ":" in host or host.rpartition(".")[2].isdigit() else None


def _address(text: str) -> "IPv4Address | IPv6Address":
    from ipaddress import ip_address

    return ip_address(text.partition("%")[0])

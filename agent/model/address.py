"""Where something listens: a host and a port, as people write them."""

from typing import NamedTuple

from agent.errors import UsageError

_NEVER_IN_A_HOST = frozenset("[] /@%#?")


class Address(NamedTuple):
    """A literal address or a name, and a port; 0 is any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`HOST:PORT`, an IPv6 address in brackets.  Raises `UsageError`."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""  # which colon is meant can't be told
        is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 2**16
        if not (colon and host and is_port and host.isascii() and host.isprintable()) or _NEVER_IN_A_HOST & set(host):
            raise UsageError(f"address: got {ascii(text)[:80]}; expected HOST:PORT, an IPv6 address in brackets")
        return cls(host, int(port))

    def __str__(self) -> str:
        """As it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

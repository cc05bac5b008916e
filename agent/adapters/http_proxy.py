"""Which proxy a request goes through: the rules of Go's HTTP clients, because containerd's pulls follow them.

HTTP_PROXY, HTTPS_PROXY and NO_PROXY, upper case before lower; NO_PROXY has `*`, addresses, networks, domains with all
their sub-domains (`example.com`), sub-domains alone (`.example.com`), each with an optional port.  localhost and
loopback addresses are never asked for through a proxy.  Pure: the environment comes in as a mapping.

A proxy's URL may hold a password: no message has more of it than the variable's name.
"""

from typing import Mapping, NamedTuple

from agent import __version__
from agent.errors import Cause, Malformed, Unavailable
from agent.registry.urls import Origin, Url

USER_AGENT = f"nodeseal/{__version__}"


class Proxy(NamedTuple):
    """An http proxy.  `authorization` is the value of Proxy-Authorization, "" for none; `variable` named it."""

    host: str
    port: int
    authorization: str
    variable: str

    @property
    def origin(self) -> Origin:
        """Where it is."""
        return Origin("http", self.host, self.port)


class _Exception(NamedTuple):
    """One entry of NO_PROXY: a host (with or without its sub-domains, itself or not) or a network; port 0 is any."""

    suffix: str
    itself: bool
    network: str
    port: int


class ProxySettings(NamedTuple):
    """The variables' values, each with the name of the variable that it stood in."""

    http: tuple[str, str] = ("", "")
    https: tuple[str, str] = ("", "")
    exceptions: tuple[_Exception, ...] = ()
    never: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ProxySettings":
        """Read the proxy variables.  Raises nothing: a wrong one is told when it would be used."""
        http = _first(environment, "HTTP_PROXY", "http_proxy")
        https = _first(environment, "HTTPS_PROXY", "https_proxy")
        entries = [entry.strip().lower() for entry in _first(environment, "NO_PROXY", "no_proxy")[1].split(",")]
        exceptions = [_exception(entry) for entry in entries if entry and entry != "*"]
        return cls(http, https, tuple(each for each in exceptions if each), never="*" in entries)

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy for requests to `origin`, None for none.  Raises `Unavailable` for one that can't be used."""
        variable, value = self.https if origin.scheme == "https" else self.http
        if not value or self.never or _is_local(origin.host):
            return None
        if any(_covers(each, origin) for each in self.exceptions):
            return None
        return _proxy(variable, value)


def tunnel_request(origin: Origin, proxy: Proxy) -> bytes:
    """The CONNECT that asks `proxy` for a tunnel to `origin`."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {USER_AGENT}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def check_tunnel(status: int, origin: Origin, proxy: Proxy) -> None:
    """Judge the status of its answer.  Raises `Unavailable`."""
    if status != 200:
        text = f"{origin.netloc}: the proxy of {proxy.variable} refuses (status {status})"
        raise Unavailable(text, cause=Cause.REGISTRY_UNAVAILABLE)


def _first(environment: Mapping[str, str], *names: str) -> tuple[str, str]:
    return next(((name, environment[name].strip()) for name in names if environment.get(name, "").strip()), ("", ""))


def _proxy(variable: str, value: str) -> Proxy:
    scheme, separator, rest = value.partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("http", value)
    if scheme != "http":
        kind = scheme if scheme in ("https", "socks4", "socks4a", "socks5", "socks5h") else "unknown"
        raise _unusable(variable, f"a proxy of kind {kind}; this version speaks to http:// proxies only")
    userinfo, _, location = rest.partition("/")[0].rpartition("@")
    try:
        origin = Url.parse(f"http://{location}", variable).origin
    except Malformed:
        raise _unusable(variable, "a value that is no URL of a proxy") from None
    return Proxy(origin.host, origin.port, _basic(variable, userinfo) if userinfo else "", variable)


def _basic(variable: str, userinfo: str) -> str:
    from base64 import b64encode
    from urllib.parse import unquote_to_bytes

    name, _, password = userinfo.partition(":")
    try:
        plain = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    except UnicodeEncodeError:  # bytes of the environment that are no UTF-8
        raise _unusable(variable, "user information that is no UTF-8") from None
    if b"\r" in plain or b"\n" in plain:
        raise _unusable(variable, "user information with a line break")
    return "Basic " + b64encode(plain).decode("ascii")


def _unusable(variable: str, what: str) -> Unavailable:
    return Unavailable(
        f"proxy: {variable} has {what}",
        cause=Cause.REGISTRY_UNAVAILABLE,
        hint=f"set {variable} to http://HOST:PORT, or name the registry in NO_PROXY",
    )


def _exception(entry: str) -> _Exception | None:
    """Read one entry; None for one that means nothing, as Go ignores it."""
    if "/" in entry:
        return _Exception("", False, entry, 0) if _network(entry) else None
    host, port = _split_port(entry)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if _network(host):
        return _Exception("", False, host, port)
    if host.startswith("*."):
        host = host[1:]
    if not host.strip("."):
        return None
    return _Exception(host.removeprefix("."), not host.startswith("."), "", port)


def _split_port(entry: str) -> tuple[str, int]:
    host, colon, digits = entry.rpartition(":")
    if colon and (":" not in host or host.endswith("]")) and digits.isascii() and digits.isdigit() and len(digits) <= 5:
        return host, int(digits)
    return entry, 0


def _covers(exception: _Exception, origin: Origin) -> bool:
    if exception.port not in (0, origin.port):
        return False
    if exception.network:
        return _in_network(origin.host, exception.network)
    return (exception.itself and origin.host == exception.suffix) or origin.host.endswith("." + exception.suffix)


def _is_local(host: str) -> bool:
    return host == "localhost" or _in_network(host, "127.0.0.0/8") or host == "::1"


def _is_literal(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _network(text: str) -> bool:
    """Whether `text` is an address or a network."""
    if not _is_literal(text.partition("/")[0]):
        return False
    from ipaddress import ip_network

    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _in_network(host: str, network: str) -> bool:
    if not _is_literal(host):
        return False
    from ipaddress import ip_address, ip_network

    return ip_address(host) in ip_network(network, strict=False)

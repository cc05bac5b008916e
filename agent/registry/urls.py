"""URLs as registries name them: parsed once, strictly, into a value that is used as it was checked.

A URL that two parsers could read differently is refused, not mended: nothing outside visible ASCII, no backslash, no
user information, no dot segment, no host that looks like an IPv4 address without being one in its usual form.
Resolves no name and opens no connection.
"""

from typing import NamedTuple

from agent.errors import LimitExceeded, Malformed
from agent.model.reference import Repository
from agent.registry.limits import MAX_URL_LENGTH

DEFAULT_PORTS = {"http": 80, "https": 443}
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "registry-1.docker.io"
"""docker.io is a name for people; the API is elsewhere (distribution's and containerd's rule)."""

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3
_MAX_HOST_LENGTH = 253


class Origin(NamedTuple):
    """Scheme, host and port: what credentials are bound to.  An IPv6 host has no brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, repository: Repository, *, use_http: bool) -> "Origin":
        """Where the API of `repository` is.  Raises `Malformed` for a host that is none."""
        host = _DOCKER_HUB_API if repository.host == _DOCKER_HUB else repository.host
        scheme = "http" if use_http else "https"
        return _origin(scheme, host, "registry")

    @property
    def netloc(self) -> str:
        """Host and port as a Host header has them: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """`scheme://host[:port]`."""
        return f"{self.scheme}://{self.netloc}"


class Url(NamedTuple):
    """An absolute http or https URL without user information and fragment.  `query` is "" or begins with "?"."""

    origin: Origin
    path: str
    query: str = ""

    @classmethod
    def parse(cls, text: str, where: str) -> "Url":
        """Read an absolute URL.  Raises `Malformed` or `LimitExceeded`; the message never holds the URL's query."""
        _check_characters(text, where)
        scheme, separator, rest = text.partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in DEFAULT_PORTS:
            raise Malformed(f"{where}: got {_start(text)}; expected an absolute http or https URL")
        if "#" in rest:
            raise Malformed(f"{where}: got a URL with a fragment; expected none")
        end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        origin = _origin(scheme, rest[:end].lower(), where)
        path, mark, query = rest[end:].partition("?")
        _check_path(path, where)
        return cls(origin, path or "/", mark + query)

    def join(self, text: str, where: str) -> "Url":
        """The URL that the reference `text`, found in an answer to this one, means.  Raises like `parse`.

        RFC 3986, 5.2, without dot segments; a fragment means nothing to a server and is left out.
        """
        _check_characters(text, where)
        text = text.partition("#")[0]
        if "://" in text.partition("?")[0]:
            return Url.parse(text, where)
        if text.startswith("//"):
            return Url.parse(f"{self.origin.scheme}:{text}", where)
        path, mark, query = text.partition("?")
        if not path:
            return Url(self.origin, self.path, mark + query if mark else self.query)
        if not path.startswith("/"):
            if ":" in path.partition("/")[0]:
                raise Malformed(f"{where}: got {_start(text)}; expected an http or https URL")
            path = self.path.rpartition("/")[0] + "/" + path
        _check_path(path, where)
        return Url(self.origin, path, mark + query)

    def with_parameters(self, parameters: tuple[tuple[str, str], ...]) -> "Url":
        """This URL with `parameters` added to its query."""
        added = "&".join(f"{name}={quoted(value)}" for name, value in parameters)
        if not added:
            return self
        return self._replace(query=f"{self.query}&{added}" if len(self.query) > 1 else f"?{added}")

    @property
    def target(self) -> str:
        """Path and query, as a request line has them."""
        return self.path + self.query

    def __repr__(self) -> str:
        """Without the query, as `str`."""
        return f"Url({str(self)!r})"

    def __str__(self) -> str:
        """For messages: without the query, which may hold secrets."""
        return f"{self.origin}{self.path}"


def quoted(text: str) -> str:
    """`text` percent-encoded for a query."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8"))


def _check_characters(text: str, where: str) -> None:
    if len(text) > MAX_URL_LENGTH:
        raise LimitExceeded(f"{where}: got a URL of {len(text)} characters; expected at most {MAX_URL_LENGTH}")
    if not text or not all("!" <= character <= "~" and character != "\\" for character in text):
        raise Malformed(f"{where}: got {_start(text)}; expected a URL in visible ASCII without backslash")


def _check_path(path: str, where: str) -> None:
    for segment in path.split("/"):
        if segment.lower().replace("%2e", ".") in (".", ".."):
            raise Malformed(f"{where}: got a URL with a dot segment in its path; expected none")


def _origin(scheme: str, authority: str, where: str) -> Origin:
    if "@" in authority:
        raise Malformed(f"{where}: got a URL with user information; expected none")
    if authority.startswith("["):
        inner, bracket, after = authority[1:].partition("]")
        host = _ipv6(inner) if bracket else ""
    else:
        name, colon, rest = authority.partition(":")
        host, after = name if _is_host(name) else "", colon + rest
    if not host or after[:1] not in ("", ":"):
        raise Malformed(f"{where}: got host {ascii(authority[:80])}; expected a DNS name or an IP address")
    if not after:
        return Origin(scheme, host, DEFAULT_PORTS[scheme])
    digits = after[1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= 65535):
        raise Malformed(f"{where}: got port {ascii(digits[:20])}; expected 1 to 65535")
    return Origin(scheme, host, int(digits))


def _is_host(host: str) -> bool:
    labels = host.split(".")
    if len(host) > _MAX_HOST_LENGTH:
        return False
    for label in labels:
        if not 0 < len(label) <= 63 or label[0] == "-" or label[-1] == "-" or not _LABEL.issuperset(label):
            return False
    # A name that ends in a number is an IPv4 address to some resolvers, in one of its many forms (2130706433, 127.1,
    # 0x7f.1): taken in the usual form only, so that a check of literal addresses can't be passed by another.
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        return len(labels) == 4 and all(
            label.isdigit() and str(int(label)) == label and int(label) <= 255 for label in labels
        )
    return True


def _ipv6(text: str) -> str:
    """An IPv6 address in its shortest form, so that equal addresses are equal hosts; "" if it is none."""
    from ipaddress import AddressValueError, IPv6Address

    if "%" in text:
        return ""
    try:
        return IPv6Address(text).compressed
    except AddressValueError:
        return ""


def _start(text: str) -> str:
    return ascii(text.partition("?")[0][:60])

"""containerd's `hosts.toml` files: where a registry's images are asked for, and with what.  Bytes in, values out.

Of what containerd reads everything is taken that a pull by digest goes by.  As there, a file that can't be read counts
as none, and then Docker's files beside it do; and who may not be asked for content (`capabilities`) is left out.

Source: "Registry Configuration - Introduction" of containerd's documentation.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from agent.errors import Malformed
from agent.wiring import tables

FILE = "hosts.toml"

MAX_SIZE = 64 * 1024
"""Most bytes of a `hosts.toml`."""

MAX_HOSTS = 15
"""Most mirrors of one file."""

MAX_CERTIFICATES = 16
"""Most files of certificates of one host: each is read, however often it is named."""

_CAPABILITIES = ("pull", "resolve", "push", "referrers")
_SCHEMES = ("http://", "https://")
_API = "/v2"


class Host(NamedTuple):
    """A host that is asked.  `url` is empty for the registry itself; certificates are PEM, a client's with its key."""

    url: str = ""
    resolves: bool = True
    cas: tuple[bytes, ...] = ()
    clients: tuple[bytes, ...] = ()
    skip_verify: bool = False
    headers: tuple[tuple[str, str], ...] = ()


class Folder(NamedTuple):
    """A folder of `certs.d`: its path, what reads a file of the host, and the names in it."""

    path: str
    read: Callable[[str], bytes | None]
    names: Sequence[str]

    def file(self, name: str) -> bytes:
        """A file that is named in it; empty if it can't be read."""
        return self.read(posixpath.join(self.path, name)) or b""


def hosts(folder: Folder) -> tuple[Host, ...]:
    """The hosts that a folder has for its registry, in order; the registry or its server is the last one."""
    content = folder.read(f"{folder.path}/{FILE}")
    if content:
        try:
            return tuple(_hosts(_table(content), folder))
        except (TypeError, ValueError):
            pass
    return (_dockers(folder),)


def _table(content: bytes) -> Mapping[str, object]:
    """Raises `ValueError`."""
    if len(content) > MAX_SIZE:
        raise ValueError("too large")
    try:
        return tables.decode(content, FILE)
    except Malformed as error:
        raise ValueError(error.message) from None


def _hosts(table: Mapping[str, object], folder: Folder) -> Iterator[Host]:
    """Raises `TypeError`, `ValueError` for what containerd refuses."""
    mirrors = _object(table.get("host", {}))
    if len(mirrors) > MAX_HOSTS:
        raise ValueError("too many hosts")
    found = [_host(_url(name, each), _object(each), folder) for name, each in mirrors.items()]
    server = table.get("server", "")
    own = _host(_url(_text(server), table) if server else "", table, folder)
    yield from (each for each in found if each is not None)
    yield own or Host()  # somebody has to be asked last


def _url(name: str, table: object) -> str:
    """Where the API is: `/v2` behind the path unless that says it all."""
    url = name if name.startswith(_SCHEMES) else f"https://{name}"
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    path = f"/{path}".rstrip("/")
    if not _flag(_object(table), "override_path") and not path.endswith(_API):
        path += _API
    return f"{scheme}://{authority}{path}"


def _host(url: str, table: Mapping[str, object], folder: Folder) -> Host | None:
    """None for one that may not be asked for content."""
    may = [_text(each).lower() for each in _listed(table.get("capabilities", []))]
    if not set(may) <= set(_CAPABILITIES):
        raise ValueError("capabilities")
    cas = [_text(name) for name in _listed(table.get("ca", []))]
    if len(cas) > MAX_CERTIFICATES:
        raise ValueError("too many certificates")
    host = Host(
        url,
        not may or "resolve" in may,
        tuple(filter(None, map(folder.file, cas))),
        tuple(filter(None, _clients(table.get("client", []), folder))),
        _flag(table, "skip_verify"),
        tuple(_headers(_object(table.get("header", {})))),
    )
    return host if not may or "pull" in may else None


def _clients(given: object, folder: Folder) -> Iterator[bytes]:
    """Each as one file with certificate and key, or as a pair of files."""
    listed = _listed(given)
    if len(listed) > MAX_CERTIFICATES:
        raise ValueError("too many certificates")
    for each in listed:
        names = [_text(name) for name in _listed(each)]
        if not 0 < len(names) <= 2:
            raise ValueError("client")
        contents = [folder.file(name) for name in names if name]
        yield b"\n".join(contents) if all(contents) else b""


def _headers(table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, values in table.items():
        for value in _listed(values):
            yield name, _text(value)


def _dockers(folder: Folder) -> Host:
    """Docker's files: `*.crt` are CAs, `*.cert` a client's certificate with its key beside it."""
    names = sorted(folder.names)
    cas = [name for name in names if name.endswith(".crt")][:MAX_CERTIFICATES]
    pairs = [(name, f"{name[:-5]}.key") for name in names if name.endswith(".cert") and f"{name[:-5]}.key" in names]
    clients = (b"\n".join(map(folder.file, pair)) for pair in pairs[:MAX_CERTIFICATES])
    return Host(cas=tuple(filter(None, map(folder.file, cas))), clients=tuple(clients))


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError("no table")
    return cast("Mapping[str, object]", value)


def _listed(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list) else (value,)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _flag(table: Mapping[str, object], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(name)
    return value

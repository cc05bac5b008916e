"""Where a registry's images are asked for: containerd's `hosts.toml` files, as they are recorded of a node.  Pure.

containerd asks the mirrors of a registry in their order and then the registry itself, or the `server` in its place.
The file that counts is found by the registry's name: of `HOST_PORT_`, `HOST:PORT` and `_default` the first folder that
is there.  A host that is not the registry is told which one is meant: `ns`.

Source: "Registry Configuration - Introduction" of containerd's documentation.

A recorded place is an object; all keys may be missing.  `url` is where its API is, with `/v2` and what else is in front
of a repository's name; without it, it is the registry itself.  `resolves` is whether it is asked what a tag means.
`ca` and `client` are paths of PEM files, a client's with certificate and key; `skipVerify` and `headers` are
containerd's.  The last place is the registry, or its server.
"""

from typing import Iterator, Mapping, NamedTuple, Sequence

from agent.errors import Cause, Malformed, NodesealError, Unavailable
from agent.model.reference import Repository
from agent.registry.urls import Origin, Url, quoted

DEFAULT = "_default"
"""The folder of all registries that have none."""

_API = "/v2"
_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_MAX_HEADERS = 32
_MAX_FILES = 8
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")  # RFC 9110, 5.6.2


class HostTls(NamedTuple):
    """What is different about TLS with one origin, and no other: more CAs, client certificates, or no verification.

    Files are paths of PEM.
    """

    origin: Origin
    cas: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    skip_verify: bool = False

    def under(self, root: str) -> "HostTls":
        """The same with its files under `root`."""
        cas, clients = (tuple(root.rstrip("/") + path for path in paths) for paths in (self.cas, self.clients))
        return self._replace(cas=cas, clients=clients)


class Place(NamedTuple):
    """Where a repository is asked for.

    `repository` is what it is called there; `base` is what stands in front of that in paths, `query` what is added to
    each URL.  `tls` is None if nothing is different.  `resolves` is whether it is asked what a tag means.
    """

    repository: Repository
    origin: Origin
    base: str = _API
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tls: HostTls | None = None
    resolves: bool = True

    def __repr__(self) -> str:
        """Without headers, which may be secret."""
        return f"Place({str(self.origin)!r}, {str(self.repository)!r})"


def places(registries: Mapping[str, object], repository: Repository, *, use_http: bool) -> tuple[Place, ...]:
    """Where `repository` is asked for, in order, the registry itself or its server last; at least one.

    `use_http` is for what says nothing else.  Raises `Unavailable` for a record that can't be used.
    """
    home = Place(repository, Origin.of(repository, use_http=use_http))
    recorded = next((registries[name] for name in folders(repository.host) if name in registries), None)
    if recorded is None:
        return (home,)
    try:
        if not isinstance(recorded, list) or not recorded:
            raise Malformed("got no places")
        return tuple(_place(each, home) for each in recorded)
    except (NodesealError, TypeError, ValueError) as error:
        reason = error.message if isinstance(error, NodesealError) else type(error).__name__
        raise Unavailable(
            f"{repository.host}: the recorded hosts can't be used ({ascii(reason)[1:-1][:160]})",
            cause=Cause.CONFIGURATION_INVALID,
            hint="correct certs.d, or the bootstrap document, and install again",
        ) from None


def until(now: float, deadline: float, i: int, count: int) -> float:
    """Until when the `i`th of `count` places may be asked: each leaves the ones behind it their share of the time."""
    return now + (deadline - now) * (i + 1) / count


def folders(host: str) -> Iterator[str]:
    """The names of the folder in `certs.d` that counts for a registry; the first that is there."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        yield f"{name}_{port}_"
    yield host
    yield DEFAULT


def _place(given: object, home: Place) -> Place:
    if not isinstance(given, dict):
        raise TypeError("place")
    origin, base, query, repository = home.origin, _API, "", home.repository
    if "url" in given:
        origin, base = location(given["url"])
        if base.startswith(f"{_API}/"):  # a part of the repository's name, to the host and to its tokens
            repository, base = Repository(repository.host, f"{base[len(_API) + 1 :]}/{repository.path}"), _API
    if origin != home.origin:
        repository = repository._replace(host=origin.netloc)
        query = f"?ns={quoted(home.repository.host)}"
    cas, clients = _texts([given["ca"]] if "ca" in given else []), _texts(given.get("client", []))
    skip = given.get("skipVerify", False) is True
    tls = HostTls(origin, cas, clients, skip) if cas or clients or skip else None
    headers = tuple(_header(each) for each in _listed(given.get("headers", []), _MAX_HEADERS))
    return Place(repository, origin, base, query, headers, tls, given.get("resolves", True) is not False)


def location(url: object) -> tuple[Origin, str]:
    """Origin and path of a place's URL.  Raises `Malformed`, `TypeError`."""
    if not isinstance(url, str):
        raise TypeError("url")
    parsed = Url.parse(url, "host")
    if parsed.query:
        raise Malformed("got a host's URL with a query; expected none")
    origin = parsed.origin._replace(host=_HUB_API) if parsed.origin.host == _HUB else parsed.origin
    return origin, parsed.path.rstrip("/")


def _header(given: object) -> tuple[str, str]:
    name, value = _texts(given)
    if not name or not _TOKEN.issuperset(name) or not (value.isascii() and value.isprintable()):
        raise Malformed("got a header that can't be sent")
    return name, value


def _texts(given: object) -> tuple[str, ...]:
    if not all(isinstance(each, str) for each in _listed(given, _MAX_FILES)):
        raise TypeError("no texts")
    return tuple(given)  # type: ignore[arg-type]


def _listed(given: object, most: int) -> Sequence[object]:
    if not isinstance(given, list | tuple) or len(given) > most:
        raise TypeError("no list")
    return given

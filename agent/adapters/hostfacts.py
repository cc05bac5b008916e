"""What a host reaches registries with: its CA bundle, the proxy of the service that runs containerd, `certs.d`.

Nothing is changed, and nothing here fails: what can't be read is not there.  Values may hold passwords: they are in no
message.
"""

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from agent.adapters import trustedcas
from agent.adapters.hostroot import HostRoot
from agent.codec import strictjson
from agent.config.bootstrap import MAX_FOLDERS, MAX_PROXY, PROXY_VARIABLES
from agent.errors import HostError, Malformed, Unavailable
from agent.model.reference import Repository
from agent.registry import hosts
from agent.wiring import hoststoml, unitfiles
from agent.wiring.facts import Facts
from agent.wiring.hoststoml import Folder, Host

MAX_BUNDLE = 1024 * 1024
"""Most bytes of a CA bundle; those of distributions have a quarter."""

MAX_CERTIFICATES = 256 * 1024
"""Most bytes of one host's certificates."""

MAX_FILES = 64
"""Most files of certificates of all hosts."""

MAX_HOSTS = 96 * 1024
"""Most bytes of all that is recorded of hosts: each pull that asks a daemon in vain reads it."""

MAX_PATHS = 16
"""Most folders of a `config_path`: each is listed."""

COPIES = "/etc/nodeseal/certs"
"""Where certificates of hosts are copied to, by their hash."""

_MAX_ENVIRONMENT = 1024 * 1024
_USUAL_UNITS = (
    "k3s-agent.service", "k3s.service", "rke2-agent.service", "rke2-server.service", "k0sworker.service",
    "snap.microk8s.daemon-containerd.service", "containerd.service",
)  # fmt: skip
_OF_K3S = "CONTAINERD_"
"""What k3s and RKE2 take from the name of a variable that is for their containerd alone."""


def ca_bundle(host: HostRoot, path: str = "") -> tuple[str, bytes]:
    """The host's CA bundle and where it is: `path`, or the first of the usual ones; both empty without one."""
    for each in (path,) if path else trustedcas.BUNDLES:
        content = _read(host, each)
        if content and len(content) <= MAX_BUNDLE:
            return each, content
    return "", b""


def proxy(host: HostRoot, facts: Facts, unit: str = "") -> dict[str, str]:
    """The proxy variables of containerd: of its process if one runs, else of its unit; upper case, empty without any.

    `unit` is the unit that runs it where no process tells.
    """
    variables = _of_process(facts.process.pid) if facts.process is not None else None
    if variables is None:
        variables = _of_unit(host, (facts.process.unit if facts.process else "") or unit)
    return proxy_of(variables)


def proxy_of(variables: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables among others."""
    return {name: value for name in PROXY_VARIABLES if (value := _value(variables, name))}


def _value(variables: Mapping[str, str], name: str) -> str:
    """As Go takes it: the first of both cases that is not empty; one that can't be a header is none."""
    found = (variables.get(each, "").strip() for each in (name, name.lower()))
    value = next(filter(None, found), "")
    return value if value.isascii() and value.isprintable() and len(value) <= MAX_PROXY else ""


def _of_process(pid: int) -> Mapping[str, str] | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            content = file.read(_MAX_ENVIRONMENT)
    except OSError:
        return None
    words = (each.decode("utf-8", "replace").partition("=") for each in content.split(b"\0"))
    return {name: value for name, equals, value in words if equals}


def _of_unit(host: HostRoot, unit: str) -> Mapping[str, str]:
    for each in (unit,) if unit else _USUAL_UNITS:
        found = unitfiles.environment(each, _reader(host), _lister(host))
        if found is not None:
            own = {name.removeprefix(_OF_K3S): value for name, value in found.items() if name.startswith(_OF_K3S)}
            return {**found, **own}
    return {}


def _reader(host: HostRoot) -> Callable[[str], bytes | None]:
    return lambda path: _read(host, path)


def _lister(host: HostRoot) -> Callable[[str], Sequence[str]]:
    def names(path: str) -> Sequence[str]:
        with suppress(HostError):
            return host.names(path)
        return ()

    return names


def _read(host: HostRoot, path: str) -> bytes | None:
    with suppress(HostError):
        return host.read(path)
    return None


def folders(config_path: object) -> tuple[str, ...]:
    """The folders of a `config_path`, which is a list with colons: the first `MAX_PATHS` of them, each once."""
    found = (each for each in str(config_path).split(":") if each.startswith("/")) if config_path else ()
    return tuple(dict.fromkeys(found))[:MAX_PATHS]


class Certs(NamedTuple):
    """What `certs.d` says: the value to be recorded, the files that it names, and folders that can't be recorded."""

    registries: Mapping[str, object] = {}
    files: Mapping[str, bytes] = {}
    left_out: tuple[str, ...] = ()


def certs(host: HostRoot, paths: Iterable[str], bundle: bytes = b"") -> Certs:
    """Read `certs.d`; a folder of a name is the first one in `paths`.  CAs that are the `bundle` are not copied."""
    registries: dict[str, object] = {}
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    for path, name in _folders(host, paths):
        folder = Folder(f"{path}/{name}", _reader(host), _lister(host)(f"{path}/{name}"))
        recorded, copies = _recorded(hoststoml.hosts(folder), bundle)
        after = {**registries, name: recorded}
        fits = len(after) <= MAX_FOLDERS and len({**files, **copies}) <= MAX_FILES
        if fits and _can_be_used(name, recorded) and len(strictjson.canonical(after)) <= MAX_HOSTS:
            registries, files = after, {**files, **copies}
        else:
            left_out.append(name)
    return Certs(registries, files, tuple(left_out))


def _folders(host: HostRoot, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each folder of a registry and what it lies in; what is no folder of one is none."""
    seen: set[str] = set()
    for path in paths:
        for name in _lister(host)(path):
            if name in seen or not (name.isascii() and name.isprintable()) or name.startswith("."):
                continue
            with suppress(OSError, ValueError), host.reached(f"{path}/{name}") as reached:
                if stat.S_ISDIR(reached.found.st_mode):
                    seen.add(name)
                    yield path, name


def _recorded(found: Sequence[Host], bundle: bytes) -> tuple[list[dict[str, object]], dict[str, bytes]]:
    """Hosts in the form of `agent.registry.hosts`, and the files that they name."""
    files: dict[str, bytes] = {}

    def copied(content: bytes) -> str:
        path = f"{COPIES}/{hashlib.sha256(content).hexdigest()[:32]}.pem"
        files[path] = content
        return path

    recorded = []
    for each in found:
        cas = b"\n".join(content for content in each.cas if content != bundle)
        clients = [content for content in each.clients if len(content) <= MAX_CERTIFICATES]
        recorded.append(
            {
                **({"url": each.url} if each.url else {}),
                **({} if each.resolves else {"resolves": False}),
                **({"ca": copied(cas)} if cas and len(cas) <= MAX_CERTIFICATES else {}),
                **({"client": [copied(content) for content in clients]} if clients else {}),
                **({"skipVerify": True} if each.skip_verify else {}),
                **({"headers": [list(header) for header in each.headers]} if each.headers else {}),
            }
        )
    return recorded, files


def _can_be_used(name: str, recorded: object) -> bool:
    """Whether the doors would take it."""
    try:
        hosts.places({hosts.DEFAULT: recorded}, Repository("registry.example", name), use_http=False)
    except (Malformed, Unavailable):
        return False
    return True


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    """Names of the variables that differ; never their values."""
    return [name for name in PROXY_VARIABLES if before.get(name, "") != after.get(name, "")]

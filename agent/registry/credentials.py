"""Docker's `config.json`: which credentials are there for a repository, and why there are none.

The form is Docker's: `auths` with `auth`, `username` and `password`, `identitytoken` or `registrytoken`; `credHelpers`
and `credsStore` are known and named, but no helper is ever run.  The matching is the kubelet's (`*` within a label, as
many labels, the same port, a path in front), with one difference: a path matches by whole segments, so that the entry
of `reg.example.com/team` is none for `reg.example.com/teammate`.

Pure: bytes come in.  What is wrong is a text that names file, entry and field, and never holds a value.  Imported only
if there is such a file and a registry asks for authentication.
"""

import binascii
from typing import Mapping, NamedTuple, Sequence

from agent.codec import members, strictjson
from agent.errors import LimitExceeded, Malformed
from agent.model.reference import Repository
from agent.registry.limits import MAX_CREDENTIALS_ENTRIES, MAX_CREDENTIALS_FILE, MAX_TOKEN_LENGTH, MAX_USER_LENGTH
from agent.registry.secret import Secret
from agent.registry.urls import Url

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({_DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_LONGEST_KEY = 512  # a host of 253 characters, a port, a path of 255
_LONGEST_HELPER = 64
_HELPER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_KEY = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_*:[]/")


class Credential:
    """What one entry holds.  Two of them are equal only if they are the same one; nothing secret is shown."""

    __slots__ = ("_realms", "identity_token", "key", "password", "registry_token", "source", "user")

    def __init__(
        self,
        key: str,
        source: str,
        *,
        user: str = "",
        password: str = "",
        identity_token: str = "",
        registry_token: str = "",
        realms: Mapping[str, tuple[str, ...]],
    ) -> None:
        """`key` is the entry's, `source` the file; `realms` are those that the file names, by registry."""
        self.key = key
        self.source = source
        self.user = Secret(user)
        self.password = Secret(password)
        self.identity_token = Secret(identity_token)
        self.registry_token = Secret(registry_token)
        self._realms = realms

    def realms(self, repository: Repository) -> tuple[str, ...]:
        """The token servers, as `host` or `host:port`, that the file names for the registry of `repository`."""
        return self._realms.get(_folded(repository.host), ())

    def __str__(self) -> str:
        """Where it stands."""
        return f"{ascii(self.key)} in {self.source}"

    def __repr__(self) -> str:
        """Where it stands, no more."""
        return f"Credential({self})"


class Entry(NamedTuple):
    """One key of `auths`: what it matches, and its credential, what is wrong with it, or neither."""

    key: str
    labels: tuple[str, ...]
    port: str
    segments: tuple[str, ...]
    credential: Credential | None
    defect: str

    def matches(self, labels: Sequence[str], port: str, segments: Sequence[str]) -> bool:
        """The kubelet's rule, with whole segments."""
        return (
            self.port == port
            and len(self.labels) == len(labels)
            and all(_glob(pattern, label) for pattern, label in zip(self.labels, labels, strict=True))
            and tuple(segments[: len(self.segments)]) == self.segments
        )

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """Sorts the more specific first: no wildcard before some, a longer path before a shorter one."""
        host = ".".join(self.labels)
        return host.count("*"), -len(self.segments), -len(host), self.key


class DockerConfig(NamedTuple):
    """One file.  `entries` are in the order in which they are tried."""

    source: str
    entries: tuple[Entry, ...]
    helpers: Mapping[str, str]
    store: str

    def matching(self, repository: Repository) -> list[Entry]:
        """The entries for `repository`, the more specific first."""
        labels, port = _host(_folded(repository.host))
        segments = repository.path.split("/")
        return [each for each in self.entries if each.matches(labels, port, segments)]

    def complaint(self, repository: Repository) -> str:
        """Why this file has no credentials for `repository`, though it may be meant to; empty if it is not."""
        for entry in self.matching(repository):
            if entry.defect:
                return f"{self.source}: entry {ascii(entry.key)}: {entry.defect}"
        host = _folded(repository.host)
        helper = self.helpers.get(host) or self.store
        if helper:
            what = f"the credentials for {host} are left to the credential helper {ascii(helper)}"
            return f"{self.source}: {what}; no helper is run"
        return ""


class Keyring:
    """All files, in the order in which they count, and what is wrong with those that can't be used."""

    def __init__(self, configs: Sequence[DockerConfig], problems: Sequence[str] = ()) -> None:
        """`problems` are texts for people, each naming its file."""
        self._configs = tuple(configs)
        self._problems = tuple(problems)

    def credentials(self, repository: Repository) -> tuple[Credential, ...]:
        """The credentials for `repository`, in the order in which they are tried."""
        return tuple(
            entry.credential
            for config in self._configs
            for entry in config.matching(repository)
            if entry.credential is not None
        )

    def complaint(self, repository: Repository) -> str:
        """Why there may be no credentials for `repository` where there should be; empty if none were meant to be."""
        complaints = (*(config.complaint(repository) for config in self._configs), *self._problems)
        return next((each for each in complaints if each), "")


def parse(data: bytes, source: str) -> DockerConfig:
    """Read a docker configuration.  Raises `Malformed` or `LimitExceeded` for one that can't be used at all.

    An entry that can't be used is kept with its defect: it matters only to the registry that it is for.
    """
    value = _object(_decoded(data, source), source)
    realms = _realms(value.get("nodeseal"), source)
    auths = _table(value, "auths", source)
    entries = [entry for key, each in auths.items() if (entry := _entry(key, each, source, realms)) is not None]
    helpers = {_folded(_split(key)[0]): _helper(each) for key, each in _table(value, "credHelpers", source).items()}
    entries.sort(key=lambda entry: entry.rank)
    return DockerConfig(source, tuple(entries), helpers, _helper(value.get("credsStore")))


def _decoded(data: bytes, source: str) -> object:
    if len(data) > MAX_CREDENTIALS_FILE:
        raise LimitExceeded(f"{source}: got more than {MAX_CREDENTIALS_FILE} bytes; expected a docker configuration")
    try:
        return strictjson.decode(data, source, limit=MAX_CREDENTIALS_FILE)
    except Malformed:
        pass
    # Outside of the handler: what was read hangs on the decoder's exception, and must not hang on ours.
    raise Malformed(f"{source}: got no valid JSON; expected a docker configuration")


def _object(value: object, where: str) -> dict[str, object]:
    found = members.of(value, where)
    if len(found) > MAX_CREDENTIALS_ENTRIES:
        raise LimitExceeded(f"{where}: got {len(found)} keys; expected at most {MAX_CREDENTIALS_ENTRIES}")
    return found


def _table(value: dict[str, object], name: str, source: str) -> dict[str, object]:
    table = value.get(name)
    return {} if table is None else _object(table, f"{source}: {name}")


def _helper(value: object) -> str:
    """The name of a helper as far as it can be shown; empty if there is none."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and len(value) <= _LONGEST_HELPER and _HELPER.issuperset(value):
        return value
    return "?"


def _realms(value: object, source: str) -> dict[str, tuple[str, ...]]:
    """Our own key: `{"realms": {REGISTRY: [HOST, ...]}}`.  Misspelt, it is refused: it says where passwords may go."""
    where = f"{source}: nodeseal"
    if value is None:
        return {}
    ours = _object(value, where)
    if not ours.keys() <= {"realms"}:
        raise Malformed(f"{where}: got an unknown key; expected realms alone")
    found: dict[str, tuple[str, ...]] = {}
    for registry, realms in _table(ours, "realms", where).items():
        host = _netloc(registry, where)
        if not isinstance(realms, list) or len(realms) > MAX_CREDENTIALS_ENTRIES:
            raise Malformed(f"{where}.realms: got {type(realms).__name__} for {host}; expected a list of hosts")
        found[_folded(host)] = tuple(_netloc(each, where) for each in realms)
    return found


def _netloc(value: object, where: str) -> str:
    """A host, with or without port, in its one spelling."""
    expected = f"{where}.realms: got something else; expected hosts, each with or without port, as auth.example.com"
    if not isinstance(value, str) or "/" in value or "?" in value:
        raise Malformed(expected)
    try:
        return Url.parse(f"https://{value}", where).origin.netloc
    except Malformed:
        raise Malformed(expected) from None


def _entry(key: str, value: object, source: str, realms: Mapping[str, tuple[str, ...]]) -> Entry | None:
    """One entry of `auths`; None for a key that names no registry, and so matches none."""
    host, segments = _split(key)
    if not host or len(key) > _LONGEST_KEY or not _KEY.issuperset(host) or not _KEY.issuperset("".join(segments)):
        return None
    labels, port = _host(_folded(host))
    credential, defect = None, ""
    try:
        credential = _credential(key, value, source, realms)
    except _Defect as error:
        defect = str(error)
    return Entry(key, labels, port, segments, credential, defect)


class _Defect(Exception):
    """What is wrong with an entry; stays within this module."""


def _credential(key: str, value: object, source: str, realms: Mapping[str, tuple[str, ...]]) -> Credential | None:
    """What an entry holds; None if it is empty.  Raises `_Defect`."""
    if not isinstance(value, dict):
        raise _Defect(f"got {type(value).__name__}; expected an object")
    texts = {name: _text(value, name) for name in ("auth", "username", "password", "identitytoken", "registrytoken")}
    user, password = _basic(texts["auth"]) if texts["auth"] else (texts["username"], texts["password"])
    if ":" in user or _unfit(user, MAX_USER_LENGTH):
        raise _Defect(f"username: expected at most {MAX_USER_LENGTH} characters without ':' and control characters")
    if _unfit(password, MAX_TOKEN_LENGTH):
        raise _Defect(f"password: expected at most {MAX_TOKEN_LENGTH} characters without control characters")
    for name in ("identitytoken", "registrytoken"):
        if len(texts[name]) > MAX_TOKEN_LENGTH or not all("!" <= character <= "~" for character in texts[name]):
            raise _Defect(f"{name}: expected at most {MAX_TOKEN_LENGTH} visible ASCII characters")
    if not (password or texts["identitytoken"] or texts["registrytoken"]):
        if user:
            raise _Defect("got a user name alone; expected a password or a token")
        return None
    return Credential(
        key,
        source,
        user=user,
        password=password,
        identity_token=texts["identitytoken"],
        registry_token=texts["registrytoken"],
        realms=realms,
    )


def _text(value: dict[str, object], name: str) -> str:
    text = value.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _Defect(f"{name}: got {type(text).__name__}; expected a text")
    return text


def _basic(auth: str) -> tuple[str, str]:
    """User and password of `auth`: base64 of both with a colon between.  Some clients pad with NUL."""
    text = None
    try:
        text = binascii.a2b_base64("".join(auth.split()), strict_mode=True).decode("utf-8")
    except ValueError:  # also what is not UTF-8, and what is not base64
        pass
    if text is None or ":" not in text:
        raise _Defect("auth: expected base64 of user name, ':' and password")
    user, _, password = text.rstrip("\0").partition(":")
    return user, password


def _unfit(text: str, longest: int) -> bool:
    return len(text) > longest or any(character < " " or character == "\x7f" for character in text)


def _split(key: str) -> tuple[str, tuple[str, ...]]:
    """Host (lower-case) and path segments of a key; a scheme, and /v1 or /v2 in front of the path, say nothing."""
    text = key.removeprefix("https://").removeprefix("http://")
    host, _, path = text.partition("/")
    segments = [each for each in path.split("/") if each]
    if segments[:1] in (["v1"], ["v2"]):
        del segments[0]
    return host.lower(), tuple(segments)


def _folded(host: str) -> str:
    """Docker Hub goes by three names."""
    return _DOCKER_HUB if host in _DOCKER_HUB_NAMES else host


def _host(host: str) -> tuple[tuple[str, ...], str]:
    """A host's labels, and its port as text; an IPv6 address is one label."""
    if host.startswith("["):
        name, _, port = host.partition("]")
        return (name,), port.removeprefix(":")
    name, _, port = host.partition(":")
    return tuple(name.split(".")), port


def _glob(pattern: str, label: str) -> bool:
    """Whether `label` fits `pattern`, in which each `*` stands for any characters, also none."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == label
    last = rest.pop()
    if not (label.startswith(first) and label.endswith(last)) or len(label) < len(first) + len(last):
        return False
    at, end = len(first), len(label) - len(last)
    for part in rest:
        found = label.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True

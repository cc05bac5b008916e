"""Image references: which registry, which repository, by which label.

A tag is only ever a label: what is verified is `repository@digest`.  Grammar: distribution's reference package
(the one containerd and Docker use), narrowed to what can be pulled: the host must be recognisable as one.
"""

import re
from typing import NamedTuple

from agent.errors import UsageError
from agent.model.digest import Digest

MAX_LENGTH = 1024
"""Longest reference taken, in characters: 255 of repository, 128 of tag, a host, a sha512 digest, and room."""

_MAX_REPOSITORY_LENGTH = 255  # distribution's NameTotalLengthMax
_HOST = re.compile(
    r"(?:(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
    r"|\[[0-9a-f:]{2,39}\])(?::([1-9][0-9]{0,4}))?\Z"
)
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_ENCODED_LENGTH = 64  # of a SHA-256
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_MAX_PORT = 65535
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_ALIASES = ("index.docker.io", "registry-1.docker.io")


class Repository(NamedTuple):
    """A repository on a registry.  `host` is lower-case, with its port if it has one; `path` is below it."""

    host: str
    path: str

    def __str__(self) -> str:
        """`host/path`, as it was named."""
        return f"{self.host}/{self.path}"

    @property
    def scope(self) -> str:
        """What rules and trust policies match on: `host/path` in one spelling, so that nobody chooses by another.

        Port 443 is what no port means; an IPv6 address has one shortest form, and one that holds an IPv4 address is
        that; Docker Hub goes by three names, and what has one segment there is in `library`.
        """
        host = self.host.removesuffix(":443")
        if host.startswith("["):
            host = _one_spelling(host)
        if host != _DOCKER_HUB and host not in _DOCKER_HUB_ALIASES:
            return f"{host}/{self.path}"
        return f"{_DOCKER_HUB}/{self.path if '/' in self.path else f'library/{self.path}'}"


class Reference(NamedTuple):
    """A parsed image reference: at least one of `tag` and `digest` is set."""

    repository: Repository
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a fully qualified reference, as containerd passes it.

        The first component must be recognisable as a host (a dot, a port, or `localhost`): which registry a short
        name means is the caller's knowledge, not ours to guess while a pull is being judged.  Raises `UsageError`.
        """
        if len(text) > MAX_LENGTH:
            raise UsageError(f"image name: got {len(text)} characters; expected at most {MAX_LENGTH}")
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        host, slash, rest = rest.partition("/")
        if not slash or not _is_host(host):
            raise UsageError(
                f"image name: got {_shown(text)}; expected HOST/REPOSITORY[:TAG][@DIGEST]",
                hint="write the registry's host in front, for example docker.io/library/busybox:1.36",
            )
        path, colon, tag = rest.partition(":")
        if colon and not _TAG.match(tag):
            raise UsageError(f"image name: got tag {_shown(tag)}; expected 1 to 128 of letters, digits, '_', '.', '-'")
        if not tag and digest is None:
            raise UsageError(f"image name: got {_shown(text)} without tag and digest; expected at least one")
        return cls(_repository(host, path), tag or None, digest)

    @classmethod
    def parse_short(cls, text: str) -> "Reference":
        """Read what a person types: Docker's short forms and an implied `latest` are completed first."""
        if len(text) > MAX_LENGTH:
            raise UsageError(f"image name: got {len(text)} characters; expected at most {MAX_LENGTH}")
        if not text.strip() or "://" in text or _is_digest_alone(text):
            raise UsageError(
                f"image name: got {_shown(text)}; expected REPOSITORY[:TAG] or REPOSITORY@DIGEST",
                hint="no scheme in front, and no digest or ID alone: it says nothing of where the image comes from",
            )
        name, at, digest = text.partition("@")
        host, slash, rest = name.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, rest = _DOCKER_HUB, name
        if host in ("index.docker.io", _DOCKER_HUB):
            host = _DOCKER_HUB
            rest = rest if "/" in rest else f"library/{rest}"
        if not at and ":" not in rest:
            rest = f"{rest}:latest"
        return cls.parse(f"{host}/{rest}{at}{digest}")

    def __str__(self) -> str:
        """The reference in its canonical form."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def _is_digest_alone(text: str) -> bool:
    """Whether it is a digest or an image's ID, which would be read as a tag or a repository of Docker Hub's."""
    encoded = text.removeprefix("sha256:")
    return len(encoded) == _ENCODED_LENGTH and all(each in "0123456789abcdef" for each in encoded)


def _is_host(text: str) -> bool:
    return "." in text or ":" in text or text.lower() == "localhost"


def _repository(host: str, path: str) -> Repository:
    """Check both parts.  Hosts are case-insensitive and folded; an upper-case path names no repository."""
    folded = host.lower() if host.isascii() else host
    match = _HOST.match(folded)
    if not match or not 0 < int(match[1] or "1") <= _MAX_PORT or not _is_name_or_address(folded):
        raise UsageError(
            f"image name: got host {_shown(host)}; expected a DNS name or IP address, with or without port"
        )
    if len(path) > _MAX_REPOSITORY_LENGTH or not _PATH.match(path):
        raise UsageError(
            f"image name: got repository {_shown(path)}; "
            f"expected at most {_MAX_REPOSITORY_LENGTH} lower-case letters, digits and separators"
        )
    return Repository(folded, path)


def _is_name_or_address(host: str) -> bool:
    """Whether `host`, which has the form of one, is a name or an address however it is read.

    A name that ends in a number is an IPv4 address to some resolvers, in one of its many forms (`2130706433`, `127.1`,
    `0x7f.1`): taken in the usual form only, so that nobody passes a rule or a list by another.
    """
    if host.startswith("["):
        return bool(_address(host[1:].partition("]")[0]))
    labels = host.partition(":")[0].split(".")
    if not _NUMBER.match(labels[-1]):
        return True
    return len(labels) == 4 and all(
        label.isdigit() and str(int(label)) == label and int(label) <= 255 for label in labels
    )


def _one_spelling(host: str) -> str:
    """An IPv6 host, in brackets and perhaps with a port, as it is compared; as it is if it is none."""
    text, bracket, port = host[1:].partition("]")
    address = _address(text)
    if not bracket or not address:
        return host
    return f"[{address}]{port}" if ":" in address else f"{address}{port}"


def _address(text: str) -> str:
    """An IPv6 address in its shortest form, or the IPv4 address that it stands for; "" if it is none."""
    from ipaddress import AddressValueError, IPv6Address  # few registries go by an address

    try:
        found = IPv6Address(text)
    except AddressValueError:
        return ""
    return str(found.ipv4_mapped or found.compressed)


def _shown(text: str) -> str:
    return ascii(text[:80])

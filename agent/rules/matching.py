"""Patterns over repositories, and which of several that match is the most specific.

A pattern is `HOST/PATH`: the host is exact, one segment of the path that is `*` is any one segment, a last segment `**`
is any rest, at least one segment; `**` alone is everything.  Hosts are compared in one spelling
(`Repository.scope`), so that nobody chooses a rule by another.

One pattern is more specific than another if it matches less: everything that it matches, the other matches too.  Two
that share repositories and of which neither is more specific are a tie (`ties`), which no configuration may have; so
those that match one repository are in one order, which `specificity` gives.
"""

import re

from agent.errors import UsageError
from agent.model.reference import Reference, Repository

_ANY, _REST = "*", "**"
_SEGMENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_EXACT = 2
_RANKS = {_ANY: 1, _REST: 0}

MAX_LENGTH = 512
"""Longest pattern, in characters."""


def complaint(pattern: str) -> str:
    """What is wrong with a pattern; empty if nothing is."""
    if pattern == _REST:
        return ""
    host, slash, path = pattern.partition("/")
    if len(pattern) > MAX_LENGTH:
        return f"at most {MAX_LENGTH} characters"
    if not slash or not path:
        return "HOST/REPOSITORY, with * for one segment and ** for the rest, or ** alone"
    if "*" in host:
        return "an exact host in front of the first /"
    if "@" in path or ":" in path:
        return "a repository without tag and digest: what is verified is the digest, whatever its label"
    *before, last = path.split("/")
    for segment in (*before, "" if last == _REST else last):
        if segment == _REST:
            return "** as the last segment only"
        if segment not in ("", _ANY) and not _SEGMENT.match(segment):
            return f"lower-case letters, digits and separators, or * alone, in the segment {ascii(segment)[:40]}"
        if not segment and last != _REST:
            return "no empty segments"
    if "" in before:
        return "no empty segments"
    if path == _ANY and _is_docker_hub(host):
        return f"{host}/library/*: on Docker Hub what has one segment is in library"
    try:
        Reference.parse(f"{host}/x@sha256:{'0' * 64}")
    except UsageError:
        return "a host with a dot or a port, or localhost, in front of the first /"
    return ""


def canonical(pattern: str) -> str:
    """The one spelling of a pattern without complaint: two patterns are the same if their spellings are."""
    if pattern == _REST:
        return pattern
    host, _, path = pattern.partition("/")
    repository = Repository(host.lower(), path)
    return f"{repository.scope.partition('/')[0]}/{path}" if path == _REST else repository.scope


def _is_docker_hub(host: str) -> bool:
    return Repository(host.lower(), "x").scope != f"{host.lower().removesuffix(':443')}/x"


def matches(pattern: str, repository: Repository) -> bool:
    """Whether `pattern`, in its one spelling, is for `repository`."""
    if pattern == _REST:
        return True
    wanted, found = pattern.split("/"), repository.scope.split("/")
    if wanted[-1] == _REST:
        wanted = wanted[:-1]
        if len(found) <= len(wanted):
            return False
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(a in (b, _ANY) for a, b in zip(wanted, found, strict=True))


def ties(left: str, right: str) -> bool:
    """Whether there are repositories that both match, and neither is more specific; equal patterns tie."""
    a, b = left.split("/"), right.split("/")
    return _share(a, b) and _contains(a, b) == _contains(b, a)


def includes(general: str, special: str) -> bool:
    """Whether all that `special` matches, `general` matches."""
    return _contains(general.split("/"), special.split("/"))


def _share(a: list[str], b: list[str]) -> bool:
    for left, right in zip(a, b, strict=False):
        if _REST in (left, right):
            return True
        if left != right and _ANY not in (left, right):
            return False
    return len(a) == len(b)


def _contains(general: list[str], special: list[str]) -> bool:
    """Whether all that `special` matches, `general` matches."""
    for left, right in zip(general, special, strict=False):
        if left == _REST:
            return True
        if left not in (right, _ANY) or right == _REST:
            return False
    return len(general) == len(special)


def specificity(pattern: str) -> tuple[int, ...]:
    """Sorts patterns that match one repository: the greatest is the most specific."""
    if pattern == _REST:
        return ()
    return tuple(_RANKS.get(segment, _EXACT) for segment in pattern.split("/"))

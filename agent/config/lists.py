"""Lists of images in our own dialect: `deny`, `allow`, `exempt`, `breakGlass`.

The form is checked by the schema; here is what a schema can't tell: patterns, digests, ends.  Pure: the time comes in.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from agent.config import checking, floorcheck, times
from agent.config.checking import Finding
from agent.config.plugins import at
from agent.errors import UsageError
from agent.model.digest import Digest
from agent.model.reference import Reference
from agent.rules import lists, matching
from agent.rules.floor import Floor
from agent.rules.ruleset import Allowed, ConfiguredBreakGlass, Denied, Exemption, Lifetimes

_Entry = TypeVar("_Entry")

_OVER = "an end in the past"
_NO_EFFECT = "an end to come, or no such entry: it has no effect any more"


class Lists:
    """Reads the lists in the section at `path`, as far as they have the form; adds to `findings` what is wrong."""

    def __init__(
        self,
        section: object,
        path: checking.Path,
        findings: list[Finding],
        *,
        now: datetime,
        floor: Floor | None,
        use_http: bool,
    ) -> None:
        """`now` is what ends are compared with; `use_http`: registries are spoken to over plain HTTP.

        `floor` is the node's, None if nobody asks.
        """
        self._floor = floor
        self._section = section
        self._path = path
        self._findings = findings
        self._now = now
        self._use_http = use_http

    def deny(self) -> tuple[Denied, ...]:
        """Images that are always refused."""
        return self._read("deny", self._denied)

    def allow(self) -> tuple[Allowed, ...]:
        """Images that pass until an end."""
        return self._read("allow", self._allowed)

    def exempt(self) -> tuple[Exemption, ...]:
        """Repositories that are not verified."""
        return self._read("exempt", self._exemption)

    def break_glass(self) -> tuple[ConfiguredBreakGlass, ...]:
        """What passes for a while."""
        return self._read("breakGlass", self._break_glass)

    def _read(self, key: str, read: Callable[[object, checking.Path], _Entry | None]) -> tuple[_Entry, ...]:
        def entries() -> Iterator[_Entry]:
            listed = at(self._section, key)
            for i, given in enumerate(listed if isinstance(listed, list) else []):
                path = (*self._path, key, i)
                if any(each.fatal and each.path[: len(path)] == path for each in self._findings):
                    continue  # the schema's check has told
                entry = read(given, path)
                if entry is not None:
                    yield entry

        return tuple(dict.fromkeys(entries()))

    def _denied(self, given: object, path: checking.Path) -> Denied | None:
        pattern, is_one, digest = str(given).partition("@")
        pattern = self._pattern(pattern, path)
        if is_one and not _is_digest(digest):
            self._findings.append(Finding(path, checking.shown(given), "PATTERN or PATTERN@sha256:..."))
            return None
        return Denied(pattern, digest) if pattern else None

    def _allowed(self, given: object, path: checking.Path) -> Allowed | None:
        image = str(at(given, "image"))
        until = self._end(given, path, _NO_EFFECT)
        try:
            reference = Reference.parse(image)
        except UsageError as error:
            self._findings.append(Finding((*path, "image"), checking.shown(image), f"HOST/REPOSITORY@DIGEST ({error})"))
            return None
        if reference.digest is None or reference.tag is not None:
            expected = "HOST/REPOSITORY@DIGEST, without a tag: what is allowed is one content"
            self._findings.append(Finding((*path, "image"), checking.shown(image), expected))
            return None
        if until is None:
            return None
        return Allowed(reference.repository.scope, str(reference.digest), until, str(at(given, "reason")))

    def _exemption(self, given: object, path: checking.Path) -> Exemption | None:
        pattern = self._pattern(str(at(given, "match")), (*path, "match"))
        if not pattern:
            return None
        listed = at(given, "digests")
        digests = tuple(listed) if isinstance(listed, list) else ()
        insecure = at(given, "insecure") is True
        if not insecure and (self._use_http or lists.may_be_insecure(pattern)):
            what = "useHttp, under which whoever is on the way chooses the image" if self._use_http else "loopback"
            got = f"{checking.shown(pattern)}, which includes registries on loopback" if what == "loopback" else what
            self._findings.append(Finding((*path, "match"), got, "insecure: true beside it, if that is meant"))
        entry = Exemption(pattern, digests, insecure)
        if self._floor is not None and (below := floorcheck.exemption(entry, path, self._floor)):
            self._findings.append(below)
        return entry

    def _break_glass(self, given: object, path: checking.Path) -> ConfiguredBreakGlass | None:
        pattern = self._pattern(str(at(given, "match")), (*path, "match"))
        until = self._end(given, path, _NO_EFFECT)
        if not pattern or until is None:
            return None
        entry = ConfiguredBreakGlass(pattern, until, str(at(given, "reason")))
        if self._floor is not None:
            self._findings += floorcheck.break_glass(entry, path, self._floor, self._now)
        return entry

    def _pattern(self, pattern: str, path: checking.Path) -> str:
        """The pattern in its one spelling, empty if it is none."""
        complaint = matching.complaint(pattern)
        if complaint:
            self._findings.append(Finding(path, checking.shown(pattern), complaint))
            return ""
        return matching.canonical(pattern)

    def _end(self, given: object, path: checking.Path, expected: str) -> datetime | None:
        text = str(at(given, "until"))
        until = times.end(text)
        if until is None:
            self._findings.append(Finding((*path, "until"), checking.shown(text), "a time that exists"))
        elif until <= self._now:
            self._findings.append(Finding((*path, "until"), _OVER, expected, fatal=False))
        return until


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except UsageError:
        return False
    return True


def read_staleness(section: object) -> Mapping[str, float]:
    """The lengths of `cache.staleIfError` that have the form, in seconds."""
    given = ((key, _seconds(section, "staleIfError", key)) for key in ("registry", "revocation"))
    return {key: seconds for key, seconds in given if seconds is not None}


def read_lifetimes(section: object) -> Lifetimes:
    """How long verdicts are used again; what has not the form is as usual."""
    places = {
        "allow": ("allow",),
        "deny_first": ("deny", "first"),
        "deny_most": ("deny", "max"),
        "cannot_tell": ("cannotTell",),
    }
    given = ((key, _seconds(section, *place)) for key, place in places.items())
    return Lifetimes(**{key: seconds for key, seconds in given if seconds is not None})


def _seconds(section: object, *place: str) -> float | None:
    text = at(section, "cache", *place)
    return times.seconds(text) if isinstance(text, str) else None

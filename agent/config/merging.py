"""Several documents become one configuration, or the last good version of each stays.

A document is what one ConfigMap says; its name, `NAMESPACE/NAME`, is the *owner* of all that is in it.  In order:

1. Each document is read by itself (`agent.config.reading`), so that none can spoil another's reading.
2. What is in force begins: of each document that is still there, the version that was accepted last.
3. Each document that is new or has changed takes its place if it fits to all others as they are then: no pattern of a
   rule shares a repository with another document's, nobody says another thing where only one may speak, and there is
   room.  Documents in force go first, then the higher priority, the older, the name.  Whoever finds no place is asked
   again once what stood in it has changed.
4. Of those that have a place one configuration is made.  What has none is *quarantined*: its last good version stays
   where that has a place, and what it denies counts anyhow.

Where only one may speak, one document is the *holder* of a key: it may change what it said, and a document that said
the same as before, and so another thing now, has to give way.  Saying what the holder says takes nothing from him.

5. If what came out would refuse images that the node needs, because no rule is for them (`agent.rules.lockout`), the
   newest versions of the documents that say `default` are quarantined, and all begins anew; unless one of them insists.
   If that does not help either, the whole is `refused`.  (What `deny` does to them is seen in 1.)

The order of what comes in never matters.  Pure: no cluster, no clock, no file.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from agent.config import joining, lockoutcheck, trusted
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.discovery import Candidate
from agent.config.inforce import MAX_ACCEPTED, MAX_STORED, MAX_TRUSTED, Accepted, InForce
from agent.config.reading import DEFAULT, Denials, Judge, Reading, Weight, read_alone
from agent.config.trusted import Trusted
from agent.errors import Problem
from agent.formats import FORMATS, Format
from agent.rules import lockout
from agent.rules.floor import Floor
from agent.rules.lockout import Threat
from agent.rules.overlaps import Crowd

MAX_READ = MAX_ACCEPTED
"""Most documents that are looked at."""

MAX_SECRETS_IN_FORCE = 16
"""Most Secrets that all documents together name: each is followed by a connection of its own."""

ROOM = Weight(
    snapshot=6 * 1024 * 1024,
    snapshot_values=900_000,
    copy=3 * 1024 * 1024,
    copy_values=60_000,
    rules=2_000,
    patterns=4_000,
    verifiers=512,
    break_glass=1_000,
    stored=MAX_STORED,
    secrets=MAX_SECRETS_IN_FORCE,
)
"""What all documents together may take: a snapshot and the copy of its rules have bounds, and so has a pull's time."""

MAX_PATTERNS_READ = 2 * ROOM.patterns
"""Patterns after which nothing more is looked at: each is compared with each of its document, usable or not."""

MAX_KNOWN = 8 * 1024 * 1024
"""Most bytes of documents whose readings are handed on to the next merge; what is beyond is read anew."""

MAX_REFUSED = 16
"""Documents refused for their `default` after which no other is tried in its place: each is another merge."""

_NO_ROOM = "fewer or smaller documents: what is in force goes first, then the higher priority, then the older"


class Quarantined(NamedTuple):
    """A document whose newest version is not in force, and why.  `kept`: an earlier version of it still is."""

    name: str
    uid: str
    resource_version: str
    problems: tuple[Problem, ...]
    kept: bool


class Merged(NamedTuple):
    """What a merge came to.

    `config` is None if no document has a place: then there is nothing to put in force, and `in_force` is empty.
    `accepted` are those whose newest version is in it.  `problems` are all that people should hear, each with the
    document that it is about.  `trust_grew` is what was not trusted before.  `known` spares the next merge
    from reading again what has not changed.  `refused` is why nothing of it may be put in force: it would lock the node
    out, and no document alone is the cause.
    """

    config: Config | None
    in_force: InForce
    accepted: tuple[Accepted, ...]
    quarantined: tuple[Quarantined, ...]
    problems: tuple[tuple[str, Problem], ...]
    trust_grew: tuple[Trusted, ...]
    known: Mapping[bytes, Reading]
    refused: tuple[Problem, ...] = ()


def merged(
    candidates: Iterable[Candidate],
    in_force: InForce,
    *,
    node: Node,
    formats: Mapping[str, str | type[Format]] = FORMATS,
    judge: Judge | None = None,
    known: Mapping[bytes, Reading] | None = None,
) -> Merged:
    """Merge what was discovered, where `in_force` is what the last merge put in force.

    `known` is the last merge's, if floor, formats and what the judge would say are the same.  What depends on the time
    is in it as it was when it was read.  See `read_alone` for the others.
    """
    reader = _Reader(node, formats, judge, known or {})
    documents, refused = tuple(candidates), dict[str, Problem]()
    while True:  # (5)
        merge = _Merge(documents, in_force, reader, refused)
        merge.place()
        found = merge.result()
        insisted, causes = merge.default()
        threats = _threats(found.config, node)
        told = [(each.owner, lockoutcheck.problem(each, each.owner, insisted=insisted)) for each in threats]
        found = found._replace(problems=(*found.problems, *((name, each) for name, each in told if not each.fatal)))
        fatal = [problem for _, problem in told if problem.fatal]
        if not fatal:
            return found
        if not causes or len(refused) > MAX_REFUSED:
            return found._replace(refused=tuple(fatal))
        refused |= dict.fromkeys(causes, fatal[0])


class _Version(NamedTuple):
    """One version of a document, as it was read.  `newest`: it is the one that was discovered."""

    name: str
    accepted: Accepted
    reading: Reading
    newest: bool


class _Blocked(NamedTuple):
    """Why a version has no place, and which one stands in it; None if it is something else."""

    by: _Version | None
    problem: Problem


class _Reader:
    """Reads each version once."""

    def __init__(
        self,
        node: Node,
        formats: Mapping[str, str | type[Format]],
        judge: Judge | None,
        known: Mapping[bytes, Reading],
    ) -> None:
        self._node = node
        self._formats = formats
        self._judge = judge
        self._known = known
        self._found: dict[bytes, Reading] = {}
        self._sizes: dict[bytes, int] = {}
        fetched = node.fetched or {}
        fetching = sorted((key, str(value)) for key, value in fetched.items())
        self._node_has = sha256(f"{fetching!r}\n{node.needs!r}".encode()).digest()

    @property
    def known(self) -> Mapping[bytes, Reading]:
        """What was read, for the next merge: the first ones, as far as there is room."""
        kept, size = {}, 0
        for key, reading in self._found.items():
            size += self._sizes[key]
            if size <= MAX_KNOWN:
                kept[key] = reading
        return kept

    def newest(self, candidate: Candidate) -> Reading:
        """The version that was discovered."""
        read = self._read(candidate.name, candidate.documents, self._node, self._judge)
        problems = (*candidate.refused, *read.problems)
        usable = not any(problem.fatal for problem in problems)
        return read._replace(config=read.config if usable else None, problems=problems)

    def last_good(self, accepted: Accepted) -> Reading:
        """A version that was accepted: under any floor, for what is in force counts no lower than that anyhow."""
        return self._read(accepted.name, accepted.documents, self._node._replace(floor=None, trial=None), None)

    def _read(self, name: str, documents: Mapping[str, bytes], node: Node, judge: Judge | None) -> Reading:
        key = sha256(f"{name}\n{node.floor is None}\n".encode() + self._node_has)
        for document, content in sorted(documents.items()):
            key.update(f"{ascii(document)}\n{len(content)}\n".encode() + content)
        digest = key.digest()
        found = self._known.get(digest) or self._found.get(digest)
        if found is None:
            found = read_alone(documents, name, node=node, formats=self._formats, judge=judge)
        self._found[digest] = found
        self._sizes[digest] = sum(len(document) + len(content) for document, content in documents.items())
        return found


class _Merge:
    """Finds a place for each document."""

    def __init__(
        self, candidates: Iterable[Candidate], in_force: InForce, reader: _Reader, refused: Mapping[str, Problem]
    ) -> None:
        """`refused` are documents whose newest versions have no place, whatever they say."""
        self._refused = refused
        self._in_force = in_force
        self._reader = reader
        before = {(each.name, each.uid): each for each in in_force.documents}
        self._candidates = _in_order(candidates, before)
        self._before = {each.name: before[each.name, each.uid] for each in self._candidates if _key(each) in before}
        self._newest: dict[str, _Version] = {}
        self._placed: dict[str, _Version] = {}
        self._taken = Weight()
        self._crowd = Crowd()
        self._gave_way: set[str] = set()
        self._blocked: dict[str, _Blocked] = {}
        self._unread: set[str] = set()

    def place(self) -> None:
        """Steps 1 to 3."""
        self._read()
        for candidate in self._candidates:  # (2)
            start = self._start(candidate)
            if start is not None:
                self._place(start)
        while any(map(self._place, filter(self._wants_place, self._newest.values()))):  # (3)
            pass  # from the first one: somebody may have made room
        for candidate in self._candidates:  # whoever has lost his place keeps what he had, if nothing is in its way
            start = self._start(candidate) if candidate.name not in self._placed else None
            if start is not None and not self._yielding(start) and self._blocker(start) is None:
                self._put(start)

    def result(self) -> Merged:
        """Step 4."""
        versions = sorted(self._placed.values(), key=lambda version: version.name)
        quarantined = tuple(filter(None, map(self._quarantined, self._candidates)))
        problems = [(each.name, problem) for each in quarantined for problem in each.problems]
        problems += (
            (version.name, problem) for version in versions if version.newest for problem in version.reading.problems
        )
        denials = self._denials()
        images, too_many = joining.union_of_denied([each.images for each in denials])
        signers, too_many_signers = joining.union_of_signers([each.signers for each in denials])
        problems += [("", each) for each in (too_many, too_many_signers) if each]
        parts = {version.name: version.reading.config for version in versions if version.reading.config is not None}
        if not parts:
            nothing = InForce()
            return Merged(None, nothing, (), quarantined, tuple(problems), (), self._reader.known)
        holders = self._holders()
        config = joining.joined(parts, holders, Denials(images, signers))
        told = {entry.hash: entry for entry in trusted.entries(config)}
        in_force = InForce(
            tuple(version.accepted for version in versions), holders, frozenset(sorted(told)[:MAX_TRUSTED])
        )
        return Merged(
            config,
            in_force,
            tuple(version.accepted for version in versions if version.newest),
            quarantined,
            tuple(problems),
            _grown(told, self._in_force.trusted),
            self._reader.known,
        )

    def default(self) -> tuple[bool, list[str]]:
        """Whether who says `default` insists on it, and the documents whose newest versions say it.

        Where nobody says it, whoever insists does.
        """
        versions = list(self._placed.values())
        saying = [version for version in versions if DEFAULT in version.reading.claims]
        insisted = any(version.reading.insists for version in saying or versions)
        return insisted, [version.name for version in saying if version.newest]

    def _read(self) -> None:
        """(1): as many as may be, in order."""
        stored = patterns = 0
        for number, candidate in enumerate(self._candidates):
            stored += sum(len(key) + len(content) for key, content in candidate.documents.items())
            if number >= MAX_READ or stored > MAX_STORED or patterns > MAX_PATTERNS_READ:
                self._unread.add(candidate.name)
                continue
            accepted = Accepted(candidate.name, candidate.uid, candidate.resource_version, candidate.documents)
            reading = self._reader.newest(candidate)
            if candidate.name in self._refused:
                problems = (*reading.problems, self._refused[candidate.name])
                reading = reading._replace(config=None, problems=problems)
            self._newest[candidate.name] = _Version(candidate.name, accepted, reading, True)
            patterns += self._newest[candidate.name].reading.weight.patterns

    def _start(self, candidate: Candidate) -> _Version | None:
        """What a document begins with: the version in force; None if there is none, or none that is understood."""
        before, newest = self._before.get(candidate.name), self._newest.get(candidate.name)
        if before is None:
            return None
        if newest is not None and newest.reading.config and dict(before.documents) == dict(newest.accepted.documents):
            return newest
        reading = self._reader.last_good(before)
        return _Version(candidate.name, before, reading, False) if reading.config else None

    def _wants_place(self, version: _Version) -> bool:
        """Once a version has given way, it is not asked again: two could go on in turns."""
        has_place = self._placed.get(version.name) is version
        return version.reading.config is not None and not has_place and version.name not in self._gave_way

    def _place(self, version: _Version) -> bool:
        """Give it its place, if it can have one."""
        told = self._blocked.get(version.name)
        if told is not None and told.by is not None and self._placed.get(told.by.name) is told.by:
            return False  # nothing has changed about that
        blocked = self._blocker(version)
        if blocked is not None:
            self._blocked[version.name] = blocked
            return False
        for other, keys in self._yielding(version):
            got = f"another {' and '.join(keys)} than {version.name}, whose word counts"
            self._remove(other.name)
            if other.newest:
                self._gave_way.add(other.name)
            self._blocked[other.name] = _Blocked(version, Problem(other.name, got, f"what {version.name} says"))
        self._put(version)
        return True

    def _put(self, version: _Version) -> None:
        self._remove(version.name)
        self._placed[version.name] = version
        self._taken += version.reading.weight
        self._crowd.add(version.reading.patterns)
        if version.newest:
            self._blocked.pop(version.name, None)

    def _remove(self, name: str) -> None:
        removed = self._placed.pop(name, None)
        if removed is not None:
            self._taken -= removed.reading.weight
            self._crowd.remove(removed.reading.patterns)

    def _blocker(self, version: _Version) -> _Blocked | None:
        """What keeps a version from its place, if something does."""
        mine, own = version.reading, self._placed.get(version.name)
        taken = self._taken - own.reading.weight if own is not None else self._taken
        over = (taken + mine.weight).beyond(ROOM)
        if over:  # first: it takes no time, and is asked again whenever anybody else has found his place
            return _Blocked(None, Problem(version.name, f"too many {over} beside the other documents", _NO_ROOM))
        is_crowded = self._is_crowded(version, own)
        for other in self._placed.values() if mine.claims or is_crowded else ():
            if other.name == version.name:
                continue
            shared = mine.patterns.first_shared(other.reading.patterns) if is_crowded else None
            if shared is not None:
                got = f"a rule for {shared[0]}, which shares images with {shared[1]} of {other.name}"
                expected = "rules for repositories that no other document has rules for"
                return _Blocked(other, Problem(version.name, got, expected))
            keys = [key for key in _contested(mine, other.reading) if self._in_force.holders.get(key) != version.name]
            if keys:
                got = f"another {' and '.join(keys)} than {other.name}"
                return _Blocked(other, Problem(version.name, got, f"what {other.name} says, or no word of it"))
        return None

    def _is_crowded(self, version: _Version, own: _Version | None) -> bool:
        """Whether it shares images with anybody but itself."""
        if own is None:
            return self._crowd.shares(version.reading.patterns)
        self._crowd.remove(own.reading.patterns)
        try:
            return self._crowd.shares(version.reading.patterns)
        finally:
            self._crowd.add(own.reading.patterns)

    def _yielding(self, version: _Version) -> list[tuple[_Version, list[str]]]:
        """Those that say another thing than a holder says from now on."""
        if not version.reading.claims:
            return []
        others = ((other, _contested(version.reading, other.reading)) for other in self._placed.values())
        return [(other, keys) for other, keys in others if keys and other.name != version.name]

    def _holders(self) -> dict[str, str]:
        """Whose word counts for each key: still the same document's if it has a place, else the first one's."""
        holders: dict[str, str] = {}
        for candidate in self._candidates:
            version = self._placed.get(candidate.name)
            for key in version.reading.claims if version else ():
                if self._in_force.holders.get(key) == candidate.name:
                    holders[key] = candidate.name
                holders.setdefault(key, candidate.name)
        return holders

    def _quarantined(self, candidate: Candidate) -> Quarantined | None:
        """None if its newest version has its place."""
        placed = self._placed.get(candidate.name)
        if placed is not None and placed.newest:
            return None
        blocked, newest = self._blocked.get(candidate.name), self._newest.get(candidate.name)
        if candidate.name in self._unread:
            problem = Problem(candidate.name, "one document too many, or too large beside the others", _NO_ROOM)
            problems: tuple[Problem, ...] = (problem,)
        else:
            problems = newest.reading.problems if newest else ()
            problems += (blocked.problem,) if blocked else ()
        version = candidate.resource_version
        return Quarantined(candidate.name, candidate.uid, version, problems, placed is not None)

    def _denials(self) -> list[Denials]:
        """All that is denied and counts, by document: what its newest version denies, and what is in force."""
        found: list[Denials] = []
        for candidate in self._candidates:
            newest, placed = self._newest.get(candidate.name), self._placed.get(candidate.name)
            readings = [version.reading for version in (placed, newest) if version is not None]
            if placed is None and (newest is None or newest.reading.config is None):
                before = self._before.get(candidate.name)
                readings += [self._reader.last_good(before)] if before else []
            found.append(
                Denials(
                    tuple(entry for reading in readings for entry in reading.denials.images),
                    tuple(entry for reading in readings for entry in reading.denials.signers),
                )
            )
        return found


def _threats(config: Config | None, node: Node) -> list[Threat]:
    """What a configuration means for what the node needs, apart from `deny`."""
    if config is None or node.needs is None or not node.needs.binding:
        return []
    needed = lockout.references(node.needs.images)
    found = lockout.threats(config.ruleset, node.floor or Floor(), node.now, needed)
    return [each for each in found if each.entry is None]


def _key(candidate: Candidate) -> tuple[str, str]:
    return candidate.name, candidate.uid


def _in_order(candidates: Iterable[Candidate], before: Mapping[tuple[str, str], object]) -> Sequence[Candidate]:
    """Who goes first: what is in force, the higher priority, the older, the name.  Each name once."""

    def rank(candidate: Candidate) -> tuple[object, ...]:
        is_new = _key(candidate) not in before
        return is_new, -candidate.priority, candidate.created, candidate.name, candidate.uid, candidate.resource_version

    found: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=rank):
        found.setdefault(candidate.name, candidate)
    return tuple(found.values())


def _contested(mine: Reading, other: Reading) -> list[str]:
    """The keys of which two documents say different things."""
    return sorted(key for key, said in mine.claims.items() if key in other.claims and other.claims[key] != said)


def _grown(told: Mapping[str, Trusted], before: frozenset[str]) -> tuple[Trusted, ...]:
    return tuple(sorted(entry for name, entry in told.items() if name not in before))

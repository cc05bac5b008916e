"""One document of several, read by itself: what it says, and what it claims that only one document may say.

A *document* is here a whole ConfigMap: a configuration with what lies beside it.  Paths of the host never count.  Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from agent.config import canonical, dialect, lockoutcheck, ratify, rulesetform, statement
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.dialectschema import MAX_PATTERNS
from agent.config.documentset import NamedDocuments
from agent.config.plugins import at
from agent.errors import Cause, ConfigurationError, Problem
from agent.formats import FORMATS, Format
from agent.model.signer import DeniedSigner
from agent.rules.overlaps import Patterns
from agent.rules.ruleset import Denied, RuleSet

MAX_BREAK_GLASS = 100
"""Most entries of `breakGlass` of one document among several: a node can hold 1,000 altogether."""

DEFAULT = "default"
SERIAL = "serial"
TERMS: Mapping[str, Callable[[RuleSet], object]] = {
    "whenMissing": lambda ruleset: ruleset.when_missing.value,
    "maxSnapshotAge": lambda ruleset: ruleset.greatest_age,
    "cache.allow": lambda ruleset: ruleset.lifetimes.allow,
    "cache.deny.first": lambda ruleset: ruleset.lifetimes.deny_first,
    "cache.deny.max": lambda ruleset: ruleset.lifetimes.deny_most,
    "cache.cannotTell": lambda ruleset: ruleset.lifetimes.cannot_tell,
    "cache.staleIfError.registry": lambda ruleset: ruleset.stale.registry,
    "cache.staleIfError.revocation": lambda ruleset: ruleset.stale.revocation,
}
"""Keys of the section that hold for a whole node: what a document that says them makes of them."""

Judge = Callable[[NamedDocuments, Config | None], Sequence[Problem]]
"""Says what is wrong with a document's signatures, where the node's floor asks for some."""


class Weight(NamedTuple):
    """How much of what is bounded for all documents together one of them takes."""

    snapshot: int = 0
    snapshot_values: int = 0
    copy: int = 0
    copy_values: int = 0
    rules: int = 0
    patterns: int = 0
    verifiers: int = 0
    break_glass: int = 0
    stored: int = 0
    secrets: int = 0

    def __add__(self, other: object) -> "Weight":
        """Both together."""
        if not isinstance(other, Weight):
            return NotImplemented
        return Weight(*(mine + its for mine, its in zip(self, other, strict=True)))

    def __sub__(self, other: "Weight") -> "Weight":
        """What is left without the other, which is part of it."""
        return Weight(*(mine - its for mine, its in zip(self, other, strict=True)))

    def beyond(self, most: "Weight") -> str:
        """What of it is more than `most`, in words; empty if nothing is."""
        over = (name for name, mine, bound in zip(self._fields, self, most, strict=True) if mine > bound)
        return _BOUNDED.get(next(over, ""), "")


_BOUNDED = {
    "snapshot": "bytes", "snapshot_values": "values", "copy": "bytes of rules and lists",
    "copy_values": "values of rules and lists", "rules": "rules", "patterns": "patterns", "verifiers": "verifiers",
    "break_glass": "entries of breakGlass", "stored": "bytes", "secrets": "Secrets",
}  # fmt: skip


class Denials(NamedTuple):
    """What a document denies: images, and signers."""

    images: tuple[Denied, ...] = ()
    signers: tuple[DeniedSigner, ...] = ()


class Reading(NamedTuple):
    """What one document says.  `config` is None if it can't be used, for what `problems` says.

    Everything in `config` that has an owner has the document's name as such.  `claims` are the keys that only one
    document may say, as this one says them, comparable; what it doesn't say is not among them.  `denials` count even if
    it can't be used.  `insists`: it may lock the node out (`agent.config.lockoutcheck`).
    """

    config: Config | None
    problems: tuple[Problem, ...]
    claims: Mapping[str, object]
    denials: Denials
    patterns: Patterns
    weight: Weight
    insists: bool = False


def read_alone(
    contents: Mapping[str, bytes],
    origin: str,
    *,
    node: Node,
    formats: Mapping[str, str | type[Format]] = FORMATS,
    judge: Judge | None = None,
) -> Reading:
    """Read the document with these keys, which people know as `origin`, for a node.

    `judge` is asked if the node's floor wants signatures; without it no document has any.  What nobody signed there
    says nothing at all, not even what it denies.  A bug that one document brings out is that document's problem alone.
    """
    denials = Denials()
    locking: Sequence[Problem] = ()
    value: object = None
    try:
        documents = NamedDocuments.of(contents, origin)
        value = ratify.decoded(documents.configuration, documents.beside)
        images, locking = _counting(
            value, ratify.denied(value), node, (documents.beside or documents.configuration).name
        )
        denials = Denials(images, ratify.denied_signers(value))
        config, told = ratify.read(
            documents.configuration,
            documents,
            beside=documents.beside,
            node=node,
            formats=formats,
            value=value,
            part=True,
        )
    except ConfigurationError as error:
        unsigned = bool(node.floor and node.floor.signed_by)
        problems = [*error.problems, *(() if unsigned else locking)]
        return _unusable(value, problems, Denials() if unsigned else denials)
    except Exception as error:  # noqa: BLE001 - see above
        said = f"an unexpected {type(error).__name__}"
        problem = Problem(origin, said, "no bug: please report it, with this document")
        return _unusable(value, (problem,), Denials() if node.floor and node.floor.signed_by else denials)
    problems = [*told, *documents.problems(), *locking]
    if node.floor and node.floor.signed_by:
        found = judge(documents, config) if judge else _UNSIGNED
        problems += found
        if any(problem.fatal for problem in found):
            return _unusable(value, problems, Denials())
    if len(config.ruleset.break_glass) > MAX_BREAK_GLASS:
        got = f"{len(config.ruleset.break_glass)} entries"
        problems.append(Problem("nodeseal.breakGlass", got, f"at most {MAX_BREAK_GLASS} of one document among several"))
    if any(problem.fatal for problem in problems):
        return _unusable(value, problems, denials)
    config = _owned(config, origin)
    patterns = Patterns(pattern for rule in config.rules for pattern in rule.match)
    claims = _claims(at(value, dialect.SECTION), config.ruleset, contents)
    weight, insists = _weight(config, contents), lockoutcheck.insists(value)
    return Reading(config, tuple(problems), claims, denials, patterns, weight, insists)


_UNSIGNED = (Problem("nodeseal.sig", "nobody who could check it", "a signature, which the node's floor asks for"),)


def _counting(
    value: object, deny: tuple[Denied, ...], node: Node, document: str
) -> tuple[tuple[Denied, ...], Sequence[Problem]]:
    """The entries of `deny` that count, and what is told of the others.

    Where no floor is asked, the document is in force already: no more is told of it.
    """
    if node.needs is None:
        return deny, ()
    counting, found = lockoutcheck.of_denied(value, deny, node.needs)
    return counting, [each.problem(document) for each in found] if node.floor else ()


def _unusable(value: object, problems: Sequence[Problem], denials: Denials) -> Reading:
    rules = at(value, *dialect.RULES)
    matches = [at(rule, "match") for rule in rules] if isinstance(rules, list) else []
    patterns = sum(len(match) for match in matches if isinstance(match, list))
    compared = patterns if patterns <= MAX_PATTERNS else 0  # of too many none is compared with another
    return Reading(None, tuple(problems), {}, denials, Patterns(()), Weight(patterns=compared))


def _owned(config: Config, owner: str) -> Config:
    """The configuration with its owner in everything that has one."""
    ruleset = config.ruleset
    return config._replace(
        stores=tuple(each._replace(owner=owner) for each in config.stores),
        verifiers=tuple(each._replace(owner=owner) for each in config.verifiers),
        ruleset=ruleset._replace(
            rules=tuple(each._replace(owner=owner) for each in ruleset.rules),
            default=ruleset.default._replace(owner=owner),
            allow=tuple(each._replace(owner=owner) for each in ruleset.allow),
            exempt=tuple(each._replace(owner=owner) for each in ruleset.exempt),
            break_glass=tuple(each._replace(owner=owner) for each in ruleset.break_glass),
        ),
    )


def _claims(section: object, ruleset: RuleSet, contents: Mapping[str, bytes]) -> Mapping[str, object]:
    """What the section says of `TERMS` and the like, whichever way it is written."""
    found = {key: value(ruleset) for key, value in TERMS.items() if at(section, *key.split(".")) is not None}
    if at(section, DEFAULT) is not None:
        policy = ruleset.default.failure_policy
        found[DEFAULT] = (ruleset.default.enforcement, policy.default, *map(policy.written, Cause))
    if ruleset.serial is not None:
        # Two documents never share one: it tells which documents came after which.
        found[SERIAL] = (ruleset.serial, sha256(statement.of(contents)).hexdigest())
    return found


def _weight(config: Config, contents: Mapping[str, bytes]) -> Weight:
    form, copy = canonical.encode(config), rulesetform.encode_copy(config.ruleset)
    return Weight(
        len(form),
        _values(form),
        len(copy),
        _values(copy),
        len(config.rules),
        sum(len(rule.match) for rule in config.rules),
        len(config.verifiers),
        len(config.ruleset.break_glass),
        sum(len(name) + len(content) for name, content in contents.items()),
        len(config.secrets),
    )


def _values(form: bytes) -> int:
    """As `strictjson.decode` counts them."""
    return sum(map(form.count, (b",", b"[", b"{")))

"""Makes one configuration of documents that fit to each other.  Pure.

The order is that of names, so that the same documents give the same generation, however they came together.  A rule is
called `CONFIGMAP/NAME`: messages, metrics and people know rules by their names, and nobody's document may change what
another's rules are called, or take their names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import zip_longest
from typing import TypeVar

from agent.config import canonical
from agent.config.config import Config
from agent.config.reading import DEFAULT, SERIAL, Denials
from agent.errors import Problem
from agent.model.answer import printable
from agent.model.signer import DeniedSigner
from agent.rules.rule import Default, Rule
from agent.rules.ruleset import Denied, Lifetimes, RuleSet, Staleness

MAX_DENIED = 10_000
"""Most entries of all deny lists together: each is compared with each pull."""

MAX_DENIED_SIZE = 768 * 1024
"""Most characters of them."""

MAX_DENIED_SIGNERS = 1_000
"""Most entries of all lists of signers together: each is compared with each signature."""

MAX_DENIED_SIGNERS_SIZE = 128 * 1024
"""Most characters of them."""

MAX_NAME = 64
"""Most characters of a rule's name with its document's: as many as an answer's line has for it."""

_HASH = 8
_Entry = TypeVar("_Entry")
_Listed = TypeVar("_Listed", Denied, DeniedSigner)


def joined(parts: Mapping[str, Config], holders: Mapping[str, str], denials: Denials) -> Config:
    """One configuration of `parts`, owner -> what his document says (`Reading.config`).

    `holders` says whose word counts for the keys that only one may say; what nobody says is as usual.  `denials`
    are the unions of all lists.
    """
    owned = dict(sorted(parts.items()))

    def told(key: str) -> RuleSet:
        return owned[holders[key]].ruleset if key in holders else RuleSet(())

    rulesets = [part.ruleset for part in owned.values()]
    ruleset = RuleSet(
        tuple(rule._replace(name=_full_name(rule)) for each in rulesets for rule in each.rules),
        told(DEFAULT).default if DEFAULT in holders else Default(),
        denials.images,
        tuple(entry for each in rulesets for entry in each.allow),
        tuple(entry for each in rulesets for entry in each.exempt),
        tuple(entry for each in rulesets for entry in each.break_glass),
        Staleness(
            told("cache.staleIfError.registry").stale.registry, told("cache.staleIfError.revocation").stale.revocation
        ),
        told(SERIAL).serial,
        Lifetimes(
            told("cache.allow").lifetimes.allow,
            told("cache.deny.first").lifetimes.deny_first,
            told("cache.deny.max").lifetimes.deny_most,
            told("cache.cannotTell").lifetimes.cannot_tell,
        ),
        told("whenMissing").when_missing,
        told("maxSnapshotAge").greatest_age,
    )
    config = canonical.with_grounds(
        Config(
            "",
            tuple(store for each in owned.values() for store in each.stores),
            tuple(verifier for each in owned.values() for verifier in each.verifiers),
            ruleset,
            {name: der for each in owned.values() for name, der in each.certificates.items()},
            denials.signers,
        )
    )
    return canonical.decode(canonical.encode(config), config.certificates.__getitem__)


def _full_name(rule: Rule) -> str:
    """All documents are of one namespace, so that says nothing.  What has to be cut keeps a hash of the whole."""
    name = f"{rule.owner.rpartition('/')[2]}/{rule.name}"
    if len(printable(name)) <= MAX_NAME:
        return name
    return f"{printable(name)[: MAX_NAME - _HASH - 1]}~{sha256(name.encode()).hexdigest()[:_HASH]}"


def union_of_denied(documents: Iterable[Sequence[Denied]]) -> tuple[tuple[Denied, ...], Problem | None]:
    """All that some document denies, in order of the entries; and what to tell if there is more than counts.

    Of too many, one of each document counts after another: who denies much takes no room from who denies little.
    """
    return _union(documents, MAX_DENIED, MAX_DENIED_SIZE, "nodeseal.deny")


def union_of_signers(
    documents: Iterable[Sequence[DeniedSigner]],
) -> tuple[tuple[DeniedSigner, ...], Problem | None]:
    """The same of the signers that some document denies."""
    return _union(documents, MAX_DENIED_SIGNERS, MAX_DENIED_SIGNERS_SIZE, "nodeseal.denySigners")


def _union(
    documents: Iterable[Sequence[_Listed]], most: int, most_characters: int, where: str
) -> tuple[tuple[_Listed, ...], Problem | None]:
    found: dict[_Listed, None] = {}
    size = 0
    for entry in in_turn(documents):
        if entry in found:
            continue
        size += sum(map(len, entry))
        if len(found) >= most or size > most_characters:
            expected = f"at most {most} entries, {most_characters} characters together"
            return tuple(sorted(found)), Problem(where, "more in all documents together", expected)
        found[entry] = None
    return tuple(sorted(found)), None


def in_turn(lists: Iterable[Sequence[_Entry]]) -> Iterator[_Entry]:
    """The first of each, then the second of each, and so on."""
    for entries in zip_longest(*lists):
        yield from (entry for entry in entries if entry is not None)

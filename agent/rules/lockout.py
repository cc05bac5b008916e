"""The guard against locking oneself out: what a configuration would do to the images that the node needs to come up.

Each of them is decided as a pull would be, as far as nobody has to be asked (`agent.rules.precedence`, 2 to 6): a node
whose sandbox image is refused starts no pod any more, ours included.  *Locked out* is what the deny list refuses, and
what is refused because no rule is for it.  What a rule would have verified may well pass: that is told, no more.

Pure; never on the pull path.  The node's own break-glass is left out, so that the same documents always come to the
same; the configuration's counts as begun, with its end told.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from agent.errors import UsageError
from agent.model.reference import Reference
from agent.rules import lists, precedence
from agent.rules.breakglass import Moment
from agent.rules.floor import Bootstrap, Floor
from agent.rules.precedence import Standing, Terms
from agent.rules.rule import Enforcement
from agent.rules.ruleset import Denied, RuleSet

INSIST = "allowLockout: true in the section nodeseal, if that is meant"
"""The last of the next steps."""


class Needs(NamedTuple):
    """Image references that a node needs.  `binding`: a bootstrap document stands for them, and not our guess."""

    images: tuple[str, ...] = (lists.USUAL_SANDBOX,)
    binding: bool = False


class Threat(NamedTuple):
    """What a configuration means for one image that is needed.  `got` and `expected` are for people.

    `locked_out`: it would be refused for sure.  `entry` is the deny entry that does it, None if it is the default.
    `owner` is whose rule or default it is, as far as it is no deny entry.
    """

    image: str
    locked_out: bool
    got: str
    expected: str
    entry: Denied | None = None
    owner: str = ""


def needs(bootstrap: Bootstrap) -> Needs:
    """What a node needs by its bootstrap document."""
    return Needs() if bootstrap.needs is None else Needs(bootstrap.needs, binding=True)


def references(images: Iterable[str]) -> tuple[Reference, ...]:
    """Those that are references; the others are passed over."""
    return tuple(found for found in map(_parsed, images) if found)


def hit(entry: Denied, needed: Iterable[Reference]) -> Threat | None:
    """What a deny entry means for the first image that it refuses for sure, None if it refuses none.

    Of an image whose digest nobody knows, entries without digest alone are sure to.
    """
    for reference in needed:
        if lists.denied((entry,), reference.repository, str(reference.digest or "")):
            return _denied(entry, reference)
    return None


def threats(ruleset: RuleSet, floor: Floor, now: datetime, needed: Iterable[Reference]) -> Iterator[Threat]:
    """What a rule set means for each needed image, as far as it does not just pass, in their order."""
    moment = Moment(now, 0.0, "")
    standing = Standing(ruleset, floor, moment, begun=dict.fromkeys(ruleset.break_glass, moment))
    for reference in needed:
        found = _threat(reference, standing)
        if found:
            yield found


def _denied(entry: Denied, reference: Reference) -> Threat:
    image = str(reference)
    text = f"{entry.match}{'@' if entry.digest else ''}{entry.digest}"
    got = f"{text}, which refuses {image}: this node needs it to come up"
    return Threat(image, True, got, f"narrower entries; or {INSIST}", entry)


def _threat(reference: Reference, standing: Standing) -> Threat | None:
    repository, digest, image = reference.repository, str(reference.digest or ""), str(reference)
    refused = lists.denied(standing.ruleset.deny, repository, digest)
    if refused:
        return _denied(refused, reference)
    answer = precedence.before_verification(repository, digest, image, standing)
    if answer is not None:
        return _ending(reference, standing)
    terms = precedence.terms_for(repository, standing)
    if terms.enforcement is not Enforcement.ENFORCE:
        return None
    if not digest and precedence.depends_on_digest(repository, standing):
        got = f"{image}, which this node needs to come up, without the digest that lists name it by"
        return Threat(image, False, got, "its digest in node.needs of the bootstrap document", owner=terms.owner)
    return _enforced(image, f"{repository}", terms)


def _enforced(image: str, repository: str, terms: Terms) -> Threat:
    """What nobody but verification decides, under `Enforce`."""
    if terms.rule is None:
        got = f"no rule for {image}, which the default then refuses: this node needs it to come up"
        expected = f"an exemption, or a rule, for {repository}; or it in allow, by digest; or {INSIST}"
        return Threat(image, True, got, expected, owner=terms.owner)
    got = f"the rule {terms.name}, which {image} has to be verified under: this node needs it to come up"
    expected = f"that it is signed for that rule; an exemption of {repository} asks nobody"
    return Threat(image, False, got, expected, owner=terms.owner)


def _ending(reference: Reference, standing: Standing) -> Threat | None:
    """What is told of an image that passes for a while alone: what would become of it without `allow` and break-glass.

    What would be locked out then is none today.
    """
    ruleset = standing.ruleset._replace(allow=(), break_glass=())
    if ruleset == standing.ruleset:
        return None
    found = _threat(reference, standing._replace(ruleset=ruleset, begun={}))
    got = "once what lets it pass for a while is over"
    return found._replace(locked_out=False, got=f"{found.got}, {got}") if found else None


def _parsed(image: str) -> Reference | None:
    try:
        return Reference.parse(image)
    except UsageError:
        return None

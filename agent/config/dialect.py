"""Our own dialect: the section `nodeseal`, in `config.json` or in a document of its own.

What Ratify has no word for: rules for repositories, each with its verifiers, what is enough, and what a denial and
"cannot tell" mean; and lists of images.  The form is checked by the schema; here is what a schema can't tell: names
that are used, patterns, rules that contradict each other, versions, and what is below the floor.
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import NamedTuple, cast

from agent import __version__
from agent.config import checking, floorcheck, programs, times
from agent.config.checking import Finding
from agent.config.dialectschema import DIALECT, LEAST_AGE, MAX_PATTERNS, MAX_SEGMENTS
from agent.config.lists import Lists, read_lifetimes, read_staleness
from agent.config.plugins import VerifierEntry, at
from agent.config.programs import Trial
from agent.config.sources import Labour
from agent.errors import Cause, Problem, UsageError
from agent.model.documents import Documents
from agent.model.reference import Reference
from agent.rules import matching
from agent.rules.floor import Floor
from agent.rules.lockout import Needs
from agent.rules.rule import EVERYTHING, Default, Enforcement, FailureAction, FailurePolicy, PolicySettings, Rule
from agent.rules.ruleset import RuleSet, Staleness, WhenMissing

SECTION = "nodeseal"
RULES: checking.Path = (SECTION, "rules")
DEFAULT: checking.Path = (SECTION, "default")

_SHARED = ("store", "policy", "verifier")
"""Ratify's sections: where one of them is, the document is meant for both."""

_EVERYTHING_OF = {"any": lambda names: 1, "all": len}


def foreign(root: Mapping[str, object]) -> Finding | None:
    """What a document is if it is none of ours, so that nothing else is to be said of it."""
    if SECTION in root:
        return None
    if isinstance(root.get("kind"), str) and "apiVersion" in root:
        expected = "a configuration: the keys of a ConfigMap are its documents; for Ratify's, nodeseal config import"
        return Finding((), f"a Kubernetes resource, {checking.shown(root['kind'])}", expected)
    known = cast("Mapping[str, object]", DIALECT["properties"])
    own = [key for key in root if key in known and key not in _SHARED]
    if own and not any(key in root for key in _SHARED):
        return Finding((), f"{', '.join(own)} at the top", f"these below the key {SECTION}")
    return None


def check_version(root: Mapping[str, object], findings: list[Finding]) -> None:
    """Whether this version is new enough for what `requires` says."""
    required = at(root, SECTION, "requires")
    if isinstance(required, str) and (match := re.fullmatch(r">=([0-9]{1,9}(?:\.[0-9]{1,9}){0,2})", required)):
        wanted = tuple(map(int, match[1].split(".")))
        ours = tuple(map(int, re.findall(r"[0-9]+", __version__)[:3]))
        if ours < wanted:
            findings.append(Finding((SECTION, "requires"), checking.shown(required), f"at most >={__version__}"))


class Node(NamedTuple):
    """What is known of the node that a configuration is for: its floor (None if nobody asks), and the time.

    `fetched` is what it has of key providers' sources: the content, or why there is none; None where nobody fetches.
    `needs` are the images that it needs to come up, None if nobody asks.  `trial` evaluates a policy where it can be
    killed, and raises `PolicyFault`; None where nobody tries policies out.  `labour` looks through documents that take
    long, all of them in bounded time; None where that is done on the spot.
    """

    floor: Floor | None
    now: datetime
    fetched: Mapping[str, bytes | str] | None = None
    needs: Needs | None = None
    trial: Trial | None = None
    labour: Labour | None = None


def read_default(root: Mapping[str, object], findings: list[Finding]) -> Default:
    """What holds where no rule matches, strict as far as it does not have the form."""
    given = at(root, *DEFAULT)
    if any(each.fatal and each.structural and each.path[: len(DEFAULT)] == DEFAULT for each in findings):
        return Default()
    return Default(_enforcement(given), _failure_policy(given))


def read_lists(
    root: Mapping[str, object],
    rules: tuple[Rule, ...],
    default: Default,
    node: Node,
    findings: list[Finding],
    *,
    use_http: bool,
) -> RuleSet:
    """The whole rule set: `rules` and `default` with the lists beside them."""
    lists = Lists(at(root, SECTION), (SECTION,), findings, now=node.now, floor=node.floor, use_http=use_http)
    serial = at(root, SECTION, "serial")
    keeps = at(root, SECTION, "whenMissing") != WhenMissing.FAILURE_POLICY.value
    return RuleSet(
        rules,
        default,
        lists.deny(),
        lists.allow(),
        lists.exempt(),
        lists.break_glass(),
        Staleness(**read_staleness(at(root, SECTION))),
        serial if isinstance(serial, int) and not isinstance(serial, bool) else None,
        read_lifetimes(at(root, SECTION)),
        WhenMissing.KEEP_LAST if keeps else WhenMissing.FAILURE_POLICY,
        _greatest_age(root, findings),
    )


def _greatest_age(root: Mapping[str, object], findings: list[Finding]) -> float:
    """The age that the section writes; the usual one if it writes none, or none that can be."""
    given = at(root, SECTION, "maxSnapshotAge")
    seconds = times.seconds(given) if isinstance(given, str) else None
    if seconds is not None and seconds < LEAST_AGE:
        expected = f"at least {times.length(LEAST_AGE)}"
        findings.append(Finding((SECTION, "maxSnapshotAge"), checking.shown(given), expected))
    return RuleSet(()).greatest_age if seconds is None else seconds


def below_the_floor(root: Mapping[str, object], rules: tuple[Rule, ...], node: Node) -> Iterator[Finding]:
    """What of the section's default and rules is below the node's floor, or weakens them; `rules` were read from it."""
    floor = node.floor or Floor()
    listed = at(root, *RULES)
    names_host = {rule.name: EVERYTHING not in rule.match for rule in rules}
    yield from floorcheck.terms(at(root, *DEFAULT), DEFAULT, floor, exact_host=False)
    for i, given in enumerate(listed if isinstance(listed, list) else []):
        exact_host = names_host.get(str(at(given, "name")), False)
        yield from floorcheck.terms(given, (*RULES, i), floor, exact_host=exact_host)
        if at(given, "enforcement") == Enforcement.DISABLED.value:
            got = '"Disabled": these images pass unverified'
            yield Finding((*RULES, i, "enforcement"), got, '"Audit", which shows what enforcing would do', False)


def read_rules(
    root: Mapping[str, object],
    verifiers: Sequence[VerifierEntry],
    documents: Documents,
    place: "Placing",
    findings: list[Finding],
    problems: list[Problem],
    trial: Trial | None = None,
) -> tuple[Rule, ...]:
    """The rules, as far as they have the form.  `findings` and `problems` get what is wrong with them.

    `trial` is as in `Node`.
    """
    listed = at(root, *RULES)
    reader = _RuleReader(verifiers, documents, place, findings, problems, trial)
    rules: list[Rule] = []
    patterns: list[tuple[str, checking.Path]] = []
    names: dict[str, int] = {}
    for i, given in enumerate(listed if isinstance(listed, list) else []):
        path = (*RULES, i)
        name = at(given, "name")
        if isinstance(name, str) and names.setdefault(name, i) != i:
            got = f"{checking.shown(name)}, which rules[{names[name]}] has too"
            findings.append(Finding((*path, "name"), got, "a name that no other rule has"))
        if any(each.fatal and each.structural and each.path[: len(path)] == path for each in findings):
            continue  # the schema's check has told
        own = _patterns(cast("list[str]", at(given, "match")), (*path, "match"), findings)
        patterns += own
        rules.append(reader.read(given, path, tuple(each for each, _ in own)))
    findings += _of_all_patterns(patterns)
    return tuple(rules)


class _RuleReader:
    """Reads single rules that have the form; the arguments are those of `read_rules`."""

    def __init__(
        self,
        verifiers: Sequence[VerifierEntry],
        documents: Documents,
        place: "Placing",
        findings: list[Finding],
        problems: list[Problem],
        trial: Trial | None,
    ) -> None:
        self._verifiers, self._documents, self._place = verifiers, documents, place
        self._findings, self._problems, self._trial = findings, problems, trial
        self._compiled: dict[str, PolicySettings] = {}  # programs by their path: several rules may name one

    def read(self, given: object, path: checking.Path, match: tuple[str, ...]) -> Rule:
        """The rule that stands at `path`; `match` are its patterns in their one spelling."""
        wanted = cast("list[str]", at(given, "verifiers"))
        self._check_verifiers(wanted, (*path, "verifiers"))
        policy = self._policy(at(given, "policy"), wanted, (*path, "policy"))
        repository = _repository(at(given, "evidenceRepository"), (*path, "evidenceRepository"), self._findings)
        in_order = tuple(verifier.name for verifier in self._verifiers if verifier.name in wanted)
        rollout = at(given, "rollout", "percent")
        if rollout is not None and at(given, "enforcement") not in (None, Enforcement.ENFORCE.value):
            got = f"a rollout of {checking.shown(at(given, 'enforcement'))}"
            expected = "enforcement: Enforce, which is what is rolled out"
            self._findings.append(Finding((*path, "rollout"), got, expected))
        return Rule(
            str(at(given, "name")),
            match,
            in_order,
            policy,
            at(given, "allowWithoutEvidence") is True,
            repository,
            _enforcement(given),
            _failure_policy(given),
            rollout if isinstance(rollout, int) else 100,
        )

    def _check_verifiers(self, wanted: Sequence[str], path: checking.Path) -> None:
        """Find names that no verifier has."""
        known = {verifier.name for verifier in self._verifiers}
        for i, each in enumerate(wanted):
            if each not in known:
                known_names = f"one of {', '.join(sorted(known))}" if known else "a verifier of that name"
                near = checking.nearest(each, sorted(known)) or known_names
                got = f"{checking.shown(each)}, which no verifier is called"
                self._findings.append(Finding((*path, i), got, near))

    def _policy(self, wanted_policy: object, wanted: Sequence[str], path: checking.Path) -> PolicySettings:
        """The policy over these verifiers: a program, or a number of them."""
        signers = {name: number for name, number in signers_wanted(self._verifiers).items() if name in wanted}
        if isinstance(wanted_policy, str):
            self._findings += refused_thresholds(self._verifiers, signers)
            if wanted_policy not in self._compiled:
                where = self._place.text(path)
                program = _program(wanted_policy, self._documents, where, self._problems, self._trial)
                self._compiled[wanted_policy] = program
            return self._compiled[wanted_policy]
        policy = _counted(cast("Mapping[str, object]", wanted_policy), wanted, path, self._findings)
        counted = cast("Sequence[str]", policy.settings["of"])
        signers = {name: number for name, number in signers.items() if name in counted}
        return policy._replace(settings={**policy.settings, "signers": signers}) if signers else policy


def _of_all_patterns(patterns: Sequence[tuple[str, checking.Path]]) -> list[Finding]:
    """What is wrong with the patterns of all rules together."""
    segments = sum(pattern.count("/") + 1 for pattern, _ in patterns)
    if len(patterns) > MAX_PATTERNS:
        return [Finding(RULES, f"{len(patterns)} patterns", f"at most {MAX_PATTERNS} in all rules together")]
    if segments > MAX_SEGMENTS:
        return [Finding(RULES, f"patterns of {segments} segments", f"at most {MAX_SEGMENTS} in all rules together")]
    return _ties(patterns)


def signers_wanted(verifiers: Sequence[VerifierEntry]) -> dict[str, int]:
    """How many different signers a verifier of our own asks for, by its name, where that is more than one."""
    ours = {each.name: each.options.get("threshold") for each in verifiers if each.path[:1] == (SECTION,)}
    return {name: number for name, number in ours.items() if isinstance(number, int) and number > 1}


def refused_thresholds(verifiers: Sequence[VerifierEntry], names: Container[str]) -> Iterator[Finding]:
    """What is wrong with verifiers that ask for several signers under a policy that can't count them."""
    for each in verifiers:
        if each.name in names and each.name in signers_wanted([each]):
            expected = "1 here, as this policy does not count signers; or any, all or of a threshold in a rule's policy"
            yield Finding((*each.path, "threshold"), str(each.options["threshold"]), expected)


class Placing:
    """Says where a path of keys stands, as people read it: the section may be a document of its own."""

    def __init__(self, document: str, section_document: str) -> None:
        """The names of the configuration, and of the document that the section stands in."""
        self._document = document
        self._section_document = section_document

    def problem(self, finding: Finding) -> Problem:
        """A finding with its place."""
        return finding.problem(self._name(finding.path))

    def text(self, path: checking.Path) -> str:
        """A place."""
        return checking.place(self._name(path), path)

    def _name(self, path: checking.Path) -> str:
        return self._section_document if path[:1] == (SECTION,) else self._document


def _enforcement(given: object) -> Enforcement:
    """The enforcement that a rule or default writes; the strict one if it writes none."""
    word = at(given, "enforcement")
    return Enforcement(word) if word in [each.value for each in Enforcement] else Enforcement.ENFORCE


def _failure_policy(given: object) -> FailurePolicy:
    """The failure policy that a rule or default writes; the strict one as far as it writes none."""
    words = at(given, "failurePolicy")
    if isinstance(words, str):
        words = {"default": words}
    known = [each.value for each in FailureAction]
    actions = (
        {key: FailureAction(word) for key, word in words.items() if word in known} if isinstance(words, dict) else {}
    )
    causes = {cause: actions[cause.value] for cause in Cause if cause.value in actions}
    return FailurePolicy(actions.get("default", FailureAction.FAIL), causes)


def _patterns(given: Sequence[str], path: checking.Path, findings: list[Finding]) -> list[tuple[str, checking.Path]]:
    found = []
    for i, pattern in enumerate(given):
        complaint = matching.complaint(pattern)
        if complaint:
            findings.append(Finding((*path, i), checking.shown(pattern), complaint))
        else:
            found.append((matching.canonical(pattern), (*path, i)))
    return found


def _ties(patterns: Sequence[tuple[str, checking.Path]]) -> list[Finding]:
    """One for each pattern that an earlier one ties with."""
    found: dict[checking.Path, Finding] = {}
    for (left, at_left), (right, at_right) in combinations(patterns, 2):
        if at_right not in found and matching.ties(left, right):
            both = "the same as" if left == right else "no more specific, and no less, than"
            got = f"{checking.shown(right)}, {both} {checking.shown(left)} in {checking.place('', at_left)[2:]}"
            expected = "patterns of which one is more specific wherever both match"
            found[at_right] = Finding(at_right, got, expected)
    return list(found.values())


def _program(
    path: str, documents: Documents, where: str, problems: list[Problem], trial: Trial | None
) -> PolicySettings:
    """What is enough: what a Rego document says."""
    document = programs.find_policy(path, documents, where, problems)
    return programs.rego_policy(document, problems, trial) if document else PolicySettings("", {})


def _counted(
    policy: Mapping[str, object], verifiers: Sequence[str], path: checking.Path, findings: list[Finding]
) -> PolicySettings:
    """What is enough: a number of the rule's verifiers."""
    key = next(key for key in ("any", "all", "of") if key in policy)
    of = cast("list[str]", policy[key])
    for i, name in enumerate(of):
        if name not in verifiers:
            got = f"{checking.shown(name)}, which is not among the rule's verifiers"
            findings.append(Finding((*path, key, i), got, f"one of {', '.join(verifiers)}"))
    threshold = cast("int", policy["threshold"]) if key == "of" else _EVERYTHING_OF[key](of)
    if threshold > len(of):
        findings.append(Finding((*path, "threshold"), str(threshold), f"at most {len(of)}, as many as there are in of"))
    return PolicySettings("nodeseal", {"threshold": threshold, "of": of})


def _repository(given: object, path: checking.Path, findings: list[Finding]) -> str:
    """The repository that a rule's evidence lies in; empty for the image's own."""
    if not isinstance(given, str):
        return ""
    try:
        if "@" in given or "*" in given:
            raise UsageError("no reference")
        reference = Reference.parse(f"{given}@sha256:{'0' * 64}")
        if reference.tag is not None:
            raise UsageError("a tag")
    except UsageError:
        findings.append(Finding(path, checking.shown(given), "HOST/REPOSITORY, without tag and digest"))
        return ""
    return str(reference.repository)

"""Whatever may hold for one image, for property tests: rules, lists, break-glass, floor, verdict, memory."""

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from hypothesis import strategies as st

from agent.errors import Cause, Code
from agent.model.answer import Answer
from agent.model.reference import Reference, Repository
from agent.model.verdict import Decision, Remembered, Verdict
from agent.rules import precedence
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import Floor
from agent.rules.precedence import Standing
from agent.rules.rule import (
    EVERYTHING,
    Default,
    Enforcement,
    FailureAction,
    FailurePolicy,
    PolicySettings,
    Rule,
)
from agent.rules.ruleset import Allowed, Denied, Exemption, RuleSet, Staleness

NOW = datetime(2027, 3, 1, 12, tzinfo=timezone.utc)
DIGESTS = tuple(f"sha256:{digit * 64}" for digit in "ab")
NAMES = ("registry.example.com/shop/cart", "registry.example.com/shop", "registry.k8s.io/pause", "127.0.0.1:5000/x")
PATTERNS = (
    EVERYTHING,
    "registry.example.com/**",
    "registry.example.com/shop/*",
    "registry.k8s.io/*",
    "127.0.0.1:5000/x",
)
VERDICTS = {
    Decision.ALLOW: Verdict(Decision.ALLOW, Code.VERIFIED, "verified"),
    Decision.DENY: Verdict(Decision.DENY, Code.SIGNER_NOT_TRUSTED, "a stranger"),
}


class World(NamedTuple):
    """One image, and all that holds for it."""

    repository: Repository
    digest: str
    standing: Standing
    verdict: Verdict
    before: Remembered | None

    def answer(self, **changes: object) -> Answer:
        """What containerd gets; `changes` are other fields of the standing."""
        standing = self.standing._replace(**changes)  # type: ignore[arg-type]
        early = precedence.before_verification(self.repository, self.digest, str(self.repository), standing)
        if early is not None:
            return early
        terms = precedence.terms_for(self.repository, standing)
        verdict = self.verdict if terms.rule else precedence.no_rule(self.repository)
        return precedence.conclude(verdict, terms, str(self.repository), standing, self.before)

    def under(self, policy: FailurePolicy) -> Answer:
        """What containerd gets if every rule and the default had this failure policy."""
        ruleset = self.standing.ruleset
        rules = tuple(rule._replace(failure_policy=policy) for rule in ruleset.rules)
        default = ruleset.default._replace(failure_policy=policy)
        return self.answer(ruleset=ruleset._replace(rules=rules, default=default))


def repository(name: str) -> Repository:
    """A repository by its name."""
    return Reference.parse(f"{name}@{DIGESTS[0]}").repository


actions = st.sampled_from(FailureAction)
enforcements = st.sampled_from(Enforcement)
failure_policies = st.builds(FailurePolicy, actions, st.dictionaries(st.sampled_from(Cause), actions))
moments = st.builds(
    Moment,
    st.sampled_from([-7, -1, 0, 1]).map(lambda hours: NOW + timedelta(hours=hours)),
    st.sampled_from([0.0, 600.0, 20_000.0]),
    st.sampled_from(["boot", "another"]),
)
memories = st.none() | st.builds(
    Remembered,
    st.sampled_from([-50, -25, -2, 0, 1]).map(lambda hours: NOW + timedelta(hours=hours)),
    st.none() | st.sampled_from([-1, 0, 1]).map(lambda hours: NOW + timedelta(hours=hours)),
)
verdicts = st.sampled_from(list(VERDICTS.values())) | st.lists(
    st.sampled_from(Cause), min_size=1, max_size=3, unique=True
).map(lambda causes: Verdict(Decision.CANNOT_TELL, Code.of(causes[0]), "nobody knows", tuple(causes)))

_patterns = st.sampled_from(PATTERNS)
_ends = st.sampled_from([-1, 0, 1, 5]).map(lambda hours: NOW + timedelta(hours=hours))
_texts = st.sampled_from(["", *DIGESTS])
floors = st.builds(
    Floor,
    enforcement=enforcements,
    failure_policy=failure_policies,
    longest_break_glass=st.sampled_from([0.0, 3600.0, 4 * 3600.0, 100 * 3600.0]),
    break_glass_for_all=st.booleans(),
    without_digest=st.lists(_patterns, max_size=2, unique=True).map(tuple),
)
_rules = st.lists(_patterns, max_size=3, unique=True).flatmap(
    lambda patterns: st.tuples(
        *(
            st.builds(
                Rule,
                name=st.just(pattern),
                match=st.just((pattern,)),
                verifiers=st.just(()),
                policy=st.just(PolicySettings("", {})),
                enforcement=enforcements,
                failure_policy=failure_policies,
                rollout=st.sampled_from([0, 50, 100]),
            )
            for pattern in patterns
        )
    )
)
rulesets = st.builds(
    RuleSet,
    rules=_rules,
    default=st.builds(Default, enforcements, failure_policies),
    deny=st.lists(st.builds(Denied, _patterns, _texts), max_size=1).map(tuple),
    allow=st.lists(
        st.builds(Allowed, st.sampled_from(NAMES), st.sampled_from(DIGESTS), _ends, st.just("why")), max_size=1
    ).map(tuple),
    exempt=st.lists(
        st.builds(
            Exemption, _patterns, st.lists(st.sampled_from(DIGESTS), max_size=1).map(tuple), insecure=st.booleans()
        ),
        max_size=1,
    ).map(tuple),
    stale=st.builds(Staleness, st.sampled_from([0.0, 86400.0]), st.sampled_from([0.0, 86400.0])),
)
standings = st.builds(
    Standing,
    ruleset=rulesets,
    floor=floors,
    moment=st.builds(Moment, st.just(NOW), st.just(10_000.0), st.just("boot")),
    node_name=st.sampled_from(["", "node-1", "node-2"]),
    break_glass=st.lists(
        st.builds(BreakGlass, st.just("0001"), _patterns, st.just("why"), moments, _ends, st.none()), max_size=1
    ).map(tuple),
)
worlds = st.builds(
    World,
    repository=st.sampled_from(NAMES).map(repository),
    digest=st.sampled_from(DIGESTS),
    standing=standings,
    verdict=verdicts,
    before=memories,
)

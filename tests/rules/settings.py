"""What a node has, so that rows of `tests.rules.matrix` come about on it.

A *setting* is what a node has in common for many rows: situation, floor, failure policy, enforcement, and whether a
rule is for everything.  One snapshot has a rule for the images of one host, and perhaps one for everything; lists,
break-glass and memory differ by repository, so that all images of a setting are asked under one root.
"""

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from agent import RELEASED
from agent.config.canonical import with_grounds
from agent.config.config import Config, VerifierSettings
from agent.errors import Cause
from agent.formats.cosign import BUNDLE_TYPE, CosignFormat
from agent.formats.notation import NotationFormat
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import Remembered
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import STRICTEST, Floor
from agent.rules.precedence import Standing
from agent.rules.rule import Default, Enforcement, FailureAction, FailurePolicy, KeysUsed, PolicySettings
from agent.rules.ruleset import Allowed, ConfiguredBreakGlass, Denied, Exemption, RuleSet
from tests import signing_sigstore as sigstore
from tests.engines import one_rule
from tests.formats.cosigned import KeyDocuments
from tests.formats.support import SUBJECT, GivenDocuments
from tests.rules import matrix
from tests.rules.matrix import Row
from tests.signing import ARTIFACT_TYPE, trust_policy, usual_signer
from tests.signing_cosign import Layer
from tests.trust.answers import OCSP_URL, asked_at, chain_with

NOW = datetime.now(timezone.utc)
BEFORE_RELEASE = datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc) - timedelta(days=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

HOSTS = {
    matrix.EXACT: "registry.example.com", matrix.ANY: "other.example.net", matrix.UNMATCHED: "stranger.example.org",
}  # fmt: skip
DIGEST = str(SUBJECT.digest)
OTHER_DIGEST = f"sha256:{'0' * 64}"

TRUSTED = usual_signer()
ASKS = chain_with(asked_at(OCSP_URL.format("leaf")))
"""A signer about whose certificate a responder has to be asked; nobody answers."""

KEYS = KeysUsed("f" * 64, "corp", 86400.0)

_BOOT = "11111111-2222-3333-4444-555555555555"


class Setting(NamedTuple):
    """What rows have in common that are asked under one root; names as in `Row`."""

    situation: str
    floor: str
    action: str
    enforcement: str
    is_matched: bool

    @classmethod
    def of(cls, row: Row) -> "Setting":
        """That of a row."""
        return cls(row.situation, row.floor, row.action, row.enforcement, row.host != matrix.UNMATCHED)

    def rows(self) -> list[Row]:
        """Its rows."""
        return _rows()[self]

    @property
    def cause(self) -> Cause | None:
        """The situation, if it is a cause."""
        return Cause(self.situation) if self.situation in matrix.CAUSES else None

    @property
    def now(self) -> datetime:
        """What the node's clock says."""
        return BEFORE_RELEASE if self.cause is Cause.CLOCK_IMPLAUSIBLE else NOW

    @property
    def moment(self) -> Moment:
        """The same, on both clocks."""
        return Moment(self.now, 10_000.0, _BOOT)


@functools.cache
def _rows() -> dict[Setting, list[Row]]:
    """All rows, by their settings."""
    found: dict[Setting, list[Row]] = {}
    for row in matrix.rows():
        found.setdefault(Setting.of(row), []).append(row)
    return found


def settings_of(situation: str, floor: str) -> list[Setting]:
    """All settings of a situation."""
    return [each for each in _rows() if (each.situation, each.floor) == (situation, floor)]


def request_of(row: Row) -> PullRequest:
    """A pull of a row's image, which is nobody else's."""
    name = f"{HOSTS[row.host]}/glass-{row.glass}/{row.listed}/{row.before}@{DIGEST}"
    return PullRequest(name, Reference.parse(name), SUBJECT)


def config_of(setting: Setting) -> Config:
    """The configuration of a setting."""
    verifier, certificates = _verifier(setting)
    policy = PolicySettings("configpolicy", {"artifactVerificationPolicies": {verifier.artifact_types[0]: "any"}})
    config = one_rule(policy, (verifier,), certificates)
    rule = config.rules[0]._replace(
        enforcement=Enforcement(setting.enforcement), failure_policy=_failure_policy(setting)
    )
    rules = (rule._replace(name="exact", match=(f"{HOSTS[matrix.EXACT]}/**",)), rule._replace(name="any"))
    ruleset = RuleSet(rules)
    if not setting.is_matched:
        ruleset = RuleSet(rules[:1], Default(rule.enforcement, rule.failure_policy))
    ruleset = _lists(ruleset, setting)._replace(break_glass=tuple(_configured_glass(setting)))
    if setting.cause is Cause.CONFIGURATION_STALE:
        ruleset = ruleset._replace(from_cluster=True)
    if setting.cause is Cause.KEY_PROVIDER:
        ruleset = ruleset._replace(rules=tuple(each._replace(keys=(KEYS,)) for each in ruleset.rules))
    return with_grounds(config._replace(ruleset=ruleset))


def _verifier(setting: Setting) -> tuple[VerifierSettings, Mapping[str, bytes]]:
    """Who verifies, and the certificates for that."""
    if setting.cause is Cause.TRUST_ROOT_STALE:
        return _under_an_ended_root()
    options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy()}
    parsed = NotationFormat.parse(options, GivenDocuments(TRUSTED.root_pem, ASKS.root_pem), "v")
    return VerifierSettings("notation", "notation", (ARTIFACT_TYPE,), parsed.settings), parsed.certificates


@functools.cache
def _under_an_ended_root() -> tuple[VerifierSettings, Mapping[str, bytes]]:
    """A verifier under a trusted root whose logs have ended."""
    instance = sigstore.instance()
    over = {"start": sigstore.rfc3339(instance.start), "end": sigstore.rfc3339(NOW - DAY)}
    root = json.dumps(instance.trusted_root(rekor1=over, rekor2=over)).encode()
    options = {"identities": [{"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}]}
    parsed = CosignFormat.parse(options, KeyDocuments({"trusted_root.json": root}), "v")
    return VerifierSettings("cosign", "cosign", (BUNDLE_TYPE,), parsed.settings), parsed.certificates


@functools.cache
def in_a_newer_log() -> Layer:
    """A signature that such a root can't know."""
    made = sigstore.signed_envelope(sigstore.instance().leaf(), sigstore.statement(DIGEST))
    entry = sigstore.instance(4).first_entry(made.first_body())
    return Layer(json.dumps(sigstore.bundle(made, [entry])).encode(), None, BUNDLE_TYPE)


def memory_of(setting: Setting, row: Row) -> Remembered | None:
    """What is remembered of a row's image."""
    now = setting.now
    return {
        matrix.NOTHING: None,
        matrix.WITHIN: Remembered(now - HOUR, now + DAY),
        matrix.BEYOND: Remembered(now - 2 * DAY, now + DAY),
        matrix.ENDED: Remembered(now - HOUR, now - HOUR / 2),
    }[row.before]


def standing_of(setting: Setting, config: Config) -> Standing:
    """What holds on the node of a setting, without its files."""
    floor = {
        matrix.USUAL: Floor(),
        matrix.LENIENT: Floor(failure_policy=FailurePolicy(FailureAction.IGNORE)),
        matrix.STRICT: STRICTEST,
    }[setting.floor]
    begun = dict.fromkeys(begun_of(setting), setting.moment)
    complete = complete_of(setting) if config.ruleset.from_cluster else None
    return Standing(
        config.ruleset, floor, setting.moment, "node-1", tuple(glass_of(setting)), begun, complete, fetched_of(setting)
    )


def fetched_of(setting: Setting) -> dict[str, Moment]:
    """When keys were fetched, so long ago that this very moment it is too long."""
    if setting.cause is not Cause.KEY_PROVIDER:
        return {}
    return {KEYS.source: Moment(setting.now - timedelta(seconds=KEYS.keep_for), 0.0, "another boot")}


def complete_of(setting: Setting) -> Moment:
    """When the cluster last said all of a configuration, so long ago that this very moment it is too old."""
    return Moment(setting.now - timedelta(seconds=RuleSet(()).greatest_age), 0.0, "another boot")


def _failure_policy(setting: Setting) -> FailurePolicy:
    """The setting's action for its cause, and another one for all others: who looks at the wrong one is found out."""
    action = FailureAction(setting.action)
    if setting.cause is None:
        return FailurePolicy(action)
    other = FailureAction.IGNORE if action is FailureAction.FAIL else FailureAction.FAIL
    return FailurePolicy(other, {setting.cause: action})


def _patterns(*listed: str) -> Iterator[str]:
    for host, each in itertools.product(HOSTS.values(), listed):
        yield f"{host}/*/{each}/*"


def _lists(ruleset: RuleSet, setting: Setting) -> RuleSet:
    end = setting.now + HOUR
    allowed = {
        matrix.ON_ALLOW: (DIGEST, end), matrix.DENY_AND_ALLOW: (DIGEST, end), matrix.ALLOW_AND_EXEMPT: (DIGEST, end),
        matrix.OTHERS: (OTHER_DIGEST, end), matrix.ALLOW_OVER: (DIGEST, setting.now),
    }  # fmt: skip
    denied = _patterns(matrix.ON_DENY, matrix.DENY_AND_ALLOW, matrix.DENY_AND_EXEMPT)
    exempt = _patterns(matrix.EXEMPT, matrix.DENY_AND_EXEMPT, matrix.ALLOW_AND_EXEMPT)
    return ruleset._replace(
        deny=(
            *(Denied(each, OTHER_DIGEST) for each in _patterns(matrix.OTHERS)),
            *(Denied(each, DIGEST) for each in denied),
            *(Denied(each) for each in _patterns(matrix.DENIED_ALL)),
        ),
        allow=tuple(
            Allowed(request_of(row).repository.scope, *allowed[row.listed], "why")
            for row in setting.rows()
            if row.listed in allowed
        ),
        exempt=(
            *(Exemption(each, (OTHER_DIGEST,)) for each in _patterns(matrix.OTHERS)),
            *(Exemption(each) for each in exempt),
            *(Exemption(each, (DIGEST,)) for each in _patterns(matrix.EXEMPT_BY_DIGEST)),
        ),
    )


def glass_of(setting: Setting) -> Iterator[BreakGlass]:
    """The node's own; what is over began as long ago as it lasts."""
    ago = setting.moment._replace(wall=setting.now - HOUR, boot_seconds=setting.moment.boot_seconds - 3600)
    for i, match in enumerate(_behind_glass(setting, matrix.NODE)):
        yield BreakGlass(f"a{i}", match, "why", setting.moment, setting.now + HOUR)
    for i, match in enumerate(_behind_glass(setting, matrix.OVER)):
        yield BreakGlass(f"b{i}", match, "why", ago, setting.now)


def _configured_glass(setting: Setting) -> Iterator[ConfiguredBreakGlass]:
    yield from begun_of(setting)
    for match in _behind_glass(setting, matrix.NOT_BEGUN):
        yield ConfiguredBreakGlass(match, setting.now + HOUR, "why")


def begun_of(setting: Setting) -> Iterator[ConfiguredBreakGlass]:
    """The configuration's that has begun on the node."""
    for match in _behind_glass(setting, matrix.CONFIGURED):
        yield ConfiguredBreakGlass(match, setting.now + HOUR, "why")
    for match in _behind_glass(setting, matrix.OVER):
        yield ConfiguredBreakGlass(match, setting.now, "why")


def _behind_glass(setting: Setting, form: str) -> list[str]:
    return sorted({f"{HOSTS[row.host]}/glass-{form}/**" for row in setting.rows() if row.glass == form})

"""The one canonical form of a configuration: what a snapshot holds, and what names it.

JSON in `strictjson.canonical`'s form, certificates by their SHA-256, each policy once.  `generation` is the SHA-256 of
these bytes, so it names the certificates too.  Behind the pull path: reads back what was checked when it was published;
the standard library's json and hashlib, nothing else.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, cast

from agent.codec import strictjson
from agent.config import rulesetform
from agent.config.config import Config, StoreSettings, VerifierSettings
from agent.errors import Malformed
from agent.model.signer import DeniedSigner
from agent.rules.rule import PolicySettings, Rule

FORMAT_VERSION = 8
"""Version of the form.  A reader refuses any other."""

GROUND_VERSION = 3
"""Raised when verification itself changes so that earlier verdicts no longer count."""

MAX_SIZE = 8 * 1024 * 1024
"""Most bytes of a canonical form: a document of 1 MiB, its characters escaped, and room."""


MAX_VALUES = 1_000_000
"""Most values of a canonical form: a compiled policy has hundreds of thousands if its text is as long as it may be."""


def encode(config: Config) -> bytes:
    """The canonical form of `config`.  Its `generation` is left out: it is what these bytes are hashed to."""
    policies: dict[bytes, PolicySettings] = {}

    def number(policy: PolicySettings) -> int:
        form = strictjson.canonical(policy._asdict())
        policies.setdefault(form, policy)
        return list(policies).index(form)

    ruleset = rulesetform.to_json(config.ruleset, number)
    return strictjson.canonical(
        {
            "formatVersion": FORMAT_VERSION,
            "stores": [store._asdict() for store in config.stores],
            "verifiers": [verifier._asdict() for verifier in config.verifiers],
            "policies": [policy._asdict() for policy in policies.values()],
            "ruleset": ruleset,
            "certificates": sorted(config.certificates),
            "deniedSigners": [list(each) for each in config.denied_signers],
        }
    )


def with_grounds(config: Config) -> Config:
    """`config`, each rule with the name of what a verdict under it rests on.

    An edit that changes nothing of that keeps the name, and so what is remembered of images.  In which document it
    stands is nothing of that, nor who asks a registry: owners and Secrets are left out.
    """
    verifiers = {(each.owner, each.name): _hash(_rests(each)) for each in config.verifiers}
    policies = {id(rule.policy): _hash(rule.policy._asdict()) for rule in config.rules}
    stores = {
        owner: [_rests(each) for each in config.seen_by(owner).stores]
        for owner in {rule.owner for rule in config.rules}
    }

    denied = {"deniedSigners": sorted(map(list, config.denied_signers))} if config.denied_signers else {}

    def named(rule: Rule) -> Rule:
        rests_on = {
            "groundVersion": GROUND_VERSION,
            "stores": stores[rule.owner],
            "verifiers": [verifiers[rule.owner, name] for name in rule.verifiers],
            "policy": policies[id(rule.policy)],
            "allowWithoutEvidence": rule.allow_without_evidence,
            "evidenceRepository": rule.evidence_repository,
            **denied,
        }
        return rule._replace(ground=_hash(rests_on))

    return config._replace(ruleset=config.ruleset._replace(rules=tuple(map(named, config.rules))))


def generation_of(form: bytes) -> str:
    """The generation that a canonical form has."""
    return sha256(form).hexdigest()


def decode(form: bytes, certificate: Callable[[str], bytes]) -> Config:
    """The configuration in a canonical form, with its generation.

    `certificate` gives the DER bytes for a SHA-256 (hexadecimal), checked; what it raises passes through.  Raises
    `Malformed` for bytes that are no canonical form of `FORMAT_VERSION`.
    """
    value = strictjson.decode(form, "snapshot", limit=MAX_SIZE, most=MAX_VALUES)
    version = value.get("formatVersion") if isinstance(value, dict) else None
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise Malformed(f"snapshot: got format version {ascii(version)[:20]}; expected {FORMAT_VERSION}")
    try:
        return _config(cast("Mapping[str, object]", value), generation_of(form), certificate)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        shown = ascii(error)[:80]
        raise Malformed(f"snapshot: got no configuration ({shown}); expected what publishing writes") from None


def _rests(settings: StoreSettings | VerifierSettings) -> dict[str, object]:
    return {key: value for key, value in settings._asdict().items() if key not in ("owner", "secrets")}


def _hash(value: object) -> str:
    return sha256(strictjson.canonical(value)).hexdigest()


def _config(value: Mapping[str, object], generation: str, certificate: Callable[[str], bytes]) -> Config:
    verifiers = cast("list[dict[str, object]]", value["verifiers"])
    names = cast("list[str]", value["certificates"])
    policies = [PolicySettings(**policy) for policy in cast("list[dict[str, Any]]", value["policies"])]
    return Config(
        generation,
        tuple(_store(**store) for store in cast("list[dict[str, object]]", value["stores"])),  # type: ignore[arg-type]
        tuple(_verifier(**verifier) for verifier in verifiers),  # type: ignore[arg-type]
        rulesetform.from_json(cast("Mapping[str, Any]", value["ruleset"]), policies.__getitem__),
        {name: certificate(name) for name in names},
        tuple(DeniedSigner(*each) for each in cast("list[list[str]]", value["deniedSigners"])),
    )


def _store(*, ca_certificates: list[str], secrets: list[str], **others: object) -> StoreSettings:
    return StoreSettings(ca_certificates=tuple(ca_certificates), secrets=tuple(secrets), **others)  # type: ignore[arg-type]


def _verifier(*, artifact_types: list[str], **others: object) -> VerifierSettings:
    return VerifierSettings(artifact_types=tuple(artifact_types), **others)  # type: ignore[arg-type]

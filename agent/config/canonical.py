"""The one canonical form of a configuration: what a snapshot holds, and what names it.

JSON in `strictjson.canonical`'s form, certificates by their SHA-256, each policy once.  `generation` is the SHA-256 of
these bytes, so it names the certificates too.  Behind the pull path: reads back what was checked when it was published;
the standard library's json and hashlib, nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from agent.codec import strictjson
from agent.config.config import Config, StoreSettings, VerifierSettings
from agent.errors import Malformed
from agent.rules.rule import PolicySettings, Rule

FORMAT_VERSION = 3
"""Version of the form.  A reader refuses any other."""

MAX_SIZE = 8 * 1024 * 1024
"""Most bytes of a canonical form: a document of 1 MiB, its characters escaped, and room."""


MAX_VALUES = 1_000_000
"""Most values of a canonical form: a compiled policy has hundreds of thousands if its text is as long as it may be."""


def encode(config: Config) -> bytes:
    """The canonical form of `config`.  Its `generation` is left out: it is what these bytes are hashed to."""
    policies: dict[bytes, PolicySettings] = {}
    rules = []
    for rule in config.rules:
        form = strictjson.canonical(rule.policy._asdict())
        policies.setdefault(form, rule.policy)
        rules.append(rule._asdict() | {"policy": list(policies).index(form)})
    return strictjson.canonical(
        {
            "formatVersion": FORMAT_VERSION,
            "stores": [store._asdict() for store in config.stores],
            "verifiers": [verifier._asdict() for verifier in config.verifiers],
            "policies": [policy._asdict() for policy in policies.values()],
            "rules": rules,
            "certificates": sorted(config.certificates),
        }
    )


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
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        shown = ascii(error)[:80]
        raise Malformed(f"snapshot: got no configuration ({shown}); expected what publishing writes") from None


def _config(value: Mapping[str, object], generation: str, certificate: Callable[[str], bytes]) -> Config:
    verifiers = cast("list[dict[str, object]]", value["verifiers"])
    names = cast("list[str]", value["certificates"])
    policies = [PolicySettings(**policy) for policy in cast("list[dict[str, Any]]", value["policies"])]
    return Config(
        generation,
        tuple(_store(**store) for store in cast("list[dict[str, object]]", value["stores"])),  # type: ignore[arg-type]
        tuple(_verifier(**verifier) for verifier in verifiers),  # type: ignore[arg-type]
        tuple(_rule(policies, **rule) for rule in cast("list[dict[str, Any]]", value["rules"])),
        {name: certificate(name) for name in names},
    )


def _store(*, ca_certificates: list[str], **others: object) -> StoreSettings:
    return StoreSettings(ca_certificates=tuple(ca_certificates), **others)  # type: ignore[arg-type]


def _rule(
    policies: Sequence[PolicySettings], *, match: list[str], verifiers: list[str], policy: int, **others: object
) -> Rule:
    settings = policies[policy]
    return Rule(match=tuple(match), verifiers=tuple(verifiers), policy=settings, **others)  # type: ignore[arg-type]


def _verifier(*, artifact_types: list[str], **others: object) -> VerifierSettings:
    return VerifierSettings(artifact_types=tuple(artifact_types), **others)  # type: ignore[arg-type]

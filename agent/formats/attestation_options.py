"""The options of an `attestation` verifier: checked when a configuration is published, never on a pull.

Who must have signed is written as for a `cosign` verifier of our own, and read by the same code
(`agent.formats.cosign_options`).  Beside that: what an attestation must be, and how old it may be.
"""

from collections.abc import Mapping
from types import MappingProxyType

from agent.errors import Problem
from agent.formats import ParsedOptions, cosign_options
from agent.formats.cosign_bundle import PREDICATE_TYPE as SIGNATURE
from agent.formats.cosign_sigstore_options import CURRENT_TIME, IDENTITIES, TRUST_ROOT
from agent.model.documents import Sources

PREDICATE_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "custom": "https://cosign.sigstore.dev/attestation/v1",
        "cyclonedx": "https://cyclonedx.org/bom",
        "link": "https://in-toto.io/Link/v1",
        "openvex": "https://openvex.dev/ns",
        "slsaprovenance": "https://slsa.dev/provenance/v0.2",
        "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
        "slsaprovenance1": "https://slsa.dev/provenance/v1",
        "spdx": "https://spdx.dev/Document",
        "spdxjson": "https://spdx.dev/Document",
        "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    }
)
"""The short names of `cosign attest --type`; anything else is a URI, which counts to the letter."""

TYPE_OPTION, AGE = "predicateType", "maximumAge"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Object = Mapping[str, object]


def parse(options: Object, sources: Sources, where: str) -> ParsedOptions:
    """Check a verifier's options; see `Format.parse`."""
    signers = {name: value for name, value in options.items() if name not in (TYPE_OPTION, AGE)}
    parsed = cosign_options.parse(signers, sources, where)
    problems = list(parsed.problems)
    given = str(options.get(TYPE_OPTION, ""))
    predicate_type = PREDICATE_TYPES.get(given, given)
    if predicate_type == SIGNATURE:
        expected = "what an attestation is of; signatures are for a verifier of the type cosign"
        problems.append(Problem(f"{where}.{TYPE_OPTION}", f"{given[:80]!r}, which signatures have", expected))
    age = options.get(AGE)
    if age is not None:
        problems += _age_problems(options, f"{where}.{AGE}")
    settings = {
        "policies": parsed.settings["policies"],
        "predicateType": predicate_type,
        "maximumAge": int(age[:-1]) * _SECONDS[age[-1]] if isinstance(age, str) else None,
    }
    return ParsedOptions(settings, parsed.certificates, tuple(problems))


def _age_problems(options: Object, where: str) -> list[Problem]:
    """What makes an age something that nothing can ever prove."""
    if IDENTITIES not in options and TRUST_ROOT not in options:
        got = "a greatest age beside keys alone, which say nothing of when they signed"
        return [Problem(where, got, f"{TRUST_ROOT}, whose logs or timestamp authorities do")]
    if not int(str(options[AGE])[:-1]):
        return [Problem(where, "an age of nothing, which every attestation is older than", "a length of time")]
    if options.get(CURRENT_TIME) is True:
        got = f"a greatest age beside {CURRENT_TIME}: what nothing proves the time of is too old"
        return [Problem(where, got, f"one of both, or to know that {CURRENT_TIME} lets nothing in", fatal=False)]
    return []

"""The Ratify dialect: `config.json` and the documents beside it, to a `Config`.

In order: (1) strict JSON; (2) the schema; (3) names, as Ratify compares them; (4) each verifier's own options, by its
format.  Every step collects problems; there is a `Config` only if none of them is fatal.  Pure: documents come in.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, cast

from agent.codec import strictjson
from agent.config import canonical, checking
from agent.config.checking import Finding
from agent.config.config import Config, PolicySettings, StoreSettings, VerifierSettings
from agent.config.schema import MAX_VERIFIERS, SCHEMA
from agent.config.sources import SECTION, VerifierSources, is_named, read_providers
from agent.errors import ConfigurationError, LimitExceeded, Malformed, Problem
from agent.formats import FORMATS, Format, format_class
from agent.model.documents import Document, Documents
from agent.policies import POLICIES, normalised
from agent.rules.rule import DEFAULT_RULE
from agent.trust import certificate_documents

MAX_SIZE = 1024 * 1024
"""Most bytes of the document: a ConfigMap holds no more."""

_POLICY_NAME = "policy.plugin.name"
_VERIFIER_KEYS = ("name", "type", "artifactTypes", "version", "nestedReferences")
_MAX_TYPE_LENGTH = 255

Object = Mapping[str, object]


class Checked(NamedTuple):
    """A configuration that can be used, and what a person should hear about it all the same."""

    config: Config
    warnings: tuple[Problem, ...]


def read(
    document: Document,
    documents: Documents,
    *,
    formats: Mapping[str, str | type[Format]] = FORMATS,
    policies: Mapping[str, object] = POLICIES,
) -> Checked:
    """Read `document`; paths in it are looked up in `documents`.

    `formats` and `policies` are the tables whose keys may be named; a format that stands there as a text is imported
    once it is named.  Raises `ConfigurationError` with every problem found, warnings included.
    """
    try:
        value = strictjson.decode(document.content, document.name, limit=MAX_SIZE)  # (1)
    except Malformed as error:
        too_big = isinstance(error, LimitExceeded)
        got = error.message.removeprefix(f"{document.name}: ").removeprefix("got ").partition("; expected ")[0]
        expected = f"JSON of at most {MAX_SIZE} bytes, nested no deeper than needed" if too_big else "JSON"
        raise _refused((Problem(document.name, got, expected),)) from None
    findings = list(checking.check(value, SCHEMA))  # (2)
    root = value if isinstance(value, dict) else {}
    policy = _policy(root, policies, findings)  # (3)
    providers = read_providers(root, document.name, findings)
    verifiers = _verifiers(root, formats, findings)
    if not any(finding.fatal for finding in findings):  # else a verifier may be missing that a person did write
        findings += _listed_in_vain(policy, verifiers)
    use_http = _at(root, "store", "plugins", 0, "useHttp") is True
    if use_http:
        findings.append(_USE_HTTP)
    problems = [finding.problem(document.name) for finding in findings]
    paths = _ca_paths(root, findings)
    cas, apart = _registry_cas(paths, documents, checking.place(document.name, _CA_CERTIFICATES), problems)
    sources = VerifierSources(documents, providers, apart)
    certificates: dict[str, bytes] = {}
    settings: list[VerifierSettings] = []
    for verifier in verifiers:  # (4)
        if not _spoilt(verifier, findings):
            where = checking.place(document.name, verifier.path)
            entry = formats[verifier.type]
            chosen = format_class(verifier.type) if isinstance(entry, str) else entry
            parsed = chosen.parse(verifier.options, sources, where)
            problems += parsed.problems
            certificates |= parsed.certificates
            settings.append(VerifierSettings(verifier.name, verifier.type, verifier.artifact_types, parsed.settings))
    if any(problem.fatal for problem in problems):
        raise _refused(tuple(problems))
    problems += sources.problems()
    if cas.keys() & certificates.keys():
        problems.append(_SHARED_CA.problem(document.name))
    certificates |= cas
    config = Config(
        "", StoreSettings("oras", use_http, tuple(sorted(cas))), policy, tuple(settings), (DEFAULT_RULE,), certificates
    )
    return Checked(_settled(config), tuple(problems))


_USE_HTTP = Finding(
    ("store", "plugins", 0, "useHttp"),
    "true",
    "false: over plain HTTP whoever is on the way can hide signatures and read credentials",
    fatal=False,
)

_CA_CERTIFICATES = ("store", "plugins", 0, "caCertificates")
_SHARED_CA = Finding(
    _CA_CERTIFICATES,
    "certificates that signers are checked against as well",
    "other ones: who may issue for registries could sign images",
    fatal=False,
)


def _listed_in_vain(policy: PolicySettings, verifiers: list["_Verifier"]) -> list[Finding]:
    """Warn of types that the policy demands and no verifier looks at: no image can ever have them."""
    requirements = cast("Object", policy.settings["artifactVerificationPolicies"])
    looked_at = {artifact_type for verifier in verifiers for artifact_type in verifier.artifact_types}
    if "*" in looked_at:
        return []
    return [
        Finding(
            ("policy", "plugin", "artifactVerificationPolicies", artifact_type),
            "a type that no verifier looks at",
            "a type among artifactTypes of a verifier: every image will be denied",
            fatal=False,
        )
        for artifact_type in requirements
        if artifact_type != "default" and artifact_type not in looked_at
    ]


def _ca_paths(root: Object, findings: list[Finding]) -> list[str]:
    """The paths of registries' CAs, if they have the form."""
    paths = _at(root, *_CA_CERTIFICATES)
    told = any(finding.path[: len(_CA_CERTIFICATES)] == _CA_CERTIFICATES for finding in findings)
    return [] if told or not isinstance(paths, list) else paths


def _registry_cas(
    paths: list[str], documents: Documents, where: str, problems: list[Problem]
) -> tuple[dict[str, bytes], set[str]]:
    """The certificates that registries' TLS is verified against as well; the documents that are for nothing else."""
    if not paths:
        return {}, set()
    apart = {each.origin for path in paths for each in documents.find(path) if is_named(each, path)}
    rule = certificate_documents.SERVERS
    return certificate_documents.read_paths(paths, documents, where, rule, problems), apart


class _Verifier(NamedTuple):
    """A verifier plugin whose common keys are read and whose options are not."""

    path: checking.Path
    name: str
    type: str
    artifact_types: tuple[str, ...]
    options: Object


def _policy(root: Object, policies: Mapping[str, object], findings: list[Finding]) -> PolicySettings:
    plugin = _at(root, "policy", "plugin")
    name = _at(plugin, "name")
    if isinstance(name, str) and name and normalised(name) not in policies:
        expected = f"one of {', '.join(sorted(policies))} (case and '-' don't matter): no other policy is supported"
        findings.append(Finding(tuple(_POLICY_NAME.split(".")), checking.shown(name), expected))
    requirements = _at(plugin, "artifactVerificationPolicies")
    settings = {"artifactVerificationPolicies": requirements if isinstance(requirements, dict) else {}}
    return PolicySettings(normalised(name) if isinstance(name, str) else "", settings)


def _verifiers(root: Object, formats: Mapping[str, object], findings: list[Finding]) -> list[_Verifier]:
    plugins = _at(root, "verifier", "plugins")
    found: list[_Verifier] = []
    names: dict[str, int] = {}
    for i, plugin in enumerate(plugins[:MAX_VERIFIERS] if isinstance(plugins, list) else []):
        path: checking.Path = ("verifier", "plugins", i)
        name, given_type = _at(plugin, "name"), _at(plugin, "type")
        if isinstance(name, str) and name:
            if name in names:
                findings.append(
                    Finding(
                        (*path, "name"),
                        f"{checking.shown(name)}, which plugins[{names[name]}] has too",
                        "a name that no other verifier has",
                    )
                )
            names.setdefault(name, i)
        verifier_type = name if given_type is None else given_type
        if not isinstance(name, str) or not isinstance(verifier_type, str) or not verifier_type:
            continue  # the schema's check has told
        if verifier_type not in formats:
            at = (*path, "name" if given_type is None else "type")
            expected = f"one of {', '.join(sorted(formats))}: no other type of verifier is supported"
            findings.append(Finding(at, checking.shown(verifier_type), expected))
            continue
        types = _artifact_types(_at(plugin, "artifactTypes"), (*path, "artifactTypes"), findings)
        found.append(_Verifier(path, name, verifier_type, types, _options(cast("Object", plugin), path, findings)))
    return found


def _artifact_types(value: object, path: checking.Path, findings: list[Finding]) -> tuple[str, ...]:
    types = [each.strip() for each in value.split(",")] if isinstance(value, str) and value else []
    findings += (
        Finding(path, checking.shown(each), "artifact types, separated by single commas, or *")
        for each in types
        if not each or len(each) > _MAX_TYPE_LENGTH or not (each.isascii() and each.isprintable()) or " " in each
    )
    return tuple(dict.fromkeys(types))


def _options(plugin: Object, path: checking.Path, findings: list[Finding]) -> Object:
    """What the format gets: the keys that are not every verifier's, without those that the schema's check told of."""
    told = {finding.path for finding in findings if not finding.structural or not finding.fatal}
    return {key: value for key, value in plugin.items() if key not in _VERIFIER_KEYS and (*path, key) not in told}


def _spoilt(verifier: _Verifier, findings: list[Finding]) -> bool:
    """Whether some option has not even the form that the format relies on (or nobody looked that far).

    So has an option that names key providers while something is wrong with these.
    """
    depth = len(verifier.path)
    for finding in findings:
        if finding.fatal and finding.path[:1] == (SECTION,) and "verificationCertStores" in verifier.options:
            return True
        if finding.fatal and finding.structural:
            inside = len(finding.path) > depth and finding.path[:depth] == verifier.path
            if not finding.path or (inside and finding.path[depth] not in _VERIFIER_KEYS):
                return True
    return False


def _at(value: object, *path: str | int) -> object:
    """What stands at `path`, None if nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _settled(config: Config) -> Config:
    """The configuration as a reader of its canonical form sees it, so that both can't differ; with its generation."""
    for name, der in config.certificates.items():
        if sha256(der).hexdigest() != name:
            raise ValueError("a format gave a certificate a name that is not its SHA-256")
    return canonical.decode(canonical.encode(config), config.certificates.__getitem__)


def _refused(problems: tuple[Problem, ...]) -> ConfigurationError:
    return ConfigurationError("the configuration can't be used", problems=problems)

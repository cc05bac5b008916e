"""Configurations: Ratify's dialect and our own, `config.json` and the documents beside it, to a `Config`.

In order: (1) strict JSON, or YAML with JSON's values; (2) the schema; (3) names, as Ratify compares them; (4) stores,
policies, rules; (5) each verifier's own options, by its format.  Every step collects problems; there is a `Config`
only if none of them is fatal.  Pure: documents come in.

A configuration of Ratify's is one rule, "default", over everything.  The section `nodeseal` may stand in it, or be a
document of its own, beside it or alone (`agent.config.dialect`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from hashlib import sha256
from typing import NamedTuple, cast

from agent.codec import strictjson, strictyaml
from agent.config import (
    absence,
    canonical,
    checking,
    dialect,
    keysources,
    lockoutcheck,
    loopback,
    programs,
    reportcheck,
    rootages,
    signerlist,
    trustroots,
)
from agent.config.checking import Finding
from agent.config.config import SIGNED_BY, Config, StoreSettings, VerifierSettings
from agent.config.dialect import Node, Placing
from agent.config.dialectschema import MAX_LISTED, MAX_LISTED_LENGTH
from agent.config.keysources import KeySource
from agent.config.lists import Lists
from agent.config.plugins import Object, VerifierEntry, at, is_spoilt, read_verifiers, refuse_shared_names, resolved
from agent.config.schema import MAX_VERIFIERS, PART_SCHEMA, SCHEMA
from agent.config.sources import SECTION, VerifierSources, is_named, read_providers
from agent.errors import ConfigurationError, LimitExceeded, Malformed, Problem
from agent.formats import FORMATS, OURS_ALONE, Format
from agent.model.documents import Document, Documents, DocumentSet
from agent.model.signer import DeniedSigner
from agent.policies import normalised
from agent.policies.configpolicy import DEFAULT_KEY
from agent.rules.floor import Floor
from agent.rules.rule import EVERYTHING, Default, KeysUsed, PolicySettings, Rule
from agent.rules.ruleset import Denied, RuleSet
from agent.trust import certificate_documents

MAX_SIZE = 1024 * 1024
"""Most bytes of the document: a ConfigMap holds no more."""

YAML_SUFFIXES = (".yaml", ".yml")
NO_NODE = Node(None, datetime.min.replace(tzinfo=timezone.utc))
"""No node in particular: no floor is asked, and no end is over."""

DEFAULT_RULE = "default"
"""Name of the rule that a configuration of Ratify's is."""

_RATIFYS = ("configpolicy", "regopolicy")
_POLICY: checking.Path = ("policy", "plugin")


class Checked(NamedTuple):
    """A configuration that can be used, and what a person should hear about it all the same."""

    config: Config
    warnings: tuple[Problem, ...]


def read(
    document: Document,
    documents: DocumentSet,
    *,
    beside: Document | None = None,
    node: Node = NO_NODE,
    formats: Mapping[str, str | type[Format]] = FORMATS,
    value: object = None,
    part: bool = False,
) -> Checked:
    """Read `document`; paths in it are looked up in `documents`.

    `beside` is a document with the section `nodeseal` alone.  `node` is the one that it is for.  `formats` is the
    table whose keys may be named; what stands there as a text is imported once it is named.  `value` is what `decoded`
    has made of both, if it was asked before.  `part`: it is one document of several, and `default` may be another's.
    Raises `ConfigurationError` with every problem found, warnings included.
    """
    root = decoded(document, beside) if value is None else value  # (1)
    place = Placing(document.name, (beside or document).name)
    reading = _Reading(root, documents, place, formats, node, PART_SCHEMA if part else SCHEMA)
    config = reading.config()
    if config is None or any(problem.fatal for problem in reading.problems):
        raise _refused(tuple(reading.problems))
    try:
        return Checked(_settled(config), tuple(reading.problems))
    except Malformed as error:  # too large: what no pull could read is not published
        raise _refused((Problem(document.name, error.message.partition("; expected ")[0], "a smaller one"),)) from None


def decoded(document: Document, beside: Document | None = None) -> object:
    """(1) what `document` holds, with the section of the one beside it; unchecked.  Raises `ConfigurationError`."""
    return _joined(_decoded(document), document, beside)


def denied(value: object) -> tuple[Denied, ...]:
    """The deny list in what `decoded` gave, as far as it can be read, whatever else is wrong."""
    listed = at(value, dialect.SECTION, "deny")
    texts = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    section = {"deny": [each for each in texts if len(each) <= MAX_LISTED_LENGTH][:MAX_LISTED]}
    return Lists(section, (), [], now=NO_NODE.now, floor=None, use_http=False).deny()


def denied_signers(value: object) -> tuple[DeniedSigner, ...]:
    """The signers that what `decoded` gave denies, as far as can be read, whatever else is wrong."""
    return signerlist.read(at(value, dialect.SECTION), (), [])


class _Reading:
    """Reads one configuration; `problems` is everything told so far."""

    def __init__(
        self,
        value: object,
        documents: DocumentSet,
        place: Placing,
        formats: Mapping[str, str | type[Format]],
        node: Node,
        schema: Mapping[str, object],
    ) -> None:
        self._node = node
        self._schema = schema
        self._is_part = schema is PART_SCHEMA
        self._value = value
        self._root: Object = value if isinstance(value, dict) else {}
        self._documents = documents
        self._place = place
        self._formats = formats
        self._findings: list[Finding] = []
        self.problems: list[Problem] = []

    def config(self) -> Config | None:
        """The configuration, None if there is none for what `problems` says."""
        if not self._is_readable():  # (2)
            return None
        findings, root = self._findings, self._root
        dialect.check_version(root, findings)
        providers = read_providers(root, self._place, findings)
        key_problems: list[Problem] = []
        fetched = keysources.read(root, self._documents, findings, key_problems)
        unknown = self._fetched(fetched, providers, key_problems)
        roots = trustroots.read(root, self._documents, findings, key_problems)
        known_roots = trustroots.provided(roots, self._node.fetched, self._documents, self._place, key_problems)
        known = {name: each for name, each in self._formats.items() if name not in OURS_ALONE}
        ratifys = read_verifiers(
            at(root, "verifier", "plugins"), ("verifier", "plugins"), known, findings, MAX_VERIFIERS
        )
        own = read_verifiers(
            at(root, dialect.SECTION, "verifiers"),
            (dialect.SECTION, "verifiers"),
            self._formats,
            findings,
            MAX_VERIFIERS,
        )
        verifiers = [*ratifys, *own]
        refuse_shared_names(verifiers, findings)
        findings += reportcheck.unknown_signers(verifiers)
        has_rules = at(root, *dialect.RULES) is not None
        policy_problems: list[Problem] = []
        default = dialect.read_default(root, findings)
        rules = self._rules(ratifys, verifiers, has_rules, default, policy_problems)  # (3), (4)
        stores, cas, apart = self._stores()
        use_http = any(store.use_http for store in stores)
        ruleset = dialect.read_lists(root, rules, default, self._node, findings, use_http=use_http)
        denied = signerlist.read(at(root, dialect.SECTION), (dialect.SECTION,), findings)
        findings += dialect.below_the_floor(root, rules, self._node)
        if not use_http and not cas:
            findings += loopback.names(root)
        self._tell(findings)
        self.problems += (*policy_problems, *key_problems)
        sources = VerifierSources(
            self._documents, providers, apart | self._key_cas(), unknown, known_roots, self._node.labour
        )
        settings, certificates, keys = self._verifiers(verifiers, sources, fetched)  # (5)
        if any(problem.fatal for problem in self.problems):
            return None
        self.problems += sources.problems()
        self.problems += trustroots.unused(roots, sources.roots_used, self._place)
        aged = rootages.findings(settings, {each.name: each.path for each in verifiers}, certificates, self._node.now)
        self._tell(aged)
        self._tell(self._lockouts(ruleset))
        if len(settings) < len(verifiers):
            return None  # what they trust is not known here
        if self._node.trial is not None:
            paths = [(*dialect.RULES, i, "policy") if has_rules else _POLICY for i in range(len(rules))]
            self._tell(absence.findings(rules, settings, paths, self._node.trial))
        used = ((rule, sorted({each for name in rule.verifiers for each in keys.get(name, ())})) for rule in rules)
        ruleset = ruleset._replace(rules=tuple(rule._replace(keys=tuple(each)) for rule, each in used))
        if cas.keys() & certificates.keys():
            self.problems.append(self._place.problem(_SHARED_CA))
        return canonical.with_grounds(Config("", stores, settings, ruleset, certificates | cas, denied))

    def _is_readable(self) -> bool:
        """(2) whether the document is of our kind, and within bounds: what is compared later is bounded by that."""
        foreign = dialect.foreign(self._root)
        if foreign:
            self._tell([foreign])
            return False
        self._findings += checking.check(self._value, self._schema)
        if any(finding.excessive for finding in self._findings):
            self._tell(self._findings)
            return False
        return True

    def _tell(self, findings: Iterable[Finding]) -> None:
        """Add findings to the problems, each with its place."""
        self.problems += map(self._place.problem, findings)

    def _lockouts(self, ruleset: RuleSet) -> Iterable[Finding]:
        """What it means for images that the node needs; several documents are looked at together, elsewhere."""
        node = self._node
        if node.needs is None or self._is_part:
            return ()
        return lockoutcheck.of_one(self._root, ruleset, node.floor or Floor(), node.now, node.needs)

    def _fetched(
        self, sources: Mapping[str, KeySource], providers: dict[str, Document], told: list[Problem]
    ) -> set[str]:
        """Put what was fetched among the providers; those of which nobody knows what they hold."""
        unknown: set[str] = set()
        for name, source in sources.items():
            where = f"{self._place.text((SECTION,))}: {name[:80]}"
            found = None if self._node.fetched is None else self._node.fetched.get(source.source, "nothing fetched yet")
            if isinstance(found, bytes):
                providers[name] = Document(name, found, f"{where} from {source.url.origin}")
                continue
            if found is not None:
                told.append(Problem(where, found, f"certificates at {source.url.origin}"))
            else:
                got = f"keys at {source.url.origin}, which are fetched when this is put in force"
                told.append(Problem(where, got, "to know that they are not looked at here", fatal=False))
            providers[name] = Document(name, b"", where)
            unknown.add(name)
        return unknown

    def _key_cas(self) -> set[str]:
        """Documents that are the CAs of addresses of key providers and of trusted roots, and nothing else."""
        lists = (at(self._root, SECTION, "plugins"), at(self._root, *trustroots.SECTION))
        paths = [at(each, "caBundle") for listed in lists if isinstance(listed, list) for each in listed]
        named = [path for path in paths if isinstance(path, str)]
        return {each.origin for path in named for each in self._documents.find(path) if is_named(each, path)}

    def _verifiers(
        self, verifiers: list[VerifierEntry], sources: VerifierSources, fetched: Mapping[str, KeySource]
    ) -> tuple[tuple[VerifierSettings, ...], dict[str, bytes], dict[str, list[KeysUsed]]]:
        """Every verifier's settings, the certificates that they refer to, and which keys that were fetched.

        A verifier of which nobody knows what it trusts has none.
        """
        certificates: dict[str, bytes] = {}
        settings: list[VerifierSettings] = []
        keys: dict[str, list[KeysUsed]] = {}
        for verifier in verifiers:
            if not is_spoilt(verifier, self._findings, SECTION):
                where = self._place.text(verifier.path)
                sources.begin()
                parsed = resolved(self._formats[verifier.type]).parse(verifier.options, sources, where)
                if not sources.is_known():
                    continue
                self.problems += parsed.problems
                taken = [fetched[name] for name in sources.taken if name in fetched]
                keys[verifier.name] = [KeysUsed(each.source, each.name, each.keep_for) for each in taken]
                certificates |= parsed.certificates
                kinds = verifier.artifact_types
                made = {**parsed.settings, SIGNED_BY: verifier.signed_by} if verifier.signed_by else parsed.settings
                settings.append(VerifierSettings(verifier.name, verifier.type, kinds, made, verifier.nested))
        return tuple(settings), certificates, keys

    def _rules(
        self,
        ratifys: list[VerifierEntry],
        verifiers: list[VerifierEntry],
        has_rules: bool,
        default: Default,
        problems: list[Problem],
    ) -> tuple[Rule, ...]:
        """Our own rules or, if there are none, the one that Ratify's policy is, under the terms of `default`."""
        root, findings = self._root, self._findings
        path = at(root, *_POLICY, "policyPath")
        if isinstance(path, str) and path:  # the document is referred to, whether this is what decides or not
            self._documents.file(path.rpartition("/")[2])
        if has_rules:
            if at(root, *_POLICY) is not None:
                findings.append(_POLICY_UNUSED)
            rules = dialect.read_rules(
                root, verifiers, self._documents, self._place, findings, problems, self._node.trial
            )
            used = {name for rule in rules for name in rule.verifiers}
            if not any(finding.fatal for finding in findings):
                findings += (
                    Finding((*each.path, "name"), f"{checking.shown(each.name)}, which no rule names", _UNUSED, False)
                    for each in verifiers
                    if each.name not in used
                )
                findings += reportcheck.under_own_rules(rules, verifiers)
            return rules
        policy = self._ratifys_policy(problems)
        if policy.name == "configpolicy" and not any(finding.fatal for finding in findings):
            findings += _listed_in_vain(policy, ratifys)  # else a verifier may be missing that a person did write
        if not any(finding.fatal for finding in findings):
            findings += reportcheck.under_ratifys_policy(policy, verifiers)
        names = tuple(each.name for each in verifiers)
        findings += dialect.refused_thresholds(verifiers, names)
        only = Rule(DEFAULT_RULE, (EVERYTHING,), names, policy, enforcement=default.enforcement)
        return (only._replace(failure_policy=default.failure_policy),)

    def _ratifys_policy(self, problems: list[Problem]) -> PolicySettings:
        plugin = at(self._root, *_POLICY)
        named = at(plugin, "name")
        if not isinstance(named, str) or not named:
            return PolicySettings("", {})
        name = normalised(named)
        if name not in _RATIFYS:
            expected = "one of configPolicy, regoPolicy (case and '-' don't matter): no other policy is supported"
            self._findings.append(Finding((*_POLICY, "name"), checking.shown(named), expected))
            return PolicySettings("", {})
        if name == "regopolicy":
            return self._rego(plugin, problems)
        given = at(plugin, "artifactVerificationPolicies")
        requirements = dict(given) if isinstance(given, dict) else {}
        if requirements.get(DEFAULT_KEY) == "":
            del requirements[DEFAULT_KEY]  # as in Ratify, where empty is what a missing key is
        return PolicySettings(name, {"artifactVerificationPolicies": requirements})

    def _rego(self, plugin: object, problems: list[Problem]) -> PolicySettings:
        """Ratify's rule: `policy`, a text, goes before `policyPath`."""
        text, path = at(plugin, "policy"), at(plugin, "policyPath")
        if at(plugin, "passthroughEnabled") is True:
            return programs.passing_on(self._place.text((*_POLICY, "passthroughEnabled")), problems)
        if isinstance(text, str) and text:
            where = self._place.text((*_POLICY, "policy"))
            return programs.rego_policy(Document("policy.rego", text.encode(), where), problems, self._node.trial)
        where = self._place.text((*_POLICY, "policyPath"))
        if not isinstance(path, str) or not path:
            problems.append(Problem(where, "no policy", "policy, the text of one, or policyPath, its path"))
            return PolicySettings("", {})
        document = programs.find_policy(path, self._documents, where, problems)
        return programs.rego_policy(document, problems, self._node.trial) if document else PolicySettings("", {})

    def _stores(self) -> tuple[tuple[StoreSettings, ...], dict[str, bytes], set[str]]:
        """The stores, the certificates of registries' CAs, and the documents that are for nothing else."""
        plugins = at(self._root, "store", "plugins")
        stores: list[StoreSettings] = []
        certificates: dict[str, bytes] = {}
        apart: set[str] = set()
        for i, plugin in enumerate(plugins if isinstance(plugins, list) else [{}]):
            path: checking.Path = ("store", "plugins", i)
            use_http = at(plugin, "useHttp") is True
            if use_http:
                self._findings.append(_USE_HTTP._replace(path=(*path, "useHttp")))
            where = (*path, "caCertificates")
            found, own = _registry_cas(
                _ca_paths(plugin, where, self._findings), self._documents, self._place.text(where), self.problems
            )
            certificates |= found
            apart |= own
            cosign_tags = at(plugin, "cosignEnabled") is True
            stores.append(StoreSettings("oras", use_http, tuple(sorted(found)), cosign_tags, secrets=_secrets(plugin)))
        return tuple(stores), certificates, apart


_USE_HTTP = Finding(
    (),
    "true",
    "false: over plain HTTP whoever is on the way can hide signatures and read credentials",
    fatal=False,
)
_SHARED_CA = Finding(
    ("store", "plugins", 0, "caCertificates"),
    "certificates that signers are checked against as well",
    "other ones: who may issue for registries could sign images",
    fatal=False,
)
_POLICY_UNUSED = Finding(
    _POLICY, "a policy beside rules", "to know that Ratify alone follows it: here the rules decide", fatal=False
)
_UNUSED = "its name in a rule, or no such verifier"


def _decoded(document: Document) -> object:
    """(1).  Raises `ConfigurationError`."""
    is_yaml = document.name.lower().endswith(YAML_SUFFIXES)
    decode = strictyaml.decode if is_yaml else strictjson.decode
    kind = "YAML" if is_yaml else "JSON"
    try:
        return decode(document.content, document.name, limit=MAX_SIZE)
    except Malformed as error:
        too_big = isinstance(error, LimitExceeded)
        got, _, wanted = error.message.removeprefix(f"{document.name}: ").removeprefix("got ").partition("; expected ")
        expected = f"{kind} of at most {MAX_SIZE} bytes, nested no deeper than needed" if too_big else wanted or kind
        raise _refused((Problem(document.name, got, expected if is_yaml or too_big else kind),)) from None


def _joined(value: object, document: Document, beside: Document | None) -> object:
    """The configuration with the section of the document beside it.  Raises `ConfigurationError`."""
    if beside is None or not isinstance(value, dict):
        return value
    own = _decoded(beside)
    others = [key for key in own if key not in (dialect.SECTION, "$schema")] if isinstance(own, dict) else []
    if not isinstance(own, dict) or others:
        got = f"the key {checking.shown(others[0])}" if others else "something else than an object"
        expected = f"{dialect.SECTION} alone: everything else stands in {document.name}"
        raise _refused((Problem(beside.name, got, expected),))
    if dialect.SECTION in value and dialect.SECTION in own:
        got = f"the section {dialect.SECTION}, which {document.name} has too"
        raise _refused((Problem(beside.name, got, "it in one of the two"),))
    return {**value, **own}


def _listed_in_vain(policy: PolicySettings, verifiers: list[VerifierEntry]) -> list[Finding]:
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
        if artifact_type != DEFAULT_KEY and artifact_type not in looked_at
    ]


def _ca_paths(plugin: object, where: checking.Path, findings: list[Finding]) -> list[str]:
    """The paths of registries' CAs, if they have the form."""
    paths = at(plugin, "caCertificates")
    told = any(finding.path[: len(where)] == where for finding in findings)
    return [] if told or not isinstance(paths, list) else paths


def _secrets(plugin: object) -> tuple[str, ...]:
    """The names of the Secrets with credentials, as far as they have the form."""
    named = [at(plugin, key, "secrets") for key in ("authProvider", "auth-provider")]
    names = (at(each, "secretName") for listed in named if isinstance(listed, list) for each in listed)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _registry_cas(
    paths: list[str], documents: Documents, where: str, problems: list[Problem]
) -> tuple[dict[str, bytes], set[str]]:
    """The certificates that registries' TLS is verified against as well; the documents that are for nothing else."""
    if not paths:
        return {}, set()
    apart = {each.origin for path in paths for each in documents.find(path) if is_named(each, path)}
    rule = certificate_documents.SERVERS
    return certificate_documents.read_paths(paths, documents, where, rule, problems), apart


def _settled(config: Config) -> Config:
    """The configuration as a reader of its canonical form sees it, so that both can't differ; with its generation."""
    for name, der in config.certificates.items():
        if sha256(der).hexdigest() != name:
            raise ValueError("a format gave a certificate a name that is not its SHA-256")
    return canonical.decode(canonical.encode(config), config.certificates.__getitem__)


def _refused(problems: tuple[Problem, ...]) -> ConfigurationError:
    return ConfigurationError("the configuration can't be used", problems=problems)

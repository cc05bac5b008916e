"""The options of a `notation` verifier: checked when a configuration is published, never on a pull.

Either Ratify's: a trust policy (`trustPolicyDoc`), certificates without a store (`verificationCerts`) and stores that
key providers fill (`verificationCertStores`).  Or a folder as the `notation` command keeps it (`notationDirectory`),
under notation's own, stricter rules: a certificate that may not be in a store is an error there, and left out with a
warning elsewhere.  Every problem is collected.
"""

from typing import Mapping, NamedTuple, Sequence

from agent.codec import strictjson
from agent.errors import Malformed, Problem
from agent.formats import ParsedOptions
from agent.model.documents import Document, Sources
from agent.trust import certificate_documents, trustpolicy_document
from agent.trust.certificate_documents import ROOTS, SIGNERS, Rule
from agent.trust.trustpolicy import TrustPolicy
from agent.trust.truststore import CA, TSA, TYPES, TrustStores

DIRECTORY = "notationDirectory"
CERTIFICATES, STORES, POLICY = "verificationCerts", "verificationCertStores", "trustPolicyDoc"

MAX_POLICY_SIZE = 1024 * 1024
"""Most bytes of a trust policy document in a folder: those in a configuration can't be larger."""

_POLICY_FILES = ("trustpolicy.oci.json", "trustpolicy.json")  # the first that is there counts
_STORE_FOLDER = "truststore/x509"
_CERTIFICATE_SUFFIXES = (".crt", ".pem", ".cer", ".der")
_WANTED = (*_POLICY_FILES, *(f"{_STORE_FOLDER}/{kind}/*/*" for kind in TYPES))


class _Store(NamedTuple):
    """A named trust store as it is configured.  It is without documents only if a problem says why."""

    where: str
    documents: tuple[Document, ...]


class _Offer(NamedTuple):
    """What a configuration offers: statements and where they stand, stores by `TYPE:NAME`, certificates by path.

    `paths` is None if there is no such option.  `strict`: what may not be in a store is an error.
    """

    policies: tuple[TrustPolicy, ...]
    policies_at: str
    named: Mapping[str, _Store]
    paths: "tuple[_Path, ...] | None"
    strict: bool


class _Path(NamedTuple):
    """A path of certificates: the name that it ends with, its documents' origins, what they hold."""

    name: str
    origins: frozenset[str]
    certificates: Mapping[str, bytes]


def parse(options: Mapping[str, object], sources: Sources, where: str) -> ParsedOptions:
    """Check a verifier's options; see `Format.parse`."""
    problems: list[Problem] = []
    if DIRECTORY in options:
        beside = [key for key in (CERTIFICATES, STORES, POLICY) if key in options]
        if beside:
            got = f"this beside {', '.join(beside)}"
            problems.append(Problem(f"{where}.{DIRECTORY}", got, "either the folder alone, or the others without it"))
        offer = _directory(str(options[DIRECTORY]), sources, f"{where}.{DIRECTORY}", problems)
    else:
        offer = _ratify(options, sources, where, problems)
    stores, certificates = _resolved(offer, where, problems)
    settings = {
        "trustPolicies": [policy.to_json() for policy in offer.policies],
        "trustStores": stores.to_json(),
    }
    return ParsedOptions(settings, certificates, tuple(problems))


def _ratify(options: Mapping[str, object], sources: Sources, where: str, problems: list[Problem]) -> _Offer:
    document = options.get(POLICY)
    at = f"{where}.{POLICY}"
    policies, found = trustpolicy_document.parse(document if isinstance(document, dict) else {}, at)
    problems += found
    paths = None
    if CERTIFICATES in options:
        paths = _paths(options[CERTIFICATES], sources, f"{where}.{CERTIFICATES}", problems)
    named = _provided_stores(options.get(STORES), sources, f"{where}.{STORES}", problems)
    return _Offer(policies, at, named, paths, strict=False)


def _paths(given: object, sources: Sources, where: str, problems: list[Problem]) -> tuple[_Path, ...]:
    """What each path of `verificationCerts` leads to.  None with a certificate is an error."""
    found = []
    for i, path in enumerate(given if isinstance(given, list) else []):
        documents = sources.find(str(path))
        if not documents:
            got = f"{str(path)[:120]!r}, which names nothing"
            problems.append(Problem(f"{where}[{i}]", got, "a certificate file or directory"))
        certificates = certificate_documents.read(documents, f"{where}[{i}]", SIGNERS, problems)
        name = str(path).rstrip("/").rpartition("/")[2]
        stem = name.rpartition(".")[0] if name.lower().endswith(_CERTIFICATE_SUFFIXES) else name
        found.append(_Path(stem, frozenset(each.origin for each in documents), certificates))
    if not any(path.certificates for path in found):
        problems.append(Problem(where, "no usable certificate", f"at least one certificate: {SIGNERS.expected}"))
    return tuple(found)


def _provided_stores(value: object, sources: Sources, where: str, problems: list[Problem]) -> dict[str, _Store]:
    """The stores of `verificationCertStores`.  Which of its two forms it has, its keys say, as in Ratify."""
    given = value if isinstance(value, dict) else {}
    typed = [key for key in given if key in TYPES]
    if typed and len(typed) < len(given):
        others = ", ".join(ascii(key)[:40] for key in given if key not in TYPES)
        expected = (
            f"store types ({', '.join(TYPES)}) with names below them, or names alone, which are stores of type ca"
        )
        problems.append(Problem(where, f"the type {typed[0]} beside {others}", expected))
        return {}
    stores: dict[str, _Store] = {}
    for kind, by_name in given.items() if typed else [(CA, given)]:
        at = f"{where}.{kind}" if typed else where
        if not isinstance(by_name, dict):
            problems.append(Problem(at, "a list of key providers", "names of stores, each with its key providers"))
            continue
        for name, providers in by_name.items():
            if isinstance(providers, dict):
                problems.append(Problem(f"{at}.{name[:40]}", "an object", "a list of key providers"))
                continue
            stores[f"{kind}:{name}"] = _Store(
                f"{at}.{name[:40]}", _provided(providers, sources, f"{at}.{name[:40]}", problems)
            )
    return stores


def _provided(providers: Sequence[str], sources: Sources, where: str, problems: list[Problem]) -> tuple[Document, ...]:
    found: list[Document] = []
    for i, provider in enumerate(providers):
        document = sources.provided(provider)
        if document is None:
            got = f"{ascii(provider)[:80]}, which no key provider is called"
            problems.append(Problem(f"{where}[{i}]", got, "a name among keyManagementProvider.plugins"))
        else:
            found.append(document)
    return tuple(found)


def _directory(path: str, sources: Sources, where: str, problems: list[Problem]) -> _Offer:
    documents = {document.name: document for document in sources.tree(path, _WANTED)}
    policies: tuple[TrustPolicy, ...] = ()
    at = f"{where}: {path[:120]}"
    document = next((documents[name] for name in _POLICY_FILES if name in documents), None)
    if document is None:
        expected = f"a folder of this host with {' or '.join(_POLICY_FILES)}, as notation keeps it"
        problems.append(Problem(where, f"{path[:120]!r}, which has no trust policy", expected))
    else:
        at = f"{where}: {document.origin}: $"
        policies = _policies_in(document, at, problems)
    stores: dict[str, _Store] = {}
    for name, each in documents.items():
        if name.startswith(f"{_STORE_FOLDER}/"):
            kind, store = name.split("/")[2:4]
            before = stores.get(f"{kind}:{store}", _Store(where, ()))
            stores[f"{kind}:{store}"] = _Store(where, (*before.documents, each))
    return _Offer(policies, at, stores, None, strict=True)


def _policies_in(document: Document, where: str, problems: list[Problem]) -> tuple[TrustPolicy, ...]:
    """The statements of a trust policy document that no schema has seen."""
    try:
        value = strictjson.decode(document.content, document.name, limit=MAX_POLICY_SIZE)
    except Malformed as error:
        got = error.message.removeprefix(f"{document.name}: got ").partition("; expected ")[0]
        problems.append(Problem(where.removesuffix(": $"), got, "a trust policy document, as JSON"))
        return ()
    found = trustpolicy_document.check_form(value, where)
    policies: tuple[TrustPolicy, ...] = ()
    if not found and isinstance(value, dict):
        policies, found = trustpolicy_document.parse(value, where)
    problems += found
    return policies


def _resolved(offer: _Offer, where: str, problems: list[Problem]) -> tuple[TrustStores, dict[str, bytes]]:
    """The stores that statements name, with their certificates, and all of these by SHA-256."""
    stores: dict[str, Mapping[str, bytes]] = {}
    by_path: dict[str, str] = {}
    for store, at in _named_by(offer).items():
        if store in offer.named:
            rule = _rule(store)._replace(error=offer.strict)
            stores[store] = _certificates(offer.named[store], rule, problems)
        elif offer.paths is None:
            problems.append(_undefined(store, at, offer, where))
        else:
            by_path[store] = at
    if offer.paths is not None:
        stores |= _shared_out(offer.paths, by_path, problems)
    _warn_of_unused(offer, bool(by_path), where, problems)
    certificates = {name: der for each in stores.values() for name, der in each.items()}
    return TrustStores({store: frozenset(each.values()) for store, each in stores.items()}), certificates


def _shared_out(
    paths: Sequence[_Path], stores: Mapping[str, str], problems: list[Problem]
) -> dict[str, Mapping[str, bytes]]:
    """The certificates of `verificationCerts` for each of `stores` (and where a statement names it).

    A path that is called like a store is that store's alone.  All others belong together to the one store without a
    path of its own: whatever its name, if it is the only one, as Ratify has it.  In Ratify every certificate serves
    every store; here those of one don't serve another.
    """
    names = {store: store.partition(":")[2] for store in stores}
    others = [path for path in paths if path.name not in names.values()]
    found: dict[str, Mapping[str, bytes]] = {}
    origins: dict[str, str] = {}
    nameless = [store for store, name in names.items() if not any(path.name == name for path in paths)]
    for store, at in stores.items():
        own = [path for path in paths if path.name == names[store]] if store not in nameless else others
        if len(stores) > 1 and (len(nameless) > 1 and store in nameless or not own):
            got = f"{store!r}, of which nothing says which certificates are its own"
            expected = f"a path of {CERTIFICATES} that ends with {names[store]}, or the store under {STORES}"
            problems.append(Problem(at, got, f"{expected}: those of one store don't serve another"))
            continue
        for origin in (origin for path in own for origin in path.origins):
            if origins.setdefault(origin, store) != store:
                got = f"{store!r} with {origin[-80:]}, which is {origins[origin]}'s as well"
                problems.append(Problem(at, got, "files of its own: those of one store don't serve another"))
        certificates = {name: der for path in own for name, der in path.certificates.items()}
        if store.startswith(f"{TSA}:"):  # notation asks more of certificates that vouch for time
            roots = certificate_documents.accepted(certificates, ROOTS)
            if certificates and not roots:
                problems.append(Problem(at, f"{store!r}, for which {CERTIFICATES} hold nothing", ROOTS.expected))
            certificates = roots
        found[store] = certificates
    return found


def _rule(store: str) -> Rule:
    return ROOTS if store.startswith(f"{TSA}:") else SIGNERS


def _named_by(offer: _Offer) -> dict[str, str]:
    """Each well-formed store that a statement names, and where the first one does."""
    named: dict[str, str] = {}
    for i, policy in enumerate(offer.policies):
        for j, store in enumerate(policy.stores):
            if store.partition(":")[0] in TYPES:
                named.setdefault(store, f"{offer.policies_at}.trustPolicies[{i}].trustStores[{j}]")
    return named


def _certificates(store: _Store, rule: Rule, problems: list[Problem]) -> dict[str, bytes]:
    found = certificate_documents.read(store.documents, store.where, rule, problems)
    if not found and store.documents:
        problems.append(Problem(store.where, "no usable certificate", f"at least one certificate: {rule.expected}"))
    return found


def _undefined(store: str, at: str, offer: _Offer, where: str) -> Problem:
    kind, _, name = store.partition(":")
    if offer.strict:
        return Problem(at, f"{store!r}, which is not there or empty", f"certificates in {_STORE_FOLDER}/{kind}/{name}")
    expected = f"{CERTIFICATES}, or the store under {STORES}"
    return Problem(at, f"{store!r}, behind which is no certificate", f"{where}: {expected}")


def _warn_of_unused(offer: _Offer, by_path: bool, where: str, problems: list[Problem]) -> None:
    named = _named_by(offer)
    for store, (at, _) in offer.named.items():
        if offer.policies and store not in named:
            got = f"the store {store[:80]!r}, which no statement names"
            problems.append(
                Problem(at, got, "a statement that has it among trustStores, or no such store", fatal=False)
            )
    if offer.policies and any(path.certificates for path in offer.paths or ()) and not by_path:
        got = "certificates that stand behind no store"
        expected = f"a statement that names a store not under {STORES}, or no such certificates"
        problems.append(Problem(f"{where}.{CERTIFICATES}", got, expected, fatal=False))

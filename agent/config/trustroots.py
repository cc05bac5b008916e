"""Trusted roots that are fetched (`nodeseal.trustRoots`): from which TUF repository, and how often.

Nothing is fetched here: what was, for whoever publishes, comes in by the name of its source.  That is a hash of all
that decides what may come from there, mirror and first root: who changes one of these has another source, of which
nothing is kept.  CAs are not among it: what comes is believed for its signatures.  Pure.
"""

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import NamedTuple

from agent.codec import strictjson
from agent.config import checking, times
from agent.config.checking import Finding
from agent.config.dialectschema import GREATEST_INTERVAL, LEAST_INTERVAL, PUBLIC_GOOD, USUAL_INTERVAL
from agent.config.plugins import at
from agent.config.sources import Placing
from agent.errors import Malformed, Problem
from agent.model.documents import Document, DocumentSet
from agent.registry.urls import Url
from agent.trust import certificate_documents
from agent.trust.trustedroot_document import USUAL_NAME

SECTION = ("nodeseal", "trustRoots")
MAX_ROOT = 256 * 1024
"""Most bytes of a first root; the public instance's has 6 KiB."""


class TrustRootSource(NamedTuple):
    """One of them.  `source` names where it comes from; `name` is the document that it is to verifiers.

    `root` is what the repository is trusted by at first, empty for what is built in; `interval` is in seconds; `cas`
    are the CAs that TLS is verified against beside the host's, DER.
    """

    source: str
    name: str
    mirror: Url
    root: bytes
    interval: float
    cas: tuple[bytes, ...] = ()


def source_of(mirror: str, root: bytes) -> str:
    """The name of a source; `root` is empty for what is built in, so that a newer one there is no other source."""
    told = {"mirror": mirror.rstrip("/"), "root": sha256(root).hexdigest() if root else ""}
    return sha256(strictjson.canonical(told)).hexdigest()


def read(
    root: object, documents: DocumentSet, findings: list[Finding], problems: list[Problem]
) -> dict[str, TrustRootSource]:
    """The entries in `root`, by name, as far as they have the form.

    Adds what the schema can't tell to `findings`, and what is wrong with documents to `problems`.
    """
    listed, found = at(root, *SECTION), dict[str, TrustRootSource]()
    names: set[str] = set()
    for i, given in enumerate(listed if isinstance(listed, list) else []):
        path: checking.Path = (*SECTION, i)
        name = at(given, "name")
        name = USUAL_NAME if name is None else name
        if not isinstance(name, str):
            continue
        if name in names:
            got = f"{checking.shown(name)}, which another one has too"
            findings.append(Finding((*path, "name"), got, "a name that no other trusted root has"))
            continue
        names.add(name)
        source = _read(given, name, path, documents, findings, problems)
        if source is not None:
            found[name] = source
    return found


def provided(
    sources: Mapping[str, TrustRootSource],
    fetched: Mapping[str, bytes | str] | None,
    documents: DocumentSet,
    place: Placing,
    told: list[Problem],
) -> dict[str, Document | None]:
    """What each of them is to verifiers, by name; None if nobody knows.

    That is what was fetched; until then the document of that name, if there is one.  `fetched` is what a node has, by
    source: the content, or why there is none; None where nobody fetches.  Adds to `told`.
    """
    found: dict[str, Document | None] = {}
    for name, source in sources.items():
        where = f"{place.text(SECTION)}: {name[:80]}"
        until = documents.own(name)
        has = None if fetched is None else fetched.get(source.source, "nothing fetched yet")
        if isinstance(has, bytes):
            found[name] = Document(name, has, f"{where} from {source.mirror.origin}")
            continue
        meanwhile = f"; {until.origin} counts until then" if until else ""
        if has is None:
            got = f"a trusted root at {source.mirror.origin}, which is fetched when this is put in force"
            told.append(Problem(where, got, f"to know that it is not looked at here{meanwhile}", fatal=False))
        else:
            meanwhile = meanwhile or ", or a document of this name beside the configuration, which counts until then"
            expected = f"the trusted root of {source.mirror.origin}{meanwhile}"
            told.append(Problem(where, has, expected, fatal=until is None))
        found[name] = until
    return found


def unused(found: Collection[str], used: Collection[str], place: Placing) -> tuple[Problem, ...]:
    """Those that no verifier named, once everything was looked up."""
    expected = "its name under trustRoot of a verifier, or no such entry"
    where = place.text(SECTION)
    return tuple(
        Problem(where, f"the trusted root {name[:80]!r}, which nothing refers to", expected, fatal=False)
        for name in found
        if name not in used
    )


def _read(
    given: object,
    name: str,
    path: checking.Path,
    documents: DocumentSet,
    findings: list[Finding],
    problems: list[Problem],
) -> TrustRootSource | None:
    before = len(findings) + len(problems)
    mirror = _mirror(at(given, "mirror"), path, findings)
    root = _first_root(at(given, "root"), path, documents, findings)
    if root == b"" and mirror is not None and str(mirror).rstrip("/") != PUBLIC_GOOD:
        got = f"a mirror, and no root that {mirror.origin} is trusted by at first"
        findings.append(Finding(path, got, "root: the document with its root.json"))
    wanted = at(given, "refreshInterval")
    interval = (times.seconds(wanted) if isinstance(wanted, str) else None) or USUAL_INTERVAL
    if not LEAST_INTERVAL <= interval <= GREATEST_INTERVAL:
        findings.append(Finding((*path, "refreshInterval"), checking.shown(wanted), "1h to 30d"))
    bundle, cas = at(given, "caBundle"), dict[str, bytes]()
    if isinstance(bundle, str):
        where = f"{'.'.join(SECTION)}[{path[-1]}].caBundle"
        cas = certificate_documents.read_paths([bundle], documents, where, certificate_documents.SERVERS, problems)
    if mirror is None or root is None or len(findings) + len(problems) > before:
        return None
    listed = tuple(cas[each] for each in sorted(cas))
    return TrustRootSource(source_of(str(mirror), root), name, mirror, root, interval, listed)


def _mirror(given: object, path: checking.Path, findings: list[Finding]) -> Url | None:
    text = PUBLIC_GOOD if given is None else given
    if not isinstance(text, str):
        return None
    try:
        url = Url.parse(text, "mirror")
        if url.query:
            raise Malformed("mirror: got a URL with a query; expected none")
    except Malformed as error:
        got, _, expected = error.message.removeprefix("mirror: got ").partition("; expected ")
        findings.append(Finding((*path, "mirror"), got, expected or "an https or http URL"))
        return None
    return url


def _first_root(given: object, path: checking.Path, documents: DocumentSet, findings: list[Finding]) -> bytes | None:
    """Empty if none is named, None if what is named can't be one.  Its signatures are looked at when it is used."""
    if given is None:
        return b""
    if not isinstance(given, str):
        return None
    document = documents.file(given)
    got = "nothing there"
    if document is not None:
        try:
            value = strictjson.decode(document.content, document.origin, limit=MAX_ROOT)
            if at(value, "signed", "_type") == "root":
                return document.content
            got = f"{document.origin}, which is no root of a TUF repository"
        except Malformed as error:
            got = error.message.removeprefix(f"{document.origin}: got ").partition("; expected ")[0]
    findings.append(Finding((*path, "root"), got, "the document with root.json of the repository"))
    return None

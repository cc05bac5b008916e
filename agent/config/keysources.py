"""Key providers of the type `url`: where certificates are fetched, how often, and for how long they count.

Nothing is fetched here: what was, for whoever publishes, comes in by the name of its source.  That is a hash of all
that decides what may come from there (address, CAs, pin): who changes one of these has another source, of which nothing
is kept.  Pure.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from agent.codec import strictjson
from agent.config import checking
from agent.config.checking import Finding
from agent.config.plugins import at
from agent.config.sources import SECTION
from agent.config.words import DURATION
from agent.errors import Malformed, Problem
from agent.model.documents import Documents
from agent.model.duration import seconds
from agent.registry.urls import Url
from agent.trust import certificate_documents

TYPE = "url"
USUAL_INTERVAL = 12 * 3600.0
LEAST_INTERVAL = 60.0
GREATEST_INTERVAL = 720 * 3600.0
LEAST_USUAL_KEPT = 24 * 3600.0
GREATEST_KEPT = 2160 * 3600.0
"""Bounds and defaults, in seconds; kept for `USUAL_TIMES` intervals, and no less than a day, if nothing is written."""

USUAL_TIMES = 3


class KeySource(NamedTuple):
    """One provider.  `source` names where its content comes from; `cas` are the CAs that TLS is verified against, DER.

    `interval` and `keep_for` are in seconds; `pin` is the content's SHA-256, empty for any.
    """

    source: str
    name: str
    url: Url
    interval: float
    keep_for: float
    cas: tuple[bytes, ...]
    pin: str


def read(root: object, documents: Documents, findings: list[Finding], problems: list[Problem]) -> dict[str, KeySource]:
    """The providers of the type in `root`, by name, as far as they have the form.

    Adds what the schema can't tell to `findings`, and what is wrong with CA bundles to `problems`.
    """
    listed, found = at(root, SECTION, "plugins"), dict[str, KeySource]()
    for i, plugin in enumerate(listed if isinstance(listed, list) else []):
        if at(plugin, "type") != TYPE or not isinstance(at(plugin, "name"), str):
            continue
        source = _read(plugin, (SECTION, "plugins", i), documents, findings, problems)
        if source is not None:
            found[source.name] = source
    return found


def _read(
    plugin: object, path: checking.Path, documents: Documents, findings: list[Finding], problems: list[Problem]
) -> KeySource | None:
    before = len(findings) + len(problems)
    url = _url(at(plugin, "url"), path, findings)
    interval = _length(plugin, "refreshInterval", path) or USUAL_INTERVAL
    if not LEAST_INTERVAL <= interval <= GREATEST_INTERVAL:
        findings.append(
            Finding((*path, "refreshInterval"), checking.shown(at(plugin, "refreshInterval")), "1m to 720h")
        )
    keep_for = _length(plugin, "keepFor", path) or min(max(USUAL_TIMES * interval, LEAST_USUAL_KEPT), GREATEST_KEPT)
    if not interval <= keep_for <= GREATEST_KEPT:
        got = checking.shown(at(plugin, "keepFor"))
        findings.append(Finding((*path, "keepFor"), got, "no less than the refresh interval, and at most 2160h"))
    if at(plugin, "value") is not None:
        findings.append(Finding((*path, "value"), "a value beside a URL", "one of them: type says which"))
    bundle, pin = at(plugin, "caBundle"), at(plugin, "sha256")
    cas: Mapping[str, bytes] = {}
    if isinstance(bundle, str):
        where = f"{SECTION}.plugins[{path[-1]}].caBundle"
        cas = certificate_documents.read_paths([bundle], documents, where, certificate_documents.SERVERS, problems)
    if url is None or len(findings) + len(problems) > before:
        return None
    names, wanted = sorted(cas), pin if isinstance(pin, str) else ""
    told = {"url": f"{url.origin}{url.target}", "cas": names, "pin": wanted}
    source = sha256(strictjson.canonical(told)).hexdigest()
    return KeySource(
        source, str(at(plugin, "name")), url, interval, keep_for, tuple(map(cas.__getitem__, names)), wanted
    )


def _url(given: object, path: checking.Path, findings: list[Finding]) -> Url | None:
    if not isinstance(given, str):
        return None
    try:
        url = Url.parse(given, "url")
    except Malformed as error:
        got, _, expected = error.message.removeprefix("url: got ").partition("; expected ")
        findings.append(Finding((*path, "url"), got, expected or "an https URL"))
        return None
    if url.origin.scheme != "https":
        findings.append(
            Finding((*path, "url"), "plain HTTP", "https: who is on the way could put keys of his own there")
        )
        return None
    return url


def _length(plugin: object, key: str, path: checking.Path) -> float | None:
    given = at(plugin, key)
    return seconds(given) if isinstance(given, str) and re.search(DURATION, given) else None

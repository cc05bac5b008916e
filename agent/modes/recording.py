"""What an installation records of its host in the node's bootstrap document, and the CA bundle that it copies.

Two keys of the document tell who wrote what.  `found` is an installation's: each one writes it anew.  `host` and all
the rest are the owner's, and stay; the options of `nodeseal install` write there, as a person would.  A document that
nobody edited is written anew as a whole, but for its `host`.

The CA bundle is copied beside the document: a daemon in a container does not see the host's own, and must not trust
that of its image.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from agent.adapters import hostfacts, nodeneeds
from agent.adapters.containerd import Told
from agent.adapters.hostroot import HostRoot
from agent.adapters.journal import Journal
from agent.codec import strictjson
from agent.config import bootstrap
from agent.config.bootstrap import API_VERSION, FOUND_VERSION, LONGEST_DEADLINE
from agent.errors import Malformed
from agent.rules.lists import USUAL_SANDBOX
from agent.wiring import planning
from agent.wiring.effective import seconds
from agent.wiring.manifest import Entry, Role
from agent.wiring.merging import VERIFIER
from agent.wiring.planning import DEADLINE, Plan
from agent.wiring.steps import Write

BOOTSTRAP = "/etc/nodeseal/bootstrap.json"
BUNDLE = "/etc/nodeseal/ca-bundle.pem"

SHARE = 0.8
"""Of the time that containerd waits: 8 s of 10.  The rest is for starting the process and reading its answer."""

_TIMEOUT = ("plugins", VERIFIER, "per_verifier_timeout")


class Asked(NamedTuple):
    """What is to be written of a node: its name, the image that installs, and what of `host` somebody chose.

    `anew` is whether a document that is there keeps all but what is found: whoever mends was not told the rest.
    """

    node_name: str = ""
    image: str = ""
    host: Mapping[str, object] = {}
    anew: bool = False


class Found(NamedTuple):
    """What there is on a host: the value of the key `found`, the CA bundle's content, and the files of `certs.d`.

    `left_out` are folders of that which can't be recorded.
    """

    value: Mapping[str, object]
    bundle: bytes = b""
    files: Mapping[str, bytes] = {}
    left_out: tuple[str, ...] = ()


def deadline(waits: float | None) -> int:
    """Within how many seconds to answer if containerd waits so long: always sooner, where that is possible."""
    if waits is None or waits <= 0:
        return int(DEADLINE)
    return max(1, min(LONGEST_DEADLINE, int(waits * SHARE)))


def found(host: HostRoot, told: Told, plan: Plan, written: Mapping[str, object]) -> Found:
    """Look at a host as it will be after a plan.  `written` is what its owner says of it.

    Raises as `planning.node` does.
    """
    effective = planning.node(told.facts).effective
    timeout = plan.settings.get(_TIMEOUT, effective.per_verifier_timeout.value)
    chosen = written.get("caBundleFrom")
    path, bundle = hostfacts.ca_bundle(host, chosen if isinstance(chosen, str) else "")
    folders = hostfacts.folders(effective.config_path.value)
    certs = hostfacts.certs(host, folders, bundle)
    value = {
        "version": FOUND_VERSION,
        **({"caBundle": BUNDLE, "caBundleFrom": path} if bundle else {}),
        "proxy": hostfacts.proxy(host, told.facts, plan.unit),
        "deadline": f"{deadline(seconds(timeout))}s",
        "verifierTimeout": str(timeout)[:100],
        "certsFolders": list(folders),
        **({"registries": certs.registries} if certs.registries else {}),
    }
    return Found(value, bundle, certs.files, certs.left_out)


def files(journal: Journal, told: Told, plan: Plan, asked: Asked) -> tuple[Write, ...]:
    """The documents as they are to be; what a person made of the bootstrap document is not ours to record."""
    now = journal.host.read_bounded(BOOTSTRAP, bootstrap.MAX_SIZE)
    before = _document(now)
    written = {**_object(before.get("host")), **asked.host} if before is not None else dict(asked.host)
    there = found(journal.host, told, plan, written)
    copies = {**({BUNDLE: there.bundle} if there.bundle else {}), **there.files}
    beside = tuple(Write(path, content, 0o600, Role.STATE) for path, content in copies.items())
    is_ours = _is_ours(journal, now)
    if now is not None and before is not None and is_ours and asked.anew:
        return (*beside, Write(BOOTSTRAP, encoded({**before, "found": there.value}), 0o600, Role.STATE))
    if now is not None and not is_ours:
        if before is None:  # what can't be read is a person's to correct, and `doctor` says so
            return beside
        after = {**before, **({"host": written} if written else {}), "found": there.value}
        recorded = _is_recorded(journal, now, before)
        return (*beside, Write(BOOTSTRAP, encoded(after), 0o600, Role.STATE, theirs=True, recorded=recorded))
    sandbox = str(planning.node(told.facts).effective.sandbox.value) or USUAL_SANDBOX
    needs = nodeneeds.found(journal.host, sandbox, asked.image)
    return (*beside, Write(BOOTSTRAP, shipped(asked.node_name, needs, written, there.value), 0o600, Role.STATE))


def _is_ours(journal: Journal, now: bytes | None) -> bool:
    """Whether a document was first written by an installation, and by nobody since."""
    entry = journal.manifest.entry(BOOTSTRAP)
    return now is not None and entry is not None and not entry.before and journal.wrote(BOOTSTRAP, now)


def _is_recorded(journal: Journal, now: bytes, before: Mapping[str, object]) -> bool:
    """Whether the record is to have what a person wrote before us, so that it can be given back byte by byte.

    Not where a proxy stands in it: its password must not lie about in a second file.
    """
    if journal.manifest.entry(BOOTSTRAP) is not None:
        return journal.wrote(BOOTSTRAP, now)
    return "proxy" not in _object(before.get("host")) and "registries" not in _object(before.get("host"))


def unused(journal: Journal) -> tuple[Entry, ...]:
    """Copies of certificates and keys that nothing names any more: they are not left lying about."""
    content = journal.host.read_bounded(BOOTSTRAP, bootstrap.MAX_SIZE)
    if _document(content) is None:
        return ()
    copies = [entry for entry in journal.manifest.of(Role.STATE) if entry.path.startswith(f"{hostfacts.COPIES}/")]
    return tuple(entry for entry in copies if f'"{entry.path}"'.encode() not in (content or b""))


def forgotten(journal: Journal) -> bytes | None:
    """The bootstrap document without what was found, if it stays because a person wrote or edited it.

    None where nothing of it has to be changed.  Raises `HostError`.
    """
    now = journal.host.read_bounded(BOOTSTRAP, bootstrap.MAX_SIZE)
    document = _document(now)
    if now is None or document is None or "found" not in document or journal.wrote(BOOTSTRAP, now):
        return None
    return encoded({key: value for key, value in document.items() if key != "found"})


def forget(journal: Journal) -> None:
    """Take what was found out of a document that stays.  Raises `HostError`."""
    left = forgotten(journal)
    if left is not None:
        journal.host.write(BOOTSTRAP, left, 0o600, like=journal.host.stands(BOOTSTRAP))


def shipped(
    node_name: str, needs: Sequence[str] = (), host: Mapping[str, object] = {}, there: Mapping[str, object] = {}
) -> bytes:
    """The bootstrap document as shipped: nothing is blocked until a configuration was published.

    `needs` are images that the node needs to come up; `host` is what somebody chose of it, `there` what was found.
    """
    node = {**({"name": node_name} if node_name else {}), **({"needs": list(needs)} if needs else {})}
    document = {
        "apiVersion": API_VERSION,
        **({"node": node} if node else {}),
        "untilFirstSnapshot": "Audit",
        "floor": {"breakGlass": {"longest": "4h", "allImages": False}},
        **({"host": host} if host else {}),
        **({"found": there} if there else {}),
    }
    return encoded(document)


def encoded(document: Mapping[str, object]) -> bytes:
    """As people read it."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def recorded(content: bytes | None) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """What a bootstrap document has under `found` and `host`; nothing of another version's or damaged one's."""
    document = _document(content) or {}
    there = _object(document.get("found"))
    return there if there.get("version") == FOUND_VERSION else {}, _object(document.get("host"))


def _document(content: bytes | None) -> Mapping[str, object] | None:
    """A bootstrap document that can be believed, None for any other."""
    if content is None:
        return None
    try:
        bootstrap.decode(content)
        value = strictjson.decode(content, "bootstrap document", limit=bootstrap.MAX_SIZE)
    except Malformed:
        return None
    return _object(value)


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}

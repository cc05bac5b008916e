"""The parts of a support bundle: a table of names and of what makes each.

A part gives a value of JSON (`*.json`), or lines (`*.txt`, `*.jsonl`); it may raise whatever it likes, and hang:
`agent.modes.supportbundle` bounds it, redacts what it gives, and writes down what it raised.  None of them gets the
environment, and none reads credentials, tokens or keys.
"""

import argparse
import io
import json
import os
from collections.abc import Callable
from typing import NamedTuple

from agent.adapters import containerd, nodefiles
from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool
from agent.codec import strictjson
from agent.config import bootstrap, canonical
from agent.modes import cache, doctor, status, version
from agent.modes.redaction import EVERY, KEEP, SCALAR, Allowed, selected, value

RECORDS = 1_000
"""Answers that are taken along, the newest."""

_FAILURE_POLICY: Allowed = {SCALAR: KEEP, EVERY: KEEP}
_HOST: Allowed = dict.fromkeys(
    ("version", "caBundle", "caBundleFrom", "deadline", "verifierTimeout", "certsFolders"), KEEP
)
"""Of how registries are reached; a proxy may have a password, and so may a host's headers."""

_BOOTSTRAP: Allowed = {
    "apiVersion": KEEP,
    "node": {"name": KEEP},
    "untilFirstSnapshot": KEEP,
    "floor": {
        "enforcement": KEEP,
        "failurePolicy": _FAILURE_POLICY,
        "breakGlass": {"longest": KEEP, "allImages": KEEP},
        "exemptWithoutDigest": KEEP,
        "configMaps": {SCALAR: KEEP, "name": KEEP, "priority": KEEP},
        "programs": KEEP,
    },
    "host": _HOST,
    "found": _HOST,
}
_LIST_ENTRY: Allowed = {SCALAR: KEEP, **dict.fromkeys(("image", "match", "digests", "until", "reason", "owner"), KEEP)}
_TRUST_POLICY: Allowed = {
    **dict.fromkeys(("identities", "level", "name", "scopes", "stores", "verify_timestamp"), KEEP),
    "actions": {EVERY: KEEP},
}
_RULE: Allowed = {
    **dict.fromkeys(
        ("allow_without_evidence", "enforcement", "evidence_repository", "ground", "match", "name", "owner", "policy",
         "rollout", "verifiers"),
        KEEP,
    ),
    "failure_policy": _FAILURE_POLICY,
}  # fmt: skip
_CONFIGURATION: Allowed = {
    "formatVersion": KEEP,
    "certificates": KEEP,
    "deniedSigners": {SCALAR: KEEP},
    "policies": {"name": KEEP, "settings": {"artifactVerificationPolicies": {EVERY: KEEP}}},
    "ruleset": {
        "rules": _RULE,
        "default": _FAILURE_POLICY,
        **dict.fromkeys(("deny", "allow", "exempt", "breakGlass"), _LIST_ENTRY),
        **dict.fromkeys(("stale", "serial", "lifetimes", "whenMissing", "greatestAge"), KEEP),
    },
    "stores": {**dict.fromkeys(("ca_certificates", "cosign_tags", "name", "owner", "use_http"), KEEP)},
    "verifiers": {
        **dict.fromkeys(("artifact_types", "name", "nested", "owner", "type"), KEEP),
        "settings": {
            "trustPolicies": _TRUST_POLICY,
            "trustStores": {EVERY: KEEP},
            "policies": {**dict.fromkeys(("keys", "name", "scopes", "sigstore"), KEEP), "annotations": {EVERY: KEEP}},
            **dict.fromkeys(("maximumAge", "predicateType", "tags"), KEEP),
        },
    },
}
"""Of the canonical form; certificates stand in it by their hashes, programs of policies are left out."""

_PLACES = ("etc/nodeseal/bootstrap.json", "var/lib/nodeseal/current")


class Asked(NamedTuple):
    """What a part is made for: the root that the node's state is under."""

    root: str


class Part(NamedTuple):
    """One file of a bundle: its name, what it holds, in a few words for people, and what makes that."""

    name: str
    holds: str
    make: Callable[[Asked], object]


def _version(asked: Asked) -> object:
    return version.as_json(version.made())


def _system(asked: Asked) -> object:
    kernel = os.uname()
    there = {place: os.path.lexists(os.path.join(asked.root, place)) for place in _PLACES}
    return {
        "node": kernel.nodename, "kernel": kernel.release, "machine": kernel.machine, "uid": os.geteuid(),
        "root": asked.root, "there": there,
    }  # fmt: skip


def _status(asked: Asked) -> object:
    return _said(status.handle, asked)


def _doctor(asked: Asked) -> object:
    """What the reader says; no canary is pulled, nothing is mended."""
    return doctor.as_json(doctor.examine(containerd.Asked(asked.root), asked.root))


def _caches(asked: Asked) -> object:
    return _said(cache.stats, asked)


def _configuration(asked: Asked) -> object:
    config = SnapshotStore(asked.root).load()
    return {"generation": config.generation, **_object(selected(json.loads(canonical.encode(config)), _CONFIGURATION))}


def _bootstrap(asked: Asked) -> object:
    content = NodeState(asked.root).bootstrap_content()
    if content is None:
        return None
    return selected(strictjson.decode(content, bootstrap.__name__, limit=bootstrap.MAX_SIZE), _BOOTSTRAP)


def _answers(asked: Asked) -> object:
    told = Spool(asked.root).read()
    shown = [json.dumps(value(record._asdict())) for record in told.records[-RECORDS:]]
    notes = [json.dumps({"gaps": told.gaps, "problems": value(told.problems)})] if told.gaps or told.problems else []
    return [*notes, *shown]


def _files(asked: Asked) -> object:
    return nodefiles.listing(asked.root)


def _logs(asked: Asked) -> object:
    return nodefiles.log_tails(asked.root) or ["no log is kept in files; see: journalctl, kubectl logs"]


def _object(found: object) -> dict[str, object]:
    return found if isinstance(found, dict) else {}


def _said(handle: Callable[..., object], asked: Asked) -> object:
    """What a command says as JSON.  It gets no environment."""
    out = io.StringIO()
    handle(argparse.Namespace(root=asked.root, format="json"), {}, out, out)
    return json.loads(out.getvalue())


PARTS: tuple[Part, ...] = (
    Part("version.json", "the version, and what the program is made of", _version),
    Part("system.json", "the node's name and kernel, which user asked, the root", _system),
    Part("status.json", "what nodeseal status shows: what holds, and what was let in", _status),
    Part("doctor.json", "what nodeseal doctor says of containerd and of what stands in the way", _doctor),
    Part(
        "configuration.json", "the configuration in force, without certificates and policies' programs", _configuration
    ),
    Part("bootstrap.json", "the node's bootstrap document, without keys", _bootstrap),
    Part("answers.jsonl", f"the last {RECORDS} answers to containerd, with names of images", _answers),
    Part("caches.json", "how much is remembered, and what of it was not believed", _caches),
    Part("files.txt", "names, modes, owners and sizes of this program's files", _files),
    Part("log.txt", "the end of log files", _logs),
)
"""In the order in which they are made and listed."""

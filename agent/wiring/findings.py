"""What stands in the way of verification on a node, and what is worth a look: facts in, findings out.

Ids are a promise: scripts and alerts name them.  `docs/doctor.md` lists them.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from agent.wiring import bindir, tables, triggers
from agent.wiring.bindir import Judged, Kind, Role
from agent.wiring.distributions import Distribution, Way, identify
from agent.wiring.effective import Effective, Setting, seconds
from agent.wiring.facts import Facts
from agent.wiring.merging import VERIFIER
from agent.wiring.planning import DEADLINE, MARGIN, NO_CRI, Node
from agent.wiring.proof import Proof, Reason


class Severity(str, Enum):
    """How much a finding matters."""

    ERROR = "error"
    """Pulls are not verified, or none gets through, or others could make it so."""

    WARNING = "warning"
    INFO = "info"


class Finding(NamedTuple):
    """One thing that was found.

    `side_effects` is what else changes with the next step, `not_a_remedy` what people do instead and what switches
    verification off; both may be empty.
    """

    id: str
    severity: Severity
    got: str
    expected: str
    where: str
    next_step: str
    side_effects: str = ""
    not_a_remedy: str = ""


_INSTALL = "put the verifier there: nodeseal install"


def of(node: Node, deadline: float = DEADLINE) -> tuple[Finding, ...]:
    """Everything about a node's containerd, in the order in which it matters.

    `deadline` is within how many seconds the verifier answers there.
    """
    found = [*_of_runtime(node)]
    if node.placed.way is Way.REFUSE or node.placed.distribution.hands_off:
        return tuple(found)
    found += [*_of_configuration(node), *_of_pull_path(node.effective), *_of_verifier(node.effective, deadline)]
    return (*found, *_of_folder(node))


def unknown_version(facts: Facts) -> Finding:
    """The finding of a node whose containerd's version nobody knows, or that has none: nothing else can be said."""
    known = identify(facts)
    if known.way is Way.REFUSE or known.hands_off:
        return _unsupported(known, facts)
    return Finding(
        "containerd.unknown-version", Severity.ERROR, "no version of containerd", "containerd 2.1 or newer",
        facts.socket or facts.main, "start containerd, run this as root, or name its socket: --socket PATH",
    )  # fmt: skip


def _unsupported(known: Distribution, facts: Facts) -> Finding:
    """Nothing that is found beyond it could be mended there."""
    if known.hands_off:
        return Finding(
            "distribution.unsupported", Severity.ERROR, known.title, "a node on which Nodeseal can be installed",
            facts.main, known.instead,
        )  # fmt: skip
    return Finding(
        "runtime.unsupported", Severity.ERROR, known.title, "containerd 2.1 or newer", facts.socket, known.instead,
    )  # fmt: skip


def of_proof(proof: Proof, where: str) -> Finding:
    """What a canary proved: nothing stands in the way only if it says so.  `where` is the socket that was asked."""
    severity = Severity.INFO if proof.is_enforcing else Severity.ERROR
    expected = "the canary refused by Nodeseal, with its nonce"
    got = f"{proof.reason.value}: {proof.message}"
    return Finding(f"proof.{proof.state.value}", severity, got, expected, where, _AFTER_PROOF[proof.reason])


_MEND = (
    "mend what the other findings name; if there are none, restart containerd: it read its files before they changed"
)
_AFTER_PROOF = {
    Reason.ENFORCING: "nothing; nodeseal watch --prove proves it each minute",
    Reason.LOCAL_PULL: "take these settings back (findings pull-path), and restart containerd",
    Reason.NOT_CALLED: _MEND,
    Reason.NOT_INSTALLED: _INSTALL,
    Reason.PULLED: "find out who answers for 127.0.0.1 on this host: there is nothing to pull",
    Reason.UNREACHABLE: "see CanaryUnreachable in docs/proof.md: a hosts.toml sends all pulls elsewhere",
    Reason.OTHER_VERIFIER: f"have ours run first, as {bindir.LINK}, or have the other one let 127.0.0.1 pass",
    Reason.BROKEN: "mend what the findings verifier name: every pull is refused until then",
    Reason.SANDBOX_REFUSED: "nodeseal verify --explain IMAGE says why; exempt that image, or let the floor allow that",
    Reason.UNEXPLAINED: "see what containerd said, and its log",
    Reason.SILENT: "start containerd, run this as root in the host's network, or name its socket: --socket PATH",
    Reason.NOT_CONTAINERD: "use this runtime's own verification; Nodeseal needs containerd",
    Reason.TOO_OLD: "upgrade containerd to 2.1 or newer",
    Reason.DISTRIBUTION: "use what it says; nothing can be installed there",
    Reason.NOT_PROVED: "pull a canary: nodeseal doctor --prove",
}


def _of_runtime(node: Node) -> Iterator[Finding]:
    known = node.placed.distribution
    if known.way is Way.REFUSE or (known.hands_off and node.version.calls_verifiers):
        yield _unsupported(known, node.facts)
    elif not node.version.calls_verifiers:
        yield Finding(
            "containerd.too-old", Severity.ERROR, f"containerd {node.version.text}", "2.1 or newer", "containerd",
            "upgrade containerd: older ones call no verifiers for the kubelet's pulls",
        )  # fmt: skip
    elif node.effective.cri_disabled:
        yield Finding(
            "containerd.no-cri", Severity.ERROR, f"{node.effective.cri_disabled} in disabled_plugins",
            "the CRI, which the kubelet asks", "disabled_plugins", NO_CRI,
        )  # fmt: skip


def _of_configuration(node: Node) -> Iterator[Finding]:
    written = node.effective.written
    for problem in written.problems:
        yield Finding(
            "configuration.broken", Severity.ERROR, problem, "a configuration that containerd starts with",
            node.facts.main, "correct it before containerd is restarted: it would not start",
        )  # fmt: skip
    if written.lost:
        names = ", ".join(tables.dotted(each.key[2:]) for each in written.lost[:4])
        files = ", ".join(sorted({each.file for each in written.lost}))
        yield Finding(
            "configuration.lost", Severity.WARNING,
            f"{len(written.lost)} settings under names of version 2 ({names}) that count for nothing",
            f"names of version {written.version}, which is in force", files,
            "state the same version in all files: the last one that states a version decides for all of them",
            side_effects="settings that are lost now come into force, and with them what keeps pulls from being "
            "verified, if it is among them",
        )  # fmt: skip


def _of_pull_path(effective: Effective) -> Iterator[Finding]:
    found = triggers.find(effective)
    for each in found:
        trigger = each.trigger
        harmless = "nothing" if isinstance(trigger.harmless, dict) else ascii(trigger.harmless).lower()
        do = f"set it to {harmless}" if each.removable else f"take it away by hand ({each.why_by_hand})"
        yield Finding(
            f"pull-path.{trigger.name}", Severity.ERROR, f"{trigger.name} = {each.value}", harmless,
            "; ".join(where.where for where in each.where) or "containerd's configuration",
            f"{do}, restart containerd, and use instead: {trigger.instead}",
            f"{trigger.removing}", trigger.not_a_remedy,
        )  # fmt: skip
    path = effective.config_path
    if isinstance(path.value, str) and ":" in path.value:
        yield Finding(
            "config-path.list", Severity.WARNING if path.file else Severity.INFO, f"config_path = {path.value!r}",
            "a single directory", path.where,
            f"if hosts.toml files are in use, set {triggers.SINGLE_DIRECTORY}: the transfer service takes the list for "
            "one directory, and mirrors and certificates in them are silently not used",
            not_a_remedy=triggers.KEEPS_LOCAL,
        )  # fmt: skip


def _of_verifier(effective: Effective, deadline: float) -> Iterator[Finding]:
    if effective.verifier_disabled:
        yield Finding(
            "verifier.disabled", Severity.ERROR, f"{VERIFIER} in disabled_plugins", "the plugin that calls verifiers",
            "disabled_plugins", "take it out of the list by hand, no later file can, and restart containerd",
        )  # fmt: skip
    limit = effective.max_verifiers
    if limit.value == 0 or not isinstance(limit.value, int):
        yield Finding(
            "verifier.max-verifiers", Severity.ERROR, f"max_verifiers = {limit.value!r}: none is run, pulls go on",
            "10, or -1 for no limit", limit.where, "remove it, or set it to 10, and restart containerd",
        )  # fmt: skip
    yield from _of_time(effective.per_verifier_timeout, deadline)


def _of_time(limit: Setting, deadline: float) -> Iterator[Finding]:
    waits = seconds(limit.value)
    if waits is None or waits <= 0:
        severity, got = Severity.ERROR, "no duration that lets anything run"
    elif waits < deadline + MARGIN:
        severity, got = Severity.WARNING, f"{waits:g} s, and the verifier answers within {deadline:g} s"
    else:
        return
    yield Finding(
        "verifier.timeout", severity, f"per_verifier_timeout = {limit.value!r}: {got}",
        f"{deadline + MARGIN:g} s or more, so that it is never killed before it says why", limit.where,
        "remove it, or set it to '10s', and restart containerd",
    )  # fmt: skip


def _of_folder(node: Node) -> Iterator[Finding]:
    setting, folder = node.effective.bin_dir, node.facts.folder
    if folder is None or folder.kind is not Kind.FOLDER:
        empty = folder is None or folder.kind is Kind.NOTHING
        got = "no such folder: every pull is let through" if empty else "no folder: every pull is refused"
        yield Finding(
            "verifier.no-folder", Severity.ERROR, f"bin_dir = {setting.value!r}: {got}",
            "a folder with the verifier in it", setting.where, _INSTALL,
        )  # fmt: skip
        return
    if folder.unsafe:
        yield Finding(
            "verifier.folder-permissions", Severity.ERROR, folder.unsafe,
            "a folder that only root can change, on its whole way", folder.path,
            "give it to root, and take write permission from group and others",
        )  # fmt: skip
    limit = node.effective.max_verifiers.value
    judged = bindir.judge(folder, limit if isinstance(limit, int) else 0)
    own = bindir.ours(judged)
    if own is None:
        let = "pulls are let through" if not judged else "others decide"
        yield Finding(
            "verifier.missing", Severity.ERROR, f"{len(judged)} entries, none of them Nodeseal's: {let}",
            f"{bindir.LINK}, a link to {bindir.PROGRAM}", folder.path, _INSTALL,
        )  # fmt: skip
    for each in judged:
        yield from _of_entry(folder.path, each)


def _of_entry(folder: str, each: Judged) -> Iterator[Finding]:
    where = f"{folder}/{each.entry.name}"
    if each.role is Role.STRAY:
        yield Finding(
            "verifier.stray", Severity.ERROR, f"{each.why}: every pull is refused, or it is run as a verifier",
            "programs that are verifiers, and nothing else", where, "move it out of the folder",
        )  # fmt: skip
        return
    if each.role is Role.FOREIGN:
        yield Finding(
            "verifier.foreign", Severity.INFO, f"another verifier, number {each.position}",
            "one that you know: an image passes only if all of them let it through", where,
            "find out whose it is; nodeseal doesn't touch it",
        )  # fmt: skip
    if each.skipped:
        ours = each.role is Role.OURS
        yield Finding(
            "verifier.skipped", Severity.ERROR if ours else Severity.WARNING,
            f"number {each.position}, beyond max_verifiers: it is not run, and pulls go on",
            "max_verifiers of at least as many as there are entries", where,
            "raise max_verifiers, or remove entries that are not needed",
        )  # fmt: skip
    if each.entry.unsafe:
        yield Finding(
            "verifier.permissions", Severity.ERROR, each.entry.unsafe,
            "a program that only root can change, on its whole way", where,
            "give it to root, and take write permission from group and others",
        )  # fmt: skip

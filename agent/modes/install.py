"""`nodeseal install`: wire this node up, so that containerd asks before each pull; back again if that does not work.

Idempotent: what stands there already is not done again, and nothing is restarted for it.  A node that can't verify is
no error: nothing is written, and one line says why.
"""

import argparse
import json
import os
from collections.abc import Mapping
from typing import TextIO

from agent import __version__
from agent.adapters import containerd, hostfacts
from agent.adapters.hostfiles import HostFiles
from agent.adapters.hostroot import HostRoot
from agent.adapters.journal import Journal
from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.config.bootstrap import LONGEST_DEADLINE
from agent.config.discovery import is_label_key
from agent.errors import Exit, HostError, Unavailable, UsageError
from agent.model.answer import printable
from agent.modes import place, reconcile, turns
from agent.modes.daemonunit import Served
from agent.modes.hostoptions import add_canary_port, add_containerd_options, canary_port
from agent.modes.install_report import as_text, as_value, described, difference, failed_as_value, shown
from agent.modes.installing import Asked, Installer, Outcome, RolledBack, unsupported
from agent.modes.turns import Taken
from agent.modes.world import World
from agent.rules.rule import Enforcement
from agent.wiring import paths, steps, unit, unitfiles
from agent.wiring.declared import FORMS, NAMES, TAINT, TAINTS, form, taint_form
from agent.wiring.planning import Changes

_LONGEST_NAME = 253  # RFC 1123 by way of Kubernetes
_PEM = b"-----BEGIN CERTIFICATE-----"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `install` to the command line."""
    parser = subparsers.add_parser(
        "install",
        help="wire this node up, so that containerd asks before each pull",
        description="Place the program, have containerd call it, restart containerd if one of its settings changed, "
        "and prove by a pull that it does. What does not work is taken back. What was written is recorded, and "
        "uninstall removes it. Where nothing is to be done, nothing is written.",
        epilog="exit codes: 0 installed, or this node can't verify; 2 usage, 3 a configuration that can't be edited, "
        "5 the host refused, or it was taken back; 12 installed and not proved, with --must-enforce; 70 bug. With "
        "--reconcile: 0 stopped; 12 not proved at last, with --must-enforce; what fails is told, and tried again",
    )
    add_host_options(parser)
    parser.add_argument(
        "--changes",
        choices=[each.value for each in Changes],
        default=Changes.VERIFIER_ONLY.value,
        help="what of containerd's configuration may be changed: nothing, how it calls verifiers, or also settings "
        "that send pulls past them (default: %(default)s)",
    )
    parser.add_argument(
        "--bin-dir", metavar="DIR", default="", help="containerd's verifier folder (default: where it looks already)"
    )
    parser.add_argument("--no-restart", action="store_true", help="never have containerd restarted")
    parser.add_argument(
        "--restart-servers",
        action="store_true",
        help="also where that restarts the cluster's own server (k3s and RKE2 servers): the API server goes with it",
    )
    turns.add_options(parser)
    reconcile.add_options(parser)
    _add_unit(parser)
    add_canary_port(parser)
    parser.add_argument("--must-enforce", action="store_true", help="exit code 12 unless it is proved that it verifies")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, as a diff; write nothing")
    parser.add_argument(
        "--node-name", metavar="NAME", default="", help="the node's name (default: $NODE_NAME, else the host's name)"
    )
    _add_recorded(parser)
    parser.add_argument(
        "--program", metavar="DIR", default="", help="folder of the program to install (default: the one that runs)"
    )
    parser.add_argument(
        "--program-dir",
        metavar="DIR",
        default=steps.PROGRAMS,
        help="where programs are placed, for hosts on which none may run below /opt; named nodeseal "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--print",
        choices=NAMES,
        default="",
        help="print the declarative form for what makes such nodes, and do nothing",
    )
    parser.add_argument(
        "--startup-taint",
        metavar="KEY",
        nargs="?",
        const=TAINT,
        default="",
        help=f"with --print: the form by which new nodes register with a startup taint, of {', '.join(TAINTS)} "
        "(default: one that the Cluster Autoscaler knows)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.set_defaults(handler=handle)


def _add_recorded(parser: argparse.ArgumentParser) -> None:
    """What is recorded instead of what is found; it stays for later installations."""
    parser.add_argument(
        "--ca-bundle",
        metavar="FILE",
        default="",
        help="CA certificates for registries, a file of the host that is copied (default: the host's own bundle)",
    )
    parser.add_argument(
        "--proxy-file",
        metavar="FILE",
        default="",
        help="file with HTTP_PROXY=, HTTPS_PROXY= and NO_PROXY=, empty for no proxy (default: as containerd's service)",
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=int,
        default=None,
        help="answer each pull within so many seconds (default: 8 of containerd's 10, of other limits as large a part)",
    )


def recorded(options: argparse.Namespace, host: str) -> dict[str, object]:
    """What the options want to be recorded of the host whose root that is.  Raises `UsageError`, `HostError`."""
    found: dict[str, object] = {}
    if options.ca_bundle:
        if not os.path.isabs(options.ca_bundle):
            raise UsageError(f"--ca-bundle: got the relative path {options.ca_bundle}; expected one of the host's")
        if not options.ca_bundle.isprintable():
            raise UsageError(f"--ca-bundle: got {ascii(options.ca_bundle)[:80]}; expected a printable path")
        if _PEM not in hostfacts.ca_bundle(HostRoot(host), options.ca_bundle)[1]:
            raise HostError(
                f"--ca-bundle: got {options.ca_bundle}, which can't be read or has no certificate as PEM; expected CA "
                f"certificates of at most {hostfacts.MAX_BUNDLE} bytes, as a path of the host"
            )
        found["caBundleFrom"] = options.ca_bundle
    if options.deadline is not None:
        if not 1 <= options.deadline <= LONGEST_DEADLINE:
            raise UsageError(f"--deadline: got {options.deadline}; expected 1 to {LONGEST_DEADLINE} seconds")
        found["deadline"] = f"{options.deadline}s"
    if options.proxy_file:
        try:
            with open(options.proxy_file, "rb") as file:
                variables = unitfiles.variables(file.read(unitfiles.MAX_SIZE))
        except OSError as error:
            raise HostError(f"{options.proxy_file}: got {error.strerror or error}; expected proxy variables") from None
        found["proxy"] = hostfacts.proxy_of(variables)
    return found


def _add_unit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--systemd",
        action="store_true",
        help=f"also run the daemon on this host, without Kubernetes: write, enable and start {unit.NAME}",
    )
    parser.add_argument(
        "--config",
        metavar="DIR|FILE",
        default="",
        help="with --systemd: the configuration that the daemon keeps in force, as a path of the host (default: none)",
    )


def add_host_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which host is meant; `install` and `uninstall` share them."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--host",
        metavar="DIR",
        default="/",
        help="where the root of a host that runs is mounted (default: %(default)s)",
    )
    which.add_argument(
        "--root",
        metavar="DIR",
        default="",
        help="root of a host that does not run, such as an image that is being built: nothing is restarted or proved",
    )
    add_containerd_options(parser)


def which_host(options: argparse.Namespace) -> containerd.Asked:
    """The host that the options mean.  Raises `UsageError`."""
    root = options.root or options.host
    if not os.path.isabs(root):
        raise UsageError(f"got the relative path {root}; expected an absolute one")
    return containerd.Asked(os.path.normpath(root), options.containerd_config, options.socket)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Install, and tell on `stdout`.  Raises `HostError`, `ConfigurationError`, `UsageError`."""
    if options.print:
        stdout.write(printed(options.print, options.startup_taint))
        return Exit.ALLOW
    if options.startup_taint:
        raise UsageError("--startup-taint: got it alone; expected --print beside it: nodeseal watch takes a taint away")

    from agent.modes.hostworld import HostWorld  # it brings what speaks to services: no other command waits for that

    host, taken, daemon = which_host(options), turns.wanted(options, environment), served(options)
    containerd.check(host)
    reconcile.pace(options)
    placed = program_folder(options.program_dir)
    asked = Asked(
        source_of(options.program),
        __version__,
        Changes(options.changes),
        verifier_folder(options.bin_dir, placed),
        named(options.node_name or environment.get("NODE_NAME", "")),
        restart=not (options.no_restart or options.root),
        image=environment.get("NODESEAL_IMAGE", ""),
        restart_servers=options.restart_servers,
        daemon=daemon,
        host=recorded(options, host.host),
        programs=placed,
    )
    world = HostWorld(host, runs=not options.root, port=canary_port(options))
    if options.reconcile:
        return reconcile.keep(HostFiles(host.host), world, asked, options, environment, stdout)
    return install(HostFiles(host.host), world, asked, options, stdout, taken)


def printed(name: str, taint: str) -> str:
    """The form of that name; of a startup taint, if there is one.  Raises `UsageError`."""
    if taint and name not in TAINTS:
        raise UsageError(f"--startup-taint: got --print {name}; expected one of {', '.join(TAINTS)}")
    if taint and not is_label_key(taint):
        raise UsageError(f"--startup-taint: got {ascii(taint)[:80]}; expected the key of a taint, such as {TAINT}")
    if not taint and name not in FORMS:
        raise UsageError(f"--print {name}: got it alone; expected --startup-taint beside it: nothing else is set there")
    return taint_form(name, taint) if taint else form(name)


def served(options: argparse.Namespace) -> Served | None:
    """What the daemon's unit is to do, None if none is wanted.  Raises `UsageError`."""
    if not options.systemd:
        if options.config:
            raise UsageError("--config: got it alone; expected --systemd beside it")
        return None
    if options.config:
        unit.refuse_hidden(options.config)
    return Served(options.config, options.socket, start=not options.root, port=canary_port(options))


def install(
    host: HostFiles,
    world: World,
    asked: Asked,
    options: argparse.Namespace,
    stdout: TextIO,
    taken: Taken | None = None,
) -> Exit:
    """Install on a host, and tell; in turn, if `taken` waits for one.  Raises as `handle` does."""
    as_json = options.format == "json"

    def tell(line: str) -> None:
        if not as_json:
            stdout.write(f"{printable(line)}\n")
            stdout.flush()

    installer = Installer(Journal(host), world, asked, tell)
    if options.dry_run:
        return _dry_run(installer, world, host, stdout, as_json=as_json)
    try:
        outcome = turns.installed(host, world, asked, tell, taken)
    except RolledBack as error:
        if as_json:
            stdout.write(json.dumps(failed_as_value(error), indent=2) + "\n")
        for line in error.left:
            tell(f"left: {line}")
        raise
    if outcome.installed:
        outcome = outcome._replace(advice=(*outcome.advice, *unread(which_host(options).host)))
    first = unpublished(which_host(options).host, asked) if outcome.installed else ""
    stdout.write(json.dumps(as_value(outcome), indent=2) + "\n" if as_json else as_text(outcome, first))
    proved = outcome.proof is not None and outcome.proof.is_enforcing
    return Exit.ALLOW if proved or not options.must_enforce else Exit.NOT_ENFORCING


def unread(root: str) -> tuple[str, ...]:
    """What is left to do if this version can't use the configuration in force: another one may have written it."""
    store = SnapshotStore(root)
    if not os.path.lexists(f"{store.state}/current"):
        return ()
    try:
        store.load()
    except Unavailable as error:
        return (f"{error.message}; until it is published again, pulls are answered without it: {error.hint}",)
    return ()


def unpublished(root: str, asked: Asked) -> str:
    """What comes next where no configuration was ever in force; empty if one was, or the daemon is about to."""
    if os.path.lexists(f"{SnapshotStore(root).state}/current") or (asked.daemon and asked.daemon.configuration):
        return ""
    lenient = NodeState(root).bootstrap().until_first_snapshot is not Enforcement.ENFORCE
    way = f"{asked.programs}/current/{steps.EXECUTABLE} config apply DIR"
    if asked.image:
        way = "label a ConfigMap nodeseal.dev/config=active (docs/kubernetes.md)"
    meanwhile = "every image passes unverified" if lenient else "every image is refused"
    return f"next step: put a configuration in force: {way}; until then {meanwhile}"


def program_folder(path: str) -> str:
    """Where programs are placed on the host.  Raises `UsageError`."""
    if not paths.is_plain(path) or os.path.basename(path) != steps.EXECUTABLE or path == f"/{steps.EXECUTABLE}":
        raise UsageError(
            f"--program-dir: got {ascii(path)[:80]}; expected an absolute path of a folder nodeseal in another, as "
            "/usr/local/lib/nodeseal"
        )
    return path


def verifier_folder(path: str, placed: str) -> str:
    """containerd's folder of verifiers, empty if nobody names one.  Raises `UsageError`.

    It runs all that lies there: not where programs are `placed`, folders among them.
    """
    plain = path.rstrip("/")
    if path and (not paths.is_plain(plain) or f"{plain}/".startswith(f"{placed}/")):
        raise UsageError(
            f"--bin-dir: got {ascii(path)[:80]}; expected an absolute path without . and .., of a folder that is not "
            f"below {placed}"
        )
    return plain


def named(node: str) -> str:
    """A node's name, empty if nobody says one.  Raises `UsageError`."""
    if len(node) > _LONGEST_NAME or not all("!" <= each <= "~" for each in node):
        raise UsageError(
            f"--node-name, $NODE_NAME: got {ascii(node)[:80]}; expected a node's name in the cluster, of at most "
            f"{_LONGEST_NAME} characters"
        )
    return node


def source_of(given: str) -> str:
    """The folder of the program that is to be installed.  Raises `UsageError`, `HostError`."""
    program = os.path.join(given, steps.EXECUTABLE) if given else place.running_program()
    folder = os.path.dirname(os.path.realpath(program))
    if os.path.basename(program) != steps.EXECUTABLE or not os.path.isfile(os.path.join(folder, steps.EXECUTABLE)):
        raise UsageError(f"{program}: got no program that can be installed; expected its folder: --program DIR")
    try:
        danger = place.unsafe(os.path.join(folder, steps.EXECUTABLE))
    except OSError as error:
        raise HostError(f"{folder}: got {error.strerror or error}; expected the program's folder") from None
    if danger:
        raise HostError(
            f"{danger}; nothing that others could have changed is installed",
            hint="unpack the program anew, as root, in a folder that only root can change",
        )
    return folder


def _dry_run(installer: Installer, world: World, host: HostFiles, stdout: TextIO, *, as_json: bool) -> Exit:
    told = world.facts()
    plan, todo = installer.foreseen(told)
    reason = unsupported(plan)
    if as_json:
        outcome = Outcome(plan, installed=False, unsupported=reason, steps=todo, advice=plan.advice)
        diff = "".join(difference(host, step) for step in todo)
        stdout.write(json.dumps({**as_value(outcome), "dryRun": True, "diff": diff}, indent=2) + "\n")
        return Exit.ALLOW
    if reason:
        stdout.write(f"nothing would be done: {printable(reason)}\n")
        return Exit.ALLOW
    lines = [f"{described(step)}\n" for step in todo] or ["nothing is to be done\n"]
    stdout.write("".join(f"{printable(line)}\n" for line in map(str.strip, lines)))
    stdout.write("".join(f"{shown(line)}\n" for step in todo for line in difference(host, step).splitlines()))
    stdout.write("".join(f"to do by hand: {printable(each)}\n" for each in plan.advice))
    return Exit.ALLOW

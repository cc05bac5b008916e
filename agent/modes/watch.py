"""`nodeseal watch`: the daemon.  Answers pulls from a warm process, and keeps a folder's configuration in force.

Here is its command line; `agent.modes.daemon` puts it together, and is imported for it alone: no other command has use
for an event loop.
"""

import argparse
from collections.abc import Mapping
from typing import Any, TextIO

from agent.adapters.budget import LOWEST_LIMIT, MIB, is_too_low
from agent.config import times
from agent.config.discovery import LABEL, is_label_key
from agent.errors import Exit, UsageError
from agent.model.address import Address
from agent.modes import place
from agent.modes.source import Cluster, Source
from agent.modes.tasks import Proving, Taint

NEVER = "never"
"""What is said instead of a length for no limit."""

METRICS = "127.0.0.1:18473"
"""Where metrics are served by default: a port that nobody has registered, and none of Prometheus' crowded list."""

OFF = "off"
"""What is said instead of an address for no metrics."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `watch` to the command line."""
    parser = subparsers.add_parser(
        "watch",
        help="answer pulls from a warm process, and keep a folder's configuration in force",
        description="Run until stopped (SIGTERM). Answers containerd's child on ROOT/run/nodeseal/agent.sock with "
        "everything at hand: connections, tokens, parsed trust, compiled policies. With --config or --configmaps, "
        "puts a configuration in force, and again whenever it changes; what can't be used changes nothing. "
        "Pulls don't depend on it: without it, each does the work alone.",
        epilog="exit codes: 0 stopped, 2 usage, 5 host operation failed, 70 bug",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config",
        metavar="DIR|FILE",
        help="put this configuration in force and follow its changes; paths of the host don't count in it",
    )
    source.add_argument(
        "--configmaps",
        action="store_true",
        help="put in force what the labelled ConfigMaps of a namespace say together, and follow their changes",
    )
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        default="",
        help="how to reach the API server (default: the pod's service account)",
    )
    parser.add_argument(
        "--namespace", metavar="NS", default="", help="namespace of the ConfigMaps (default: the credentials' own)"
    )
    parser.add_argument(
        "--label", metavar="KEY", default="", help=f"key of the label that ConfigMaps need (default: {LABEL})"
    )
    parser.add_argument(
        "--node", metavar="NAME", default="", help="this node's name in the cluster (default: the host's name)"
    )
    parser.add_argument(
        "--pods",
        action="store_true",
        help="verify ahead what this node's pods are about to pull, where RBAC lets us see them",
    )
    parser.add_argument(
        "--root", metavar="DIR", default=place.USUAL, help="root that the node's state is under (default: %(default)s)"
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="prove each minute, by a canary pulled through the CRI, that containerd asks this verifier",
    )
    parser.add_argument(
        "--cri-socket",
        metavar="PATH",
        default="",
        help="socket of the container runtime (default: of k3s, k0s, MicroK8s or containerd, the first that is there)",
    )
    parser.add_argument(
        "--canary-port",
        metavar="PORT",
        type=int,
        default=0,
        help="where on 127.0.0.1 canaries are pulled from (default: any port that is free)",
    )
    parser.add_argument(
        "--startup-taint",
        metavar="KEY",
        default="",
        help="remove this taint from the node after the first proof, once the images that are there were looked at",
    )
    parser.add_argument(
        "--startup-taint-limit",
        metavar="LENGTH|never",
        default="10m",
        help="when to remove it without a proof (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT|off",
        default=METRICS,
        help="where /metrics, /healthz and /readyz are served, an IPv6 address in brackets (default: %(default)s)",
    )
    parser.add_argument(
        "--memory",
        metavar="MIB",
        type=int,
        default=None,
        help="most memory that it may take with its children, in MiB (default: its cgroup's limit; without one, 256)",
    )
    parser.add_argument("--log", choices=("json", "console"), default="json", help="form of the log on standard error")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Run until a signal says stop.  Raises `UsageError`, `HostError`."""
    label = options.label or LABEL
    words = (options.kubeconfig, options.namespace, options.node)
    cluster = Cluster(*words, label, options.pods) if options.configmaps else None
    if cluster is None and (any(words) or options.label or options.pods):
        raise UsageError(
            "--kubeconfig, --namespace, --label, --node, --pods: got them alone; expected --configmaps beside them"
        )
    if not is_label_key(label):
        raise UsageError(f"--label: got {ascii(label)[:80]}; expected the key of a label, as in {LABEL}")
    source = Source(options.config, cluster)
    if (options.cri_socket or options.canary_port) and not options.prove:
        raise UsageError("--cri-socket, --canary-port: got them alone; expected --prove beside them")
    if not 0 <= options.canary_port < 65536:
        raise UsageError(f"--canary-port: got {options.canary_port}; expected a number below 65536")
    taint = _taint(options, cluster)
    proving = Proving(options.cri_socket, options.canary_port, taint) if options.prove else None
    metrics = None if options.metrics == OFF else Address.parse(options.metrics)
    memory = None if options.memory is None else options.memory * MIB
    if memory is not None and is_too_low(memory):
        raise UsageError(f"--memory: got {options.memory}; expected at least {LOWEST_LIMIT // MIB}")
    from agent.adapters.forkserver import ForkServer

    server = ForkServer.start()  # before anything that only the daemon needs is loaded

    from agent.modes import daemon

    told: dict[str, Any] = {"log": (stderr, options.log), "metrics": metrics, "proving": proving}
    try:
        daemon.run(options.root, source, environment, **told, memory=memory, server=server)
    finally:
        server.close()
    return Exit.ALLOW


def _taint(options: argparse.Namespace, cluster: Cluster | None) -> Taint | None:
    """Raises `UsageError`."""
    if not options.startup_taint:
        return None
    if cluster is None or not options.prove:
        raise UsageError("--startup-taint: got it alone; expected --configmaps and --prove beside it")
    limit = times.seconds(options.startup_taint_limit)
    if limit is None and options.startup_taint_limit != NEVER:
        raise UsageError(
            f"--startup-taint-limit: got {options.startup_taint_limit}; expected a length like 10m, or never"
        )
    return Taint(options.startup_taint, limit)

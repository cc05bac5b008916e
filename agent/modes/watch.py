"""`nodeseal watch`: the daemon.  Answers pulls from a warm process, and keeps a folder's configuration in force.

Here is its command line; `agent.modes.daemon` puts it together, and is imported for it alone: no other command has use
for an event loop.
"""

import argparse
from collections.abc import Mapping
from typing import TextIO

from agent.config.discovery import LABEL, is_label_key
from agent.errors import Exit, UsageError
from agent.model.address import Address
from agent.modes.source import Cluster, Source

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
        "--root", metavar="DIR", default="/", help="root that the node's state is under (default: %(default)s)"
    )
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT|off",
        default=METRICS,
        help="where /metrics, /healthz and /readyz are served, an IPv6 address in brackets (default: %(default)s)",
    )
    parser.add_argument("--log", choices=("json", "console"), default="json", help="form of the log on standard error")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Run until a signal says stop.  Raises `UsageError`, `HostError`."""
    from agent.modes import daemon

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
    metrics = None if options.metrics == OFF else Address.parse(options.metrics)
    daemon.run(options.root, source, environment, log=(stderr, options.log), metrics=metrics)
    return Exit.ALLOW

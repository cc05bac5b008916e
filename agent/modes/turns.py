"""Turns to restart containerd, for the commands that may: their options, and an installation that waits for one.

What speaks to an API server, `agent.modes.inturn`, is imported once a turn is waited for.
"""

import argparse
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from agent.adapters.hostfiles import HostFiles
from agent.adapters.journal import Journal
from agent.cluster.leases import MOST_SLOTS
from agent.errors import HostError, UsageError
from agent.modes.installing import Asked, Installer, Outcome
from agent.modes.world import World
from agent.wiring.steps import Restart, Step

Tell = Callable[[str], None]
Confirm = Callable[[], None]
"""Raises `HostError` once a turn is lost."""

Taken = Callable[[Tell], AbstractContextManager[Confirm]]
"""Waits for this node's turn, and holds it.  Raises `NoTurn`."""


class NoTurn(HostError):
    """A turn was not got, so nothing was written."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of turns."""
    parser.add_argument(
        "--in-turn",
        action="store_true",
        help="before containerd is restarted, wait for this node's turn in the cluster, 30 minutes at most",
    )
    parser.add_argument(
        "--slots",
        metavar="N",
        type=int,
        default=None,
        help="with --in-turn: how many nodes may restart at once, of the control plane still one (default: 1)",
    )
    parser.add_argument(
        "--lease-namespace", metavar="NS", default="", help="namespace of the turns' Leases (default: the pod's)"
    )
    parser.add_argument(
        "--kubeconfig", metavar="FILE", default="", help="credentials for the turns (default: the pod's)"
    )


def add_node_name(parser: argparse.ArgumentParser) -> None:
    """The node's name, for a command on a node that was installed."""
    parser.add_argument(
        "--node-name",
        metavar="NAME",
        default="",
        help="with --in-turn: the node's name in the cluster (default: $NODE_NAME, else what install was told)",
    )


def wanted(
    options: argparse.Namespace,
    environment: Mapping[str, str],
    *,
    known_as: str = "",
    ended: Callable[[], bool] = lambda: False,
) -> Taken | None:
    """How this node waits for its turn, None if it need not.  Raises `UsageError`.

    `known_as` is what the node is called if nobody says; `ended` is whether to wait no longer.
    """
    if not options.in_turn:
        if options.slots is not None or options.lease_namespace or options.kubeconfig:
            raise UsageError("--slots, --lease-namespace, --kubeconfig: got them alone; expected --in-turn beside them")
        return None
    slots = 1 if options.slots is None else options.slots
    if not 0 < slots <= MOST_SLOTS:
        raise UsageError(f"--slots: got {slots}; expected 1 to {MOST_SLOTS}")
    node = options.node_name or environment.get("NODE_NAME", "") or known_as
    if not node:
        raise UsageError("--in-turn: got no name of the node; expected --node-name NAME, or $NODE_NAME")

    def taken(tell: Tell) -> AbstractContextManager[Confirm]:
        """Wait for it."""
        from agent.modes import inturn

        queue = inturn.Queue(node, slots, options.lease_namespace, options.kubeconfig)
        return inturn.taken(queue, environment, tell, ended)

    return taken


def installed(host: HostFiles, world: World, asked: Asked, tell: Tell, taken: Taken | None) -> Outcome:
    """Install; before anything is written, wait for a turn if containerd is to be restarted.

    Raises as `Installer.run` does, and `NoTurn`.
    """
    if taken is None:
        return Installer(Journal(host), world, asked, tell).run()
    _, todo = Installer(Journal(host), world, asked, tell).foreseen(world.facts())
    return installed_so(host, world, asked, tell, taken, todo)


def installed_so(
    host: HostFiles, world: World, asked: Asked, tell: Tell, taken: Taken | None, todo: tuple[Step, ...]
) -> Outcome:
    """Install, where a look has found `todo`.  Raises as `installed` does.

    A restart that becomes due between the look and the installation is left to the next one.
    """
    if taken is None:
        return Installer(Journal(host), world, asked, tell).run()
    if not any(isinstance(step, Restart) for step in todo):
        return Installer(Journal(host), world, asked._replace(restart=False), tell).run()
    with taken(tell) as confirm:
        return Installer(Journal(host), world, asked, tell, confirm).run()

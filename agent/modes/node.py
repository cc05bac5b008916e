"""What holds on a node, put together for one question: its configuration, its floor, its break-glass, its memory.

The same for containerd's child and for a person who asks about the node, so that both hear the same.
"""

from typing import NamedTuple

from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.config.config import Config
from agent.errors import Unavailable
from agent.rules.floor import NOTHING_RECORDED, Bootstrap, HostFacts
from agent.rules.precedence import Standing
from agent.rules.rule import Default
from agent.rules.ruleset import RuleSet


class Node(NamedTuple):
    """`config` is what to verify with, or why there is nothing: the standing holds all the same.

    `host` is how registries are reached from there.
    """

    config: Config | Unavailable
    standing: Standing
    host: HostFacts = NOTHING_RECORDED


def opened(root: str) -> Node:
    """The node under `root`.  Never raises for what lies on its disk."""
    state, snapshots = NodeState(root), SnapshotStore(root)
    bootstrap = state.bootstrap()
    try:
        config = snapshots.load()
    except Unavailable as trouble:
        ruleset = _without_snapshot(snapshots, bootstrap)
        standing = state.standing(ruleset, bootstrap)
        return Node(trouble, standing._replace(complete=None), bootstrap.host)  # what is missing is not too old
    return Node(config, state.standing(config.ruleset, bootstrap), bootstrap.host)


def _without_snapshot(snapshots: SnapshotStore, bootstrap: Bootstrap) -> RuleSet:
    """What holds without a snapshot: the rules that were published last; before the first, what the bootstrap says.

    The bootstrap's leniency ends for good with the first snapshot.  Without a copy of the last rules all is refused.
    """
    last = snapshots.last_rules()
    if last is not None:
        return last
    if snapshots.was_published():
        return RuleSet(())
    return RuleSet((), Default(bootstrap.until_first_snapshot))

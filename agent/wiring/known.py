"""What a node's configuration says of why a canary proved what it did, and where a change of it would show.

It explains; it proves nothing: what runs may have read other files.
"""

import posixpath

from agent.wiring import bindir, triggers
from agent.wiring.bindir import Kind
from agent.wiring.planning import Node
from agent.wiring.proof import NOTHING_KNOWN, Known

MOST_WATCHED = 64
"""Files and folders that are looked at every few seconds."""


def known(node: Node, *, whole: bool = True) -> Known:
    """What is known.

    `whole` is whether all of the host is seen, so that what is not seen is not there: without it, a main file or a
    folder of verifiers that is not seen says nothing.
    """
    if not whole and not node.loaded.files:
        return NOTHING_KNOWN
    found = tuple(each.trigger.name for each in triggers.find(node.effective))
    return Known(found, _installed(node, whole=whole))


def _installed(node: Node, *, whole: bool) -> bool | None:
    folder = node.facts.folder
    if folder is None or folder.kind is Kind.NOTHING:
        return False if whole else None
    return bindir.ours(bindir.judge(folder, -1)) is not None


def watched(node: Node) -> tuple[str, ...]:
    """Files of the configuration, folders that it imports from, and the folder of verifiers; the host's paths."""
    paths = [node.facts.main, *(file.path for file in node.loaded.files)]
    for file in node.loaded.files:
        paths += [posixpath.dirname(each) if "*" in each else each for each in file.imports]
    if node.facts.folder is not None:
        paths.insert(1, node.facts.folder.path)
    return tuple(dict.fromkeys(paths))[:MOST_WATCHED]

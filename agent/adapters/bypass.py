"""Which settings an installation found that send pulls past verifiers, and left: for a daemon that does not see them.

::

    run/nodeseal/bypass.json                  until an installation leaves none, the node is uninstalled, or boots

A daemon in a pod sees nothing of containerd's configuration.  What stands here explains what its canary proves, and
proves nothing: somebody may have changed that since.
"""

import json
import os
from contextlib import suppress

from agent.adapters import files
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError
from agent.wiring.triggers import TRIGGERS

PATH = "/run/nodeseal/bypass.json"

_MAX_SIZE = 4096
_NAMES = tuple(each.name for each in TRIGGERS)


def note(host: HostFiles, names: tuple[str, ...]) -> None:
    """Note what was left, nothing for none.  What can't be noted explains nothing, and stops nobody."""
    if read(host.root) == names:
        return
    folder = os.path.dirname(PATH)
    with suppress(HostError):
        missing = host.missing_folders(folder)
        if names:
            for path in missing:
                host.make_folder(path, 0o700 if path == folder else 0o755)
            host.write(PATH, json.dumps({"left": names}).encode(), 0o600)
        elif not missing:
            host.remove(PATH)


def read(root: str) -> tuple[str, ...]:
    """What was left under a root; nothing if nothing is noted, or nothing that can be believed or understood."""
    try:
        left = json.loads(files.read_own(os.path.join(root, PATH.lstrip("/")), _MAX_SIZE))["left"]
        return tuple(name for name in _NAMES if name in left) if isinstance(left, list) else ()
    except (HostError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return ()

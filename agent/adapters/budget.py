"""How much memory the daemon may take in all, and how much of it each kind of thing: numbers, worked out once.

What registries and images bring is counted where it is held (`agent.adapters.room`); everything else of the process is
`OWN`, which was measured (docs/performance.md, "Memory").  The sum is below the limit by `MARGIN`, so that nothing that
others choose brings the kernel to end the daemon.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

MIB = 1024 * 1024

USUAL = 256 * MIB
"""The limit where nobody says another one: that of the pod (daemonset.yaml) and of the unit (`agent.wiring.unit`)."""

OWN = 96 * MIB
"""What the daemon takes besides: itself after many images, connections' buffers, what is too small to be counted."""

LEAST = 192 * MIB
"""The lowest limit that the daemon can keep: below it, not even one of everything finds room."""

_MARGIN = 16  # one part of so many stays free

_TOLD = 8 * MIB
_UNWRITTEN = 4 * MIB
_WORKING = 64 * MIB

_PROC = "/proc/self/cgroup"
_MOUNT = "/sys/fs/cgroup"
_MOST = 1 << 50  # more than that is cgroup v1's way to say that there is no limit
_LONGEST = 64 * 1024


class Budget(NamedTuple):
    """Bytes.  `working` is for what runs and ends by itself soon: children, and the reading of large content.

    `content` is for what is held while something is waited for, `told` for what evidence told until its image is
    judged, `unwritten` for what waits to be written.
    """

    limit: int
    working: int
    content: int
    told: int = _TOLD
    unwritten: int = _UNWRITTEN

    @property
    def total(self) -> int:
        """The most that all of it together takes, the daemon's own included."""
        return OWN + self.working + self.content + self.told + self.unwritten


def divided(limit: int) -> Budget:
    """What fits below a limit.  One that is lower than what the daemon can work with counts as that."""
    rest = max(limit, LEAST) * (_MARGIN - 1) // _MARGIN - OWN - _TOLD - _UNWRITTEN
    working = max(min(_WORKING, rest - rest // 4), rest // 2)
    return Budget(limit, working, rest - working)


def is_too_low(limit: int) -> bool:
    """Whether the daemon may take more than so many bytes."""
    return divided(limit).total > limit


def limit_here(proc: str = _PROC, mount: str = _MOUNT) -> int | None:
    """The limit that the kernel has for this process's memory, in bytes; None if there is none, or nobody can tell.

    cgroup v2 (`memory.max`) and v1 (`memory.limit_in_bytes`), of the process's cgroup and those around it.  In a
    container, whose own cgroup may be all that is seen, it is mounted where the host has the root.
    """
    found = [limit for path in _files(proc, mount) if (limit := _number(path)) is not None]
    return min(found, default=None)


def _files(proc: str, mount: str) -> Iterator[str]:
    for line in _read(proc).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            folder, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = f"{mount}/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for count in range(len(parts), -1, -1):
            yield "/".join([folder, *parts[:count], name])


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) < _MOST else None


def _read(path: str) -> str:
    """A small file's text, "" if it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LONGEST).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError:
        return ""

"""The daemon's memory limit, and the share of it that each kind of content may take: numbers, worked out once.

What registries and images bring is counted where it is held (`agent.adapters.room`).  All other memory of the process
is `OVERHEAD`, which was measured (docs/performance.md, "Memory").  The shares and the overhead together stay below the
limit by a margin: content that somebody else chose must never make the kernel kill the daemon.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

MIB = 1024 * 1024

USUAL = 256 * MIB
"""The limit where neither the kernel nor an option gives one.

It is also that of the pod (daemonset.yaml) and of the systemd unit (`agent.wiring.unit`).
"""

OVERHEAD = 96 * MIB
"""What no share counts: the process itself after many images, connections' buffers, and small things."""

LOWEST_LIMIT = 192 * MIB
"""The lowest limit that the daemon can keep: below it, the largest thing of some kind would find no room."""

_MARGIN_PARTS = 16  # one part of so many stays free

_TOLD = 8 * MIB  # twice what one image's evidence may tell (`agent.asking.MAX_TOLD`)
_UNWRITTEN = 4 * MIB  # what finds no room is not kept, and nothing fails for it
_WORKING = 64 * MIB  # one evaluation of the largest kind (`agent.adapters.policy_worker.MEMORY`), and some room

_PROC = "/proc/self/cgroup"
_MOUNT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 50  # cgroup v1 says a number beyond any memory where there is no limit
_LONGEST = 64 * 1024  # bytes of one of the kernel's files


class Budget(NamedTuple):
    """The shares, in bytes.

    `working` is for work that ends by itself soon: worker processes, and the parsing of large content.  `content` is
    for manifests and blobs, which are held while something else is waited for.  `told` is for what evidence told, until
    its image is judged.  `unwritten` is for what waits to be written to the disk.
    """

    limit: int
    working: int
    content: int
    told: int = _TOLD
    unwritten: int = _UNWRITTEN

    @property
    def total(self) -> int:
        """Most bytes that the shares and the overhead take together."""
        return OVERHEAD + self.working + self.content + self.told + self.unwritten


def divided(limit: int) -> Budget:
    """The shares that fit below a limit, in bytes.  A limit below `LOWEST_LIMIT` is divided as if it were that one.

    Work gets half of what the fixed parts leave; where that is less than `_WORKING`, up to three quarters.
    """
    rest = max(limit, LOWEST_LIMIT) * (_MARGIN_PARTS - 1) // _MARGIN_PARTS - OVERHEAD - _TOLD - _UNWRITTEN
    working = max(min(_WORKING, rest - rest // 4), rest // 2)
    return Budget(limit, working, rest - working)


def is_too_low(limit: int) -> bool:
    """Whether the daemon may come to take more than a limit, in bytes, whose shares are those of `divided`."""
    return divided(limit).total > limit


def limit_here(proc: str = _PROC, mount: str = _MOUNT) -> int | None:
    """The kernel's limit for this process's memory, in bytes; None if there is none, or if it can't be read.

    It is the lowest of the process's cgroup and of all those above it: `memory.max` in cgroup v2,
    `memory.limit_in_bytes` in v1.  A container may see its own cgroup mounted as the root of all, so the root is read
    as well.
    """
    found = [limit for path in _files(proc, mount) if (limit := _number(path)) is not None]
    return min(found, default=None)


def _files(proc: str, mount: str) -> Iterator[str]:
    """Paths of the files that may hold a limit, from the process's own cgroup up to the root."""
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
    """The limit that a file says, in bytes; None for "max", and for anything else that is none."""
    text = _read(path).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) < _NO_LIMIT else None


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

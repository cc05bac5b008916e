"""A control group of the kernel's with a limit of memory, as the kubelet makes one for a container.  Takes root."""

import contextlib
import os
import pathlib
import time
import uuid
from collections.abc import Iterator

_V1 = pathlib.Path("/sys/fs/cgroup/memory")
_V2 = pathlib.Path("/sys/fs/cgroup")
_ENTER = 'echo 0 > "$0/cgroup.procs" && exec "$@"'


class MemoryGroup:
    """The group at a path."""

    def __init__(self, path: pathlib.Path, *, is_v1: bool) -> None:
        """It is there."""
        self.path = path
        self.is_v1 = is_v1

    @property
    def runner(self) -> list[str]:
        """What starts a command within it."""
        return ["/bin/sh", "-c", _ENTER, str(self.path)]

    def limit(self, size: int) -> None:
        """Allow so many bytes: with what is swapped, where that is counted."""
        name = "memory.limit_in_bytes" if self.is_v1 else "memory.max"
        (self.path / name).write_text(str(size))
        for swap, most in (("memory.memsw.limit_in_bytes", size), ("memory.swap.max", 0)):
            with contextlib.suppress(OSError):
                (self.path / swap).write_text(str(most))

    @property
    def killed(self) -> int:
        """How many processes the kernel ended because there was no memory."""
        name = "memory.oom_control" if self.is_v1 else "memory.events"
        words = dict(line.split() for line in (self.path / name).read_text().splitlines())
        return int(words["oom_kill"])

    def anonymous(self) -> int:
        """Bytes that nothing gives back but the processes themselves: page cache apart."""
        names = ("rss", "shmem") if self.is_v1 else ("anon", "shmem", "sock", "kernel_stack", "pagetables", "slab")
        words = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        kernel = int((self.path / "memory.kmem.usage_in_bytes").read_text()) if self.is_v1 else 0
        return sum(int(words.get(name, 0)) for name in names) + kernel

    def remove(self) -> None:
        """Once its processes have ended."""
        end = time.monotonic() + 30
        while True:
            try:
                self.path.rmdir()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


@contextlib.contextmanager
def memory_group(size: int) -> Iterator[MemoryGroup]:
    """One with so many bytes, until its end."""
    is_v1 = (_V1 / "cgroup.procs").exists()
    if not is_v1:
        control = _V2 / "cgroup.subtree_control"
        if "memory" not in control.read_text().split():
            control.write_text("+memory")
    path = (_V1 if is_v1 else _V2) / f"nodeseal-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    group = MemoryGroup(path, is_v1=is_v1)
    try:
        group.limit(size)
        yield group
    finally:
        group.remove()

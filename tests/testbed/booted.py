"""A host that booted: the real systemd is the first process of its namespaces, and runs the real containerd.

In a node's network, so that its registry can be reached; with control groups of its own, below which systemd makes its
units'.  What is mounted is mounted in its mount namespace alone: from outside its root holds what is the host's.
"""

import os
import pathlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.commands import Done, run
from tests.testbed.cri import ImageService, Pulled
from tests.testbed.node import Node
from tests.testbed.tools import service_manager
from tests.testbed.wholehost import CONFIG, tree, write

_SECONDS = 120
_NOT_COMPARED = (
    "run", "usr", "proc", "dev", "sys", "tmp", "root", "built", "etc/machine-id", "var/lib/containerd",
    "var/lib/systemd", "var/log/journal",
)  # fmt: skip

_CONTAINERD = """\
[Unit]
Description=containerd
[Service]
ExecStart={program}
Environment=PATH={path}
KillMode=process
Restart=always
Type=notify
[Install]
WantedBy=multi-user.target
"""

# Control groups as systemd has them: version 2 alone, or each hierarchy of version 1 beside it where these have the
# memory controller.  `tops` names the roots of what `groups` mounted.
_GROUPS = r"""
groups() {
  mount -t cgroup2 cgroup2 "$1"
  if grep -qw memory "$1/cgroup.controllers"; then return; fi
  umount "$1"
  mount -t tmpfs -o mode=755 tmpfs "$1"
  mkdir "$1/unified"
  mount -t cgroup2 cgroup2 "$1/unified"
  for each in $(sed -n "s/^[1-9][0-9]*:\([^:]*\):.*/\1/p" /proc/self/cgroup); do
    mkdir "$1/${each#name=}"
    case $each in name=*) options=none,$each;; *) options=$each;; esac
    mount -t cgroup -o "$options" cgroup "$1/${each#name=}"
  done
}
tops() {
  if [ -e "$1/cgroup.procs" ]; then echo "$1"; else ls -d "$1"/*; fi
}
"""

# Its own /dev, since journald links in it; the kernel's settings are the machine's, and stay as they are; then
# control groups of its own, whose roots this namespace takes for all.
_BOOT = """
set -e
cd "$1"
mount --rbind "$1" "$1"
cd "$1"
mount -t overlay -o "lowerdir=$2/usr:/usr" overlay usr
mkdir -p "./$3" && mount --bind "$3" "./$3"
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do : > "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
ln -s pts/ptmx dev/ptmx
mkdir dev/shm dev/pts built && mount -t tmpfs tmpfs dev/shm && mount -t devpts -o newinstance devpts dev/pts
mount --bind "$4" built
groups sys/fs/cgroup
for top in $(tops sys/fs/cgroup); do
  mkdir "$top/$5"
  for name in cpus mems; do
    if [ -e "$top/cpuset.$name" ]; then cat "$top/cpuset.$name" > "$top/$5/cpuset.$name"; fi
  done
  echo 0 > "$top/$5/cgroup.procs"
done
umount --recursive sys/fs/cgroup
exec unshare --cgroup sh -c "$6"'
set -e
groups sys/fs/cgroup
mkdir old && pivot_root . old && umount -l old && rmdir old
exec env -i container=nodeseal PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --log-target=console
'
"""
# Processes that were killed leave their groups a moment later.
_FORGET = """
groups /mnt
for turn in 1 2 3 4 5 6 7 8 9 10; do
  left=$(for top in $(tops /mnt); do find "$top/$1" -depth -type d; done 2>/dev/null)
  if [ -z "$left" ]; then exit; fi
  rmdir $left 2>/dev/null
  sleep 0.2
done
"""


class BootedHost(NamedTuple):
    """A host that runs; `root` is its root and `pid` its first process, both seen from here."""

    root: pathlib.Path
    pid: int
    images: ImageService

    def run(self, *words: str) -> Done:
        """Run a command on it, as a person who is logged in."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--"]
        return run([*inside, *words], environment={"PATH": "/usr/sbin:/usr/bin"}, seconds=180)

    def must(self, *words: str) -> str:
        """Run a command that has to succeed; what it printed."""
        done = self.run(*words)
        if done.code != 0:
            raise AssertionError(f"{' '.join(words)}: exit code {done.code}: {done.err or done.out}")
        return done.out

    def shows(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.must("systemctl", "show", "--value", "-p", name, unit).strip()

    def pull(self, image: str) -> Pulled:
        """Pull as the kubelet does."""
        return self.images.pull(image)

    def tree(self) -> dict[str, tuple[object, ...]]:
        """All that the host has of its own, but for what containerd and systemd keep."""
        return tree(self.root, _NOT_COMPARED)


@contextmanager
def booted_host(node: Node, built: pathlib.Path) -> Iterator[BootedHost]:
    """A host that booted with containerd; the folder `built` is at its `/built`."""
    number = len(list(node.work.glob("booted-*")))
    root, group = node.work / f"booted-{number}", f"nodeseal-{node.work.name}-{number}"
    for folder in ("usr", "proc", "dev", "sys", "run", "tmp", "root", "opt", "var/log", "var/lib", "var/cache"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    unit = _CONTAINERD.format(program=node.tools.program("containerd"), path=node.tools.path)
    write(
        root,
        {
            "etc/os-release": "ID=debian\n",
            "etc/machine-id": "",
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
            "etc/group": "root:x:0:\nnogroup:x:65534:\n",
            "etc/containerd/config.toml": CONFIG,
            "etc/systemd/system/containerd.service": unit,
        },
    )
    system = root / "etc/systemd/system"
    (system / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    (system / "multi-user.target.wants").mkdir()
    (system / "multi-user.target.wants/containerd.service").symlink_to("../containerd.service")
    arguments = [str(root), str(service_manager()), str(node.tools.root), str(built), group, _GROUPS]
    start = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private"]
    try:
        with node.started(
            [*start, "sh", "-c", _GROUPS + _BOOT, "boot", *arguments], log=node.work / f"{group}.log"
        ) as running:
            pid = _first_process(running.pid)
            images = ImageService(f"/proc/{pid}/root/run/containerd/containerd.sock")
            host = BootedHost(root, pid, images)
            try:
                _wait_until_booted(host)
                yield host
            finally:
                images.close()
                os.kill(running.pid, signal.SIGKILL)  # and with it everything in its process namespace
    finally:
        run(
            ["unshare", "--mount", "sh", "-c", _GROUPS + _FORGET, "forget", group],
            environment={"PATH": "/usr/sbin:/usr/bin:/bin"},
        )


def _first_process(parent: int) -> int:
    """The process that a parent started in namespaces of its own."""
    children, end = pathlib.Path(f"/proc/{parent}/task/{parent}/children"), time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.01)
    raise AssertionError("got no process; expected one that boots")


def _wait_until_booted(host: BootedHost) -> None:
    end = time.monotonic() + _SECONDS
    said = ""
    while time.monotonic() < end:
        said = host.run("systemctl", "is-system-running").out.strip()
        if said in ("running", "degraded") and host.shows("containerd.service", "ActiveState") == "active":
            return
        time.sleep(0.1)
    told = host.run("journalctl", "--boot", "--no-pager").out[-2000:]
    raise AssertionError(f"got {said or 'nothing'}; expected a system that runs: {told}")

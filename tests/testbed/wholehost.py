"""A whole host on a node: a root of its own, with containerd in it and a service manager that restarts it.

The root is a folder of the node's; system folders are bound into it in the node's mount namespace alone, so that from
outside it holds only what is the host's own: `tree` is what an installation must leave as it was.
"""

import json
import os
import pathlib
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.commands import Done
from tests.frozen.program import BUILT
from tests.testbed.cri import ImageService, Pulled
from tests.testbed.node import Node, Running

UNIT = "containerd.service"
CONFIG = """\
version = 3
# the administrator's own words
disabled_plugins = ['io.containerd.nri.v1.nri']

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/var/lib/cni/bin']
  conf_dir = '/var/lib/cni/conf'
[plugins.'io.containerd.internal.v1.opt']
  path = '/var/lib/containerd/opt'
"""
_SECONDS = 50
_BOUND = ("usr", "proc", "dev", "sys")
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
_NOT_COMPARED = ("run/containerd", "run/systemd", "var/lib/containerd", "var/log/containerd.log", *_BOUND)


class WholeHost(NamedTuple):
    """A host that runs; `root` is where it is mounted."""

    node: Node
    root: pathlib.Path
    manager: Running
    images: ImageService

    def nodeseal(self, *words: str, program: str = str(BUILT / "nodeseal")) -> Done:
        """Run the program as from a container that has the host mounted."""
        return self.node.run([program, *words], seconds=180)

    def install(self, *words: str) -> Done:
        """Install from there."""
        return self.nodeseal("install", "--host", str(self.root), *words)

    def installed(self, *words: str) -> dict[str, Any]:
        """What an installation that works says."""
        done = self.install("--format", "json", *words)
        assert done.code == 0, done.out + done.err
        told: dict[str, Any] = json.loads(done.out)
        return told

    def uninstall(self, *words: str) -> Done:
        """Uninstall from there."""
        return self.nodeseal("uninstall", "--host", str(self.root), *words)

    def apply(self, config: pathlib.Path) -> None:
        """Put a configuration in force, by the program that is installed."""
        program = f"{self.root}/opt/nodeseal/current/nodeseal"
        done = self.nodeseal("config", "apply", str(config), "--root", str(self.root), program=program)
        assert done.code == 0, done.err

    def pull(self, image: str) -> Pulled:
        """Pull as the kubelet does."""
        return self.images.pull(image)

    def tree(self) -> dict[str, tuple[object, ...]]:
        """All that the host has of its own, but for what containerd keeps."""
        return tree(self.root, _NOT_COMPARED)


@contextmanager
def whole_host(
    node: Node,
    config: str = CONFIG,
    more: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[WholeHost]:
    """A host with this main configuration, and more files by path; `environment` is containerd's, besides `PATH`."""
    root = node.work / f"whole-{len(list(node.work.glob('whole-*')))}"
    for folder in (*_BOUND, "etc/containerd", "opt", "run", "var/lib/containerd", "var/log", "tmp"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)
    write(root, {"etc/os-release": "ID=debian\n", "etc/containerd/config.toml": config, **(more or {})})
    tools = node.tools.root
    node.must(["mount", "--bind", str(root), str(root)])  # containerd wants to know which mount its folders are on
    for name in _BOUND:
        node.must(["mount", "--rbind", f"/{name}", str(root / name)])
    (root / str(tools)[1:]).mkdir(parents=True)
    node.must(["mount", "--bind", str(tools), str(root / str(tools)[1:])])
    variables = [f"{name}={value}" for name, value in {**(environment or {}), "PATH": node.tools.path}.items()]
    command = ["chroot", str(root), "env", *variables, node.tools.program("containerd")]
    words = [str(root / "run/systemd/private"), UNIT, str(root / "var/log/containerd.log"), *command]
    package = str(pathlib.Path(__file__).parents[2])
    start = ["env", f"PYTHONPATH={package}", sys.executable, "-m", "tests.simulators.systemd", *words]
    socket = root / "run/containerd/containerd.sock"
    with node.started(start) as manager:
        assert manager.line() == "ready"
        ready = f"until ctr -a {socket} version >/dev/null 2>&1; do sleep 0.05; done"
        node.must(["timeout", str(_SECONDS), "sh", "-c", ready])
        images = ImageService(str(socket))
        try:
            yield WholeHost(node, root, manager, images)
        finally:
            images.close()


def write(root: pathlib.Path, files: Mapping[str, str]) -> None:
    """Write files below a root."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tree(root: pathlib.Path, without: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    """Every entry below a root: kind, mode, owner, and what it says."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, names, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        names[:] = [name for name in names if os.path.normpath(f"{relative}/{name}") not in without]
        for name in (*names, *files):
            path = pathlib.Path(folder, name)
            key = os.path.normpath(f"{relative}/{name}")
            if key in without:
                continue
            status = path.lstat()
            said: object = None
            if stat.S_ISLNK(status.st_mode):
                said = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                said = path.read_bytes()
            found[key] = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, said)
    return found

"""Further containerds on a node, each with settings of its own, to see which of them ask verifiers."""

import pathlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from tests.testbed.node import Node

IMAGES = "io.containerd.cri.v1.images"
_SECONDS = 50
_CONFIG = """\
version = 3
root = '{work}/root'
state = '{work}/state'
disabled_plugins = ['io.containerd.nri.v1.nri']
[grpc]
  address = '{work}/containerd.sock'
[ttrpc]
  address = '{work}/containerd.sock.ttrpc'
[debug]
  level = 'debug'
[plugins.'io.containerd.image-verifier.v1.bindir']
  bin_dir = '{bin_dir}'
  {bindir}
[plugins.'{images}']
  {settings}
  [plugins.'{images}'.registry]
    {registry}
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['{work}/cni-bin']
  conf_dir = '{work}/cni-conf'
[plugins.'io.containerd.internal.v1.opt']
  path = '{work}/opt'
"""


class Wired(NamedTuple):
    """A containerd that runs; `verifiers` is its folder of them."""

    socket: str
    verifiers: pathlib.Path
    work: pathlib.Path
    node: Node

    def counts(self) -> tuple[int, int]:
        """How many images and how many pieces of content it stores."""
        listed = [["ctr", "-a", self.socket, "-n", "k8s.io", *words, "ls", "-q"] for words in (["images"], ["content"])]
        images, content = (self.node.must(command).split() for command in listed)
        return len(images), len(content)


@contextmanager
def containerd(
    node: Node,
    *,
    settings: str = "",
    bindir: str = "",
    bin_dir: str | None = None,
    hosts: Mapping[str, str] | None = None,
    registry: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Wired]:
    """A containerd of the node's.

    `settings`, `bindir` and `registry` are lines of its CRI images', verifier and registry settings; `hosts` is the
    content of `hosts.toml` by folder of certs.d; `environment` comes on top of the node's.
    """
    work = node.work / f"wired-{len(list(node.work.glob('wired-*')))}"
    verifiers = work / "verifiers"
    verifiers.mkdir(parents=True)
    for name, content in (hosts or {}).items():
        (work / "certs.d" / name).mkdir(parents=True)
        (work / "certs.d" / name / "hosts.toml").write_text(content)
    (work / "containerd.toml").write_text(
        _CONFIG.format(
            work=work,
            images=IMAGES,
            settings=settings,
            bindir=bindir,
            bin_dir=verifiers if bin_dir is None else bin_dir,
            registry=f"config_path = '{work}/certs.d'" if registry is None else registry,
        )
    )
    words = [f"{name}={value}" for name, value in (environment or {}).items()]
    socket = f"{work}/containerd.sock"
    with node.started(["env", *words, "containerd", "-c", f"{work}/containerd.toml"], log=work / "log"):
        ready = f"until ctr -a {socket} version >/dev/null 2>&1; do sleep 0.05; done"
        node.must(["timeout", str(_SECONDS), "sh", "-c", ready])
        yield Wired(socket, verifiers, work, node)

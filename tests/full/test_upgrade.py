"""A newer version is installed over this one under a real containerd that pulls meanwhile, this one again, and so on.

What is installed is switched by one rename: a pull that runs then ends on the program that it began with, and nobody
takes that one's folder away.  Either version installs over the other, and either uninstalls: byte for byte.
"""

import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import pytest

from agent import __version__
from agent.config.canonical import FORMAT_VERSION
from tests.commands import Done, processes_naming
from tests.frozen.program import BUILT
from tests.signing import write_config
from tests.testbed import versions
from tests.testbed.cri import Pulled
from tests.testbed.node import REGISTRY, Node
from tests.testbed.signatures import Signer
from tests.testbed.versions import NEXT, STEPPED
from tests.testbed.wholehost import WholeHost, whole_host

pytestmark = [pytest.mark.full, pytest.mark.frozen, pytest.mark.real, pytest.mark.timeout(900)]

OURS = "/opt/containerd/image-verifier/bin/00-nodeseal"
_SECONDS = 60.0
_LONG = 5.0
"""Seconds for which a verifier may be held and still has the time to answer: its own deadline is at 8."""


class Stage(NamedTuple):
    """A host, a signer that it is to trust, and both versions' folders."""

    host: WholeHost
    signer: Signer
    config: pathlib.Path
    old: pathlib.Path
    new: pathlib.Path

    def run(self, folder: pathlib.Path, *words: str) -> Done:
        """Run the program of a folder."""
        done = self.host.nodeseal(*words, program=str(folder / "nodeseal"))
        assert done.code not in (1, 70), done.err
        return done

    def install(self, folder: pathlib.Path) -> str:
        """Install a version; what it says."""
        done = self.run(folder, "install", "--host", str(self.host.root))
        assert done.code == 0, done.out + done.err
        assert done.out.endswith("installed; pulls are verified\n"), done.out
        return done.out

    def uninstall(self, folder: pathlib.Path) -> None:
        """Uninstall by a version."""
        done = self.run(folder, "uninstall", "--host", str(self.host.root))
        assert (done.code, done.err) == (0, ""), done.out

    def apply(self, folder: pathlib.Path) -> None:
        """Put the configuration in force by a version."""
        assert self.run(folder, "config", "apply", str(self.config), "--root", str(self.host.root)).code == 0

    def image(self, name: str, *, signed: bool) -> str:
        """A new image."""
        digest = self.host.node.push_image(f"upgrade/{name}")
        if signed:
            self.signer.sign(f"upgrade/{name}", digest)
        return f"{REGISTRY}/upgrade/{name}:1"

    @property
    def current(self) -> str:
        """The name of the folder that containerd's child is started from."""
        return os.readlink(self.host.root / "opt/nodeseal/current")

    def right(self, name: str) -> None:
        """A new image that is signed is pulled, another one is refused."""
        assert self.host.pull(self.image(f"{name}-signed", signed=True)).ok
        refused = self.host.pull(self.image(f"{name}-unsigned", signed=False))
        assert "deny NS-2001" in refused.error, refused


@pytest.fixture(params=[NEXT, STEPPED])
def stage(request: pytest.FixtureRequest, node: Node) -> Iterator[Stage]:
    """Nothing is installed."""
    signer = Signer(node, f"{request.param}.example.com")
    config = write_config(node.work / f"config-{request.param}", signer.certificate)
    with whole_host(node) as host:
        yield Stage(host, signer, config, BUILT, versions.built(request.param))


class Held(NamedTuple):
    """A pull whose verifier was held meanwhile: what came of it, which program that was, and its seconds."""

    pulled: Pulled
    program: str
    seconds: float


def while_it_runs(stage: Stage, name: str, act: Callable[[], object]) -> Held:
    """Pull an image, and do something while its verifier runs, which is held until `current` leads elsewhere.

    Where a verifier was over before it was seen, the next image is pulled.
    """
    began = stage.current
    for number in range(20):
        image, before = stage.image(f"{name}-{number}", signed=True), time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            pull = pool.submit(stage.host.pull, image)
            pid = _stopped(image, pull.done)
            if not pid:
                assert pull.result().ok, pull.result().error
                continue
            try:
                program, done = os.readlink(f"/proc/{pid}/exe"), pool.submit(act)
                while stage.current == began and not done.done():
                    time.sleep(0.01)
            finally:
                with suppress(ProcessLookupError):  # containerd may have ended it for its time
                    os.kill(pid, signal.SIGCONT)
            pulled, seconds = pull.result(), time.monotonic() - before
            done.result()
        assert stage.current != began
        return Held(pulled, program, seconds)
    raise AssertionError("no verifier was seen")


def _stopped(image: str, is_over: Callable[[], bool]) -> int:
    """The verifier of an image, which was stopped; 0 if the pull was over before."""
    end = time.monotonic() + _SECONDS
    while not is_over():
        for pid in processes_naming(f"{OURS} -name {image}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                return pid
        assert time.monotonic() < end
    return 0


def test_versions_replace_each_other_under_pulls_and_either_uninstalls(stage: Stage) -> None:
    before = stage.host.tree()
    stage.install(stage.old)
    stage.apply(stage.old)
    stage.right("old")
    assert "to do by hand" not in stage.install(stage.new)
    assert stage.current == versions.VERSION
    stage.right("new")

    for name, folder, version in (("back", stage.old, versions.VERSION), ("forth", stage.new, __version__)):
        held = while_it_runs(stage, name, lambda folder=folder: stage.install(folder))  # type: ignore[misc]
        is_late = held.seconds > _LONG and ("cannot tell NS-30" in held.pulled.error or "killed" in held.pulled.error)
        assert held.pulled.ok or is_late, held.pulled.error
        assert f"/opt/nodeseal/{version}/nodeseal" in held.program
        stage.right(f"after-{name}")

    stage.apply(stage.new)
    told = stage.install(stage.old)
    if stage.new.name.startswith(STEPPED):
        assert f"format version {FORMAT_VERSION + 1}; expected {FORMAT_VERSION}" in told
        refused = stage.host.pull(stage.image("unread", signed=True))
        assert "cannot tell NS-3006 " in refused.error
        stage.apply(stage.old)
    stage.right("after-all")
    stage.install(stage.new)
    stage.uninstall(stage.old)
    assert stage.host.tree() == before

    stage.install(stage.new)
    stage.install(stage.old)
    stage.uninstall(stage.new)
    assert stage.host.tree() == before


def test_program_that_somebody_runs_stays_until_nobody_does(node: Node, tmp_path: pathlib.Path) -> None:
    signer = Signer(node, "third.example.com")
    config = write_config(node.work / "config-third", signer.certificate)
    other = shutil.copytree(versions.built(NEXT), tmp_path / "other", symlinks=True)
    (other / "_internal" / "of-another-build").write_text("the same version\n")
    with whole_host(node) as host:
        stage = Stage(host, signer, config, BUILT, versions.built(NEXT))
        before, folder = host.tree(), host.root / "opt/nodeseal"
        stage.install(stage.old)
        watch = ["chroot", str(host.root), f"/opt/nodeseal/{__version__}/nodeseal", "watch", "--metrics", "off"]
        with node.started(watch, log=tmp_path / "daemon.log") as daemon:
            stage.install(stage.new)
            stage.install(other)
            assert stage.current.startswith(f"{versions.VERSION}+")
            assert {path.name for path in folder.iterdir()} == {__version__, versions.VERSION, stage.current, "current"}
            assert (folder / __version__ / "nodeseal").is_file()
            assert os.path.exists(f"/proc/{daemon.pid}")
        stage.install(stage.new)
        assert not (folder / __version__).exists()
        stage.uninstall(stage.old)
        assert host.tree() == before

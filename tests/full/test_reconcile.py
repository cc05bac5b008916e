"""`nodeseal install --reconcile` beside the real containerd, whose configuration somebody else writes too."""

import json
import pathlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent.adapters import state
from agent.adapters.hostroot import HostRoot
from agent.adapters.systemd import Systemd
from tests.frozen.program import BUILT
from tests.testbed.node import REGISTRY, Node, Running
from tests.testbed.wholehost import CONFIG, UNIT, WholeHost, whole_host
from tests.wiring.test_planning import IN_V3

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

NONE_ARE_RUN = CONFIG + "[plugins.'io.containerd.image-verifier.v1.bindir']\n  max_verifiers = 0\n"
SECONDS = 60.0


class Kept:
    """A host that is kept by a process of ours; its log is JSON."""

    def __init__(self, running: Running, log: pathlib.Path) -> None:
        """`running` is the process."""
        self._running, self._log = running, log

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The events of that name so far."""
        found = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [each for each in found if each["event"] == event]

    @property
    def state(self) -> str:
        """How the wiring stands."""
        said = self.lines("wiring")
        return said[-1]["state"] if said else ""

    def until(self, what: Callable[[], object]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + SECONDS
        while not what():
            assert time.monotonic() < end, self._log.read_text()[-4000:]
            time.sleep(0.1)

    @contextmanager
    def held(self, host: WholeHost) -> Iterator[None]:
        """Keep it from the processor meanwhile; not while it asks the service manager, which serves in turn."""
        for _ in range(50):
            with self._running.held():
                if Systemd(HostRoot(str(host.root))).is_there():
                    yield
                    return
            time.sleep(0.1)
        raise AssertionError("the service manager was busy all the time")

    def stop(self) -> int:
        """End it by a signal; its exit code."""
        return self._running.stop(30)


@contextmanager
def kept(host: WholeHost, *words: str) -> Iterator[Kept]:
    """Keep a host meanwhile."""
    log = host.node.work / f"kept-{time.monotonic_ns()}.log"
    command = [str(BUILT / "nodeseal"), "install", "--reconcile", "--host", str(host.root), "--format", "json"]
    with host.node.started([*command, "--pace", "1s", *words], log=log) as running:
        yield Kept(running, log)


def rewrite(host: WholeHost, text: str = NONE_ARE_RUN, *, restart: bool = False) -> None:
    """What a cloud's agent does."""
    path = host.root / "etc/containerd/config.toml"
    beside = path.with_name("new.toml")
    beside.write_text(text)
    beside.rename(path)
    if restart:
        Systemd(HostRoot(str(host.root))).restart(UNIT)


def test_configuration_that_others_write_is_mended_and_who_goes_on_is_named(node: Node) -> None:
    with whole_host(node, NONE_ARE_RUN) as host:
        assert host.installed("--must-enforce")["restarted"]
        main = host.root / "etc/containerd/config.toml"
        wired = main.read_text()
        host.apply(node.work / "config")
        node.push_image("kept/unsigned")
        image = f"{REGISTRY}/kept/unsigned:1"
        assert "00-nodeseal rejected image" in host.pull(image).error
        (host.root / state.TRIED.lstrip("/")).unlink()  # an hour has passed
        before = host.tree()

        with kept(host) as keeper:
            keeper.until(lambda: keeper.state == "settled")
            with keeper.held(host):
                rewrite(host, restart=True)
                keeper.until(lambda: host.pull(image).ok)  # nobody is asked
            keeper.until(lambda: keeper.lines("mending") and main.read_text() == wired)
            keeper.until(lambda: "00-nodeseal rejected image" in host.pull(image).error)
            assert len([each for each in keeper.lines("install") if each["said"].startswith("restarting")]) == 1
            keeper.until(lambda: any("proof: enforcing" in each["said"] for each in keeper.lines("install")[-2:]))

            (host.root / "opt/containerd/image-verifier/bin/00-nodeseal").unlink()
            keeper.until(lambda: len(keeper.lines("mending")) == 2)
            keeper.until(lambda: not host.pull(image).ok)

            while not keeper.lines("contested"):
                rewrite(host)
                keeper.until(lambda: main.read_text() == wired)
            said = keeper.lines("contested")[0]
            assert (said["path"], said["mended"]) == ("/etc/containerd/config.toml", 3)
            assert said["pause"] >= 7
            assert len([each for each in keeper.lines("install") if each["said"].startswith("restarting")]) == 1
            status = json.loads(host.nodeseal("status", "--root", str(host.root), "--format", "json").out)
            assert status["wiring"]["contested"] == ["/etc/containerd/config.toml"]

            rewrite(host)
            keeper.until(lambda: keeper.state == "waiting")
            assert main.read_text() == NONE_ARE_RUN
            keeper.until(lambda: main.read_text() == wired)
            keeper.until(lambda: keeper.state == "settled")
            assert keeper.stop() == 0
            assert keeper.lines("stopped")[0]["state"] == "settled"
        after = host.tree()
        assert {path for path in after if after[path] != before.get(path) and path.startswith(("etc", "opt"))} == set()
        assert "run/nodeseal/reconcile.json" not in after
        assert not host.pull(image).ok

        rewrite(host, NONE_ARE_RUN + IN_V3["discard_unpacked_layers"], restart=True)
        (host.root / state.TRIED.lstrip("/")).unlink()
        written = main.read_text()
        with kept(host, "--changes", "none", "--must-enforce") as keeper:
            keeper.until(lambda: keeper.state == "left")
            message = keeper.lines("wiring")[-1]["message"]
            assert "max_verifiers = 10 is needed, and nothing may be changed" in message
            assert "discard_unpacked_layers" in message
            assert keeper.stop() == 12
            assert keeper.lines("mending") == []
        assert main.read_text() == written
        deadline = time.monotonic() + SECONDS
        while not host.pull(image).ok:
            assert time.monotonic() < deadline

        assert host.uninstall().code == 0
        assert main.read_text() == written

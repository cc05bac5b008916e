"""A host that is kept as it was installed, with a clock that only sleeping moves."""

import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent.adapters.hostfiles import HostFiles
from agent.modes import reconciling
from agent.modes.reconciling import Reconciler
from agent.modes.turns import Confirm, NoTurn, Taken, Tell
from tests.modes.hosts import Host, make_host
from tests.warm import Told

MAIN = "etc/containerd/config.toml"
NONE_ARE_RUN = "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n"
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes to the disk when is not what is tested here, nor how often it is looked."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(reconciling, "LOOK", 5.0)


class Keeping:
    """A host that is kept, and a clock that only sleeping moves; `at` is what happens when."""

    def __init__(self, host: Host, *, taken: Taken | None = None, **asked: object) -> None:
        """From second 0 on."""
        self.host, self.log, self.now = host, Told(), 0.0
        self.happens: list[tuple[float, Callable[[], object]]] = []
        self._end = 0.0
        self._began = host.world.clock
        self.keeper = Reconciler(
            HostFiles(str(host.root)),
            host.world,
            host.asked(**asked),
            self.log,
            taken=taken,
            ended=lambda: self.now >= self._end,
            clock=lambda: self.now,
            random=lambda: 0.5,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        assert seconds <= reconciling.LOOK
        self.now += seconds
        self.host.world.clock = self._began + self.now
        for each in [each for each in self.happens if each[0] <= self.now]:
            self.happens.remove(each)
            each[1]()

    def until(self, end: float) -> "Keeping":
        """Run to that second."""
        self._end = end
        self.keeper.run()
        return self

    def at(self, when: float, what: Callable[[], object]) -> None:
        """Have something happen."""
        self.happens.append((when, what))

    @property
    def states(self) -> list[str]:
        """The states, as they were told."""
        return [str(each["state"]) for each in self.log.of("wiring")]

    @property
    def mended(self) -> list[object]:
        """The paths of each attempt."""
        return [each["paths"] for each in self.log.of("mending")]

    def said(self) -> str:
        """The message of the last state."""
        return str(self.log.of("wiring")[-1]["message"])


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """One of Debian's, with a setting of ours that a file of ours has, in force since a restart an hour ago."""
    host = make_host(tmp_path)
    host.write(MAIN, NONE_ARE_RUN)
    host.install()
    assert host.world.restarts == ["containerd.service"]
    host.world.clock += HOUR
    return host


def rewrite(host: Host, text: str = NONE_ARE_RUN, *, restart: bool = False) -> Callable[[], None]:
    """What a cloud's agent does."""

    def doing() -> None:
        host.write(MAIN, text)
        if restart:
            host.world.restart("by its agent")

    return doing


def in_turns(*, fails: int = 0) -> tuple[Taken, list[str]]:
    """Turns, the first few of which do not come."""
    left, seen = [fails], list[str]()

    @contextmanager
    def taken(tell: Tell) -> Iterator[Confirm]:
        if left[0]:
            left[0] -= 1
            raise NoTurn("got no turn to restart in 1800 s: n2 has it; nothing was changed")
        seen.append("taken")
        yield lambda: seen.append("confirmed")
        seen.append("given back")

    return taken, seen

"""Hosts to install on: a root with a distribution's files, a program, and a containerd that is only played."""

import json
import os
import pathlib
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

import pytest

from agent.adapters import containerd
from agent.adapters.containerd import Told
from agent.adapters.host import Done
from agent.adapters.hostfiles import HostFiles
from agent.adapters.journal import Journal
from agent.errors import HostError
from agent.modes.installing import Asked, Installer, Outcome
from agent.modes.uninstalling import Foreseen, Removed, Uninstaller
from agent.wiring import bindir, planning, triggers
from agent.wiring.proof import Known, Proof, Reason, State
from agent.wiring.unit import NAME
from tests.testbed.wholehost import tree
from tests.wiring.nodes import FIXTURES, SAMPLES, Sample, version

VERIFIERS = "opt/containerd/image-verifier/bin"
BY_FOLDER = {sample.folder: sample for sample in SAMPLES}
MEMBERS = {"nodeseal": "the program", "_internal/base.zip": "its library", "_internal/deep/data": "more of it"}
_MKDIR = os.mkdir  # the program's changes are not ours
COMPARED_NOT = ("run/nodeseal",)


class World:
    """`world.World`, played: what containerd loaded when it started last decides whether it asks."""

    def __init__(self, root: pathlib.Path, sample: Sample) -> None:
        """It runs, and was started with the configuration that is there."""
        self.asked = containerd.Asked(str(root), sample.main, sample.socket)
        self.root, self.sample = root, sample
        self.clock = 1_800_000_000.0
        self.runs, self.restarts = True, list[str]()
        self.broken: Callable[[pathlib.Path], bool] = lambda root: False
        self.has_systemd, self.daemon, self.daemon_works, self.units = True, False, True, list[str]()
        self.refuses_pause = self.allows_canary = self.never_asks = False
        self.calls: list[tuple[str, ...]] = []
        self._loaded, self._started = self.facts(), 0.0

    def facts(self) -> Told:
        """What the files say."""
        known = patch.object(containerd, "_version", return_value=version(self.sample.version))
        with known, patch.object(containerd, "_below", return_value=None):
            return containerd.facts(self.asked)

    def is_running(self) -> bool:
        """As it was told."""
        return self.runs

    def can_restart(self) -> bool:
        """Whoever has systemd."""
        return self.has_systemd

    def restart(self, unit: str) -> None:
        """Load what is there now; it ends if that is broken.  The daemon begins to serve, or does not."""
        if unit == NAME:
            self.units.append(f"restart {unit}")
            self.daemon = self.daemon_works
            return
        self.restarts.append(unit)
        self._loaded, self._started = self.facts(), self.clock
        self.runs = not self.broken(self.root)

    def stop(self, unit: str) -> None:
        """It has ended."""
        self.units.append(f"stop {unit}")
        self.daemon = False

    def reload(self) -> None:
        """Units are read anew."""
        self.units.append("reload")

    def unit_runs(self, unit: str) -> bool:
        """As it was started."""
        return self.daemon

    def serves(self, seconds: float) -> bool:
        """It does once it was started."""
        return self.daemon

    def wait_for_restart(self) -> None:
        """It did."""
        self.restart("by itself")

    def wait_until_ready(self, seconds: float) -> bool:
        """At once, or never."""
        return self.runs

    def call(self, program: str, arguments: tuple[str, ...], stdin: bytes) -> Done:
        """Play the program that is there."""
        self.calls.append((program, *arguments))
        assert json.loads(stdin)["digest"] == arguments[3]
        if not os.access(f"{self.root}{program}", os.X_OK):
            raise HostError(f"{program}: not there")
        if not (self.root / "var/log/nodeseal").exists():
            _MKDIR(self.root / "var/log/nodeseal")
        (self.root / "var/log/nodeseal/spool.jsonl").write_text("{}\n")
        if "nodeseal-canary" in arguments[1]:
            nonce = arguments[1].rpartition(":")[2]
            return Done(0 if self.allows_canary else 10, f"deny NS-1001 rule=canary: x: {nonce}\n".encode(), b"")
        return Done(10 if self.refuses_pause else 0, b"deny NS-2001\n" if self.refuses_pause else b"", b"")

    def prove(self, known: Known) -> Proof:
        """What a canary would prove."""
        node = planning.node(self._loaded.facts)
        folder = HostFiles(str(self.root)).folder(str(node.effective.bin_dir.value))
        judged = bindir.judge(folder, 10)
        if self.never_asks or triggers.find(node.effective) or not bindir.ours(judged):
            return Proof(State.BYPASSED, Reason.NOT_CALLED, "fetched without asking")
        return Proof(State.ENFORCING, Reason.ENFORCING, "asked 00-nodeseal")

    def now(self) -> float:
        """As it was told."""
        return self.clock

    def started(self) -> float:
        """When it was restarted last."""
        return self._started


class Host(NamedTuple):
    """A host, and how it is installed on."""

    root: pathlib.Path
    world: World
    source: pathlib.Path

    def asked(self, **changes: object) -> Asked:
        """What is installed."""
        return Asked(str(self.source), "0.1.0", node_name="node-1")._replace(**changes)  # type: ignore[arg-type]

    def install(self, **changes: object) -> Outcome:
        """Install."""
        return Installer(Journal(HostFiles(str(self.root))), self.world, self.asked(**changes), lambda line: None).run()

    def uninstall(self, *, may_restart: bool = True, keep_state: bool = False) -> Removed:
        """Uninstall."""
        uninstaller = Uninstaller(Journal(HostFiles(str(self.root))), self.world, lambda line: None)
        return uninstaller.run(may_restart=may_restart, keep_state=keep_state)

    def foreseen(self, *, may_restart: bool = True, keep_state: bool = False) -> Foreseen:
        """What an uninstallation would do."""
        uninstaller = Uninstaller(Journal(HostFiles(str(self.root))), self.world, lambda line: None)
        return uninstaller.foreseen(may_restart=may_restart, keep_state=keep_state)

    def tree(self) -> dict[str, tuple[object, ...]]:
        """All that is there."""
        return tree(self.root, COMPARED_NOT)

    def read(self, path: str) -> str:
        """A file's text."""
        return (self.root / path.lstrip("/")).read_text()

    def write(self, path: str, text: str) -> None:
        """Write a file, as a person would."""
        (self.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path.lstrip("/")).write_text(text)


def make_host(folder: pathlib.Path, name: str = "debian") -> Host:
    """A host of a distribution, below `folder`."""
    sample, root, source = BY_FOLDER[name], folder / "host", folder / "built"
    shutil.copytree(FIXTURES / sample.folder, root)
    for each in root.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    root.chmod(0o755)
    for path in ("run", "var/lib", "proc"):
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "proc/version").touch()
    for path, text in MEMBERS.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    (source / "_internal/link").symlink_to("base.zip")
    (source / "nodeseal").chmod(0o755)
    program = root / sample.containerd[1:]
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho containerd example.com/containerd/v2 v{sample.version}\n")
    program.chmod(0o755)
    return Host(root, World(root, sample), source)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, at: int = 0, how: str = "") -> Iterator[list[str]]:
    """Every change of the disk, by name; the `at`th does not happen: "error" or "kill"."""
    changes: list[str] = []

    def wrapped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def change(*words: object, **more: object) -> object:
            changes.append(name)
            if len(changes) == at:
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(28, "No space left on device")
            return real(*words, **more)

        return change

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        for name in ("rename", "mkdir", "symlink", "unlink", "rmdir"):
            patched.setattr(os, name, wrapped(name, getattr(os, name)))
        yield changes


def killed(action: Callable[[], object]) -> bool:
    """Do something in a process of its own; whether it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - this process must not come back
            os._exit(1)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])

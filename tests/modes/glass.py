"""A node with break-glass: the commands through the command line, and pulls through containerd's door."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent import cli
from agent.adapters.nodestate import BREAK_GLASS
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.descriptor import Descriptor
from agent.model.record import Record
from agent.modes.config import load_for_person
from agent.rules.ruleset import Denied
from tests.commands import Said
from tests.frozen.program import descriptor, plugin_words
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator


class Glass:
    """`nodeseal break-glass` under one root."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What it prints is read from `capsys`."""
        self.root = root
        self.file = root / BREAK_GLASS
        self._capsys = capsys

    def __call__(self, *words: object) -> Said:
        """Run one of its commands."""
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "break-glass", *map(str, words), "--root", str(self.root)])
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, *self._capsys.readouterr())

    def on(self, pattern: str, length: str = "2h", reason: str = "INC-4711") -> str:
        """Switch it on; its id."""
        told = self("on", "--for", length, "--image", pattern, "--reason", reason)
        assert (told.code, told.err) == (0, "")
        return told.out.split()[1]

    def listed(self, *words: str) -> dict[str, Any]:
        """What it lists, for programs."""
        told = self("list", "--format", "json", *words)
        assert told.code == 0
        found: dict[str, Any] = json.loads(told.out)
        return found

    def tell(self, entry: str, *images: str, times: int = 1) -> None:
        """Have pulls in the spool that `entry` let pass."""
        now = datetime.now(timezone.utc)
        answer = Answer(Exit.ALLOW, Code.BREAK_GLASS, "-", "x", 3, Ground.BREAK_GLASS, entry=entry)
        for image in images * times:
            Spool(str(self.root)).append(Record.of(answer, now=now, door="plugin", image=image, name=image))


class Node(NamedTuple):
    """A root with the program in it and an enforced rule in force, and a registry with images, signed and unsigned."""

    root: Path
    registry: RegistrySimulator
    images: dict[str, Descriptor]

    @property
    def pattern(self) -> str:
        """All images of the registry but those elsewhere."""
        return f"{self.registry.host}/team/**"

    def image(self, name: str) -> str:
        """Repository and digest of an image."""
        return f"{self.registry.host}/{name}@{self.images[name].digest}"

    def pull(self, name: str, *, before: str = "") -> tuple[int, str]:
        """Pull an image as containerd does; `before` is Python that is run first in its process.

        It has more time than a pull: starting Python takes long on a full machine.
        """
        subject, program = self.images[name], self.root / "opt" / "nodeseal" / "1" / "nodeseal"
        script = (
            f"import sys\nfrom agent.modes import place, plugin\nplugin.DEADLINE = 60.0\n{before}\n"
            f"place.running_program = lambda: {str(program)!r}\nplugin.run(sys.argv, {{}}, frozen=True)\n"
        )
        words = plugin_words(f"{self.registry.host}/{name}:1", str(subject.digest))
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            input=descriptor(str(subject.digest), subject.size),
            capture_output=True,
            timeout=90,
            check=False,
        )
        assert done.stderr == b""
        return done.returncode, done.stdout.decode()


@contextmanager
def node_under(root: Path) -> Iterator[Node]:
    """A node; `team/denied` is on the deny list of its configuration."""
    program = root / "opt" / "nodeseal" / "1" / "nodeseal"
    (program.parent / "_internal").mkdir(parents=True)
    program.touch()
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        names = ("team/signed", "team/unsigned", "team/denied", "elsewhere/unsigned")
        images = {name: registry.push_image(name, "1", salt=name) for name in names}
        attach_signature(registry, "team/signed", images["team/signed"], envelope(trusted, images["team/signed"]))
        config = load_for_person(str(write_config(root / "config", trusted.root_pem)), "/")
        denied = Denied(f"{registry.host}/team/denied")
        SnapshotStore(str(root)).publish(config._replace(ruleset=config.ruleset._replace(deny=(denied,))))
        yield Node(root, registry, images)

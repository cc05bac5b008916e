"""A node that has keys and trusted roots fetched, and the commands that do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import cli
from agent.adapters.nodestate import BOOTSTRAP

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node that lets what is fetched come from itself."""
    bootstrap = tmp_path / BOOTSTRAP
    bootstrap.parent.mkdir(parents=True)
    bootstrap.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "floor": {"localKeys": True}}))
    return tmp_path


@pytest.fixture
def command(root: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the node: its exit code, and all that it said."""

    def call(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", *words, "--root", str(root)])
        out = capsys.readouterr()
        return int(str(ended.value.code)), out.out + out.err

    return call

"""Configurations that are signed, and the commands that put them in force."""

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.adapters.nodestate import BOOTSTRAP
from agent.adapters.snapshots import SnapshotStore
from agent.config import bootstrap, dialectschema
from tests.commands import Said
from tests.config.support import GOOD
from tests.signing import key, usual_signer
from tests.trust.test_signedconfiguration import public, signed

OURS, OLD_KEY, STRANGER = key("P-256", 21), key("Ed25519", 22), key("P-256", 23)


def run(*words: str) -> Said:
    """Run the program in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as caught:
        cli.main(["nodeseal", *words])
    return Said(int(str(caught.value.code)), out.getvalue(), err.getvalue())


def ask(root: Path, *keys: str) -> None:
    """Let the node under `root` ask for a signature of one of the keys (PEM)."""
    path = root / BOOTSTRAP
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"apiVersion": bootstrap.API_VERSION, "floor": {"signedBy": keys}}))


def write(folder: Path, serial: int | None, extra: str = "") -> Path:
    """An unsigned configuration; `extra` is the content of one more document, which makes it another one."""
    folder.mkdir(exist_ok=True)
    section = {"apiVersion": dialectschema.API_VERSION} | ({} if serial is None else {"serial": serial})
    (folder / "config.json").write_text(json.dumps(GOOD))
    (folder / "nodeseal.json").write_text(json.dumps({"nodeseal": section}))
    (folder / "ca.crt").write_bytes(usual_signer().root_pem)
    if extra:
        (folder / "notes.txt").write_text(extra)
    return folder


def sign(folder: Path, *keys: Any, content: bytes | None = None) -> Path:
    """Put signatures into the folder, over `content` or what is to be signed."""
    content = content or run("config", "statement", str(folder)).out.encode()
    lines = b"".join(base64.b64encode(signed(each, content=content)) + b"\n" for each in keys)
    (folder / "nodeseal.sig").write_bytes(lines)
    return folder


def apply(folder: Path, root: Path) -> Said:
    """`config apply`."""
    return run("config", "apply", str(folder), "--root", str(root))


def check(folder: Path, root: Path) -> Said:
    """`config check`."""
    return run("config", "check", str(folder), "--root", str(root))


def serial_in_force(root: Path) -> int | None:
    """The serial of the configuration in force."""
    return SnapshotStore(str(root)).load().ruleset.serial


def told(text: str) -> list[str]:
    """The problems in an output."""
    return [line for line in text.splitlines() if line.startswith(("error: ", "WARNING: "))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node that asks for our signature."""
    ask(tmp_path / "node", public(OURS))
    return tmp_path / "node"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with our signature and serial 7."""
    return sign(write(tmp_path / "set", 7), OURS)

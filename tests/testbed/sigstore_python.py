"""The Python package `sigstore`: a second opinion on bundles, in a process of its own.

It is a tool of the tests: what `requirements/oracle.txt` locks lies in a folder of the testbed's cache, and neither the
program nor the environment of the tests has any of it.
"""

import base64
import hashlib
import json
import pathlib
import sys
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests import signing_sigstore as sigstore
from tests.commands import run
from tests.testbed.tools import ToolsMissing, cache_folder, locked, must

REQUIREMENTS = pathlib.Path(__file__).resolve().parents[2] / "requirements" / "oracle.txt"
ACCEPTS, REFUSES, FAILS = "accepts", "refuses", "fails"
"""What it comes to: a bundle is accepted, refused, or makes it fail with an error that it has no name for."""

_SCRIPT = pathlib.Path(__file__).with_name("sigstore_opinion.py")
_SECONDS = 120.0


class Question(NamedTuple):
    """A bundle, its instance's trusted root, what a message's signature is about, and who is to have signed."""

    bundle: dict[str, Any]
    root: dict[str, Any]
    artifact: bytes = b""
    subject: str = sigstore.SUBJECT
    issuer: str = sigstore.ISSUER


class Opinion(NamedTuple):
    """`ACCEPTS`, `REFUSES` or `FAILS`, and why."""

    word: str
    reason: str


def packages() -> pathlib.Path:
    """The folder with the package and all that it needs, from the cache or the index.  Raises `ToolsMissing`."""
    content = REQUIREMENTS.read_bytes() + sys.version.encode()
    folder = cache_folder().parent / "sigstore-python" / hashlib.sha256(content).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / "lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
                target = pathlib.Path(unfinished) / "packages"
                words = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
                command = [sys.executable, "-m", "pip", "install", *words, "--target", str(target)]
                must([*command, "-r", str(REQUIREMENTS)], pathlib.Path(unfinished))
                target.rename(folder)
    return folder


def ask(questions: Iterable[tuple[str, Question]]) -> tuple[str, dict[str, Opinion]]:
    """Its version, and its opinion of each by name.  Raises `ToolsMissing`."""
    cases = [
        {
            "name": name,
            "bundle": json.dumps(each.bundle),
            "root": json.dumps(each.root),
            "subject": each.subject,
            "issuer": each.issuer,
            "artifact": base64.b64encode(each.artifact).decode(),
        }
        for name, each in questions
    ]
    # Nothing of the tests' own environment: not its packages, not this folder.  What would ask the world fails.
    command = [sys.executable, "-I", "-S", str(_SCRIPT), str(packages())]
    sealed = {"HTTPS_PROXY": "http://127.0.0.1:1"}
    done = run(command, stdin=json.dumps(cases).encode(), environment=sealed, seconds=_SECONDS)
    if done.code != 0:
        raise ToolsMissing(f"{_SCRIPT.name}: {done.code}: {done.err[-400:]}")
    said = json.loads(done.out)
    return said["version"], {name: Opinion(*each) for name, each in said["opinions"].items()}

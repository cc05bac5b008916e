"""Other versions of the program: this checkout's sources with numbers stepped, frozen like any other build.

There is no release before this one.  So what a next release would be stands in for it, and this one is its
predecessor:

- `NEXT`: another version number, and another way of judging (`GROUND_VERSION`); all forms are the same.
- `STEPPED`: every form on disk and on the socket is another one too, as if all of them had changed at once.  As is
  promised, it reads what this version wrote wherever a node would otherwise lose something.

`python -m tests.testbed.versions` builds both, half a minute each, into the user's cache.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from agent import __version__
from tests.testbed import tools

NEXT, STEPPED = "next", "stepped"
VERSION = "0.2.0"
"""The other's version number."""

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PARTS = ("agent", "build", "requirements", "LICENSE", "pyproject.toml")
_BOTH = "(FORMAT_VERSION, FORMAT_VERSION - 1)"

Edits = Mapping[str, Sequence[tuple[str, str]]]
"""By file: what is replaced by what.  Each text must be there exactly once."""

_NUMBER: Edits = {
    "agent/__init__.py": [(f'__version__ = "{__version__}"', f'__version__ = "{VERSION}"')],
    "agent/fastpath.py": [(f'PROTOCOL, PROGRAM = 1, "{__version__}"', f'PROTOCOL, PROGRAM = 1, "{VERSION}"')],
}
_FORMS: Edits = {
    "agent/__init__.py": _NUMBER["agent/__init__.py"],
    "agent/fastpath.py": [
        (f'PROTOCOL, PROGRAM = 1, "{__version__}"', f'PROTOCOL, PROGRAM = 2, "{VERSION}"'),
        ('b"nodeseal-answer 1"', 'b"nodeseal-answer 2"'),
    ],
    "agent/adapters/answers.py": [('b"nodeseal-answer 1"', 'b"nodeseal-answer 2"')],
    "agent/adapters/folding.py": [('_VERSION = "1"', '_VERSION = "2"')],
    "agent/adapters/ipc.py": [("\nVERSION = 1\n", "\nVERSION = 2\n")],
    "agent/adapters/listing_store.py": [("version=1,", "version=2,")],
    "agent/adapters/revocation_cache.py": [("version=1,", "version=2,")],
    "agent/adapters/throttling.py": [("version=2,", "version=3,")],
    "agent/adapters/token_store.py": [("version=1,", "version=2,")],
    "agent/adapters/verdicts.py": [
        ("\nFORMAT_VERSION = 4\n", "\nFORMAT_VERSION = 5\n"),
        ("\nDOUBTS_VERSION = 3\n", "\nDOUBTS_VERSION = 4\n"),
    ],
    "agent/config/bootstrap.py": [
        ('API_VERSION = "nodeseal.dev/v1alpha1"', 'API_VERSION = "nodeseal.dev/v1alpha2"'),
        ('top.get("apiVersion") != API_VERSION', 'top.get("apiVersion") not in (API_VERSION, "nodeseal.dev/v1alpha1")'),
    ],
    "agent/config/canonical.py": [
        ("\nFORMAT_VERSION = 8\n", "\nFORMAT_VERSION = 9\n"),
        ("\nGROUND_VERSION = 3\n", "\nGROUND_VERSION = 4\n"),
        ("version != FORMAT_VERSION or", f"version not in {_BOTH} or"),
    ],
    "agent/config/glassform.py": [
        ("\nFORMAT_VERSION = 1\n", "\nFORMAT_VERSION = 2\n"),
        ('top["formatVersion"] != FORMAT_VERSION', f'top["formatVersion"] not in {_BOTH}'),
    ],
    "agent/config/inforce.py": [
        ("\nFORMAT_VERSION = 1\n", "\nFORMAT_VERSION = 2\n"),
        ('top["formatVersion"] != FORMAT_VERSION', f'top["formatVersion"] not in {_BOTH}'),
    ],
    "agent/config/momentform.py": [("\nFORMAT_VERSION = 1\n", "\nFORMAT_VERSION = 2\n")],
    "agent/config/rulesetform.py": [
        ("\nCOPY_VERSION = 4\n", "\nCOPY_VERSION = 5\n"),
        ("version != COPY_VERSION or", "version not in (COPY_VERSION, COPY_VERSION - 1) or"),
    ],
    "agent/config/serialform.py": [
        ("\nFORMAT_VERSION = 1\n", "\nFORMAT_VERSION = 2\n"),
        ("if version == FORMAT_VERSION and", f"if version in {_BOTH} and"),
    ],
    "agent/wiring/manifest.py": [
        ('SCHEMA_VERSION = "1"', 'SCHEMA_VERSION = "2"'),
    ],
}
_GROUND: Edits = {"agent/config/canonical.py": [("\nGROUND_VERSION = 3\n", "\nGROUND_VERSION = 4\n")]}
_EDITS: Mapping[str, Edits] = {NEXT: {**_NUMBER, **_GROUND}, STEPPED: _FORMS}


def built(name: str) -> pathlib.Path:
    """The folder of such a program, from the cache or built.  Raises `tools.ToolsMissing`."""
    cache = tools.cache_folder() / "versions"
    cache.mkdir(parents=True, exist_ok=True)
    with tools.locked(cache / f"{name}.lock"), tempfile.TemporaryDirectory(dir=cache) as folder:
        sources = pathlib.Path(folder) / "sources"
        _stepped(sources, _EDITS[name])
        target = cache / f"{name}-{_identity(sources)}"
        if not target.is_dir():
            for old in cache.glob(f"{name}-*"):
                shutil.rmtree(old)
            print(f"testbed: freezing the version {name!r} (half a minute) ...", flush=True)
            command = [sys.executable, str(sources / "build/freeze.py"), str(sources / "out")]
            done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise tools.ToolsMissing(f"freezing: {(done.stdout + done.stderr).strip()[-400:]}")
            (sources / "out/nodeseal").rename(target)
        return target


def _stepped(into: pathlib.Path, edits: Edits) -> None:
    """A copy of the sources, edited."""
    for part in _PARTS:
        source = _ROOT / part
        if source.is_dir():
            shutil.copytree(source, into / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, into / part)
    for name, replaced in edits.items():
        text = (into / name).read_text()
        for old, new in replaced:
            if text.count(old) != 1:
                raise AssertionError(f"{name}: got {text.count(old)} times {old!r}; expected one: step it here too")
            text = text.replace(old, new)
        (into / name).write_text(text)


def _identity(sources: pathlib.Path) -> str:
    """What tells these sources, and the interpreter that freezes them, from others."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(sources.rglob("*")):
        if path.is_file():
            digest.update(f"{os.path.relpath(path, sources)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    for each in _EDITS:
        print(built(each))

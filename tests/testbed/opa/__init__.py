"""A real OPA, built from Debian's packages of its source: the second opinion on what a policy means.

OPA is packaged as a library alone, so a few lines of Go (`main.go`) make a program of it.  Fetched and built once, in
some minutes, into the user's cache.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from typing import cast

from tests.testbed import tools

_SOURCE = pathlib.Path(__file__).with_name("main.go")
_PACKAGES = ("golang-github-open-policy-agent-opa-dev", "golang-go")

Answer = Mapping[str, object]
"""`{"value": ...}`, `{"undefined": True}` or `{"error": "..."}`."""


def program() -> pathlib.Path:
    """The program, from the cache or built.  Raises `tools.ToolsMissing`."""
    cache = tools.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    built = cache / f"opa-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}"
    with tools.locked(cache / "opa.lock"):
        if not built.is_file():
            print(
                "testbed: fetching and building OPA (about 350 MB while it builds, some minutes, once) ...", flush=True
            )
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _build(pathlib.Path(folder), built)
    return built


def _build(folder: pathlib.Path, target: pathlib.Path) -> None:
    root = folder / "root"
    tools.download(folder, tools.SUITE, _PACKAGES, root, with_dependencies="golang-")
    goroot = folder / "goroot"
    # Debian keeps the parts in two places and links them to each other by absolute paths.
    for base in sorted((root / "usr").glob("share/go-*")) + sorted((root / "usr").glob("lib/go-*")):
        shutil.copytree(base, goroot, dirs_exist_ok=True, symlinks=False, ignore=tools.links)
    own = root / "usr" / "share" / "gocode" / "src" / "opaeval"
    own.mkdir(parents=True)
    shutil.copy(_SOURCE, own)
    environment = {
        "PATH": f"{goroot}/bin:{os.environ['PATH']}",
        "HOME": str(folder),
        "GOROOT": str(goroot),
        "GOPATH": f"{root}/usr/share/gocode",
        "GOCACHE": str(folder / "cache"),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
    }
    command = ["nice", "go", "build", "-o", str(folder / "opa"), "opaeval"]
    done = subprocess.run(command, cwd=own, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise tools.ToolsMissing(f"go build: {done.stderr.strip()[-400:]}")
    (folder / "opa").rename(target)


def ask(questions: Iterable[Mapping[str, object]]) -> list[Answer]:
    """OPA's answers, in the questions' order.

    A question has `policy`, `query` and `input`.  It is asked in version 0 of the language and, where that can't read
    the policy, in version 1.
    """
    asked = list(questions)
    old, new = (_ask([{**each, "v0": v0} for each in asked]) for v0 in (True, False))
    return [b if "parse_error" in str(a.get("error")) else a for a, b in zip(old, new, strict=True)]


def _ask(questions: list[Mapping[str, object]]) -> list[Answer]:
    lines = "\n".join(map(json.dumps, questions))
    done = subprocess.run([program()], input=lines, capture_output=True, text=True, check=True)
    return [cast("Answer", json.loads(line)) for line in done.stdout.splitlines()]

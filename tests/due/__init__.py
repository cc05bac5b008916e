"""Which of the slow tests (tests/full) are due on this machine.

A group is not repeated where it passed within a day with the very same inputs: what is under version control at its
paths, as it lies there.  Its stamp is kept beside the real tools, so a machine that has nothing runs them all.  The day
is for what no path names: the system, the tools, the package index.
"""

import hashlib
import pathlib
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

DAY = 24 * 3600.0
"""Seconds for which a pass counts."""

_ALWAYS = (
    ".ci", "Makefile", "requirements", "pyproject.toml", "tests/conftest.py", "tests/plugins", "tests/testbed",
    "tests/full/conftest.py",
)  # fmt: skip
_PROGRAM = ("build", "agent", "tests/*.py", "tests/simulators", "tests/frozen")


class Group(NamedTuple):
    """Files of tests/full, without `test_` and `.py`, and the paths that decide what comes of them."""

    files: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, as one tells pytest."""
        return tuple(f"tests/full/test_{name}.py" for name in self.files)


GROUPS: Mapping[str, Group] = {
    "opa": Group(("opa",), ("agent/rego", "tests/rego")),
    # Whatever the agent does: what it is built of decides, and how.
    "building": Group(
        ("building", "locked_wheels", "newcomer", "portable"),
        ("build", "container", "LICENSE", "agent/__init__.py", "agent/fastpath.py", "tests/demo"),
    ),
    "cluster": Group(
        ("kube", "kube_optional", "permissions", "prometheus", "soak_cluster"),
        (*_PROGRAM, "daemonset.yaml", "docs", "tests/adapters", "tests/cluster", "tests/docs", "tests/soak"),
    ),
    "pods": Group(("daemonset", "daemonset_install"), (*_PROGRAM, "daemonset.yaml", "docs/manifests", "container")),
    "hosts": Group(
        ("reconcile", "soak_installs", "unit", "upgrade", "versions"), (*_PROGRAM, "tests/wiring", "tests/soak")
    ),
}
"""Every file is in one of them."""


def digest(root: pathlib.Path, group: Group) -> str:
    """What a group's inputs are: content and mode of each file there, whether it was committed or not."""
    paths = [*_ALWAYS, *group.inputs, *group.paths]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    found = hashlib.sha256()
    for name in sorted({each for each in listed.split(b"\0") if each}):
        path = root / name.decode()
        mode, content = (path.stat().st_mode, path.read_bytes()) if path.is_file() else (0, b"")
        found.update(b"%s\0%o\0%d\0%s" % (name, mode, len(content), content))
    return found.hexdigest()


def passed(stamps: pathlib.Path, name: str, inputs: str, now: float) -> bool:
    """Whether a group passed within a day, by `now` in seconds since 1970, with these inputs."""
    path = stamps / name
    try:
        return path.read_text() == inputs and 0 <= now - path.stat().st_mtime < DAY
    except OSError:
        return False


def note(stamps: pathlib.Path, name: str, inputs: str) -> None:
    """Note that a group has passed now."""
    stamps.mkdir(parents=True, exist_ok=True)
    (stamps / name).write_text(inputs)

"""Installations that are killed, or fail, at any change of the disk: the next one completes or undoes them."""

import json
import pathlib
import shutil
from collections.abc import Callable

import pytest

from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError
from agent.wiring import bindir
from agent.wiring.bindir import Kind
from tests.modes.hosts import VERIFIERS, Host, counted, killed
from tests.modes.test_installing import ELSEWHERE, _no_disk, folder, host

__all__ = ["_no_disk", "folder", "host"]


def copies(host: Host, folder: pathlib.Path, at: int) -> Host:
    """The same host once more."""
    root = folder / f"copy-{at}"
    shutil.copytree(host.root, root, symlinks=True)
    world = type(host.world)(root, host.world.sample)
    return host._replace(root=root, world=world)


def changes_of(host: Host, monkeypatch: pytest.MonkeyPatch, action: Callable[[Host], object]) -> int:
    """How often an action changes the disk."""
    with counted(monkeypatch) as changes:
        action(host)
    return len(changes)


def install(host: Host) -> object:
    """With every kind of change: edit, drop-in, restart."""
    return host.install(bin_dir=ELSEWHERE)


def uninstall(host: Host) -> object:
    return host.uninstall()


def blocked(host: Host) -> list[str]:
    """Entries of verifier folders that containerd can't run: with one of them every pull is refused."""
    seen = [HostFiles(str(host.root)).folder(folder) for folder in (f"/{VERIFIERS}", ELSEWHERE)]
    judged = [each for folder in seen if folder.kind is Kind.FOLDER for each in bindir.judge(folder, -1)]
    return [each.entry.name for each in judged if each.role is bindir.Role.STRAY]


HOW = pytest.mark.parametrize("how", [pytest.param("kill", marks=pytest.mark.unmeasured), "error"])


@HOW
def test_installation_that_ends_at_any_step_is_completed_or_undone_by_the_next(
    host: Host, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    before = host.tree()
    reference = copies(host, folder, 0)
    steps = changes_of(reference, monkeypatch, install)
    complete = reference.tree()
    assert steps > 50
    for at in range(1, steps + 1):
        one = copies(host, folder, at)
        with counted(monkeypatch, at, how):
            if how == "kill":
                assert killed(lambda one=one: install(one))  # type: ignore[misc]
            else:
                with pytest.raises(HostError):
                    install(one)
                assert one.tree() == before, at
        assert blocked(one) == [], at
        other = copies(one, folder, 100_000 + at) if at % 3 == 0 else None
        with counted(monkeypatch):
            one.world.clock += 7200
            (one.root / "run/nodeseal/install.json").unlink(missing_ok=True)  # as after a boot
            install(one)
            assert settled(one.tree()) == settled(complete), at
            one.uninstall()
            assert one.tree() == before, at
            if other:
                other.uninstall()
                assert other.tree() == before, at
                shutil.rmtree(other.root)
        shutil.rmtree(one.root)


def settled(tree: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """A tree without the order of what is recorded."""
    path = "var/lib/nodeseal/install/manifest.json"
    *_, content = tree[path]
    value = json.loads(content)  # type: ignore[arg-type]
    value["entries"] = sorted(value["entries"], key=lambda entry: str(entry["path"]))
    return {**tree, path: (json.dumps(value),)}


@HOW
def test_uninstallation_that_ends_at_any_step_is_completed_by_the_next(
    host: Host, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    before = host.tree()
    install(host)
    steps = changes_of(copies(host, folder, 0), monkeypatch, uninstall)
    for at in range(1, steps + 1):
        one = copies(host, folder, at)
        with counted(monkeypatch, at, how):
            if how == "kill":
                assert killed(lambda one=one: uninstall(one))  # type: ignore[misc]
            else:
                with pytest.raises(HostError):
                    uninstall(one)
        assert blocked(one) == [], at
        other = copies(one, folder, 100_000 + at) if at % 3 == 0 else None
        with counted(monkeypatch):
            one.uninstall()
            assert one.tree() == before, at
            if other:
                other.world.clock += 7200
                install(other)
                other.uninstall()
                assert other.tree() == before, at
                shutil.rmtree(other.root)
        shutil.rmtree(one.root)


def test_what_would_block_pulls_is_seen(host: Host) -> None:
    """Or the tests above would see nothing."""
    install(host)
    assert blocked(host) == []
    current = host.root / "opt/nodeseal/current"
    target = current.readlink()
    current.unlink()
    assert blocked(host) == ["00-nodeseal"]
    current.symlink_to(target)
    (host.root / "opt/nodeseal/0.1.0/nodeseal").chmod(0o644)
    assert blocked(host) == ["00-nodeseal"]

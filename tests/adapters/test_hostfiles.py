"""Writing below a host's root: whole or not at all, never out of it, and nothing in the way afterwards."""

import errno
import os
import pathlib
import shutil
import subprocess

import pytest

from agent.adapters import programs
from agent.adapters.hostfiles import NOTHING, HostFiles, Kind, unfinished
from agent.errors import HostError
from agent.wiring.loading import matches


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A host's root, with something outside of it."""
    (tmp_path / "host/etc").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("not ours")
    return tmp_path / "host"


@pytest.fixture
def host(root: pathlib.Path) -> HostFiles:
    """The host."""
    return HostFiles(str(root))


def test_file_is_replaced_whole_with_the_mode_that_is_asked_for(host: HostFiles, root: pathlib.Path) -> None:
    umask = os.umask(0o077)
    try:
        host.write("/etc/a", b"one", 0o644)
    finally:
        os.umask(umask)
    assert (root / "etc/a").stat().st_mode & 0o7777 == 0o644
    (root / f"etc/{unfinished('a')}").write_text("half of it")  # what a killed process left
    host.write("/etc/a", b"two", 0o600)
    assert host.read_bounded("/etc/a", 10) == b"two"
    assert host.read_bounded("/etc/a", 1) == b"tw"
    assert os.listdir(root / "etc") == ["a"]
    (root / "etc/a").chmod(0o640)
    host.write("/etc/a", b"three", 0o600, like=host.stands("/etc/a"))
    assert (root / "etc/a").stat().st_mode & 0o7777 == 0o640


def test_links_out_of_the_root_stay_within_it(host: HostFiles, root: pathlib.Path) -> None:
    outside = root.parent / "outside"
    for name, target in (("absolute", str(outside)), ("relative", "../../outside")):
        (root / "etc" / name).symlink_to(target)
        for action in (
            lambda name=name: host.write(f"/etc/{name}/secret", b"x", 0o600),
            lambda name=name: host.make_folder(f"/etc/{name}/folder", 0o755),
            lambda name=name: host.link(f"/etc/{name}/link", "x"),
            lambda name=name: host.rename("/etc/absolute", f"/etc/{name}/x"),
        ):
            with pytest.raises(HostError):
                action()
        host.remove(f"/etc/{name}/secret")
        assert host.remove_folder(f"/etc/{name}/folder")
        assert host.read_bounded(f"/etc/{name}/secret", 10) is None
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"secret": "not ours"}


def test_link_at_the_end_is_replaced_and_not_followed(host: HostFiles, root: pathlib.Path) -> None:
    (root / "etc/target").write_text("stays")
    (root / "etc/a").symlink_to("target")
    with pytest.raises(HostError, match="expected to read it"):
        host.read_bounded("/etc/a", 10)
    host.write("/etc/a", b"x", 0o600)
    assert (root / "etc/target").read_text() == "stays"
    assert not (root / "etc/a").is_symlink()


def test_what_others_could_change_is_not_written_to(host: HostFiles, root: pathlib.Path) -> None:
    (root / "etc").chmod(0o777)
    for action in (
        lambda: host.write("/etc/a", b"x", 0o600),
        lambda: host.make_folder("/etc/b", 0o755),
        lambda: host.link("/etc/c", "x"),
    ):
        with pytest.raises(HostError, match="others can change"):
            action()
    with pytest.raises(HostError, match="others can change"), host.opened_folder("/etc"):
        pass
    assert os.listdir(root / "etc") == []


def test_link_is_made_elsewhere_and_renamed_in(
    host: HostFiles, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "etc/verifiers").mkdir()
    seen = []
    real = os.symlink

    def watched(target: str, name: str, *, dir_fd: int) -> None:
        seen.append(os.path.realpath(f"/proc/self/fd/{dir_fd}"))
        real(target, name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "symlink", watched)
    host.link("/etc/verifiers/00-x", "/one", by_way_of="/etc")
    host.link("/etc/verifiers/00-x", "/two", by_way_of="/etc")
    assert seen == [str(root / "etc")] * 2
    assert host.stands("/etc/verifiers/00-x").target == "/two"

    def across(*words: object, **more: object) -> None:
        raise OSError(errno.EXDEV, "other file system")

    monkeypatch.setattr(os, "rename", across)
    host.link("/etc/verifiers/01-y", "/three", by_way_of="/etc")
    assert sorted(os.listdir(root / "etc/verifiers")) == ["00-x", "01-y"]
    assert os.listdir(root / "etc") == ["verifiers"]


def test_what_stands_there_is_told(host: HostFiles, root: pathlib.Path) -> None:
    (root / "etc/link").symlink_to("nowhere")
    os.mkfifo(root / "etc/fifo")
    kinds = {name: host.stands(f"/etc/{name}").kind for name in ("link", "fifo", "x", "link/x")}
    assert kinds == {"link": Kind.LINK, "fifo": Kind.OTHER, "x": Kind.NOTHING, "link/x": Kind.NOTHING}
    assert host.stands("/etc/x") == NOTHING
    assert host.stands("/etc").kind is Kind.FOLDER
    assert host.real("/etc/link") == "/etc/link"
    assert host.missing_folders("/a/b/c") == ("/a", "/a/b", "/a/b/c")
    with pytest.raises(HostError, match="no regular file"):
        host.read_bounded("/etc/fifo", 10)
    with pytest.raises(HostError, match="expected a folder"):
        host.make_folder("/etc/fifo", 0o755)
    with pytest.raises(HostError, match="expected a folder"), host.opened_folder("/etc/fifo"):
        pass
    with pytest.raises(HostError, match="got no name"):
        host.write("/etc/", b"", 0o600)
    (root / "etc/folder").mkdir()
    (root / "etc/folder/x").touch()
    assert not host.remove_folder("/etc/folder")
    with pytest.raises(HostError):
        host.remove("/etc/folder")


def test_read_only_file_system_points_to_the_declarative_way(host: HostFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: object, **more: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(HostError, match="Read-only file system") as raised:
        host.write("/etc/a", b"x", 0o600)
    assert "docs/install.md" in raised.value.hint


def test_no_pattern_of_containerds_takes_what_is_unfinished() -> None:
    assert not matches("/etc/k0s/containerd.d/*.toml", f"/etc/k0s/containerd.d/{unfinished('zzz-nodeseal.toml')}")


def test_program_in_use_is_seen(host: HostFiles, root: pathlib.Path) -> None:
    (root / "opt").mkdir()
    (root / "opt/nodeseal").symlink_to("x")
    assert not programs.in_use(host, "/opt")
    (root / "opt/nodeseal").unlink()
    shutil.copy(shutil.which("sleep") or "", root / "opt/nodeseal")
    assert not programs.in_use(host, "/opt")
    with subprocess.Popen([root / "opt/nodeseal", "60"]) as running:
        assert programs.in_use(host, "/opt")
        running.kill()


def test_folder_that_is_no_program_is_refused(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(HostError, match="expected a program's folder"):
        programs.members(str(tmp_path))
    with pytest.raises(HostError, match="expected a program's folder"):
        programs.header(str(tmp_path))
    with pytest.raises(HostError, match="expected a program's folder"):
        programs.members(str(tmp_path / "nowhere"))

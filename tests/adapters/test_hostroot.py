"""A host that is mounted somewhere: nothing in it leads out of it, and what others could change is told."""

import os
import pathlib
import socket

import pytest

from agent.adapters.hostroot import HostRoot
from agent.errors import HostError
from agent.wiring import tables
from agent.wiring.bindir import Kind, Role, judge

OUTSIDE = "outside"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A host's root, beside a file that is not the host's."""
    (tmp_path / "secret").write_text(OUTSIDE)
    host = tmp_path / "host"
    (host / "etc/containerd").mkdir(parents=True)
    (host / "etc/containerd/config.toml").write_text("version = 3\n")
    return host


@pytest.mark.parametrize(
    "target",
    ["../secret", "../../../../../../secret", "/../secret", "/secret", "../../secret/", "/etc/../../secret"],
)
def test_no_link_leads_out_of_the_root(root: pathlib.Path, target: str) -> None:
    (root / "etc/link").symlink_to(target)
    (root / "etc/folder").symlink_to(os.path.dirname(target) or "/")
    source = HostRoot(str(root))
    assert source.read("/etc/link") is None
    assert source.read("/etc/folder/secret") is None
    assert source.read("/../secret") is None
    (root / "secret").write_text("inside")
    if source.exists("/etc/link"):
        assert source.read("/etc/link") == b"inside"


def test_links_count_within_the_root(root: pathlib.Path) -> None:
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/real.toml").write_text("x")
    (root / "etc/containerd/a.toml").symlink_to("/usr/share/real.toml")
    (root / "etc/containerd/b.toml").symlink_to("../../usr/share/real.toml")
    (root / "etc/containerd/gone.toml").symlink_to("/nowhere")
    source = HostRoot(str(root))
    assert source.read("/etc/containerd/a.toml") == source.read("/etc/containerd/b.toml") == b"x"
    assert source.glob("/etc/containerd/*.toml") == [
        f"/etc/containerd/{name}" for name in ("a.toml", "b.toml", "config.toml")
    ]
    assert source.glob("/etc/*/config.toml") == ["/etc/containerd/config.toml"]
    with source.reached("/etc/containerd/a.toml") as reached:
        assert reached.path == "/usr/share/real.toml"


def test_loops_and_what_is_no_file_are_refused_without_waiting(root: pathlib.Path) -> None:
    (root / "etc/loop").symlink_to("loop")
    os.mkfifo(root / "etc/pipe")
    source = HostRoot(str(root))
    for path in ("/etc/loop", "/etc/pipe", "/etc"):
        with pytest.raises(HostError, match=f"{path}: got "):
            source.read(path)
    assert source.read("/etc/containerd/config.toml/x") is None
    with pytest.raises(HostError):
        source.read("/etc/\0")


def test_large_file_is_read_to_the_bound(root: pathlib.Path) -> None:
    with (root / "etc/large").open("wb") as file:
        file.truncate(100 * tables.MAX_SIZE)
    content = HostRoot(str(root)).read("/etc/large")
    assert content is not None
    assert len(content) == tables.MAX_SIZE + 1


def test_entries_of_the_verifier_folder_are_told_with_what_they_lead_to(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / "opt/bin"
    program = root / "opt/nodeseal/0.1.0/nodeseal"
    folder.mkdir(parents=True)
    program.parent.mkdir(parents=True)
    program.write_text("x")
    program.chmod(0o755)
    (root / "opt/nodeseal/current").symlink_to("0.1.0")
    (folder / "00-nodeseal").symlink_to("/opt/nodeseal/current/nodeseal")
    (folder / "10-gone").symlink_to("/nowhere/verifier")
    (folder / "20-folder").mkdir()
    (folder / "30-text").write_text("x")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(folder)
        listening.bind("40-socket")
    found = HostRoot(str(root)).folder("/opt/bin")
    assert [(each.name, each.kind, each.target, each.link, each.unsafe) for each in found.entries] == [
        ("00-nodeseal", Kind.FILE, "/opt/nodeseal/0.1.0/nodeseal", True, ""),
        ("10-gone", Kind.NOTHING, "/nowhere/verifier", True, ""),
        ("20-folder", Kind.FOLDER, "/opt/bin/20-folder", False, ""),
        ("30-text", Kind.FILE, "/opt/bin/30-text", False, ""),
        ("40-socket", Kind.OTHER, "/opt/bin/40-socket", False, ""),
    ]
    assert [each.role for each in judge(found, 10)] == [Role.OURS] + [Role.STRAY] * 4
    assert HostRoot(str(root)).folder("/nowhere").kind is Kind.NOTHING
    assert HostRoot(str(root)).folder("/opt/bin/30-text").kind is Kind.FILE


@pytest.mark.parametrize("who", ["opt", "opt/nodeseal", "opt/nodeseal/0.1.0", "opt/nodeseal/0.1.0/nodeseal", "opt/bin"])
def test_whatever_others_could_change_on_the_way_is_told(root: pathlib.Path, who: str) -> None:
    folder = root / "opt/bin"
    program = root / "opt/nodeseal/0.1.0/nodeseal"
    folder.mkdir(parents=True)
    program.parent.mkdir(parents=True)
    program.write_text("x")
    program.chmod(0o755)
    (folder / "00-nodeseal").symlink_to("/opt/nodeseal/0.1.0/nodeseal")
    (root / who).chmod(0o777)
    found = HostRoot(str(root)).folder("/opt/bin")
    told = found.unsafe + found.entries[0].unsafe
    assert f"/{who} others may write to (mode 0777)" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_told(root: pathlib.Path) -> None:
    os.chown(root / "etc", 1234, 1234)
    with HostRoot(str(root)).reached("/etc/containerd/config.toml") as reached:
        assert reached.unsafe == "/etc belongs to uid 1234"

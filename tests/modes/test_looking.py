"""What the daemon reads of containerd's configuration, on a host and in a pod that sees little of it."""

import pathlib

import pytest

from agent.adapters import bypass, containerd
from agent.adapters.hostfiles import HostFiles
from agent.modes import proving
from agent.modes.looking import look
from agent.modes.proofs import Looked, unread
from agent.wiring.proof import NOTHING_KNOWN, Known
from tests.modes.test_doctor import write_program
from tests.simulators.cri import CriSimulator
from tests.wiring.test_planning import IN_V3

BIN_DIR = "/opt/containerd/image-verifier/bin"
TRIGGER = "discard_unpacked_layers"


def write(root: pathlib.Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def below(root: pathlib.Path, *paths: str) -> tuple[str, ...]:
    return tuple(f"{root}{path}" for path in paths)


def test_triggers_and_what_to_watch_are_read_of_the_host(tmp_path: pathlib.Path) -> None:
    write_program(tmp_path, "v2.1.9")
    (tmp_path / BIN_DIR[1:]).mkdir(parents=True)
    write(tmp_path, "etc/containerd/config.toml", "version = 3\nimports = ['conf.d/*.toml']\n")
    write(tmp_path, "etc/containerd/conf.d/a.toml", f"version = 3\n{IN_V3[TRIGGER]}")
    conf = "/etc/containerd"
    files = below(tmp_path, f"{conf}/config.toml", BIN_DIR, f"{conf}/conf.d/a.toml", f"{conf}/conf.d")
    assert look(str(tmp_path)) == Looked(Known((TRIGGER,), installed=False), files, str(tmp_path))


def test_program_that_containerd_calls_is_seen_wherever_it_was_placed(tmp_path: pathlib.Path) -> None:
    write_program(tmp_path, "v2.1.9")
    write(tmp_path, "etc/containerd/config.toml", "version = 3\n")
    write(tmp_path, "usr/local/lib/nodeseal/9/nodeseal", "")
    (tmp_path / "usr/local/lib/nodeseal/9/nodeseal").chmod(0o755)
    (tmp_path / "usr/local/lib/nodeseal/current").symlink_to("9")
    (tmp_path / BIN_DIR[1:]).mkdir(parents=True)
    assert look(str(tmp_path)).entry == ""
    (tmp_path / BIN_DIR[1:] / "00-nodeseal").symlink_to("/usr/local/lib/nodeseal/current/nodeseal")
    assert (look(str(tmp_path)).host, look(str(tmp_path)).entry) == (str(tmp_path), f"{BIN_DIR}/00-nodeseal")


def test_version_is_asked_of_the_runtime_where_no_program_tells_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerd, "_process", lambda *_: None)
    where = tmp_path / "run/containerd/containerd.sock"
    where.parent.mkdir(parents=True)
    write(tmp_path, "etc/containerd/config.toml", f"version = 3\n{IN_V3[TRIGGER]}")
    assert look(str(tmp_path)) == unread(str(tmp_path))
    with CriSimulator(where):
        found = look(str(tmp_path))
    assert found.known == Known((TRIGGER,), installed=None), "a folder that is not seen says nothing"


def test_what_a_pod_does_not_see_is_not_known(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd, "_process", lambda *_: None)
    where = tmp_path / "run/containerd/containerd.sock"
    where.parent.mkdir(parents=True)
    with CriSimulator(where):
        assert look(str(tmp_path)).known == NOTHING_KNOWN
        assert look(str(tmp_path)).files == below(tmp_path, "/etc/containerd/config.toml", BIN_DIR)
        (tmp_path / "etc/containerd/config.toml").mkdir(parents=True)
        assert look(str(tmp_path)) == unread(str(tmp_path)), "what can't be read is no error"


def test_what_an_installation_left_stands_for_what_a_pod_does_not_see(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerd, "_process", lambda *_: None)
    where = tmp_path / "run/containerd/containerd.sock"
    where.parent.mkdir(parents=True)
    host = HostFiles(str(tmp_path))
    bypass.note(host, (TRIGGER, "registry.mirrors"))
    assert (tmp_path / bypass.PATH[1:]).stat().st_mode & 0o777 == 0o600
    assert look(str(tmp_path)).known == Known((TRIGGER, "registry.mirrors")), "whatever else is unknown"
    with CriSimulator(where):
        assert look(str(tmp_path)).known == Known((TRIGGER, "registry.mirrors"))
        write(tmp_path, "etc/containerd/config.toml", f"version = 3\n{IN_V3['image_pull_with_sync_fs']}")
        assert look(str(tmp_path)).known.triggers == ("image_pull_with_sync_fs",), "what is seen counts"
    bypass.note(host, ())
    assert not (tmp_path / bypass.PATH[1:]).exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"left": 1}', '{"left": ["x", 1, null]}', "[" * 5000])
def test_damaged_note_explains_nothing(tmp_path: pathlib.Path, content: str) -> None:
    write(tmp_path, bypass.PATH[1:], content)
    assert bypass.read(str(tmp_path)) == ()


def test_configuration_is_where_the_distribution_has_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerd, "_process", lambda *_: None)
    where = tmp_path / "run/k3s/containerd/containerd.sock"
    where.parent.mkdir(parents=True)
    main = "var/lib/rancher/k3s/agent/etc/containerd/config.toml"
    write(tmp_path, main, f"version = 3\n{IN_V3[TRIGGER]}")
    with CriSimulator(where):
        assert proving.cri_socket(str(tmp_path)) == str(where)
        found = look(str(tmp_path))
    assert found.known.triggers == (TRIGGER,)
    assert found.files[0] == str(tmp_path / main)


def test_root_that_is_not_there_says_nothing(tmp_path: pathlib.Path) -> None:
    assert look(str(tmp_path / "gone")) == unread(str(tmp_path / "gone"))

"""Snapshots: whole or not at all, whatever happens while one is published; believed only if they are ours."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from agent.adapters import files, snapshots
from agent.adapters.snapshots import SnapshotStore
from agent.config import canonical
from agent.config.config import Config, VerifierSettings
from agent.errors import Cause, ConfigurationError, HostError, Unavailable
from agent.rules.rule import PolicySettings
from tests.engines import one_rule


def _config(name: str, certificates: int = 2) -> Config:
    ders = [f"{name}-{n}".encode() for n in range(certificates)]
    by_name = {sha256(der).hexdigest(): der for der in ders}
    verifier = VerifierSettings(name, "notation", ("*",), {"certificates": sorted(by_name)})
    config = one_rule(PolicySettings("configpolicy", {}), (verifier,), by_name)._replace(generation="")
    return config._replace(generation=canonical.generation_of(canonical.encode(config)))


OLD, NEW, NEWER = _config("old"), _config("new"), _config("newer")


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(str(tmp_path))


def _folder(store: SnapshotStore, config: Config) -> Path:
    return Path(store.state, "snapshots", config.generation)


def _age(store: SnapshotStore, seconds: float) -> None:
    """Let everything be that much older."""
    for folder in (Path(store.state), Path(store.state, "snapshots")):
        for path in folder.iterdir():
            then = path.lstat().st_mtime - seconds
            os.utime(path, (then, then), follow_symlinks=False)


def _names(store: SnapshotStore) -> set[str]:
    return {path.name for path in Path(store.state, "snapshots").iterdir()}


def test_what_was_published_is_loaded(store: SnapshotStore) -> None:
    assert store.publish(OLD) == OLD.generation
    assert store.load() == OLD


def test_the_last_one_published_is_in_force(store: SnapshotStore) -> None:
    for config in (OLD, NEW, OLD):
        store.publish(config)
    assert store.load() == OLD


def test_nothing_published_is_missing(store: SnapshotStore) -> None:
    with pytest.raises(Unavailable) as caught:
        store.load()
    assert caught.value.cause is Cause.CONFIGURATION_MISSING
    assert "config apply" in caught.value.hint


def test_everything_is_private(store: SnapshotStore) -> None:
    before = os.umask(0)
    try:
        store.publish(OLD)
    finally:
        os.umask(before)
    for folder, _, names in os.walk(store.state):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert all(stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600 for name in names)


def test_publishing_again_writes_nothing_and_repairs_the_link(store: SnapshotStore) -> None:
    store.publish(OLD)
    inode = _folder(store, OLD).stat().st_ino
    Path(store.state, "current").unlink()
    store.publish(OLD)
    assert _folder(store, OLD).stat().st_ino == inode
    assert store.load() == OLD


def test_publishing_again_repairs_a_damaged_snapshot(store: SnapshotStore) -> None:
    store.publish(OLD)
    (_folder(store, OLD) / "snapshot.json").write_bytes(b"{}")
    store.publish(OLD)
    assert store.load() == OLD


def test_a_certificate_under_a_wrong_name_is_never_written(store: SnapshotStore, tmp_path: Path) -> None:
    with pytest.raises(HostError):
        store.publish(OLD._replace(certificates={"../../../../escaped": b"x"}))
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]


@pytest.mark.parametrize(("bound", "value"), [("MAX_CERTIFICATES", 1), ("MAX_CERTIFICATE_SIZE", len(b"new-0") - 1)])
def test_what_could_not_be_loaded_is_not_published(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    store.publish(OLD)
    monkeypatch.setattr(snapshots, bound, value)
    with pytest.raises(HostError):
        store.publish(NEW)
    monkeypatch.undo()
    assert store.load() == OLD
    assert _names(store) == {OLD.generation}


def test_whoever_is_to_admit_a_configuration_is_asked_before_it_is_in_force(store: SnapshotStore) -> None:
    store.publish(OLD)
    in_force: list[Config] = []
    store.publish(NEW, admit=lambda: in_force.append(store.load()))
    assert in_force == [OLD]
    assert store.load() == NEW


def test_who_does_not_admit_a_configuration_keeps_it_out_of_force(store: SnapshotStore) -> None:
    store.publish(OLD)
    rules = store.last_rules()

    def refuse() -> None:
        raise ConfigurationError("refused")

    with pytest.raises(ConfigurationError, match="refused"):
        store.publish(NEW, admit=refuse)
    assert store.load() == OLD
    assert store.last_rules() == rules


def test_nobody_else_publishes_while_one_is_asked(store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_LOCK_WAIT", 0.1)

    def meanwhile() -> None:
        with pytest.raises(HostError, match="lock"):
            store.publish(NEWER)

    store.publish(NEW, admit=meanwhile)
    assert store.load() == NEW


# Damage: load refuses, and says that it is the configuration


def _swap_for_link(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


def _swap(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _rename_snapshot(store: SnapshotStore, folder: Path) -> None:
    folder.rename(folder.with_name("0" * 64))
    files.replace_symlink(f"{store.state}/current", "snapshots/" + "0" * 64)


DAMAGES: dict[str, Callable[[SnapshotStore, Path], object]] = {
    "form cut": lambda s, d: os.truncate(d / "snapshot.json", 9),
    "form with one byte more": lambda s, d: os.truncate(d / "snapshot.json", (d / "snapshot.json").stat().st_size + 1),
    "form gone": lambda s, d: (d / "snapshot.json").unlink(),
    "form a link": lambda s, d: _swap_for_link(d / "snapshot.json"),
    "form a pipe": lambda s, d: _swap(d / "snapshot.json", os.mkfifo),
    "form a folder": lambda s, d: _swap(d / "snapshot.json", Path.mkdir),
    "form writable by others": lambda s, d: (d / "snapshot.json").chmod(0o602),
    "form too large": lambda s, d: os.truncate(d / "snapshot.json", canonical.MAX_SIZE + 1),
    "certificate changed": lambda s, d: next((d / "certificates").iterdir()).write_bytes(b"x"),
    "certificate gone": lambda s, d: next((d / "certificates").iterdir()).unlink(),
    "certificate a link": lambda s, d: _swap_for_link(next((d / "certificates").iterdir())),
    "certificate writable by the group": lambda s, d: next((d / "certificates").iterdir()).chmod(0o620),
    "certificate too large": lambda s, d: os.truncate(
        next((d / "certificates").iterdir()), snapshots.MAX_CERTIFICATE_SIZE + 1
    ),
    "certificates gone": lambda s, d: shutil.rmtree(d / "certificates"),
    "certificates a link": lambda s, d: _swap_for_link(d / "certificates"),
    "folder writable by others": lambda s, d: d.chmod(0o702),
    "folder a link": lambda s, d: _swap_for_link(d),
    "snapshots writable by the group": lambda s, d: d.parent.chmod(0o770),
    "state writable by others": lambda s, d: Path(s.state).chmod(0o707),
    "current a file": lambda s, d: _swap(Path(s.state, "current"), Path.touch),
    "current to nowhere known": lambda s, d: files.replace_symlink(f"{s.state}/current", "/etc"),
    "another generation's name": _rename_snapshot,
}


# Whoever could do these is somebody else; all other damage is what a disk does.
OTHERS = {name for name in DAMAGES if name.split()[-1] in ("link", "pipe", "folder", "others", "group", "file")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(store: SnapshotStore, damage: str) -> None:
    store.publish(OLD)
    DAMAGES[damage](store, _folder(store, OLD))
    with pytest.raises(Unavailable) as caught:
        store.load()
    expected = Cause.CONFIGURATION_INVALID if damage in OTHERS else Cause.CONFIGURATION_MISSING
    assert caught.value.cause is expected


@pytest.mark.parametrize(
    "part", [".", "snapshots", "snapshots/G", "snapshots/G/snapshot.json", "snapshots/G/certificates"]
)
def test_what_belongs_to_someone_else_is_refused(
    store: SnapshotStore, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(OLD)
    foreign = os.stat(os.path.join(store.state, part.replace("G", OLD.generation)))
    fstat = os.fstat

    def told(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        if found.st_ino != foreign.st_ino:
            return found
        return os.stat_result([12345 if i == 4 else each for i, each in enumerate(found)])

    monkeypatch.setattr(os, "fstat", told)
    with pytest.raises(Unavailable, match="uid 12345") as caught:
        store.load()
    assert caught.value.cause is Cause.CONFIGURATION_INVALID


def test_a_pipe_is_refused_for_what_it_is(store: SnapshotStore) -> None:
    store.publish(OLD)
    _swap(_folder(store, OLD) / "snapshot.json", os.mkfifo)
    with pytest.raises(Unavailable, match="no regular file"):
        store.load()


def test_a_name_that_leads_elsewhere_is_never_opened(store: SnapshotStore) -> None:
    store.publish(OLD)
    form = canonical.encode(OLD._replace(certificates={"../../../../secret": b""}))
    generation = canonical.generation_of(form)
    folder = _folder(store, OLD).rename(_folder(store, OLD).with_name(generation))
    (folder / "snapshot.json").write_bytes(form)
    files.replace_symlink(f"{store.state}/current", f"snapshots/{generation}")
    with pytest.raises(Unavailable, match="expected 10000 hashes"):
        store.load()


def test_another_form_is_refused(store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "FORMAT_VERSION", 99)
    store.publish(OLD)
    monkeypatch.undo()
    with pytest.raises(Unavailable, match="format version 99") as caught:
        store.load()
    assert caught.value.cause is Cause.CONFIGURATION_MISSING


def test_a_link_to_a_snapshot_that_is_gone_is_missing(store: SnapshotStore) -> None:
    store.publish(OLD)
    shutil.rmtree(_folder(store, OLD))
    with pytest.raises(Unavailable) as caught:
        store.load()
    assert caught.value.cause is Cause.CONFIGURATION_MISSING


def test_a_snapshot_swept_while_it_is_read_is_followed_by_the_next(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(OLD)
    content = snapshots._content

    def swept(name: str, *arguments: object) -> bytes:
        monkeypatch.undo()
        store.publish(NEW)
        shutil.rmtree(_folder(store, OLD))
        return content(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "_content", swept)
    assert store.load() == NEW


# Sweeping


def test_old_snapshots_go_and_the_last_two_stay(store: SnapshotStore) -> None:
    for config in (OLD, NEW, NEWER):
        store.publish(config)
        _age(store, 3600)
    assert _names(store) == {NEW.generation, NEWER.generation}


def test_publishing_again_keeps_the_one_before(store: SnapshotStore) -> None:
    for config in (OLD, NEW):
        store.publish(config)
        _age(store, 3600)
    store.publish(NEW)
    assert _names(store) == {OLD.generation, NEW.generation}


def test_one_that_never_came_into_force_does_not_push_out_the_one_before(store: SnapshotStore) -> None:
    for config in (OLD, NEW):
        store.publish(config)
    _age(store, 3600)
    Path(store.state, "snapshots", "0" * 64).mkdir()  # its publisher was killed before it switched
    store.publish(NEW)
    assert {OLD.generation, NEW.generation} < _names(store)


def test_going_back_to_an_old_one_keeps_it(store: SnapshotStore) -> None:
    for config in (OLD, NEW, NEWER):
        store.publish(config)
        time.sleep(0.01)
    _age(store, 3600)
    store.publish(OLD)
    assert store.load() == OLD
    assert OLD.generation in _names(store)
    assert NEWER.generation in _names(store)


def test_a_snapshot_replaced_a_moment_ago_stays(store: SnapshotStore) -> None:
    store.publish(OLD)
    _age(store, 3600)
    store.publish(NEW)
    store.publish(NEWER)
    assert _names(store) == {OLD.generation, NEW.generation, NEWER.generation}


def test_unfinished_folders_go_once_they_are_old(store: SnapshotStore) -> None:
    store.publish(OLD)
    for folder in (store.state, f"{store.state}/snapshots"):
        os.makedirs(f"{folder}/.tmp-x/certificates")
        Path(f"{folder}/.tmp-x/certificates/y").touch()
    store.publish(NEW)
    assert ".tmp-x" in _names(store)
    _age(store, 3600)
    store.publish(NEW)
    assert not list(Path(store.state).rglob(".tmp-*"))


def test_what_is_not_ours_is_left_alone(store: SnapshotStore) -> None:
    store.publish(OLD)
    Path(store.state, "snapshots", "notes.txt").touch()
    Path(store.state, "notes.txt").touch()
    _age(store, 3600)
    store.publish(NEW)
    assert Path(store.state, "notes.txt").exists()
    assert "notes.txt" in _names(store)


def test_a_second_publisher_waits_and_then_gives_up(store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(OLD)
    monkeypatch.setattr(snapshots, "_LOCK_WAIT", 0.2)
    with files.locked(f"{store.state}/publish.lock", wait=0), pytest.raises(HostError, match="held the lock"):
        store.publish(NEW)
    assert store.load() == OLD
    store.publish(NEW)


def test_loading_never_fails_while_others_publish(store: SnapshotStore, tmp_path: Path) -> None:
    store.publish(OLD)
    enough = tmp_path / "enough"
    child = os.fork()
    if child == 0:
        snapshots.KEPT_AT_LEAST = -1.0
        n = 0
        while n < 40 or not enough.exists():
            store.publish(_config(f"n{n}"))
            n += 1
        os._exit(0)
    loads = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        store.load()
        loads += 1
        if loads == 11:
            enough.touch()
    assert loads > 10
    assert len(_names(store)) == 2


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    state = tmp_path / snapshots.STATE
    state.mkdir(parents=True)
    state.chmod(0o777)
    with pytest.raises(HostError, match="others may write"):
        SnapshotStore(str(tmp_path)).publish(OLD)


def test_replacing_a_file_leaves_no_trace_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.replace(str(path), b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="injected"):
        files.replace(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_loading_imports_little_and_is_quick(store: SnapshotStore) -> None:
    store.publish(OLD)
    program = (
        f"import sys; sys.path.insert(0, {os.getcwd()!r})\nfrom agent.adapters.snapshots import SnapshotStore\n"
        f"SnapshotStore({store.state.removesuffix(snapshots.STATE)!r}).load()\nprint(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    unwanted = {
        "pathlib",
        "tempfile",
        "jsonschema",
        "cryptography",
        "dataclasses",
        "inspect",
        "logging",
        "yaml",
        "asyncio",
        "subprocess",
        "shutil",
        "urllib",
        "argparse",
    }
    assert not unwanted & {name.partition(".")[0] for name in ended.stdout.split()}
    before = time.process_time()
    store.load()
    assert time.process_time() - before < 0.05

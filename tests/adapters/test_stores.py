"""The contract of every store on disk: what was kept comes back whole, or not at all, whatever happened to it.

With real files, real users and a disk that is really full; with processes that are killed, and many at once.
"""

import errno
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from agent.adapters import files, misses
from agent.adapters.entries import Entries
from tests.adapters.stores import STORES, Store

OTHER_USER = 65534
ROOT = pathlib.Path(__file__).resolve().parents[2]

each_store = pytest.mark.parametrize("store", STORES.values(), ids=STORES)


def entry_of(store: Store, root: pathlib.Path) -> pathlib.Path:
    """The only entry."""
    (entry,) = (root / store.kind.folder).iterdir()
    return entry


def missed(root: pathlib.Path) -> dict[str, dict[str, int]]:
    """What was counted; for a store outside of the cache's folder, that is made by others."""
    return misses.counted(str(root))


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A root on which there is a cache already."""
    (tmp_path / "var/cache/nodeseal").mkdir(parents=True)
    return tmp_path


@each_store
def test_what_was_kept_comes_back(store: Store, root: pathlib.Path) -> None:
    assert store.get(str(root), 1) is None
    store.put(str(root), 1)
    store.put(str(root), 2)
    assert store.get(str(root), 1) is not None
    assert store.get(str(root), 1) != store.get(str(root), 2)
    assert missed(root) == {}


@each_store
def test_nothing_else_does(store: Store, root: pathlib.Path) -> None:
    store.put(str(root), 1)
    assert [other(str(root)) for other in store.others] == [None] * len(store.others)
    assert missed(root) == {}


@each_store
def test_an_entry_under_anothers_name_is_none(store: Store, root: pathlib.Path) -> None:
    """As if its name were the same hash: the whole key counts."""
    store.put(str(root), 2)
    name = entry_of(store, root)
    other = name.rename(root / "kept")
    store.put(str(root), 1)
    other.rename(entry_of(store, root))
    found = store.get(str(root), 1)
    if store.kind.name == "revocation":  # its answers name what they are about, and are checked by whoever reads them
        assert found == b"answer 2"
    else:
        assert found is None


@each_store
def test_entries_are_their_owners_alone(store: Store, root: pathlib.Path) -> None:
    store.put(str(root), 1)
    entry = entry_of(store, root)
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700


def _link(path: pathlib.Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _link_to_nothing(path: pathlib.Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def _pipe(path: pathlib.Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


SPOILT: dict[str, tuple[str, Callable[[pathlib.Path], object]]] = {
    "torn": ("corrupt", lambda path: os.truncate(path, path.stat().st_size // 2)),
    "without its last byte": ("corrupt", lambda path: os.truncate(path, path.stat().st_size - 1)),
    "empty": ("corrupt", lambda path: os.truncate(path, 0)),
    "zeros after a power cut": ("corrupt", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "longer": ("corrupt", lambda path: path.write_bytes(path.read_bytes() + b" ")),
    "huge": ("corrupt", lambda path: os.truncate(path, 64 * 1024 * 1024)),
    "a pipe": ("corrupt", _pipe),
    "a folder": ("corrupt", _folder),
    "another user's": ("foreign", lambda path: os.chown(path, OTHER_USER, 0)),
    "writable by others": ("foreign", lambda path: path.chmod(0o602)),
    "writable by a group": ("foreign", lambda path: path.chmod(0o620)),
    "in another user's folder": ("foreign", lambda path: os.chown(path.parent, OTHER_USER, 0)),
    "in a folder that others may write to": ("foreign", lambda path: path.parent.chmod(0o777)),
    "a link": ("symlink", _link),
    "a link to nothing": ("symlink", _link_to_nothing),
    "in a folder that is a link": ("symlink", lambda path: _link(path.parent)),
    "of a time to come": ("future", lambda path: os.utime(path, (time.time() + 60,) * 2)),
}


@each_store
@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_not_whole_or_not_ours_is_not_there_and_is_counted(
    store: Store, root: pathlib.Path, spoil: str
) -> None:
    if "user" in spoil and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    store.put(str(root), 1)
    reason, harm = SPOILT[spoil]
    harm(entry_of(store, root))
    assert store.get(str(root), 1) is None
    assert missed(root) == {store.kind.name: {reason: 1}}


@each_store
def test_a_bit_that_turned_over_anywhere_is_noticed(store: Store, root: pathlib.Path) -> None:
    store.put(str(root), 1)
    entry = entry_of(store, root)
    whole = entry.read_bytes()
    for at in range(0, len(whole), max(len(whole) // 40, 1)):
        entry.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        assert store.get(str(root), 1) is None, at
    entry.write_bytes(whole)
    assert store.get(str(root), 1) is not None
    assert set(missed(root)[store.kind.name]) <= {"corrupt", "version"}


@each_store
def test_an_entry_of_another_version_or_store_is_none(store: Store, root: pathlib.Path) -> None:
    if not store.kind.version:
        return  # bytes as they are, which their digest protects
    store.put(str(root), 1)
    entry = entry_of(store, root)
    body = entry.read_bytes().partition(b"\n")[2]
    for kind, reason in (
        (store.kind._replace(version=store.kind.version + 1), "version"),
        (store.kind._replace(name="flights"), "corrupt"),
    ):
        entry.write_bytes(Entries(str(root), kind).sealed(body))
        assert store.get(str(root), 1) is None
        assert reason in missed(root)[store.kind.name]
    entry.write_bytes(Entries(str(root), store.kind).sealed(body))
    assert store.get(str(root), 1) is not None


@each_store
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{", b'{"key":null,"at":5,"origin":1,"place":2,"ground":[]}'])
def test_an_entry_that_is_sealed_and_says_nothing_is_none(store: Store, root: pathlib.Path, body: bytes) -> None:
    store.put(str(root), 1)
    entry = entry_of(store, root)
    entry.write_bytes(Entries(str(root), store.kind).sealed(body))
    found = store.get(str(root), 1)
    assert found is None or (store.kind.name == "revocation" and found == body)


@each_store
def test_what_is_spoilt_is_kept_anew(store: Store, root: pathlib.Path) -> None:
    store.put(str(root), 1)
    os.truncate(entry_of(store, root), 5)
    store.put(str(root), 1)
    assert store.get(str(root), 1) is not None


@each_store
@pytest.mark.parametrize("call", ["write", "rename", "fsync", "open"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EXDEV, errno.EIO, errno.EROFS])
def test_what_cannot_be_written_is_not_kept_and_nothing_is_left(
    store: Store, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    store.put(str(root), 1)
    before = store.get(str(root), 1)

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        store.put(str(root), 1)
        store.put(str(root), 2)
    kept = store.get(str(root), 2)
    assert kept is None or call == "fsync"  # nothing waits for the disk
    assert store.get(str(root), 1) == before
    assert not list(root.rglob(f"{files.TEMPORARY}*"))


@each_store
def test_a_folder_that_cannot_be_had_is_passed_over(store: Store, tmp_path: pathlib.Path) -> None:
    for name in ("var", "run"):
        (tmp_path / name).write_text("no folder")
    store.put(str(tmp_path), 1)
    assert store.get(str(tmp_path), 1) is None


@each_store
def test_nothing_is_written_into_a_folder_of_somebody_elses(store: Store, root: pathlib.Path) -> None:
    folder = root / store.kind.folder
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    store.put(str(root), 1)
    assert list(folder.iterdir()) == []


FULL = """
import json, os, sys
from tests.adapters.stores import STORES
root, found = sys.argv[1], {}
for name, store in STORES.items():
    store.put(root, 1)
filler = os.open(root + "/filler", os.O_WRONLY | os.O_CREAT)
try:
    while os.write(filler, b"x" * 512):
        pass
except OSError:
    pass
for name, store in STORES.items():
    before = store.get(root, 1)
    for n in range(2, 40):
        store.put(root, n)
    store.put(root, 1)
    found[name] = [before is not None, store.get(root, 1) == before, store.get(root, 39) is None]
left = [name for _, _, names in os.walk(root) for name in names if name.startswith(".tmp-")]
print(json.dumps([found, left]))
"""


def test_a_disk_that_is_full_spoils_nothing(tmp_path: pathlib.Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a small disk needs root and unshare")
    mounted = f'mount -t tmpfs -o size=96k,mode=700 tmpfs {tmp_path} && exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", mounted, "sh", sys.executable, "-c"]
    done = subprocess.run([*words, FULL, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found, left = json.loads(done.stdout)
    assert found == {name: [True, True, True] for name in STORES}
    assert left == []


def forked(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own; its number.  It ends with 0, or with 1 if something was wrong."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the test that waits says so
            os._exit(1)
        os._exit(0)
    return child


@each_store
def test_processes_that_are_killed_at_any_moment_leave_whole_entries_or_none(
    store: Store, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        store.put(str(root), n)
    expected = [store.get(str(root), n) for n in range(5)]

    def write_for_ever() -> None:
        while True:
            for n in range(5):
                store.put(str(root), n)

    chance = random.Random(store.kind.name)
    for _ in range(30):
        child = forked(write_for_ever)
        time.sleep(chance.random() * 0.015)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert [store.get(str(root), n) for n in range(5)] == expected
    assert missed(root) == {}
    folder = root / store.kind.folder
    (folder / f"{files.TEMPORARY}left").write_bytes(b"half")
    for left in folder.glob(f"{files.TEMPORARY}*"):
        os.utime(left, (time.time() - files.LEFT_AFTER - 1,) * 2)
    monkeypatch.setattr(files, "is_time_to_sweep", lambda most: True)
    store.put(str(root), 1)
    assert len(list(folder.iterdir())) == 5


@each_store
def test_many_processes_at_once_never_see_a_wrong_value(store: Store, root: pathlib.Path) -> None:
    for n in range(4):
        store.put(str(root), n)
    expected = [store.get(str(root), n) for n in range(4)]
    until = time.monotonic() + 0.5

    def write() -> None:
        while time.monotonic() < until:
            for n in range(4):
                store.put(str(root), n)

    def read() -> None:
        while time.monotonic() < until:
            found = [store.get(str(root), n) for n in range(4)]
            if found != expected:
                raise AssertionError(found)

    children = [forked(work) for work in (write, write, write, read, read, read)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert missed(root) == {}


@each_store
def test_stores_are_bounded_and_the_oldest_go_first(
    store: Store, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "is_time_to_sweep", lambda most: True)
    for n in range(4):
        store.put(str(root), n)
        newest = max((root / store.kind.folder).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 1000 + n,) * 2)
    size = newest.stat().st_size
    files.keep_newest(str(root / store.kind.folder), 3)
    assert [n for n in range(4) if store.get(str(root), n) is not None] == [1, 2, 3]
    files.keep_newest(str(root / store.kind.folder), 3, size * 2 + 5)
    assert [n for n in range(4) if store.get(str(root), n) is not None] == [2, 3]
    os.utime(newest, (time.time() + 1000,) * 2)
    files.keep_newest(str(root / store.kind.folder), 1)
    assert [n for n in range(4) if store.get(str(root), n) is not None] == [2]


def test_every_store_says_how_much_it_keeps_at_most() -> None:
    for store in STORES.values():
        kind = store.kind
        assert 0 < kind.largest <= kind.most_bytes <= 128 * 1024 * 1024
        assert 0 < kind.most <= 10_000
        assert kind.name.isalpha()
        assert kind.secret == kind.folder.startswith("run/") == (kind.name == "tokens")
        assert kind.folder.startswith("var/cache/nodeseal/") or kind.secret
    assert len({store.kind.folder for store in STORES.values()}) == len(STORES)

"""The last serial on disk: noted whole, and never taken as none when nobody can tell."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.adapters.serials import Serials
from agent.adapters.snapshots import STATE
from agent.config.serialform import Applied
from agent.errors import HostError, Malformed

APPLIED = Applied(7, "sha256:" + "1" * 64)


@pytest.fixture
def serials(tmp_path: Path) -> Serials:
    (tmp_path / STATE).mkdir(parents=True, mode=0o700)
    return Serials(str(tmp_path))


def test_what_was_noted_last_is_read(serials: Serials) -> None:
    assert serials.last() is None
    serials.note(APPLIED._replace(serial=6))
    serials.note(APPLIED)
    assert serials.last() == APPLIED
    assert stat.S_IMODE(os.stat(serials.path).st_mode) == 0o600
    assert os.listdir(os.path.dirname(serials.path)) == ["serial.json"]


def test_a_node_on_which_nothing_was_published_has_no_serial(tmp_path: Path) -> None:
    assert Serials(str(tmp_path / "nowhere")).last() is None


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SPOILT: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 20),
    "empty": lambda path: os.truncate(path, 0),
    "too large": lambda path: os.truncate(path, 1 << 30),
    "writable by others": lambda path: path.chmod(0o602),
    "writable by the group": lambda path: path.chmod(0o620),
    "a link": _link,
    "a link to nowhere": _dangling,
    "a pipe": _pipe,
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_spoilt_is_never_taken_as_none(serials: Serials, spoilt: str) -> None:
    serials.note(APPLIED)
    SPOILT[spoilt](Path(serials.path))
    with pytest.raises(Malformed):
        serials.last()


def test_what_belongs_to_someone_else_is_not_believed(serials: Serials, monkeypatch: pytest.MonkeyPatch) -> None:
    serials.note(APPLIED)
    fstat = os.fstat
    monkeypatch.setattr(
        os,
        "fstat",
        lambda descriptor: os.stat_result([12345 if i == 4 else x for i, x in enumerate(fstat(descriptor))]),
    )
    with pytest.raises(Malformed):
        serials.last()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_what_can_not_be_read_is_an_error_of_the_host(
    serials: Serials, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    serials.note(APPLIED)

    def fail(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(HostError, match=error.strerror):
        serials.last()
    with pytest.raises(HostError, match=error.strerror):
        serials.note(APPLIED)


def test_a_folder_in_its_place_is_an_error_of_the_host(serials: Serials) -> None:
    os.mkdir(serials.path)
    with pytest.raises(HostError):
        serials.last()

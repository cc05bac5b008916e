"""What is noted of trusted roots that are fetched: read back, or nothing."""

import json
from pathlib import Path

import pytest

from agent.adapters import rootnotes
from agent.adapters.rootnotes import RootNote
from agent.errors import HostError

NOTE = RootNote("trusted_root.json", "https://tuf.example/", 86400.0, 1000.0, "ab" * 32, "gone", 2000.0)
PATH = "var/lib/nodeseal/trust-roots.json"


def test_it_is_read_back_and_written_only_if_it_is_another(tmp_path: Path) -> None:
    assert rootnotes.read(str(tmp_path)) == ()
    rootnotes.write(str(tmp_path), ())
    assert not (tmp_path / "var").exists()
    rootnotes.write(str(tmp_path), (NOTE,))
    assert rootnotes.read(str(tmp_path)) == (NOTE,)
    inode = (tmp_path / PATH).stat().st_ino
    rootnotes.write(str(tmp_path), (NOTE,))
    assert (tmp_path / PATH).stat().st_ino == inode
    rootnotes.write(str(tmp_path), (NOTE._replace(fetched=None),))
    assert rootnotes.read(str(tmp_path)) == (NOTE._replace(fetched=None),)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"[" * 100_000, b'{"formatVersion": 2, "trustRoots": []}', b'{"formatVersion": 1}',
        b'{"formatVersion": 1, "trustRoots": [1]}', b'{"formatVersion": 1, "trustRoots": 1}',
    ],
)  # fmt: skip
def test_what_is_damaged_says_nothing(tmp_path: Path, content: bytes) -> None:
    rootnotes.write(str(tmp_path), (NOTE,))
    (tmp_path / PATH).write_bytes(content)
    assert rootnotes.read(str(tmp_path)) == ()


def test_notes_whose_texts_others_chose_hide_no_other(tmp_path: Path) -> None:
    long = NOTE._replace(mirror="https://" + "m" * 2000, trouble="\U0001f600" * 5000)
    rootnotes.write(str(tmp_path), (NOTE._replace(name="a\x1b\n" * 5000), *[long] * 254, NOTE, NOTE))
    found = rootnotes.read(str(tmp_path))
    assert len(found) == 256
    assert found[-1] == NOTE
    assert len(found[0].name) == 1000


@pytest.mark.parametrize("time", ["x", True, -1, 1e300, [1]])
def test_a_time_that_is_none_says_nothing(tmp_path: Path, time: object) -> None:
    rootnotes.write(str(tmp_path), (NOTE,))
    value = json.loads((tmp_path / PATH).read_text())
    value["trustRoots"][0]["fetched"] = time
    (tmp_path / PATH).write_text(json.dumps(value))
    assert rootnotes.read(str(tmp_path)) == ()


def test_what_others_could_have_written_says_nothing(tmp_path: Path) -> None:
    rootnotes.write(str(tmp_path), (NOTE,))
    (tmp_path / PATH).chmod(0o666)
    assert rootnotes.read(str(tmp_path)) == ()


def test_what_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_bytes(b"no folder")
    with pytest.raises(HostError, match=r"trust-roots\.json: got"):
        rootnotes.write(str(tmp_path), (NOTE,))

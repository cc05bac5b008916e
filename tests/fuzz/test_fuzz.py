"""The fuzzing itself: complete, its examples good, and able to find something."""

import pathlib
import subprocess
import sys

import pytest

from tests.fuzz.one import unguided
from tests.fuzz.targets import MODULES, TARGETS, Target, run

CODECS = pathlib.Path(__file__).resolve().parents[2] / "agent" / "codec"


def test_every_codec_has_a_target() -> None:
    assert sorted(MODULES) == sorted(path.stem for path in CODECS.glob("*.py") if path.stem != "__init__")
    assert set(MODULES.values()) <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_examples_are_good_and_rubbish_is_refused(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds():
        target.read(seed)  # raises nothing
    for rubbish in (b"", b"\0", b"\xff" * 40):
        run(target, rubbish)


@pytest.mark.unmeasured
def test_examples_are_altered_without_a_guide(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert unguided("json", 1, tmp_path) == 0
    assert "number_of_executed_units" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_is_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(data: bytes) -> None:
        data.decode("ascii")

    monkeypatch.setitem(TARGETS, "json", Target(fragile, (), lambda: [b"{}"]))
    with pytest.raises(UnicodeDecodeError):
        unguided("json", 30, tmp_path)
    (found,) = tmp_path.iterdir()
    assert not found.read_bytes().isascii()


def test_command_runs_a_target_and_an_input(tmp_path: pathlib.Path) -> None:
    (tmp_path / "input").write_bytes(b"[")
    for words in (["json", "--seconds", "1"], ["json", "--input", str(tmp_path / "input")]):
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
    assert subprocess.run([sys.executable, "-m", "tests.fuzz", "nonsense"], stderr=-3, check=False).returncode == 2

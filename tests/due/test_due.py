"""Which slow tests are due, and that none is forgotten."""

import os
import pathlib
import subprocess

import pytest

from tests.due import DAY, GROUPS, Group, digest, note, passed

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROUP = Group(("made",), ("agent/some",))


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A working tree with an input, a test, and what is neither."""
    for name in ("agent/some/one.py", "agent/other.py", "tests/full/test_made.py", "requirements/dev.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_every_slow_test_is_in_one_group() -> None:
    there = sorted(path.name for path in (ROOT / "tests/full").glob("test_*.py"))
    assert sorted(pathlib.Path(path).name for group in GROUPS.values() for path in group.paths) == there


def test_every_input_is_there() -> None:
    for group in GROUPS.values():
        assert [path for path in group.inputs if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("name", ["agent/some/one.py", "tests/full/test_made.py", "requirements/dev.txt"])
def test_whatever_changes_an_input_makes_its_group_due(tree: pathlib.Path, name: str) -> None:
    before = digest(tree, GROUP)
    (tree / name).write_text("otherwise")
    changed = digest(tree, GROUP)
    assert changed != before
    (tree / name).write_text("as it was")
    assert digest(tree, GROUP) == before
    (tree / name).chmod(0o755)
    assert digest(tree, GROUP) not in (before, changed)


def test_files_that_come_and_go_make_it_due(tree: pathlib.Path) -> None:
    before = digest(tree, GROUP)
    (tree / "agent/some/two.py").write_text("as it was")
    assert digest(tree, GROUP) != before
    (tree / "agent/some/two.py").unlink()
    (tree / "agent/some/one.py").unlink()
    assert digest(tree, GROUP) != before


def test_what_is_no_input_does_not(tree: pathlib.Path) -> None:
    before = digest(tree, GROUP)
    (tree / "agent/other.py").write_text("otherwise")
    assert digest(tree, GROUP) == before


def test_a_pass_counts_for_a_day_and_for_its_inputs(tmp_path: pathlib.Path) -> None:
    stamps = tmp_path / "passed"
    assert not passed(stamps, "some", "inputs", 1000.0)
    note(stamps, "some", "inputs")
    os.utime(stamps / "some", (1000.0, 1000.0))
    assert passed(stamps, "some", "inputs", 1000.0 + DAY - 1)
    assert not passed(stamps, "some", "inputs", 1000.0 + DAY)
    assert not passed(stamps, "some", "inputs", 999.0), "a clock that was set back proves nothing"
    assert not passed(stamps, "some", "others", 1001.0)
    assert not passed(stamps, "other", "inputs", 1001.0)

"""What the marker `unmeasured` stops, and that measuring goes on afterwards."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = """
import os
import pytest
import counted

@pytest.mark.unmeasured
def test_first():
    counted.first()
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def test_second():
    counted.second()

@pytest.mark.unmeasured
def test_third():
    counted.third()
"""
CONFIGURATION = """
[tool.coverage.run]
parallel = true
patch = ["_exit"]
source_pkgs = ["counted"]
disable_warnings = ["already-imported"]
[tool.pytest.ini_options]
filterwarnings = ["error"]
markers = ["unmeasured: here too"]
"""


def test_lines_of_marked_tests_alone_are_not_measured(tmp_path: pathlib.Path) -> None:
    names = ("first", "second", "third")
    (tmp_path / "counted.py").write_text("".join(f"def {name}():\n    return 1\n" for name in names))
    (tmp_path / "test_counted.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))}
    plugins = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.plugins.unmeasured"]
    environment = {**kept, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    for words in (["run", "-m", "pytest", "-q", *plugins], ["combine", "-q"], ["report", "-m"]):
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        if words[0] == "run":
            assert len(list(tmp_path.glob(".coverage.*"))) == 1, "the process that was forked has nothing to tell"
    assert done.stdout.splitlines()[2].split() == ["counted.py", "6", "2", "67%", "2,", "6"]

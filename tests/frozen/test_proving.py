"""The built program speaks to a container runtime: all that this takes is inside."""

import json
import pathlib

import pytest

from tests.commands import run
from tests.frozen.program import Program
from tests.simulators.cri import CriSimulator

pytestmark = pytest.mark.frozen


def test_canary_is_pulled_by_the_built_program(program: Program, tmp_path: pathlib.Path) -> None:
    socket = tmp_path / "cri.sock"
    words = [str(program.path), "doctor", "--prove", "--root", str(program.root), "--host", str(tmp_path)]
    with CriSimulator(socket) as runtime:
        done = run([*words, "--socket", "/cri.sock", "--format", "json"])
    assert json.loads(done.stdout)["proof"]["state"] == "enforcing", done.err
    assert len(runtime.pulls) == 1

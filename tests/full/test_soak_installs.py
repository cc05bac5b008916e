"""`make soak-install` in small: a dozen rounds of the same code, two of them on the real containerd."""

import pathlib

import pytest

from tests.documents import PERFORMANCE, put_between
from tests.soak import installs
from tests.testbed.tools import unavailable

pytestmark = [pytest.mark.full, pytest.mark.frozen, pytest.mark.real, pytest.mark.timeout(600)]


def test_a_dozen_installations_leave_nothing_behind(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    soaked = installs.soak(12, 6)
    assert (len(soaked.rounds), len(soaked.real)) == (10, 2)
    text = installs.render(soaked)
    with capsys.disabled():
        print(f"\n{text}")
    document = tmp_path / "performance.md"
    document.write_text(PERFORMANCE.read_text())
    put_between("soak-install", text, document)
    assert text in document.read_text()

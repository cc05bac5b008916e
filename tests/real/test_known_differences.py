"""Where the two differ is written down, for people as for the tests."""

import pathlib

import pytest

from tests.real.conformity import KNOWN_DIFFERENCES

_HERE = pathlib.Path(__file__).parent
_DOCUMENT = _HERE.parents[1] / "docs" / "notation.md"


@pytest.mark.parametrize("name", KNOWN_DIFFERENCES)
def test_known_difference_is_documented_and_shown(name: str) -> None:
    deviations = _DOCUMENT.read_text().partition("## Deviations on purpose")[2]
    assert f"| {KNOWN_DIFFERENCES[name]}" in deviations
    assert any(f'"{name}"' in path.read_text() for path in _HERE.glob("test_*_conformity.py"))

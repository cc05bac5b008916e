"""Each item of the list that is claimed has a test of its own here."""

import pathlib
import re

CLAIMED = (*range(1, 16), *range(19, 29), *range(32, 37), 45)


def test_every_item_has_a_test() -> None:
    found: set[int] = set()
    for module in pathlib.Path(__file__).parent.glob("test_*.py"):
        text = module.read_text("utf-8")
        found |= {int(number) for number in re.findall(r'(?:Case|case)\(f?"([0-9]{2}) ', text)}
        found |= {int(number) for number in re.findall(r"def test_([0-9]{2})_", text)}
    assert sorted(found) == sorted(CLAIMED)

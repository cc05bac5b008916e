"""Every property that a verifier must accept or refuse is shown: by cases that say the same, or by tests there are."""

import importlib

import pytest

from tests.conformance.properties import PROPERTIES, TABLES, Property


@pytest.mark.parametrize("each", PROPERTIES, ids=lambda each: each.said)
def test_property_is_shown(each: Property) -> None:
    assert each.shown
    for place in each.shown:
        table, separator, case = place.partition(": ")
        if separator:
            assert TABLES[table][case] is each.counts, place
        else:
            file, _, test = place.partition("::")
            module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
            assert callable(getattr(module, test)), place


def test_each_property_is_there_once() -> None:
    assert len({each.said for each in PROPERTIES}) == len(PROPERTIES)
    assert {each.counts for each in PROPERTIES} == {True, False}

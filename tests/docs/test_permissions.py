"""The table of permissions is what the manifests grant.  That the API server agrees: tests/full/test_permissions.py."""

import pytest

from tests import permissions

FILES = sorted(path.name for path in permissions.MANIFESTS.iterdir())


def test_the_table_names_each_manifest_and_no_other() -> None:
    assert sorted({each.file for each in permissions.table()}) == FILES
    assert permissions.BASE in FILES


@pytest.mark.parametrize("file", FILES)
def test_a_manifest_grants_what_the_table_says(file: str) -> None:
    said = [each.access for each in permissions.table() if each.file == file]
    assert set(said) == permissions.granted(file)
    assert len(said) == len(set(said))


def test_the_base_stays_in_its_namespace() -> None:
    assert {each.namespace for each in permissions.granted(permissions.BASE)} == {permissions.NAMESPACE}


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_granted_by_a_wildcard_nor_written_but_events(file: str) -> None:
    for each in permissions.granted(file):
        assert "*" not in (each.verb, each.group, each.resource, each.name)
        assert each.verb in ("get", "list", "watch") or each.resource == "events"

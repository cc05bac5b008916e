"""The table of permissions is what the manifests grant.  That the API server agrees: tests/full/test_permissions.py."""

import pytest

from tests import permissions

FILES = sorted([permissions.BASE, *(path.name for path in permissions.MANIFESTS.glob("rbac-*"))])

WRITES = {
    permissions.BASE: {("create", "events"), ("patch", "events")},
    "rbac-node-condition.yaml": {("create", "events"), ("patch", "nodes/status")},
    "rbac-restart-lease.yaml": {("create", "leases"), ("update", "leases")},
    "rbac-startup-taint.yaml": {("patch", "nodes")},
}
"""All that any manifest lets an agent change."""


def test_the_table_names_each_manifest_and_no_other() -> None:
    assert sorted({each.file for each in permissions.table()}) == FILES


def test_who_else_grants_something_is_called_so() -> None:
    for path in permissions.MANIFESTS.iterdir():
        kinds = {each["kind"] for each in permissions.objects(path.name)}
        assert path.name in FILES or not [kind for kind in kinds if "Role" in kind], path.name


@pytest.mark.parametrize("file", FILES)
def test_a_manifest_grants_what_the_table_says(file: str) -> None:
    said = [each.access for each in permissions.table() if each.file == file]
    assert set(said) == permissions.granted(file)
    assert len(said) == len(set(said))


def test_the_base_stays_in_its_namespace() -> None:
    assert {each.namespace for each in permissions.granted(permissions.BASE)} == {permissions.NAMESPACE}


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_granted_by_a_wildcard(file: str) -> None:
    for each in permissions.granted(file):
        assert "*" not in (each.verb, each.group, each.resource, each.name)


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_written_but_events_leases_and_what_a_node_s_condition_and_taint_take(file: str) -> None:
    granted = permissions.granted(file)
    writes = {(each.verb, each.resource) for each in granted if each.verb not in ("get", "list", "watch")}
    assert writes == WRITES.get(file, set())

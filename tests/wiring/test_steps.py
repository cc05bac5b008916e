"""The order of an installation's steps, on every distribution; and its record as JSON."""

import json

import pytest

from agent.errors import Malformed
from agent.wiring import manifest as manifests
from agent.wiring.manifest import Entry, Kind, Manifest, Role
from agent.wiring.planning import Changes, Options, plan
from agent.wiring.steps import (
    Change,
    Check,
    Compare,
    May,
    Place,
    Prove,
    Restart,
    Step,
    Switch,
    Wanted,
    Wire,
    Write,
    steps,
)
from tests.wiring.nodes import SAMPLES, Sample, facts

FRESH = Wanted("/opt/nodeseal/0.1.0", is_placed=False, is_current=False)
RUNS = May(is_running=True, restart=True, now=10_000.0)


def order(found: tuple[Step, ...], *kinds: type) -> list[int]:
    """Where steps of these kinds are."""
    return [i for i, step in enumerate(found) if isinstance(step, kinds)]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
@pytest.mark.parametrize("changes", Changes)
def test_each_step_comes_behind_what_it_rests_on(sample: Sample, changes: Changes) -> None:
    made = plan(facts(sample), Options(changes, "/srv/verifiers"))
    found = steps(made, FRESH, RUNS)
    (place,), (check,), (switch,) = order(found, Place), order(found, Check), order(found, Switch)
    assert place < check < switch
    assert found[-1] == Prove()
    configuration = order(found, Change, Compare) + [
        i for i, step in enumerate(found) if isinstance(step, Write) and step.role is Role.CONFIGURATION
    ]
    for wire in order(found, Wire):
        assert max([switch, *configuration]) < wire
    for restart in order(found, Restart):
        assert restart == len(found) - 2
        assert configuration
    assert bool(order(found, Restart)) == bool(made.restart)


def test_restart_has_to_be_possible_allowed_and_not_too_soon() -> None:
    made = plan(facts(SAMPLES[0]), Options(bin_dir="/srv/verifiers"))
    for may in (
        RUNS._replace(restart=False),
        RUNS._replace(is_running=False),
        RUNS._replace(restarted=RUNS.now - 3599),
    ):
        assert not order(steps(made, FRESH, may), Restart)
    for may in (RUNS, RUNS._replace(restarted=RUNS.now - 3600), RUNS._replace(restarted=RUNS.now + 5)):
        assert order(steps(made, FRESH, may), Restart)


def test_restart_that_is_due_from_before_is_made_up_for() -> None:
    made = plan(facts(SAMPLES[0], with_link=True), Options())
    there = FRESH._replace(is_placed=True, is_current=True)
    assert steps(made, there, RUNS) == (Prove(),)
    (restart, _) = steps(made, there, RUNS._replace(pending="a reason"))
    assert restart == Restart("containerd.service", "a reason", by_itself=False)


RECORD = Manifest(
    (
        Entry("/etc/x", Kind.FILE, Role.STATE, 0o600, "ab", before="cd", done=True),
        Entry("/opt/p", Kind.TREE, Role.PROGRAM, 0o755, members=(("a", "folder"), ("a/b", "link:c"))),
    ),
    undoing=True,
    restart_pending="why",
    pending_since=7.5,
)


def test_record_is_read_as_it_was_written() -> None:
    assert manifests.decode(manifests.encode(RECORD)) == RECORD
    assert manifests.decode(manifests.encode(Manifest())) == Manifest()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schemaVersion", "two"),
        ("schemaVersion", 1),
        ("added", True),
        ("entries", {}),
        ("entries", [1]),
        ("restartPending", 1),
        ("pendingSince", "x"),
        ("path", "relative"),
        ("path", "/a/../b"),
        ("kind", "device"),
        ("mode", "99999"),
        ("mode", "x"),
        ("before", "../../etc/shadow"),
        ("members", {"../x": "folder"}),
        ("members", {"/x": "folder"}),
        ("members", []),
        ("said", None),
    ],
)
def test_record_that_is_otherwise_is_refused(key: str, value: object) -> None:
    document = json.loads(manifests.encode(RECORD))
    (document if key in document else document["entries"][0])[key] = value
    with pytest.raises(Malformed, match="manifest"):
        manifests.decode(json.dumps(document).encode())


def test_record_of_a_newer_version_is_read_if_it_says_nothing_that_is_unknown() -> None:
    document = json.loads(manifests.encode(RECORD))
    document["schemaVersion"] = "2"
    assert manifests.decode(json.dumps(document).encode()) == RECORD
    document["pins"] = []
    with pytest.raises(Malformed, match="pins"):
        manifests.decode(json.dumps(document).encode())

"""A node's condition and taints: what is written, and when."""

import json
from datetime import datetime, timezone

import pytest

from agent.cluster.nodes import CONDITION, HEARTBEAT, MOST_AGAIN, Condition, Keeper, Node, event, read, without_taint
from agent.cluster.troubles import ApiError, Trouble

NOON = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
LATER = datetime(2026, 11, 27, 13, tzinfo=timezone.utc)
YES, NO = Condition("True", "Enforcing", "m"), Condition("False", "VerifierNotCalled", "m")
NEW = Node((), "", "")
DOWN = ApiError(Trouble.UNAVAILABLE, "x")


def conditions(keeper: Keeper, condition: Condition, at: datetime = NOON) -> dict[str, str]:
    body = json.loads(json.dumps(keeper.body(condition, at)))
    return dict(body["status"]["conditions"][0])


def test_heartbeat_is_written_though_nothing_changes() -> None:
    keeper = Keeper(NEW)
    assert keeper.wait(YES, 0) == 0
    assert keeper.wrote(YES, NOON, 0, 0.5)
    assert keeper.wait(YES, 0) == HEARTBEAT == 300
    assert keeper.wait(YES._replace(message="other"), 100) == 200
    assert keeper.wait(YES, 300) == 0
    assert not keeper.wrote(YES, LATER, 300, 0.0)
    assert keeper.wait(YES, 300) == pytest.approx(270)
    assert not keeper.wrote(YES, LATER, 600, 1.0)
    assert keeper.wait(YES, 600) == pytest.approx(330)


def test_change_is_written_at_once_but_not_all_the_time() -> None:
    keeper = Keeper(NEW)
    keeper.wrote(YES, NOON, 100, 0.5)
    assert keeper.wait(NO, 200) == 0
    assert keeper.wait(YES._replace(reason="Other"), 200) == 0
    assert keeper.wrote(NO, NOON, 200, 0.5)
    assert keeper.wait(YES, 201) == 14


def test_time_of_the_last_change_is_that_of_the_status() -> None:
    keeper = Keeper(Node((), "True", "2026-01-01T00:00:00Z"))
    assert conditions(keeper, YES)["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert conditions(keeper, NO)["lastTransitionTime"] == "2026-11-27T12:00:00Z"
    keeper.wrote(NO, NOON, 0, 0.5)
    assert conditions(keeper, NO._replace(reason="Other"), LATER) == {
        "type": CONDITION,
        "status": "False",
        "reason": "Other",
        "message": "m",
        "lastHeartbeatTime": "2026-11-27T13:00:00Z",
        "lastTransitionTime": "2026-11-27T12:00:00Z",
    }
    blind = Keeper(None)
    assert conditions(blind, YES)["lastTransitionTime"] == "2026-11-27T12:00:00Z"
    blind.wrote(YES, NOON, 0, 0.5)
    assert conditions(blind, YES, LATER)["lastTransitionTime"] == "2026-11-27T12:00:00Z"


def test_message_is_short_and_printable() -> None:
    said = conditions(Keeper(NEW), YES._replace(message="\x1b" + "x" * 5000))["message"]
    assert len(said) == 512
    assert said.startswith("\\x1bxx")


def test_what_failed_is_tried_again_more_and_more_rarely_and_said_once() -> None:
    keeper = Keeper(NEW)
    assert keeper.failed(DOWN, 0, 1.0)
    assert keeper.wait(YES, 0) == 5
    assert keeper.wait(NO, 0) == 5
    assert not keeper.failed(DOWN, 0, 1.0)
    assert keeper.wait(YES, 0) == 10
    for _ in range(50):
        keeper.failed(DOWN, 0, 1.0)
    assert keeper.wait(YES, 0) == MOST_AGAIN
    keeper.failed(DOWN, 0, 0.0)
    assert keeper.wait(YES, 0) == MOST_AGAIN / 2
    keeper.wrote(YES, NOON, 0, 0.5)
    assert keeper.failed(ApiError(Trouble.THROTTLED, "x", retry_after=77), 0, 1.0)
    assert keeper.wait(YES, 0) == 77
    keeper.wrote(YES, NOON, 0, 0.5)
    assert keeper.failed(ApiError(Trouble.FORBIDDEN, "x"), 0, 1.0)
    assert keeper.wait(YES, 0) == 300


def node(**parts: object) -> bytes:
    return json.dumps({"kind": "Node", **parts}).encode()


@pytest.mark.parametrize(
    "content",
    [
        node(),
        node(spec=None, status=None),
        node(spec={}, status={}),
        node(spec={"taints": None}, status={"conditions": []}),
    ],
)
def test_node_without_anything_has_nothing(content: bytes) -> None:
    assert read(content) == NEW


def test_taints_are_kept_as_they_are_and_our_condition_is_found() -> None:
    taints = [{"key": "a", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}]
    listed = [{"type": "Ready", "status": "False"}, {"type": CONDITION, "status": "True", "lastTransitionTime": "t"}]
    found = read(node(spec={"taints": taints}, status={"conditions": listed}))
    assert found == Node(tuple(taints), "True", "t")
    info = {"containerRuntimeVersion": "cri-o://1.33.0", "osImage": "Fedora", "kubeletVersion": "v1.33.0"}
    assert read(node(status={"nodeInfo": info})) == NEW._replace(runtime="cri-o://1.33.0", system="Fedora")
    assert read(node(status={"nodeInfo": {"osImage": 1}})) == NEW
    assert read(node(status={"conditions": [{"type": CONDITION, "status": 1, "lastTransitionTime": None}]})) == NEW


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null]", node(spec=[]), node(spec={"taints": ["x"]}), node(spec={"taints": "ab"}), node(status=1)],
)
def test_what_is_no_node_is_not_guessed_at(content: bytes) -> None:
    with pytest.raises(ApiError) as told:
        read(content)
    assert told.value.trouble is Trouble.MALFORMED


def test_patch_removes_each_taint_of_the_key_from_behind() -> None:
    taints = tuple({"key": key, "effect": effect} for key, effect in (("k", "A"), ("x", "A"), ("k", "B"), ("k/", "A")))
    assert without_taint(Node(taints, "", ""), "k") == [
        {"op": "test", "path": "/spec/taints/2", "value": taints[2]},
        {"op": "remove", "path": "/spec/taints/2"},
        {"op": "test", "path": "/spec/taints/0", "value": taints[0]},
        {"op": "remove", "path": "/spec/taints/0"},
    ]
    assert without_taint(Node(taints, "", ""), "none") == []


def test_event_is_about_the_node_as_kubelets_write_them() -> None:
    said = event("n1", NO, NOON)
    assert said["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1"}
    assert (said["type"], said["reason"], said["message"]) == ("Warning", "VerifierNotCalled", "image verification: m")
    assert event("n1", YES, NOON)["type"] == "Normal"
    names = {
        str(event(*each)["metadata"])
        for each in (("n1", NO, NOON), ("n1", YES, NOON), ("n1", NO, LATER), ("n2", NO, NOON))
    }
    assert len(names) == 4
    assert len(event("n" * 253, NO, NOON)["metadata"]["name"]) <= 253  # type: ignore[index]

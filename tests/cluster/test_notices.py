"""Which events are told of ConfigMaps, and as what."""

import re
from datetime import datetime, timezone

import pytest

from agent.cluster.notices import (
    BURST,
    BURST_OF_ONE,
    MAX_MESSAGE,
    MOST_REMEMBERED,
    REFILL,
    REFILL_OF_ONE,
    REPEAT,
    RESERVED,
    Diary,
    Notice,
    Reason,
    again,
)
from tests.cluster.objects import NAMESPACE, configmap

AT = datetime(2026, 11, 27, 20, 30, 5, 999, tzinfo=timezone.utc)


def notice(message: str = "generation 12ab", reason: Reason = Reason.ACCEPTED, name: str = "shop") -> Notice:
    """Something to say."""
    return Notice.of(configmap(name), reason, message)


def test_an_event_says_what_of_whom_by_whom_and_when() -> None:
    body = notice().body("node-7", 3, AT)
    assert body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": NAMESPACE, "name": notice().event},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "namespace": NAMESPACE,
            "name": "shop",
            "uid": "uid-shop",
            "resourceVersion": "1",
        },
        "type": "Normal",
        "reason": "ConfigurationAccepted",
        "message": "generation 12ab",
        "source": {"component": "nodeseal", "host": "node-7"},
        "reportingComponent": "nodeseal",
        "reportingInstance": "node-7",
        "firstTimestamp": "2026-11-27T20:30:05Z",
        "lastTimestamp": "2026-11-27T20:30:05Z",
        "count": 3,
    }
    assert again(4, AT) == {"count": 4, "lastTimestamp": "2026-11-27T20:30:05Z"}


@pytest.mark.parametrize("reason", [each for each in Reason if each is not Reason.ACCEPTED])
def test_all_but_acceptance_is_a_warning(reason: Reason) -> None:
    assert notice(reason=reason).body("n", 1, AT)["type"] == "Warning"


def test_a_message_is_printable_and_within_the_apis_limit() -> None:
    said = notice("\x1b[2J\u202e" + "é" * 2000).message
    assert said.isascii() and said.isprintable()
    assert len(said.encode()) == MAX_MESSAGE


@pytest.mark.parametrize("name", ["shop", "a" * 253, "a" * 235 + "-.b" + "c" * 10, "a.b-c"])
def test_an_events_name_is_one_that_the_api_takes(name: str) -> None:
    event = notice(name=name).event
    assert len(event) <= 253
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert re.fullmatch(rf"{label}(\.{label})*", event)


def test_the_same_has_the_same_name_on_every_node_and_nothing_else_has() -> None:
    said = [
        notice(),
        notice("generation 34cd"),
        notice(reason=Reason.TRUST_GREW),
        notice(name="other"),
        notice()._replace(uid="created-anew"),
    ]
    assert len({each.event for each in said}) == len(said)
    assert notice()._replace(resource_version="8").event == notice().event


def warning(number: int, about: str | None = None) -> Notice:
    """One of many, each about a ConfigMap of its own unless told otherwise."""
    return notice(f"number {number}", reason=Reason.REJECTED)._replace(uid=about or f"uid-{number}")


def test_what_is_said_again_is_counted_and_written_after_a_while() -> None:
    diary = Diary()
    assert diary.count(notice(), 1.0) == 1
    assert [diary.count(notice(), 2.0 + i) for i in range(5)] == [0] * 5
    assert diary.count(notice(), 1.0 + REPEAT) == 7


def test_a_flood_is_dropped_and_counted() -> None:
    diary = Diary()
    written = [diary.count(warning(i), 1.0) for i in range(100)]
    assert sum(written) == BURST
    assert diary.dropped == 100 - BURST
    assert diary.count(warning(100), 1.0 + REFILL) == 1
    assert diary.count(warning(101), 1.0 + REFILL) == 0


def test_acceptance_leaves_room_for_warnings() -> None:
    diary = Diary()
    written = [diary.count(notice()._replace(uid=f"uid-{i}"), 1.0) for i in range(100)]
    assert sum(written) == BURST - RESERVED
    assert sum(diary.count(warning(i), 1.0) for i in range(100)) == RESERVED


def test_a_configmap_that_changes_all_the_time_silences_no_other() -> None:
    diary = Diary()
    written = [diary.count(warning(i, "flips"), 0.6 * i) for i in range(100)]  # a minute
    assert sum(written) == BURST_OF_ONE
    assert diary.count(warning(100, "other"), 60.0) == 1
    assert sum(diary.count(warning(200 + i, "flips"), 60.0 + 0.6 * i) for i in range(6_000)) == 3600 / REFILL_OF_ONE


def test_what_was_dropped_is_written_when_there_is_room() -> None:
    diary = Diary()
    for i in range(BURST + 1):
        diary.count(warning(i), 1.0)
    assert diary.count(warning(BURST), 1.0 + REFILL) == 2


def test_a_diary_is_bounded() -> None:
    diary = Diary()
    for i in range(MOST_REMEMBERED + 1):
        diary.count(warning(i), 1.0)
    diary.wrote(warning(0).event, ours=True)
    assert not diary.is_ours(warning(0).event)
    diary.wrote(warning(MOST_REMEMBERED).event, ours=True)
    assert diary.is_ours(warning(MOST_REMEMBERED).event)

"""Bytes of an API server to values."""

import json
from typing import Any

import pytest

from agent.cluster import messages
from agent.cluster.messages import Change, Kind
from agent.cluster.selections import configmaps
from agent.cluster.troubles import MAX_MESSAGE, ApiError, Trouble, refusal
from tests.cluster.objects import NAMESPACE, configmap, event, written

READ = configmaps(NAMESPACE, "").read
FULL = configmap("shop", 7, **{"config.json": "{,}"})._replace(
    annotations={"nodeseal.dev/priority": "5"}, binary_data={"ca.der": b"\0\xff"}
)


def listing(*items: Any, **metadata: str) -> bytes:
    """A list, as the server writes it."""
    return json.dumps({"metadata": {"resourceVersion": "10", **metadata}, "items": list(items)}).encode()


def changed(**changes: Any) -> dict[str, Any]:
    """A ConfigMap with other metadata, or without what is None."""
    value = written(FULL)
    value["metadata"] = {name: each for name, each in {**value["metadata"], **changes}.items() if each is not None}
    return value


def test_a_configmap_is_read_whole() -> None:
    assert messages.page(listing(written(FULL)), READ) == ((FULL,), "10", "")


def test_a_page_tells_how_it_goes_on() -> None:
    assert messages.page(listing(**{"continue": "next"}), READ).token == "next"


def test_go_writes_an_empty_list_as_null() -> None:
    assert messages.page(b'{"metadata": {"resourceVersion": "1"}, "items": null}', READ).items == ()


@pytest.mark.parametrize("kind", [Kind.ADDED, Kind.MODIFIED, Kind.DELETED])
def test_an_event_names_its_object_and_its_version(kind: Kind) -> None:
    assert messages.change(event(kind.value, written(FULL)), READ) == Change(kind, "7", FULL)


def test_a_bookmark_has_a_version_and_nothing_else() -> None:
    line = event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": "12", "creationTimestamp": None}})
    assert messages.change(line, READ) == Change(Kind.BOOKMARK, "12", None)


def test_an_error_in_an_event_is_what_it_would_be_as_a_status() -> None:
    line = event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version: 1 (9)"})
    with pytest.raises(ApiError, match="too old resource version") as caught:
        messages.change(line, READ)
    assert caught.value.trouble is Trouble.GONE
    with pytest.raises(ApiError) as caught:
        messages.change(event("ERROR", {}), READ)
    assert caught.value.trouble is Trouble.UNAVAILABLE


@pytest.mark.parametrize(
    "value",
    [
        changed(name=None),
        changed(name=""),
        changed(name="x" * 254),
        changed(namespace="kube-system"),
        changed(uid=None),
        changed(resourceVersion=5),
        changed(creationTimestamp="yesterday"),
        changed(creationTimestamp="2026-11-27T20:00:00"),
        changed(labels={"a": 1}),
        changed(labels=[]),
        {**written(FULL), "data": {"a": {}}},
        {**written(FULL), "data": "text"},
        {**written(FULL), "binaryData": {"a": "no base64!"}},
        {"metadata": []},
        [],
        None,
    ],
)
def test_what_is_no_configmap_spoils_the_whole_page_and_the_event(value: Any) -> None:
    for read in (
        lambda: messages.page(listing(written(configmap("fine")), value), READ),
        lambda: messages.change(event("ADDED", value), READ),
    ):
        with pytest.raises(ApiError) as caught:
            read()
        assert caught.value.trouble is Trouble.MALFORMED


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<html>", b"[]", b'{"items": []}', b'{"metadata": {}}', b"\xff", b'{"a": 1, "a": 2}',
        b'{"metadata": {"resourceVersion": "1"}, "items": {}}',
        b'{"metadata": {"resourceVersion": "1", "continue": 1}, "items": []}',
    ],
)  # fmt: skip
def test_what_is_no_list_is_none(content: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        messages.page(content, READ)
    assert caught.value.trouble is Trouble.MALFORMED


@pytest.mark.parametrize("line", [b"{", b"null", b'{"type": "ADDED"}', event("SURPRISE", {}), event("BOOKMARK", {})])
def test_what_is_no_event_is_none(line: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        messages.change(line, READ)
    assert caught.value.trouble is Trouble.MALFORMED


def test_a_document_may_have_as_many_commas_as_it_likes() -> None:
    value = configmap("a", 1, list="," * 1_000_000)
    assert messages.page(listing(written(value)), READ).items == (value,)


def test_more_than_the_bound_is_not_decoded() -> None:
    with pytest.raises(ApiError) as caught:
        messages.change(b" " * (messages.MAX_LINE + 1), READ)
    assert caught.value.trouble is Trouble.TOO_LONG


def test_labels_of_a_node() -> None:
    assert messages.node_labels(b'{"metadata": {"labels": {"zone": "a"}}, "status": {}}') == {"zone": "a"}
    assert messages.node_labels(b'{"metadata": {}}') == {}
    with pytest.raises(ApiError):
        messages.node_labels(b'{"metadata": {"labels": {"zone": 1}}}')


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (302, Trouble.MALFORMED), (400, Trouble.REFUSED), (401, Trouble.UNAUTHORIZED), (403, Trouble.FORBIDDEN),
        (404, Trouble.NOT_FOUND), (409, Trouble.CONFLICT), (410, Trouble.GONE), (422, Trouble.REFUSED),
        (429, Trouble.THROTTLED), (500, Trouble.UNAVAILABLE), (504, Trouble.UNAVAILABLE),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, trouble: Trouble) -> None:
    assert refusal(status, "").trouble is trouble


@pytest.mark.parametrize(
    ("header", "seconds"), [("", 0), ("7", 7), ("999999", 300), ("-1", 0), ("soon", 0), ("1.5", 0), ("\u0667", 0)]
)
def test_how_long_a_server_wants_to_be_left_alone(header: str, seconds: float) -> None:
    assert refusal(429, "", header).retry_after == seconds


def test_a_reason_is_shown_printable_and_short() -> None:
    told = messages.reason(json.dumps({"kind": "Status", "message": "\x1b[31m" + "x" * 1000}).encode())
    message = refusal(403, told).message
    assert "\x1b" not in message
    assert len(message) == MAX_MESSAGE
    assert messages.reason(b"<html>") == ""
    assert messages.reason(b"[]") == ""
    assert messages.reason(b'{"message": 1}') == ""

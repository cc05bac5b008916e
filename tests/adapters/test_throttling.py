"""Registries that asked to be left alone: nobody asks them until then, and no longer than we allow."""

import os
import pathlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from agent.adapters import misses, throttling
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.inline import run
from agent.adapters.registry import RegistryClient
from agent.adapters.throttling import MOST, ConsiderateTransport, ThrottledOrigins
from agent.errors import Cause, Unavailable
from agent.model.reference import Reference, Repository
from agent.registry import hosts
from agent.registry.access import Access
from agent.registry.memory import Memory
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin, Url
from tests.simulators import misbehaviour
from tests.simulators.registry import RegistrySimulator

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
HOME = Url.parse("https://r.example/v2/x/manifests/1", "test")
GET = Request(HOME, "r.example: manifest 1", 100)


class Wire:
    """A transport that answers what it is told to, and counts."""

    def __init__(self, status: int = 429, wait: str = "120", **headers: str) -> None:
        """Asks to wait."""
        self.sent = 0
        told = (("retry-after", wait),) if wait else ()
        self.response = Response(status, (*told, *headers.items()))

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport.send`."""
        self.sent += 1
        return self.response


def send(root: pathlib.Path, wire: Wire, request: Request = GET, now: datetime = NOW) -> Response:
    """Another process sends a request."""
    return run(ConsiderateTransport(wire, ThrottledOrigins(str(root)), now=lambda: now).send(request))


@pytest.mark.parametrize("status", [429, 503])
def test_who_asked_to_be_left_alone_is_and_everybody_is_told_until_when(tmp_path: pathlib.Path, status: int) -> None:
    wire = Wire(status)
    assert send(tmp_path, wire).status == status
    with pytest.raises(Unavailable) as caught:
        send(tmp_path, wire, now=NOW + timedelta(seconds=119))
    assert caught.value.cause is Cause.THROTTLED
    assert caught.value.message == (
        "r.example: manifest 1: not asked: r.example wants no requests until 2026-06-01T12:02:00Z"
    )
    assert wire.sent == 1
    assert len(list((tmp_path / throttling.KIND.folder).iterdir())) == 1
    wire.response = Response(200)
    send(tmp_path, wire, now=NOW + timedelta(seconds=120))
    assert wire.sent == 2
    assert list((tmp_path / throttling.KIND.folder).iterdir()) == []


@pytest.mark.parametrize("wait", ["300", "301", "86400", "999999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_nobody_chooses_more_than_five_minutes(tmp_path: pathlib.Path, wait: str) -> None:
    wire = Wire(429, wait)
    send(tmp_path, wire)
    with pytest.raises(Unavailable):
        send(tmp_path, wire, now=NOW + MOST - timedelta(seconds=1))
    send(tmp_path, wire, now=NOW + MOST)
    assert wire.sent == 2


@pytest.mark.parametrize(
    ("status", "wait"),
    [
        (429, ""),
        (429, "soon"),
        (429, "-1"),
        (429, "0"),
        (503, ""),
        (500, "120"),
        (502, "120"),
        (200, "120"),
        (401, "60"),
    ],
)
def test_other_answers_leave_the_registry_open(tmp_path: pathlib.Path, status: int, wait: str) -> None:
    wire = Wire(status, wait)
    for _ in range(2):
        assert send(tmp_path, wire).status == status
    assert wire.sent == 2


def test_a_date_is_measured_from_the_responses_own(tmp_path: pathlib.Path) -> None:
    wire = Wire(429, "Thu, 01 Jan 2099 00:01:00 GMT", date="Thu, 01 Jan 2099 00:00:00 GMT")
    send(tmp_path, wire)
    assert ThrottledOrigins(str(tmp_path)).until(HOME, NOW) == NOW + timedelta(minutes=1)


def test_a_registry_speaks_for_itself_alone(tmp_path: pathlib.Path) -> None:
    """Where it leads to, a mirror or a token server, is not closed to others because of it."""
    wire, elsewhere = Wire(), Url.parse("https://cdn.example/x", "test")
    send(tmp_path, wire, GET._replace(url=elsewhere, sent_by=HOME.origin))
    send(tmp_path, wire, GET._replace(url=elsewhere))
    assert wire.sent == 2
    for other in (
        Origin("http", "r.example", 80),
        Origin("https", "r.example", 8443),
        Origin("https", "s.example", 443),
    ):
        assert ThrottledOrigins(str(tmp_path)).until(HOME._replace(origin=other), NOW) is None


def test_one_repository_does_not_close_the_registry_to_the_others(tmp_path: pathlib.Path) -> None:
    """Its upstream may be somebody else's."""
    wire = Wire()
    send(tmp_path, wire)
    for path in ("/v2/y/manifests/1", "/v2/x/y/manifests/1", "/v2/x/manifests/manifests/1", "/token"):
        send(tmp_path, wire, GET._replace(url=HOME._replace(path=path)))
    assert wire.sent == 5
    for path in ("/v2/x/blobs/2", "/v2/x/referrers/3"):
        with pytest.raises(Unavailable):
            send(tmp_path, wire, GET._replace(url=HOME._replace(path=path)))
    assert wire.sent == 5


def test_a_note_of_a_time_that_we_would_not_allow_is_none(tmp_path: pathlib.Path) -> None:
    (tmp_path / "var/cache/nodeseal").mkdir(parents=True)
    wire = Wire()
    send(tmp_path, wire, now=NOW + timedelta(hours=1))
    send(tmp_path, wire)
    assert wire.sent == 2
    assert misses.counted(str(tmp_path)) == {"throttled": {"future": 1}}


def _chown(path: pathlib.Path) -> None:
    os.chown(path, 65534, 0)


@pytest.mark.parametrize("spoil", [_chown, lambda path: path.chmod(0o666), lambda path: os.truncate(path, 9)])
def test_a_note_of_somebody_elses_is_none(tmp_path: pathlib.Path, spoil: Callable[[pathlib.Path], None]) -> None:
    wire = Wire()
    send(tmp_path, wire)
    (note,) = (tmp_path / throttling.KIND.folder).iterdir()
    spoil(note)
    send(tmp_path, wire)
    assert wire.sent == 2


def test_what_is_forgotten_is_asked_again(tmp_path: pathlib.Path) -> None:
    wire = Wire()
    send(tmp_path, wire)
    assert ThrottledOrigins(str(tmp_path)).forget(HOME.origin, "x")
    assert not ThrottledOrigins(str(tmp_path)).forget(HOME.origin, "x")
    send(tmp_path, wire)
    assert wire.sent == 2


def test_over_a_real_connection_the_second_process_sends_nothing(
    tmp_path: pathlib.Path, registry: RegistrySimulator
) -> None:
    registry.push_image("shop/cart", "1")
    registry.misbehave("*", misbehaviour.status(429, Retry_After="120"))
    reference = Reference(Repository(registry.host, "shop/cart"), "1", None)

    def resolve() -> None:
        transport = BlockingTransport(deadline=time.monotonic() + 60)
        try:
            considerate = ConsiderateTransport(transport, ThrottledOrigins(str(tmp_path)))
            run(RegistryClient(considerate, use_http=True).resolve(reference))
        finally:
            transport.close()

    for said in ("too many requests", "wants no requests until"):
        with pytest.raises(Unavailable, match=said) as caught:
            resolve()
        assert caught.value.cause is Cause.THROTTLED
    assert sum(registry.counts.values()) == 1


def test_a_wait_that_is_short_is_waited_for_and_noted_for_nobody(
    tmp_path: pathlib.Path, registry: RegistrySimulator
) -> None:
    registry.push_image("shop/cart", "1")
    registry.misbehave("*", misbehaviour.in_turn(misbehaviour.status(429, Retry_After="1"), misbehaviour.as_usual))
    transport = BlockingTransport(deadline=time.monotonic() + 60)
    try:
        considerate = ConsiderateTransport(transport, ThrottledOrigins(str(tmp_path)))
        run(
            RegistryClient(considerate, use_http=True).resolve(
                Reference(Repository(registry.host, "shop/cart"), "1", None)
            )
        )
    finally:
        transport.close()
    assert not (tmp_path / throttling.KIND.folder).exists()


def test_a_registry_behind_a_mirror_closes_no_other_that_calls_a_repository_the_same(tmp_path: pathlib.Path) -> None:
    """A mirror of many passes on what each says: whoever names an image chooses which one is asked."""
    recorded = {"_default": [{"url": "https://mirror.example/v2"}]}

    def asked(host: str) -> Request:
        (place,) = hosts.places(recorded, Repository(host, "library/nginx"), use_http=False)
        access = Access.at(place, Memory(time.monotonic, lambda: None))
        url = access.url("referrers", "sha256:" + "0" * 64).with_parameters((("artifactType", "a/b"),))
        return Request(url, "referrers", 100)

    wire = Wire(429)
    send(tmp_path, wire, asked("evil.example"))
    with pytest.raises(Unavailable):
        send(tmp_path, wire, asked("evil.example"))
    wire.response = Response(200)
    assert send(tmp_path, wire, asked("docker.io")).status == 200

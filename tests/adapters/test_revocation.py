"""Asking about revocation over HTTP: what goes out, where it may lead, what is kept."""

import base64
import os
import pathlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import pytest

from agent.adapters import revocation_cache
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.inline import run
from agent.adapters.registry import Transport
from agent.adapters.revocation import MAX_REDIRECTS, MAX_REMEMBERED, RevocationClient
from agent.adapters.revocation_cache import RevocationCache, name_of
from agent.errors import LimitExceeded, Malformed, NodesealError, Unavailable
from agent.model.inquiry import Confirmed, RevocationQuery
from agent.registry.messages import Request, Response
from tests.simulators.registry import Handler, RegistrySimulator

ASK = RevocationQuery("http://ocsp.example.com/path", b"\x30\x03+/", 1000, 2.0)
LIST = RevocationQuery("http://crl.example.com/a.crl", b"", 1000, 5.0)


class Wire:
    """Transports that answer by a script; notes requests, and how long each transport may wait."""

    def __init__(self, *answers: Response | NodesealError) -> None:
        """Answer in this order."""
        self.answers = list(answers)
        self.sent: list[Request] = []
        self.seconds: list[float] = []
        self.open = 0

    @contextmanager
    def transport(self, seconds: float) -> Iterator[Transport]:
        """Open one."""
        self.seconds.append(seconds)
        self.open += 1
        yield self
        self.open -= 1

    async def send(self, request: Request) -> Response:
        """The next answer."""
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, NodesealError):
            raise answer
        return answer


def moved(to: str, status: int = 302) -> Response:
    return Response(status, (("location", to),))


def test_short_request_is_a_get_and_carries_the_request_in_its_path() -> None:
    wire = Wire(Response(200, (), b"answer"))
    fetched = run(RevocationClient(wire.transport).fetch(ASK))
    assert (fetched.content, fetched.kept) == (b"answer", False)
    (request,) = wire.sent
    assert request.body is None
    prefix, _, encoded = request.url.path.rpartition("/")
    assert prefix == "/path"
    assert "+" not in encoded
    assert base64.b64decode(unquote(encoded)) == ASK.body
    assert request.limit == 1000
    assert (wire.seconds, wire.open) == ([2.0], 0)


@pytest.mark.parametrize(
    "query",
    [ASK._replace(body=b"x" * 200), ASK._replace(url="http://ocsp.example.com/?a=b")],
    ids=["long", "to a URL with a query"],
)
def test_other_requests_are_posted(query: RevocationQuery) -> None:
    wire = Wire(Response(200, (), b"answer"))
    run(RevocationClient(wire.transport).fetch(query))
    (request,) = wire.sent
    assert request.body == query.body
    assert ("Content-Type", "application/ocsp-request") in request.headers
    assert str(request.url) == query.url.partition("?")[0]


@pytest.mark.parametrize("query", [ASK, LIST], ids=["OCSP", "list"])
@pytest.mark.parametrize("status", [204, 404, 429, 500])
def test_status_other_than_200_is_no_answer(query: RevocationQuery, status: int) -> None:
    wire = Wire(Response(status, (), b"body"))
    with pytest.raises(Malformed, match=f"got status {status}"):
        run(RevocationClient(wire.transport).fetch(query))


def test_responder_may_not_send_us_elsewhere() -> None:
    wire = Wire(moved("http://elsewhere.example.com/"))
    with pytest.raises(Malformed, match="got status 302"):
        run(RevocationClient(wire.transport).fetch(ASK))


def test_list_may_have_moved_and_the_transport_is_told_who_sent_us() -> None:
    wire = Wire(moved("/b.crl"), moved("https://cdn.example.net/c.crl", 301), Response(200, (), b"list"))
    assert run(RevocationClient(wire.transport).fetch(LIST)).content == b"list"
    assert [str(each.url) for each in wire.sent] == [
        "http://crl.example.com/a.crl",
        "http://crl.example.com/b.crl",
        "https://cdn.example.net/c.crl",
    ]
    assert [each.sent_by and str(each.sent_by) for each in wire.sent] == [None, None, "http://crl.example.com"]


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://user:password@cdn.example.net/",
        "file:///etc/passwd",
        "",
    ],
)
def test_list_does_not_lead_to_this_node_or_its_cloud(to: str) -> None:
    wire = Wire(moved(to), Response(200, (), b"list"))
    with pytest.raises(Malformed):
        run(RevocationClient(wire.transport).fetch(LIST))
    assert len(wire.sent) == 1


def test_list_does_not_lead_from_https_to_http() -> None:
    wire = Wire(moved("http://crl.example.com/b.crl"))
    with pytest.raises(Malformed, match="expected https"):
        run(RevocationClient(wire.transport).fetch(LIST._replace(url="https://crl.example.com/a.crl")))


def test_redirects_end() -> None:
    wire = Wire(*[moved("/again")] * 10)
    with pytest.raises(LimitExceeded, match="redirects"):
        run(RevocationClient(wire.transport).fetch(LIST))
    assert len(wire.sent) == MAX_REDIRECTS + 1


def test_two_locations_are_none() -> None:
    wire = Wire(Response(302, (("location", "/a"), ("location", "/b"))))
    with pytest.raises(Malformed, match="2 Location"):
        run(RevocationClient(wire.transport).fetch(LIST))


@pytest.mark.parametrize("url", ["ldap://x", "http://", "http://a b/", "http://x/\r\nHost: y", "x" * 9000])
def test_address_that_is_none_is_not_asked(url: str) -> None:
    wire = Wire()
    with pytest.raises(Malformed):
        run(RevocationClient(wire.transport).fetch(ASK._replace(url=url)))
    assert wire.sent == []


def test_confirmed_answer_is_remembered_and_not_asked_for_again_unless_it_must_be_fresh(tmp_path: pathlib.Path) -> None:
    wire = Wire(Response(200, (), b"one"), Response(200, (), b"two"))
    client = RevocationClient(wire.transport)
    run(client.fetch(ASK))
    run(client.keep(Confirmed(ASK, b"one")))
    assert run(client.fetch(ASK)) == (b"one", True)
    assert run(client.fetch(ASK._replace(fresh=True))) == (b"two", False)


def test_large_answer_is_kept_on_disk_alone(tmp_path: pathlib.Path) -> None:
    content = b"x" * (MAX_REMEMBERED + 1)
    query = LIST._replace(limit=2 * MAX_REMEMBERED)
    first = RevocationClient(Wire().transport, cache=RevocationCache(str(tmp_path)))
    run(first.keep(Confirmed(query, content)))
    assert run(RevocationClient(Wire().transport, cache=RevocationCache(str(tmp_path))).fetch(query)).kept
    without = RevocationClient(Wire(Unavailable("away", cause=None)).transport)  # type: ignore[arg-type]
    run(without.keep(Confirmed(query, content)))
    with pytest.raises(Unavailable):
        run(without.fetch(query))


def cached(tmp_path: pathlib.Path, query: RevocationQuery = ASK, content: bytes = b"answer") -> pathlib.Path:
    """A cache with one answer; returns its file."""
    RevocationCache(str(tmp_path)).put(query, content)
    return tmp_path / revocation_cache.CACHE / name_of(query)


def test_another_process_finds_what_was_kept(tmp_path: pathlib.Path) -> None:
    file = cached(tmp_path)
    assert RevocationCache(str(tmp_path)).get(ASK) == b"answer"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_other_question_has_other_answer(tmp_path: pathlib.Path) -> None:
    cached(tmp_path)
    assert RevocationCache(str(tmp_path)).get(ASK._replace(body=b"other")) == b""
    assert RevocationCache(str(tmp_path)).get(ASK._replace(url=ASK.url + "x")) == b""


@pytest.mark.parametrize(
    ("query", "age", "there"),
    [(ASK, 3500, True), (ASK, 3700, False), (LIST, 23 * 3600, True), (LIST, 25 * 3600, False), (ASK, -60, False)],
)
def test_answers_grow_old(tmp_path: pathlib.Path, query: RevocationQuery, age: float, there: bool) -> None:
    file = cached(tmp_path, query)
    os.utime(file, (time.time() - age,) * 2)
    assert bool(RevocationCache(str(tmp_path)).get(query)) is there


@pytest.mark.parametrize("spoil", ["symlink", "mode", "folder mode", "folder", "longer", "fifo"])
def test_answer_that_could_be_somebody_elses_is_not_there(tmp_path: pathlib.Path, spoil: str) -> None:
    file = cached(tmp_path)
    if spoil == "symlink":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif spoil == "mode":
        file.chmod(0o666)
    elif spoil == "folder mode":
        file.parent.chmod(0o777)
    elif spoil == "folder":
        file.unlink()
        file.mkdir()
    elif spoil == "longer":
        file.write_bytes(b"x" * (ASK.limit + 1))
    else:
        file.unlink()
        os.mkfifo(file, 0o600)
    assert RevocationCache(str(tmp_path)).get(ASK) == b""


def test_cache_that_cannot_be_written_is_no_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "var").write_text("a file where the folder should be")
    RevocationCache(str(tmp_path)).put(ASK, b"answer")
    assert RevocationCache(str(tmp_path)).get(ASK) == b""


def test_oldest_answers_go_first(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation_cache, "KIND", revocation_cache.KIND._replace(most=2))
    cache = RevocationCache(str(tmp_path))
    for i in range(3):
        file = cached(tmp_path, ASK._replace(body=bytes([i])))
        os.utime(file, (time.time() - 100 + i,) * 2)
    cache.put(ASK, b"newest")
    there = [bool(cache.get(ASK._replace(body=bytes([i])))) for i in range(3)]
    assert (there, cache.get(ASK)) == ([False, False, True], b"newest")


def test_cache_is_bounded_in_bytes_and_swept_of_what_a_killed_process_left(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_cache, "KIND", revocation_cache.KIND._replace(most_bytes=1500))
    file = cached(tmp_path, ASK, b"x" * 1000)
    os.utime(file, (time.time() - 100,) * 2)
    left = file.parent / ".tmp-left"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    cached(tmp_path, LIST, b"y" * 1000)
    assert (file.exists(), left.exists()) == (False, False)
    assert RevocationCache(str(tmp_path)).get(LIST) == b"y" * 1000


def test_over_a_real_connection(tmp_path: pathlib.Path) -> None:
    def answer(handler: Handler) -> bool:
        length = int(handler.headers.get("Content-Length", "0"))
        return handler.answer(200, b"got " + handler.rfile.read(length)[:4], Content_Type="application/ocsp-response")

    @contextmanager
    def transport(seconds: float) -> Iterator[Transport]:
        opened = BlockingTransport(deadline=time.monotonic() + max(seconds, 60.0))
        yield opened
        opened.close()

    with RegistrySimulator() as server:
        server.misbehave("*", answer)
        client = RevocationClient(transport)
        asked = run(client.fetch(ASK._replace(url=f"{server.url}/ocsp", body=b"BODY" * 100)))
        assert asked.content == b"got BODY"
        assert run(client.fetch(LIST._replace(url=f"{server.url}/a.crl"))).content == b"got "
        assert [each.method for each in server.seen] == ["POST", "GET"]

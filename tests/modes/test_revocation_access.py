"""What a one-shot process asks about revocation: a real responder, what is kept, and when it asks no more."""

import pathlib
import socket
import time
from collections.abc import Iterator

import pytest

from agent.adapters.inline import run
from agent.errors import NodesealError
from agent.model.inquiry import Confirmed, RevocationQuery
from agent.modes.revocation_access import RESERVE, LateRevocation
from tests.simulators.responder import LIST_TYPE, Responder


@pytest.fixture
def responder() -> Iterator[Responder]:
    """It has one revocation list."""
    with Responder(socket.create_server(("127.0.0.1", 0))) as responder:
        responder.serve("/a.crl", b"a list", LIST_TYPE)
        yield responder


def query(responder: Responder, path: str = "/a.crl") -> RevocationQuery:
    """What a check asks for."""
    return RevocationQuery(responder.base + path, b"", 1000, 30.0)


def source(root: pathlib.Path | None, seconds: float = 60.0) -> LateRevocation:
    """One of a process that has this long."""
    return LateRevocation({}, time.monotonic() + seconds, str(root) if root else None)


def test_a_list_is_fetched_and_an_answer_that_was_confirmed_is_kept_for_the_next_process(
    responder: Responder, tmp_path: pathlib.Path
) -> None:
    first, asked = source(tmp_path), query(responder)
    fetched = run(first.fetch(asked))
    assert (fetched.content, fetched.kept) == (b"a list", False)
    run(first.keep(Confirmed(asked, fetched.content)))
    responder.seen.clear()
    fetched = run(source(tmp_path).fetch(asked))
    assert (fetched.content, fetched.kept) == (b"a list", True)
    assert responder.seen == []
    assert not run(source(tmp_path).fetch(asked._replace(fresh=True))).kept
    assert len(responder.seen) == 1


def test_without_a_folder_nothing_is_kept_on_disk(responder: Responder, tmp_path: pathlib.Path) -> None:
    first, asked = source(None), query(responder)
    run(first.keep(Confirmed(asked, run(first.fetch(asked)).content)))
    assert not run(source(None).fetch(asked)).kept
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_an_error(responder: Responder) -> None:
    with pytest.raises(NodesealError, match="404"):
        run(source(None).fetch(query(responder, "/b.crl")))


def test_nobody_is_asked_once_the_time_for_an_answer_has_come(responder: Responder) -> None:
    with pytest.raises(NodesealError):
        run(source(None, RESERVE).fetch(query(responder)))
    assert responder.seen == []


def test_proxy_variables_are_believed(responder: Responder) -> None:
    gone = socket.create_server(("127.0.0.1", 0))
    port = gone.getsockname()[1]
    gone.close()
    late = LateRevocation({"http_proxy": f"http://127.0.0.1:{port}"}, time.monotonic() + 30, None)
    with pytest.raises(NodesealError):
        run(late.fetch(query(responder)._replace(url="http://crl.example.com/a.crl")))

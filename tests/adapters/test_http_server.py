"""The pages' server in the test's own loop: what it bounds, and what becomes of a page that fails."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import to_thread

from agent.adapters import http_server
from agent.adapters.http_server import HttpServer, Page, address_of, listening
from agent.model.address import Address
from tests.observed import page

LOOPBACK = Address("127.0.0.1", 0)


@asynccontextmanager
async def serving(make: Callable[[], Awaitable[Page]], bugs: list[Exception]) -> AsyncIterator[tuple[HttpServer, str]]:
    """A server with one page, and where it is."""
    listener = await listening(LOOPBACK)
    server = HttpServer({"/page": make}, bugs.append)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, listener)
        yield server, str(address_of(listener))
        group.cancel_scope.cancel()


def served(make: Callable[[], Awaitable[Page]], ask: Callable[[HttpServer, str], Awaitable[None]]) -> list[Exception]:
    """Have a page asked for; the bugs that this brought."""
    bugs: list[Exception] = []

    async def run() -> None:
        with anyio.fail_after(90):
            async with serving(make, bugs) as (server, address):
                await ask(server, address)

    anyio.run(run)
    return bugs


async def ready() -> Page:
    """A page."""
    return Page(200, b"ready\n")


def test_page_that_fails_is_a_bug_and_the_next_one_is_served() -> None:
    broken = [True]

    async def make() -> Page:
        if broken.pop():
            broken.append(False)
            raise KeyError("secret")
        return Page(200, b"ready\n")

    async def ask(server: HttpServer, address: str) -> None:
        first = await to_thread.run_sync(page, address, "/page")
        assert (first.status, first.text) == (500, "internal error\n")
        assert (await to_thread.run_sync(page, address, "/page")).status == 200

    (bug,) = served(make, ask)
    assert isinstance(bug, KeyError)


def test_page_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "PATIENCE", 0.2)

    async def make() -> Page:
        await anyio.sleep(60)
        return Page(200, b"")

    async def ask(server: HttpServer, address: str) -> None:
        assert (await to_thread.run_sync(page, address, "/page"))[::2] == (503, "too busy\n")

    assert served(make, ask) == []


def test_oldest_connection_makes_room_and_whoever_lasts_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_OPEN", 3)
    monkeypatch.setattr(http_server, "LIFETIME", 60.0)

    async def ask(server: HttpServer, address: str) -> None:
        host, _, port = address.rpartition(":")
        streams = [await anyio.connect_tcp(host, int(port)) for _ in range(3)]
        fourth = await anyio.connect_tcp(host, int(port))
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await streams[0].receive()
        assert server.cut_off == 1
        await fourth.send(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await fourth.receive()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert all(0 < each.until - anyio.current_time() <= 60.0 for each in server._open)
        server._open[:2] = [each._replace(until=each.until - 60.0) for each in server._open[:2]]
        for stream in streams[1:]:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert server.cut_off == 3
        for stream in (*streams, fourth):
            await stream.aclose()

    assert served(ready, ask) == []


def test_what_a_client_sends_is_nobodys_news(capfd: pytest.CaptureFixture[str]) -> None:
    async def ask(server: HttpServer, address: str) -> None:
        host, _, port = address.rpartition(":")
        for sent in (b"\0\xff\r\n\r\n", b"GET /page HTTP/9.9\r\n\r\n", b"GET \x1b[2J HTTP/1.1\r\n\r\n"):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(sent)
                with anyio.move_on_after(5):
                    await stream.receive()

    assert served(ready, ask) == []
    assert capfd.readouterr() == ("", "")


def test_without_descriptors_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        loop = __import__("asyncio").get_running_loop()
        accept, failures = loop.sock_accept, [OSError(24, "Too many open files")] * 2

        async def scarce(listener: socket.socket) -> object:
            if failures:
                raise failures.pop()
            return await accept(listener)

        monkeypatch.setattr(loop, "sock_accept", scarce)
        async with serving(ready, []) as (_, address):
            assert (await to_thread.run_sync(page, address, "/page")).status == 200
        assert failures == []

    anyio.run(run)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..b"])
def test_host_that_can_be_none_is_an_error_of_the_system(host: str) -> None:
    with pytest.raises(OSError):
        anyio.run(listening, Address(host, 0))


def test_ipv6_alone_is_meant_by_an_ipv6_address() -> None:
    async def run() -> None:
        with await listening(Address("::1", 0)) as listener:
            assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
            assert str(address_of(listener)).startswith("[::1]:")

    anyio.run(run)

"""What only the pooled transport promises: bounds, sharing between verifications, giving up at any point."""

import socket
import struct
import threading
import time
from contextlib import suppress
from http.client import BadStatusLine, LineTooLong
from typing import Awaitable, Callable, Sequence, TypeVar

import aiohttp
import anyio
import pytest
from aiohttp import http_exceptions

from agent.adapters.budget import MIB, USUAL, Budget
from agent.adapters.http_dial import Endpoint
from agent.adapters.http_pooled import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_HOST, ConnectionPool, PooledTransport
from agent.adapters.http_pooled_dial import RESOLVER_PATIENCE, RESOLVERS
from agent.adapters.http_pooled_wire import MAX_INTERIM, Attempt
from agent.adapters.http_retry import RetryPolicy
from agent.adapters.http_wire import Deadline
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.turns import Crowded
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin, Url
from tests.adapters.transports import SteppedNetwork
from tests.simulators import misbehaviour as does
from tests.simulators.network import NetworkSimulator
from tests.simulators.registry import Handler, RegistrySimulator

Value = TypeVar("Value")


def pooled(
    body: Callable[[ConnectionPool], Awaitable[Value]],
    network: NetworkSimulator | None = None,
    *,
    total: int = MAX_CONNECTIONS,
    per_host: int = MAX_CONNECTIONS_PER_HOST,
) -> Value:
    """Run `body` over a pool."""
    stepped = SteppedNetwork(network) if network is not None else None

    async def run() -> Value:
        async with ConnectionPool(network=stepped, total=total, per_host=per_host) as pool:
            return await body(pool)

    return anyio.run(run)


def verification(pool: ConnectionPool, seconds: float = 60) -> PooledTransport:
    """A transport with a deadline so many seconds from now."""
    return PooledTransport(pool, deadline=time.monotonic() + seconds)


def get(url: str, sent_by: Origin | None = None) -> Request:
    """A GET."""
    return Request(Url.parse(url, "test"), "test", 1000, sent_by=sent_by)


def slow(handler: Handler) -> bool:
    """Once another request is there, too."""
    end = time.monotonic() + 30
    while len(handler.simulator.seen) < 2 and time.monotonic() < end:
        time.sleep(0.005)
    return False


@pytest.mark.parametrize(("bounds", "most"), [({"per_host": 2}, 2), ({"total": 3}, 3), ({}, 6)])
def test_bounds(bounds: dict[str, int], most: int) -> None:
    """Six requests at once are several connections, as many as allowed; all are answered."""
    with RegistrySimulator() as registry:
        registry.misbehave("base", slow)
        network = NetworkSimulator({})
        answers: list[Response] = []

        async def body(pool: ConnectionPool) -> None:
            async def one() -> None:
                answers.append(await verification(pool).send(get(f"{registry.url}/v2/")))

            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(one)

        pooled(body, network, **bounds)
        assert [each.status for each in answers] == [200] * 6
        assert 1 < len(network.connected) <= most


def test_whoever_waits_for_a_connection_has_a_deadline() -> None:
    """Though others keep theirs."""
    with RegistrySimulator() as registry:
        registry.misbehave("base", does.silence)

        async def body(pool: ConnectionPool) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(verification(pool, 60).send, get(f"{registry.url}/v2/"))
                while not registry.seen:
                    await anyio.sleep(0.01)
                started = time.monotonic()
                with pytest.raises(Unavailable) as caught:
                    await verification(pool, 0.2).send(get(f"{registry.url}/other"))
                assert caught.value.cause is Cause.DEADLINE
                assert time.monotonic() - started < 25
                group.cancel_scope.cancel()

        pooled(body, per_host=1)
        assert registry.counts == {"base": 1}


def test_verifications_share_connections_not_addresses() -> None:
    """Each resolves its names anew; a connection is used again only where the addresses are still the same."""
    with RegistrySimulator() as registry:
        names = {"registry.example": ["93.184.216.1", "93.184.216.2"]}
        ports = {(f"93.184.216.{i}", registry.port): registry.port for i in (1, 2, 3)}
        network = NetworkSimulator(names, ports)
        url = f"http://registry.example:{registry.port}/v2/"

        async def body(pool: ConnectionPool) -> None:
            await verification(pool).send(get(url))
            network.move("registry.example", "93.184.216.2", "93.184.216.1")
            transport = verification(pool)
            for _ in range(2):
                await transport.send(get(url))
            assert len(network.connected) == 1
            network.move("registry.example", "93.184.216.3")
            await transport.send(get(url))
            assert len(network.connected) == 1
            await verification(pool).send(get(url))

        pooled(body, network)
        assert network.connected == [("93.184.216.1", registry.port), ("93.184.216.3", registry.port)]
        assert len(network.resolved) == 3


class Rebinding(SteppedNetwork):
    """Takes its time, and gives another address each time that it is asked."""

    def __init__(self, network: NetworkSimulator) -> None:
        super().__init__(network)
        self.given = 0

    async def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """See the class."""
        self.given += 1
        number = self.given
        await anyio.sleep(0.05 * number)
        return [Endpoint(socket.AF_INET, f"93.184.216.{number}", port)]


def test_requests_at_once_resolve_a_name_once() -> None:
    """What one of them judged is what all connect to."""
    with RegistrySimulator() as registry:
        ports = {(f"93.184.216.{number}", registry.port): registry.port for number in range(1, 5)}
        network = NetworkSimulator({}, ports)
        rebinding = Rebinding(network)

        async def body() -> None:
            async with ConnectionPool(network=rebinding) as pool, anyio.create_task_group() as group:
                transport = verification(pool)
                for _ in range(4):
                    group.start_soon(transport.send, get(f"http://registry.example:{registry.port}/v2/"))

        anyio.run(body)
        assert rebinding.given == 1
        assert {address for address, _ in network.connected} == {"93.184.216.1"}
        assert len(registry.seen) == 4


def test_no_verification_uses_what_another_may_connect_to() -> None:
    """A private registry's store, under a name that its owner lets a public registry send us to."""
    with RegistrySimulator() as store:
        names = {
            "private.example": ["10.0.0.1"],
            "public.example": ["93.184.216.1"],
            "store.example": ["10.0.0.2"],
        }
        network = NetworkSimulator(names, {("10.0.0.2", store.port): store.port})
        url = f"http://store.example:{store.port}/v2/"

        async def body(pool: ConnectionPool) -> None:
            private, public = (Origin("http", f"{kind}.example", 80) for kind in ("private", "public"))
            assert (await verification(pool).send(get(url, private))).status == 200
            with pytest.raises(Malformed, match="resolved to"):
                await verification(pool).send(get(url, public))
            network.move("store.example", "93.184.216.9")
            with pytest.raises(Unavailable):
                await verification(pool).send(get(url, public))

        pooled(body, Refusing(network))
        assert len(store.seen) == 1


class Refusing(NetworkSimulator):
    """Connects only to what `inner` has a port for."""

    def __init__(self, inner: NetworkSimulator) -> None:
        super().__init__({})
        self._inner = inner

    def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """As `inner`."""
        return self._inner.resolve(host, port)

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """See the class."""
        if endpoint.address != "10.0.0.2":
            raise ConnectionRefusedError
        return self._inner.connect(endpoint, timeout)


def test_a_second_answer_in_one_breath() -> None:
    """Is not the answer to the next request."""
    real = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"

    def speak_twice(handler: Handler) -> bool:
        handler.wfile.write(real + real.replace(b"real", b"fake"))
        return True

    def speak_twice_later(handler: Handler) -> bool:
        handler.wfile.write(real[:-2])
        time.sleep(0.1)
        handler.wfile.write(real[-2:] + real.replace(b"real", b"fake"))
        return True

    for behaviour in (speak_twice, speak_twice_later):
        with RegistrySimulator() as registry:
            registry.misbehave("base", does.in_turn(behaviour, does.as_usual))

            async def body(pool: ConnectionPool, url: str = f"{registry.url}/v2/") -> list[bytes]:
                transport = verification(pool)
                return [(await transport.send(get(url))).body for _ in range(2)]

            assert pooled(body) == [b"real", b"{}"]


@pytest.mark.parametrize(("count", "taken"), [(MAX_INTERIM, True), (MAX_INTERIM + 1, False)])
def test_interim_responses(count: int, taken: bool) -> None:
    """A few."""

    def behave(handler: Handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * count)
        return handler.answer(200, b"body")

    with RegistrySimulator() as registry:
        registry.misbehave("base", behave)

        async def body(pool: ConnectionPool) -> bytes:
            return (await verification(pool).send(get(f"{registry.url}/v2/"))).body

        if taken:
            assert pooled(body) == b"body"
        else:
            with pytest.raises(LimitExceeded, match="interim"):
                pooled(body)


def test_a_reset_is_no_end() -> None:
    """Of a body without length; an end in good order is."""

    def reset(handler: Handler) -> bool:
        handler.head(200, "Connection: close")
        handler.wfile.write(b"first part")
        time.sleep(0.1)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        return True

    with RegistrySimulator() as registry:
        registry.misbehave("base", reset)

        async def body(pool: ConnectionPool) -> None:
            await verification(pool).send(get(f"{registry.url}/v2/"))

        with pytest.raises(Unavailable, match="closed before the end"):
            pooled(body)
        assert len(registry.seen) == 3


def test_giving_up_leaves_nothing_behind() -> None:
    """In the middle of a body: the connection is not used again."""
    with RegistrySimulator() as registry:
        registry.misbehave("base", does.in_turn(does.drip(), does.as_usual))
        network = NetworkSimulator({})

        async def body(pool: ConnectionPool) -> bytes:
            async def give_up(scope: anyio.CancelScope) -> None:
                while not registry.seen:
                    await anyio.sleep(0.005)
                await anyio.sleep(0.2)
                scope.cancel()

            async with anyio.create_task_group() as group:
                with anyio.CancelScope() as scope:
                    group.start_soon(give_up, scope)
                    await verification(pool).send(get(f"{registry.url}/v2/")._replace(limit=2_000_000))
            assert scope.cancelled_caught
            return (await verification(pool).send(get(f"{registry.url}/v2/"))).body

        assert pooled(body, network) == b"{}"
        assert len(network.connected) == 2


def test_a_name_that_is_not_resolved_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps its thread, and nobody waiting."""
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def body(pool: ConnectionPool) -> float:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await verification(pool, 0.3).send(get("http://slow.example/"))
        assert caught.value.cause is Cause.DEADLINE
        return time.monotonic() - started

    with monkeypatch.context() as patched:
        patched.setattr("agent.adapters.http_dial.socket.getaddrinfo", hang)
        try:
            assert pooled(body) < 15
        finally:
            released.set()


def test_waits_are_asked_for_and_end_at_the_deadline() -> None:
    """With a sleep that only remembers."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with RegistrySimulator() as registry:
        registry.misbehave(
            "base", does.in_turn(does.status(429, Retry_After="40"), does.status(503, Retry_After="60"), does.as_usual)
        )

        async def body(pool: ConnectionPool) -> int:
            transport = PooledTransport(
                pool, deadline=time.monotonic() + 100, sleep=sleep, retry_policy=RetryPolicy(dice=lambda: 0.5)
            )
            return (await transport.send(get(f"{registry.url}/v2/"))).status

        assert pooled(body) == 503
        assert slept == [40.0]


def test_what_errors_of_aiohttp_mean() -> None:
    """Each is one of the standard library, and holds nothing of a URL."""
    attempt = Attempt(get("http://registry.example/?secret"), None, (), Deadline(0))
    for error, expected in [
        (aiohttp.ServerDisconnectedError(), ConnectionResetError),
        (aiohttp.ClientPayloadError(), ConnectionResetError),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), ConnectionResetError),
        (aiohttp.ClientOSError(111, "Connection refused"), ConnectionRefusedError),
        (aiohttp.ConnectionTimeoutError(), TimeoutError),
        (aiohttp.InvalidURL("http://registry.example/?secret"), Exception),
        (http_exceptions.TransferEncodingError("zz"), Malformed),
        (http_exceptions.BadStatusLine("SSH"), BadStatusLine),
        (http_exceptions.LineTooLong(b"x" * 9), LineTooLong),
        (KeyError("bug"), KeyError),
    ]:
        cause = attempt.cause(error)
        assert isinstance(cause, expected)
        assert not isinstance(cause, aiohttp.ClientError)
        assert "secret" not in str(cause)
    attempt.defect = LimitExceeded("too much")
    assert attempt.cause(aiohttp.ClientPayloadError()) is attempt.defect


class Hanging:
    """Names that are not resolved until they are let go; all others are at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on."""
        self.asked: list[bytes] = []
        self.released = threading.Event()
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr("agent.adapters.http_dial.socket.getaddrinfo", self)

    def __call__(self, host: bytes, *arguments: object, **options: object) -> object:
        """As `socket.getaddrinfo`."""
        if host.endswith(b".example"):
            self.asked.append(host)
            self.released.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._resolve(host, *arguments, **options)  # type: ignore[arg-type]


def beside(hanging: Hanging, names: Sequence[str]) -> tuple[Response | None, float]:
    """What a registry answers, and after how long, while names hang; None for no room."""
    with RegistrySimulator() as registry:

        async def body(pool: ConnectionPool) -> tuple[Response | None, float]:
            async def hung(name: str) -> None:
                with suppress(Unavailable, Crowded):
                    await verification(pool).send(get(f"http://{name}/"))

            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(hung, name)
                while len(hanging.asked) < min(len(set(names)), RESOLVERS):
                    await anyio.sleep(0.01)
                started, answer = time.monotonic(), None
                with suppress(Crowded):
                    answer = await verification(pool).send(get(f"http://localhost:{registry.port}/v2/"))
                took = time.monotonic() - started
                group.cancel_scope.cancel()
            hanging.released.set()
            return answer, took

        return pooled(body)


def test_a_name_that_hangs_has_one_thread_however_many_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names an image chooses a registry, and how its name is resolved."""
    hanging = Hanging(monkeypatch)
    answer, _ = beside(hanging, ["slow.example"] * (2 * RESOLVERS))
    assert answer is not None
    assert answer.status == 200
    assert hanging.asked == [b"slow.example"]


def test_where_too_many_names_hang_the_child_resolves_by_itself_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Hanging(monkeypatch)
    answer, took = beside(hanging, [f"slow{i}.example" for i in range(2 * RESOLVERS)])
    assert answer is None
    assert took < RESOLVER_PATIENCE + 30


def test_answers_that_come_and_never_end_leave_memory_for_others() -> None:
    """Each within its limit; what one registry sends takes from others' room no more than its share."""
    size = 256 * 1024

    def dribbles(handler: Handler) -> bool:
        handler.head(200, f"Content-Length: {size + 1}")
        handler.wfile.write(bytes(size))
        handler.simulator.stopping.wait(60)
        return True

    with RegistrySimulator() as registry:

        async def body() -> tuple[list[type[Exception]], int]:
            ended, rooms = list[type[Exception]](), Rooms(Budget(USUAL, MIB, 2 * MIB))

            async def one() -> None:
                room = RoomOfOne(rooms, "slow.example/app", 0.3)
                transport = PooledTransport(pool, deadline=time.monotonic() + 60, room=room)
                try:
                    await transport.send(get(f"{registry.url}/v2/slow/manifests/1")._replace(limit=4 * size))
                except (Crowded, Unavailable) as error:
                    ended.append(type(error))

            async with ConnectionPool() as pool, anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(one)
                while not rooms.content.waiting and not ended:
                    await anyio.sleep(0.01)
                async with RoomOfOne(rooms, "other.example/app", 0.0).holding(MIB // 2):
                    assert rooms.content.held > MIB // 2
                while len(ended) < 6:
                    await anyio.sleep(0.01)
                registry.stopping.set()  # the others' connections end, however often they are made anew
            return ended, rooms.content.held

        registry.misbehave("*", dribbles)
        ended, held = anyio.run(body)
    assert (ended.count(Crowded), ended.count(Unavailable)) == (6, 2)
    assert held == 0

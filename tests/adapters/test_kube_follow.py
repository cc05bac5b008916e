"""Staying current with a server that has a bad day: whatever it does, the last complete state stays, and is mended."""

import threading
import time
from collections.abc import Mapping
from datetime import timedelta

import anyio
import pytest
from anyio import to_thread

from agent.adapters.kube import ApiServer
from agent.adapters.kube_follow import QUIET, Follower
from agent.adapters.nodestate import moment
from agent.cluster import messages
from agent.cluster.following import PAGE, List, Watch
from agent.cluster.troubles import ApiError, Trouble
from agent.model.configmap import ConfigMap
from agent.rules.breakglass import Moment
from tests.adapters.kube import ACTIVE, Given, Told, following, until
from tests.cluster.objects import NAMESPACE, SELECTED, SELECTOR
from tests.simulators import kube_misbehaviour as does
from tests.simulators.kube import ADMIN, Behaviour, KubeSimulator


def put(simulator: KubeSimulator, name: str, value: str) -> None:
    """A ConfigMap with the label."""
    simulator.put(NAMESPACE, name, ACTIVE, {"v": value})


def server_of(simulator: KubeSimulator, *, silence: float = 60.0, answer: float = 60.0) -> ApiServer:
    """As the administrator."""
    return ApiServer(Given(simulator.url, ADMIN), silence=silence, answer=answer)


def survives(
    *,
    at_list: tuple[Behaviour, ...] = (),
    at_watch: tuple[Behaviour, ...] = (),
    failures: Mapping[str, int],
    silence: float = 60.0,
    answer: float = 60.0,
    count: int = 1,
) -> list[float]:
    """A follower that meets these, one for each request, knows all in the end; the waits that it made."""
    waits: list[float] = []
    with KubeSimulator() as simulator:
        for i in range(count):
            put(simulator, f"a{i:03}", "1")
        simulator.behave("list", *at_list)
        simulator.behave("watch", *at_watch)
        expected = {f"a{i:03}": "1" for i in range(count)}

        async def body() -> None:
            server = server_of(simulator, silence=silence, answer=answer)
            async with server, following(server, waits=waits) as (follower, told):
                await told.until(expected)
                await until(lambda: simulator.counts["watch"] > len(at_watch))
                put(simulator, "b", "2")
                await told.until({**expected, "b": "2"})
                assert all(state.keys() >= expected.keys() for state in told.states)  # nothing was ever missing
                if min(silence, answer) < 60.0:  # which a busy machine comes to more often
                    await until(lambda: follower.progress().trouble == "")
                    assert follower.progress().failures.keys() == failures.keys()
                    assert all(follower.progress().failures[each] >= count for each, count in failures.items())
                else:
                    assert follower.progress().failures == failures
                    assert follower.progress().trouble == ""

        anyio.run(body)
    return waits


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (does.gone_in_the_middle, "gone"),
        (does.status(410), "gone"),
        (does.half_a_frame, "unavailable"),
        (does.closed_at_once, "unavailable"),
        (does.sends(b'{"type": "ADD'), "unavailable"),
        (does.sends(b'{"type": "ADD', ends=False), "unavailable"),
        (does.sends(b"garbage\n"), "malformed"),
        (does.sends(b'{"type": "ADDED", "object": {}}\n'), "malformed"),
        (does.sends(b"\n\n{}\n"), "malformed"),
        (does.status(500), "unavailable"),
        (does.status(401), "unauthorized"),
        (does.status(403), "forbidden"),
        (does.status(404), "notFound"),
        (does.status(302, Location="http://127.0.0.1:1/"), "malformed"),
        (does.other_content(b"<html>Log in</html>\n"), "malformed"),
        (does.other_content(b"<html>Log in</html>"), "unavailable"),
    ],
)
def test_a_watch_that_fails_is_mended(behaviour: Behaviour, failure: str) -> None:
    survives(at_watch=(behaviour,), failures={failure: 1})


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (does.status(410), "gone"),
        (does.status(500), "unavailable"),
        (does.status(429), "throttled"),
        (does.other_content(b"<html>"), "malformed"),
        (does.other_content(b'{"metadata": {"resourceVersion": "1"}, "items": [{}]}'), "malformed"),
        (does.other_content(b"", 302, Location="http://127.0.0.1:1/"), "malformed"),
    ],
)
def test_a_list_that_fails_is_asked_for_again(behaviour: Behaviour, failure: str) -> None:
    survives(at_list=(behaviour, behaviour), failures={failure: 2})


def test_a_connection_that_is_closed_without_a_word_is_one_failure_after_aiohttps_own_second_try() -> None:
    survives(at_list=(does.hung_up, does.hung_up), failures={"unavailable": 1})
    survives(at_watch=(does.hung_up, does.hung_up), failures={"unavailable": 1})


def test_a_place_that_is_gone_in_the_middle_of_pages_begins_the_list_anew() -> None:
    gone = (does.as_usual, does.status(410))
    survives(at_list=(*gone, *gone), failures={"gone": 2}, count=PAGE + 1)


@pytest.mark.parametrize("behaviour", [does.silence, does.drip])
def test_a_connection_that_is_frozen_is_given_up(behaviour: Behaviour) -> None:
    survives(at_watch=(behaviour, behaviour), failures={"silent": 2}, silence=0.5)


def test_a_server_that_never_answers_is_given_up() -> None:
    survives(at_list=(does.no_answer,), failures={"unavailable": 1}, answer=0.5)


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_LINE", 200_000)
    survives(at_watch=(does.endless_line,), failures={"tooLong": 1})


def test_a_list_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_PAGE", 200_000)
    survives(at_list=(does.endless_answer,), failures={"tooLong": 1})


def test_whoever_asks_to_be_left_alone_is() -> None:
    waits = survives(at_list=(does.status(429, Retry_After="7"),), failures={"throttled": 1})
    assert 7.0 <= waits[1] <= 8.0


def test_a_server_that_closes_each_watch_at_once_is_asked_ever_more_seldom() -> None:
    waits = survives(at_watch=(does.closed_at_once,) * 40, failures={"unavailable": 40})
    assert sum(waits) > 30 * 15  # of the last 34 each is 30 seconds in the mean


def test_an_hour_without_a_server_changes_nothing_and_ends_by_itself() -> None:
    with KubeSimulator() as first:
        put(first, "a", "1")
        given = Given(first.url, ADMIN)
        port = int(first.url.rpartition(":")[2])

        async def body() -> None:
            waits: list[float] = []
            async with ApiServer(given) as server, following(server, waits=waits) as (follower, told):
                await told.until({"a": "1"})
                await to_thread.run_sync(first.__exit__)
                await until(lambda: follower.progress().trouble != "")
                proven = follower.last_complete
                await until(lambda: sum(waits) > 3600)
                assert told.last == {"a": "1"}
                assert len(told.states) == 1
                assert follower.progress().trouble.startswith("no answer of the API server: ClientConnectorError")
                assert follower.last_complete == proven is not None
                with KubeSimulator(port=port) as second:
                    second.version = first.version
                    put(second, "a", "2")
                    await told.until({"a": "2"})

        anyio.run(body)


def test_objects_as_large_as_they_get_come_through_list_and_watch() -> None:
    large = "\u0001," * 750_000  # 1.5 MB; JSON has to escape half of it
    with KubeSimulator() as simulator:
        put(simulator, "a", large)

        async def body() -> None:
            async with server_of(simulator) as server, following(server) as (follower, told):
                await told.until({"a": large})
                put(simulator, "b", large)
                await told.until({"a": large, "b": large})
                assert not follower.progress().failures

        anyio.run(body)


def test_a_burst_is_told_a_few_times_and_quickly() -> None:
    with KubeSimulator() as simulator:

        async def body() -> None:
            async with server_of(simulator) as server, following(server) as (_, told):
                await told.until({})
                await until(lambda: simulator.counts["watch"] > 0)
                before, began = len(told.states), time.monotonic()
                for i in range(30):
                    put(simulator, "a", str(i))
                    await anyio.sleep(0.002)
                ended = time.monotonic()
                await told.until({"a": "29"})
                assert told.at[-1] - ended < 20.0
                assert len(told.states) - before <= 1 + (told.at[-1] - began) / QUIET

        anyio.run(body)


def test_a_burst_that_does_not_end_is_told_all_the_same() -> None:
    with KubeSimulator() as simulator:

        async def body() -> None:
            async with server_of(simulator) as server, following(server) as (_, told):
                await told.until({})
                await until(lambda: simulator.counts["watch"] > 0)
                began, i = time.monotonic(), 0
                while len(told.states) <= 3 and time.monotonic() - began < 30:
                    put(simulator, "a", str(i := i + 1))
                    await anyio.sleep(0.01)
                assert len(told.states) > 3

        anyio.run(body)


def test_changes_while_one_is_applied_are_told_after_that() -> None:
    with KubeSimulator() as simulator:
        put(simulator, "a", "1")

        async def body() -> None:
            told, going_on = Told(), anyio.Event()

            async def slow(state: Mapping[str, ConfigMap]) -> None:
                await told.apply(state)
                await going_on.wait()

            async with server_of(simulator) as server, anyio.create_task_group() as group:
                follower = Follower(server, SELECTED, random=lambda: 0.0)
                group.start_soon(follower.follow, slow)
                await told.until({"a": "1"})
                for i in range(5):
                    put(simulator, "a", str(i))
                await until(lambda: follower.state is not None and follower.state["a"].data["v"] == "4")
                await anyio.sleep(0.3)
                assert len(told.states) == 1
                going_on.set()
                await told.until({"a": "4"})
                assert len(told.states) == 2
                group.cancel_scope.cancel()

        anyio.run(body)


def test_bookmarks_prove_that_nothing_was_missed() -> None:
    with KubeSimulator() as simulator:

        async def body() -> None:
            async with server_of(simulator) as server, following(server) as (follower, told):
                await told.until({})
                first = follower.last_complete
                assert first is not None
                await until(lambda: _later(follower, first.boot_seconds + 0.5))
                assert simulator.counts["watch"] == 1
                assert len(told.states) == 1

        anyio.run(body)


def _later(follower: Follower[ConfigMap], than: float) -> bool:
    return follower.last_complete is not None and follower.last_complete.boot_seconds > than


def test_another_token_is_used_for_the_next_request() -> None:
    with KubeSimulator() as simulator:
        put(simulator, "a", "1")
        given = Given(simulator.url, ADMIN)

        async def body() -> None:
            async with ApiServer(given) as server, following(server) as (_, told):
                await told.until({"a": "1"})
                simulator.tokens = {"rotated"}
                simulator.hang_up()
                await until(lambda: simulator.seen[-1].token == ADMIN and simulator.counts["watch"] > 2)
                given.access = given.access._replace(authorization="Bearer rotated")
                put(simulator, "a", "2")
                await told.until({"a": "2"})
                assert simulator.seen[-1].token == "rotated"

        anyio.run(body)


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_a_wall_clock_that_jumps_changes_no_wait_and_loses_nothing(jump: timedelta) -> None:
    jumped, waits = [timedelta()], list[float]()

    def now() -> Moment:
        found = moment()
        return found._replace(wall=found.wall + jumped[0])

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await anyio.sleep(seconds / 1000)

    with KubeSimulator() as simulator:
        put(simulator, "a", "1")

        async def body() -> None:
            told = Told()
            async with server_of(simulator) as server, anyio.create_task_group() as group:
                follower = Follower(server, SELECTED, now=now, random=lambda: 0.5, sleep=sleep)
                group.start_soon(follower.follow, told.apply)
                await told.until({"a": "1"})
                jumped[0] = jump
                put(simulator, "a", "2")
                await told.until({"a": "2"})
                simulator.hang_up()
                put(simulator, "a", "3")
                await told.until({"a": "3"})
                assert follower.progress().lists == 1
                group.cancel_scope.cancel()

        anyio.run(body)
    assert all(0 <= wait <= 60 for wait in waits)


def test_every_request_says_what_it_wants_and_no_more() -> None:
    with KubeSimulator() as simulator:

        async def body() -> None:
            async with server_of(simulator) as server, following(server) as (_, told):
                await told.until({})
                await until(lambda: len(simulator.seen) == 2)

        anyio.run(body)
        listed, watched = simulator.seen
        assert listed.query == {"labelSelector": SELECTOR, "limit": str(PAGE)}
        assert watched.query == {
            "labelSelector": SELECTOR,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": "100",
            "timeoutSeconds": watched.query["timeoutSeconds"],
        }
        assert 240 <= int(watched.query["timeoutSeconds"]) <= 360


@pytest.mark.parametrize(
    ("behaviour", "trouble"),
    [
        (does.status(500), Trouble.UNAVAILABLE),
        (does.half_a_frame, Trouble.UNAVAILABLE),
        (does.other_content(b"{"), Trouble.MALFORMED),
        (does.endless_answer, Trouble.TOO_LONG),
    ],
)
def test_a_node_that_is_not_told_is_none_only_where_we_may_not_know(behaviour: Behaviour, trouble: Trouble) -> None:
    with KubeSimulator() as simulator:
        simulator.behave("get", behaviour)

        async def body() -> None:
            async with server_of(simulator) as server:
                with pytest.raises(ApiError) as caught:
                    await server.node_labels("n1")
                assert caught.value.trouble is trouble
                assert await server.node_labels("n1") is None

        anyio.run(body)


def test_a_name_can_not_lead_elsewhere() -> None:
    with KubeSimulator() as simulator:

        async def body() -> None:
            async with server_of(simulator) as server:
                assert await server.node_labels("../namespaces/x?watch=true#") is None

        anyio.run(body)
        assert simulator.seen[0].query == {}


def test_what_applying_raises_ends_it_for_whoever_follows() -> None:
    async def fails(state: Mapping[str, ConfigMap]) -> None:
        raise KeyError("a bug")

    with KubeSimulator() as simulator:

        async def body() -> None:
            async with server_of(simulator) as server:
                await Follower(server, SELECTED, random=lambda: 0.0).follow(fails)

        with pytest.raises(ExceptionGroup) as caught:
            anyio.run(body)
        assert isinstance(caught.value.exceptions[0], KeyError)


@pytest.mark.parametrize("size", [1, 100_000])
def test_what_takes_long_to_read_is_read_beside_the_event_loop(size: int) -> None:
    with KubeSimulator() as simulator:
        put(simulator, "a", "x" * size)

        async def body() -> None:
            loop, threads = threading.get_ident(), set[int]()

            def read(value: object) -> ConfigMap:
                threads.add(threading.get_ident())
                return SELECTED.read(value)

            selection = SELECTED._replace(read=read)
            async with server_of(simulator) as server:
                await server.page(selection, List(0, ""))
                assert (loop in threads) is (size == 1)
                async with server.changes(selection, Watch("1", 60)) as changes:
                    put(simulator, "a", "y" * size)
                    threads.clear()
                    while (await changes.next()) is None or not threads:
                        pass
            assert (loop in threads) is (size == 1)

        anyio.run(body)

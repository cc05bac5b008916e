"""A disk that is slow, or hangs, costs whoever needs it: nobody else's pull waits, and the event loop goes on."""

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from agent.adapters import beside, files
from agent.adapters.beside import Beside
from agent.adapters.queued_log import QueuedLog
from agent.modes import node as nodes
from agent.modes import warm
from tests.modes.glass import Node
from tests.modes.warmdoor import Asker, Said, asking
from tests.warm import Told


class Disk:
    """One that takes as long as the test likes; never in the thread that the test, and the event loop, runs in."""

    def __init__(self) -> None:
        """It hangs."""
        self.goes_on = threading.Event()
        self.used = 0

    def slowly(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same, but it takes its time."""

        def slow(*args: Any, **named: Any) -> Any:
            assert threading.current_thread() is not threading.main_thread()
            self.used += 1
            assert self.goes_on.wait(60)
            return function(*args, **named)

        return slow

    async def until_used(self) -> None:
        """Wait until somebody waits for it."""
        with anyio.fail_after(30):
            while not self.used:
                await anyio.sleep(0.005)


async def answered(asker: Asker, name: str, key: bytes = b"") -> Said:
    """The answer, which is kept afterwards."""
    pull = asker.pull(name, key=key, seconds=60)
    message = await pull.message()
    pull.told()
    return Said.of(message)


def test_a_disk_that_writes_slowly_delays_no_answer(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(Beside.do, "__defaults__", (60.0,))  # who waited for it would wait for long
    monkeypatch.setattr(warm, "DEADLINE", 60.0)

    async def body(asker: Asker) -> None:
        await asker.door.state()
        monkeypatch.setattr(files, "replace", disk.slowly(files.replace))
        with anyio.fail_after(30):
            first = await answered(asker, "team/signed", b"k")
            await disk.until_used()
            second = await answered(asker, "team/unsigned", b"l")
            third = await answered(asker, "team/signed", b"m")
        assert (first.code, second.code, third.code) == (0, 10, 0)
        assert asker.door.beside.under_way > 0
        disk.goes_on.set()
        while asker.door.beside.under_way:
            await anyio.sleep(0.005)

    try:
        asking(node, body)
    finally:
        disk.goes_on.set()


def test_a_snapshot_that_is_read_slowly_holds_up_nothing_but_those_who_need_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(warm, "_PLENTY", 0)
    monkeypatch.setattr(warm, "_READING", 60.0)
    monkeypatch.setattr(nodes, "opened", disk.slowly(nodes.opened))

    async def body(asker: Asker) -> None:
        async def others() -> None:
            await disk.until_used()
            disk.goes_on.set()

        async with anyio.create_task_group() as group:
            group.start_soon(others)
            said = await asker.at_once("team/signed", "team/unsigned", "team/signed")
        assert [each.code for each in said] == [0, 10, 0]
        assert disk.used == 1

    try:
        asking(node, body)
    finally:
        disk.goes_on.set()


def test_a_disk_that_hangs_costs_a_bounded_time_and_bounded_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "MOST", 2)
    let_go, bugs = threading.Event(), list[Exception]()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            one = Beside(group, bugs.append)
            begun = time.monotonic()
            assert not await one.do(let_go.wait, patience=0.1)
            assert not await one.do(let_go.wait, patience=0.1)
            assert not await one.do(let_go.wait, patience=60)
            assert 0.2 <= time.monotonic() - begun < 30
            assert (one.under_way, one.dropped) == (2, 1)
            let_go.set()
            while one.under_way:
                await anyio.sleep(0.01)
            assert await one.do(let_go.wait)
            one.later(lambda: 1 // 0)
            while not bugs:
                await anyio.sleep(0.01)

    anyio.run(main)
    assert isinstance(bugs[0], ZeroDivisionError)


def test_work_that_was_given_up_before_it_began_is_under_way_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a thread has begun in spite of that ends by itself."""
    monkeypatch.setattr(beside, "MOST", 1)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            one = Beside(group, lambda error: None)
            given_up = 0

            async def give_up() -> None:
                nonlocal given_up
                given_up += not await one.do(lambda: None, patience=0.02)

            for _ in range(10):
                async with anyio.create_task_group() as inner:
                    inner.start_soon(give_up)
                    inner.start_soon(stand_still)
                with anyio.fail_after(5):
                    while one.under_way:
                        await anyio.sleep(0.01)
            assert given_up
            assert await one.do(lambda: None)

    async def stand_still() -> None:
        time.sleep(0.05)  # as on a machine that has no time for this process

    anyio.run(main)


def test_a_log_that_nobody_reads_keeps_nobody_waiting_and_tells_what_it_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.adapters.queued_log.MOST_WAITING", 3)
    let_go, told = threading.Event(), Slow()
    told.let_go = let_go
    log = QueuedLog(told)  # type: ignore[arg-type]
    for i in range(100):
        log.info(f"line {i}")
    assert told.events == []  # it has waited for nobody
    assert log.dropped >= 96
    dropped = log.dropped
    let_go.set()
    while not log._lines.empty():
        time.sleep(0.01)
    log.warning("late", more=1)
    log.close()
    names = [event for _, event, _ in told.events]
    assert names[:3] == ["line 0", "line 1", "line 2"]
    assert names[-2:] == ["linesDropped", "late"]
    assert told.of("linesDropped") == [{"lines": dropped}]


class Slow(Told):
    """A log that nobody reads yet."""

    let_go: threading.Event
    dropped = 0

    def info(self, event: str, **fields: object) -> None:
        """See `ports.Log.info`."""
        self.let_go.wait(60)
        super().info(event, **fields)

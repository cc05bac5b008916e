"""Policies beside an event loop: the loop goes on, and a policy that does not end is ended."""

import itertools
import os
import time
from collections.abc import Callable

import anyio
import pytest

from agent.adapters import policy_worker
from agent.adapters.budget import MIB, USUAL, divided
from agent.adapters.policy_thread import AT_ONCE, ThreadedWorker
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.turns import Crowded
from agent.errors import LimitExceeded, PolicyFault


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings may take any time on a busy machine: what is tested here is who waits for whom."""
    monkeypatch.setattr(policy_worker, "LABOUR_SECONDS", 60.0)


@pytest.mark.parametrize("answer", [True, False])
def test_answer_is_the_policys_from_another_process(answer: bool) -> None:
    here = os.getpid()

    async def ask() -> bool:
        return await ThreadedWorker().run(lambda: answer and os.getpid() != here)

    assert anyio.run(ask) is answer


def test_everything_else_goes_on_meanwhile() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.01)
            turns += 1

    def slow() -> bool:
        time.sleep(0.5)
        return True

    async def ask() -> None:
        worker = ThreadedWorker()
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            async with anyio.create_task_group() as asking:
                for _ in range(AT_ONCE):
                    asking.start_soon(worker.run, slow)
            group.cancel_scope.cancel()

    begun = time.monotonic()
    anyio.run(ask)
    assert turns > 5
    assert time.monotonic() - begun < AT_ONCE * 0.5 + 5


def test_policy_that_does_not_end_is_ended_within_the_pulls_time() -> None:
    def endless() -> bool:
        while True:
            pass

    async def ask() -> None:
        await mine(Rooms(divided(USUAL)), ThreadedWorker(), seconds=0.8).run(endless)  # three tenths of a second

    with pytest.raises(PolicyFault, match=r"more than 0\.3 s"):
        anyio.run(ask)


def test_content_is_read_one_after_another_and_everything_else_goes_on() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.01)
            turns += 1

    def slow() -> bytes:
        begun = time.monotonic()
        time.sleep(0.2)
        return f"{begun} {time.monotonic()}".encode()

    async def ask() -> list[tuple[float, ...]]:
        worker, found = ThreadedWorker(), list[tuple[float, ...]]()

        async def one() -> None:
            found.append(tuple(map(float, (await worker.labour(slow, [60.0])).split())))

        async with anyio.create_task_group() as group:
            group.start_soon(count)
            async with anyio.create_task_group() as asking:
                for _ in range(3):
                    asking.start_soon(one)
            group.cancel_scope.cancel()
        return found

    spans = sorted(anyio.run(ask))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
    assert turns > 5


def reads_for(seconds: float) -> Callable[[], bytes]:
    """Work that takes so long."""

    def work() -> bytes:
        time.sleep(seconds)
        return b""

    return work


def mine(rooms: Rooms, all_of_them: ThreadedWorker, waiting: float = 0.2, seconds: float = 8.0) -> ThreadedWorker:
    """One verification's, of many."""
    return all_of_them.within(seconds, RoomOfOne(rooms, "r.example/mine", waiting))


def test_who_waits_too_long_for_others_is_left_to_his_child_and_not_denied() -> None:
    """Whoever may push can have many images looked at whose reading takes long: none of others' fails for that."""

    async def ask() -> tuple[list[float], bytes, bool]:
        rooms, all_of_them, left = Rooms(divided(512 * MIB)), ThreadedWorker(), [0.3]
        async with anyio.create_task_group() as group:
            group.start_soon(mine(rooms, all_of_them).labour, reads_for(0.6), [60.0])
            for _ in range(AT_ONCE):
                group.start_soon(mine(rooms, all_of_them, 60.0).run, lambda: not reads_for(0.6)())
            await anyio.sleep(0.1)
            one, another = mine(rooms, all_of_them), mine(rooms, all_of_them)
            with pytest.raises(Crowded):
                await one.labour(lambda: b"never", left)
            with pytest.raises(Crowded):
                await another.run(lambda: True)
        return left, await one.labour(lambda: b"next", [60.0]), await another.run(lambda: True)

    assert anyio.run(ask) == ([0.3], b"next", True)


def test_worker_that_finds_no_memory_is_left_to_the_child() -> None:
    async def ask() -> int:
        rooms = Rooms(divided(USUAL))
        async with RoomOfOne(rooms, "r.example/hog").worker(rooms.working.size):
            for work in (
                mine(rooms, ThreadedWorker()).run(lambda: True),
                mine(rooms, ThreadedWorker()).labour(bytes, [3.0]),
            ):
                with pytest.raises(Crowded):
                    await work
        return rooms.working.held

    assert anyio.run(ask) == 0


def test_waiting_for_others_takes_no_time_for_reading() -> None:
    async def ask() -> float:
        rooms, all_of_them, left = Rooms(divided(512 * MIB)), ThreadedWorker(), [60.0]
        async with anyio.create_task_group() as group:
            group.start_soon(mine(rooms, all_of_them).labour, reads_for(2.5), [60.0])
            await anyio.sleep(0.1)
            assert await mine(rooms, all_of_them, 60.0).labour(lambda: b"read", left) == b"read"
        return 60.0 - left[0]

    assert 0 < anyio.run(ask) < 2.0


def test_a_verification_waits_once_not_for_each_of_its_turns() -> None:
    async def ask() -> float:
        rooms, all_of_them = Rooms(divided(512 * MIB)), ThreadedWorker()
        async with anyio.create_task_group() as group:
            group.start_soon(mine(rooms, all_of_them).labour, reads_for(1.0), [60.0])
            await anyio.sleep(0.1)
            one, begun = mine(rooms, all_of_them, 0.3), time.monotonic()
            for _ in range(5):
                with pytest.raises(Crowded):
                    await one.labour(lambda: b"never", [60.0])
            waited = time.monotonic() - begun
        return waited

    assert 0.3 <= anyio.run(ask) < 5 * 0.3


def test_what_an_image_reads_side_by_side_counts_together_and_is_no_crowd_of_others() -> None:
    async def ask() -> tuple[float, float]:
        one, left, begun = mine(Rooms(divided(USUAL)), ThreadedWorker()), [60.0], time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one.labour, reads_for(0.2), left)
        return 60.0 - left[0], time.monotonic() - begun

    counted, passed = anyio.run(ask)
    assert 4 * 0.2 <= counted <= passed


def test_what_is_read_once_no_time_is_left_is_content_that_asks_for_too_much() -> None:
    with pytest.raises(LimitExceeded, match="no time"):
        anyio.run(ThreadedWorker().labour, bytes, [0.0])

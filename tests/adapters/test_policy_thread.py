"""Policies beside an event loop: the loop goes on, and a policy that does not end is ended."""

import itertools
import os
import pathlib
import time
from collections.abc import Callable

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from agent.adapters import policy_worker
from agent.adapters.budget import MIB, USUAL, divided
from agent.adapters.policy_thread import AT_ONCE, ThreadedWorker
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.turns import Crowded
from agent.errors import LimitExceeded, PolicyFault

AMPLE = 60.0
"""Seconds that nothing here takes that ends, however busy the machine is."""


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work may take any time on a busy machine: what is tested here is who waits for whom."""
    monkeypatch.setattr(policy_worker, "LABOUR_SECONDS", AMPLE)
    monkeypatch.setattr(policy_worker, "SECONDS", AMPLE)


def everybodys() -> ThreadedWorker:
    """What all verifications share."""
    return ThreadedWorker(AMPLE)


async def count(turns: list[int], path: pathlib.Path) -> None:
    """Count turns of the event loop, and say on disk that there were some."""
    while True:
        await anyio.sleep(0.01)
        turns.append(len(turns))
        if len(turns) == 6:
            path.touch()


def until(path: pathlib.Path) -> Callable[[], bytes]:
    """Work that takes until there is a file there."""

    def work() -> bytes:
        while not path.exists():
            time.sleep(0.005)
        return b""

    return work


@pytest.mark.parametrize("answer", [True, False])
def test_answer_is_the_policys_from_another_process(answer: bool) -> None:
    here = os.getpid()

    async def ask() -> bool:
        return await everybodys().run(lambda: answer and os.getpid() != here)

    assert anyio.run(ask) is answer


def test_everything_else_goes_on_meanwhile(tmp_path: pathlib.Path) -> None:
    turns, counted = list[int](), tmp_path / "counted"

    def slow() -> bool:
        return until(counted)() == b""

    async def ask() -> None:
        worker = everybodys()
        async with anyio.create_task_group() as group:
            group.start_soon(count, turns, counted)
            async with anyio.create_task_group() as asking:
                for _ in range(AT_ONCE):
                    asking.start_soon(worker.run, slow)
            group.cancel_scope.cancel()

    anyio.run(ask)
    assert len(turns) > 5


def test_policy_that_does_not_end_is_ended_within_the_pulls_time() -> None:
    def endless() -> bool:
        while True:
            pass

    async def ask() -> None:
        await mine(Rooms(divided(USUAL)), everybodys(), seconds=0.8).run(endless)  # three tenths of a second

    with pytest.raises(PolicyFault, match=r"more than 0\.3 s"):
        anyio.run(ask)


def test_content_is_read_one_after_another_and_everything_else_goes_on(tmp_path: pathlib.Path) -> None:
    turns, counted = list[int](), tmp_path / "counted"

    def slow() -> bytes:
        begun = time.monotonic()
        until(counted)()
        time.sleep(0.1)
        return f"{begun} {time.monotonic()}".encode()

    async def ask() -> list[tuple[float, ...]]:
        worker, found = everybodys(), list[tuple[float, ...]]()

        async def one() -> None:
            found.append(tuple(map(float, (await worker.labour(slow, [AMPLE])).split())))

        async with anyio.create_task_group() as group:
            group.start_soon(count, turns, counted)
            async with anyio.create_task_group() as asking:
                for _ in range(3):
                    asking.start_soon(one)
            group.cancel_scope.cancel()
        return found

    spans = sorted(anyio.run(ask))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
    assert len(turns) > 5


def reads_for(seconds: float) -> Callable[[], bytes]:
    """Work that takes so long."""

    def work() -> bytes:
        time.sleep(seconds)
        return b""

    return work


def mine(rooms: Rooms, all_of_them: ThreadedWorker, waiting: float = 0.2, seconds: float = 1000.0) -> ThreadedWorker:
    """One verification's, of many; a policy has `AMPLE` of its time, or three eighths of it."""
    return all_of_them.within(seconds, RoomOfOne(rooms, "r.example/mine", waiting))


def test_who_waits_too_long_for_others_is_left_to_his_child_and_not_denied(tmp_path: pathlib.Path) -> None:
    """Whoever may push can have many images looked at whose reading takes long: none of others' fails for that."""

    over = tmp_path / "over"

    async def ask() -> tuple[list[float], bytes, bool]:
        rooms, all_of_them, left = Rooms(divided(512 * MIB)), everybodys(), [0.3]
        async with anyio.create_task_group() as group:
            group.start_soon(mine(rooms, all_of_them).labour, until(over), [AMPLE])
            for _ in range(AT_ONCE):
                group.start_soon(mine(rooms, all_of_them, AMPLE).run, lambda: not until(over)())
            await wait_all_tasks_blocked()
            one, another = mine(rooms, all_of_them), mine(rooms, all_of_them)
            with pytest.raises(Crowded):
                await one.labour(lambda: b"never", left)
            with pytest.raises(Crowded):
                await another.run(lambda: True)
            over.touch()
        return left, await one.labour(lambda: b"next", [AMPLE]), await another.run(lambda: True)

    assert anyio.run(ask) == ([0.3], b"next", True)


def test_worker_that_finds_no_memory_is_left_to_the_child() -> None:
    async def ask() -> int:
        rooms = Rooms(divided(USUAL))
        async with RoomOfOne(rooms, "r.example/hog").worker(rooms.working.size):
            for work in (
                mine(rooms, everybodys()).run(lambda: True),
                mine(rooms, everybodys()).labour(bytes, [3.0]),
            ):
                with pytest.raises(Crowded):
                    await work
        return rooms.working.held

    assert anyio.run(ask) == 0


def test_waiting_for_others_takes_no_time_for_reading(tmp_path: pathlib.Path) -> None:
    over, left, since = tmp_path / "over", [AMPLE], list[float]()

    async def ask() -> None:
        rooms, all_of_them = Rooms(divided(512 * MIB)), everybodys()
        async with anyio.create_task_group() as group:

            async def others_end() -> None:
                await wait_all_tasks_blocked()
                await anyio.sleep(0.5)
                since.append(time.monotonic())
                over.touch()

            group.start_soon(mine(rooms, all_of_them).labour, until(over), [AMPLE])
            await wait_all_tasks_blocked()
            group.start_soon(others_end)
            assert await mine(rooms, all_of_them, AMPLE).labour(lambda: b"read", left) == b"read"
            since.append(time.monotonic())

    anyio.run(ask)
    assert 0 < AMPLE - left[0] < since[1] - since[0]


def test_a_verification_waits_once_not_for_each_of_its_turns(tmp_path: pathlib.Path) -> None:
    over = tmp_path / "over"

    async def ask() -> tuple[float, float]:
        rooms, all_of_them = Rooms(divided(512 * MIB)), everybodys()
        async with anyio.create_task_group() as group:
            group.start_soon(mine(rooms, all_of_them).labour, until(over), [AMPLE])
            await wait_all_tasks_blocked()
            room, begun, left = RoomOfOne(rooms, "r.example/mine", 0.3), time.monotonic(), list[float]()
            for _ in range(5):
                with pytest.raises(Crowded):
                    await all_of_them.within(AMPLE, room).labour(lambda: b"never", [AMPLE])
                with room.patience.waiting() as seconds:
                    left.append(seconds)
            waited = time.monotonic() - begun
            over.touch()
        return waited, max(left)

    waited, left = anyio.run(ask)
    assert waited >= 0.3
    assert left < 0.01, "who has waited that long waits no more"


def test_what_an_image_reads_side_by_side_counts_together_and_is_no_crowd_of_others() -> None:
    async def ask() -> tuple[float, float]:
        one, left, begun = mine(Rooms(divided(USUAL)), everybodys()), [AMPLE], time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one.labour, reads_for(0.2), left)
        return AMPLE - left[0], time.monotonic() - begun

    counted, passed = anyio.run(ask)
    assert 4 * 0.2 <= counted <= passed


def test_what_is_read_once_no_time_is_left_is_content_that_asks_for_too_much() -> None:
    with pytest.raises(LimitExceeded, match="no time"):
        anyio.run(everybodys().labour, bytes, [0.0])

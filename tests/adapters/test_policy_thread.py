"""Policies beside an event loop: the loop goes on, and a policy that does not end is ended."""

import itertools
import os
import time
from collections.abc import Callable

import anyio
import pytest

from agent.adapters.policy_thread import AT_ONCE, ThreadedWorker
from agent.errors import LimitExceeded, PolicyFault


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
        await ThreadedWorker().within(0.8).run(endless)  # three tenths of a second

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


def test_reading_that_gets_no_turn_in_its_time_is_content_that_asks_for_too_much() -> None:
    """Not a deadline, which would say "cannot tell": others' images must not choose that."""

    async def ask() -> tuple[str, list[float], bytes]:
        worker, left = ThreadedWorker(), [0.2]
        async with anyio.create_task_group() as group:
            group.start_soon(worker.labour, reads_for(0.6), [60.0])
            await anyio.sleep(0.1)
            with pytest.raises(LimitExceeded) as raised:
                await worker.labour(lambda: b"never", left)
        return raised.value.message, left, await worker.labour(lambda: b"next", [60.0])

    message, left, afterwards = anyio.run(ask)
    assert "no turn" in message
    assert left[0] <= 0.0
    assert afterwards == b"next"


def test_waiting_for_ones_turn_counts_as_reading() -> None:
    async def ask() -> float:
        worker, left = ThreadedWorker(), [60.0]
        async with anyio.create_task_group() as group:
            group.start_soon(worker.labour, reads_for(0.5), [60.0])
            await anyio.sleep(0.1)
            assert await worker.labour(lambda: b"read", left) == b"read"
        return 60.0 - left[0]

    assert anyio.run(ask) > 0.3


def test_what_an_image_reads_side_by_side_waits_for_each_other_and_counts_once() -> None:
    async def ask() -> tuple[float, float]:
        worker, left, begun = ThreadedWorker(), [60.0], time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(worker.labour, reads_for(0.2), left)
        return 60.0 - left[0], time.monotonic() - begun

    counted, passed = anyio.run(ask)
    assert 4 * 0.2 <= counted <= passed


def test_policy_that_gets_no_turn_in_its_time_is_a_fault() -> None:
    def slow() -> bool:
        time.sleep(0.25)
        return True

    async def ask() -> list[str]:
        worker, told = ThreadedWorker(seconds=0.4), []

        async def one() -> None:
            try:
                await worker.run(slow)
            except PolicyFault as fault:
                told.append(fault.message)

        async with anyio.create_task_group() as group:
            for _ in range(4 * AT_ONCE):
                group.start_soon(one)
        return told

    told = anyio.run(ask)
    assert any("no turn in 0.4 s" in each for each in told)
    assert len(told) >= 2 * AT_ONCE

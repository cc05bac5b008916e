"""Policies beside an event loop: the loop goes on, and a policy that does not end is ended."""

import itertools
import os
import time

import anyio
import pytest

from agent.adapters.policy_thread import AT_ONCE, ThreadedWorker
from agent.errors import PolicyFault


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
            found.append(tuple(map(float, (await worker.labour(slow, [3.0])).split())))

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

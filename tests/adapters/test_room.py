"""The account of what others' content takes in memory: who waits for how long, for whom, and what that comes to."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import pytest

from agent.adapters.allowance import Allowance
from agent.adapters.budget import MIB, USUAL, divided
from agent.adapters.room import FREE, FREE_TOLD, WAITING, Account, NoTurn, RoomOfOne, Rooms
from agent.errors import LimitExceeded, NoRoom, Unavailable

Value = TypeVar("Value")
LARGE = 40 * MIB
"""Content of which there is room for one."""


def rooms() -> Rooms:
    """Those of a daemon in its usual memory."""
    return Rooms(divided(USUAL))


def ran(work: Callable[[], Awaitable[Value]]) -> Value:
    """What it comes to, in an event loop."""
    return anyio.run(work)


def test_room_that_is_given_back_is_there_for_the_next() -> None:
    async def work() -> int:
        account = Account(10)
        await account.take(10, "a", 0)
        account.give(10)
        await account.take(10, "b", 0)
        return account.held

    assert ran(work) == 10


def test_more_than_there_is_is_refused_at_once() -> None:
    async def work() -> float:
        begun = time.monotonic()
        with pytest.raises(NoTurn):
            await Account(10).take(11, "a", 60)
        return time.monotonic() - begun

    assert ran(work) < 5


def test_who_waits_gets_all_or_nothing_in_turn_and_leaves_nothing_behind() -> None:
    async def work() -> tuple[list[str], int, int]:
        account, order = Account(10), list[str]()
        await account.take(10, "hog", 0)

        async def one(owner: str, amount: int) -> None:
            await account.take(amount, owner, 60)
            order.append(owner)
            await anyio.sleep(0.01)
            account.give(amount)

        async with anyio.create_task_group() as group:
            for owner in ("many", "many", "many", "few"):
                group.start_soon(one, owner, 8)
                await anyio.sleep(0.01)
            with pytest.raises(NoTurn):
                await account.take(1, "late", 0.05)
            account.give(10)
        return order, account.held, account.waiting

    assert ran(work) == (["many", "few", "many", "many"], 0, 0)


def test_who_is_cancelled_leaves_nothing_behind() -> None:
    async def work() -> tuple[int, int]:
        account = Account(10)
        await account.take(10, "a", 0)
        async with anyio.create_task_group() as group:
            group.start_soon(account.take, 10, "b", 60)
            await anyio.sleep(0.01)
            account.give(10)  # it is b's from now on, who is cancelled before it hears of that
            group.cancel_scope.cancel()
        return account.held, account.waiting

    assert ran(work) in ((0, 0), (10, 0))


def test_small_content_is_never_waited_for() -> None:
    async def work() -> list[int]:
        shared = rooms()
        hog, small = RoomOfOne(shared, "hog"), RoomOfOne(shared, "small")
        await shared.content.take(shared.content.size, "hog", 0)
        await shared.told.take(shared.told.size, "hog", 0)
        async with small.holding(FREE // 2, [3.0]), small.holding(FREE // 2, [3.0]):
            await small.keep(FREE_TOLD, [3.0])
        async with small.holding(FREE, [3.0]):
            pass
        hog.close()
        return [shared.content.waiting, shared.told.waiting]

    assert ran(work) == [0, 0]


@pytest.mark.parametrize("left", [0.2, 60.0])
def test_waiting_takes_of_an_images_time_and_ends_as_its_contents_limit(left: float) -> None:
    """Not as "cannot tell", which others' images must not choose."""

    async def work() -> tuple[float, float]:
        shared, mine = rooms(), [left]
        begun = time.monotonic()
        async with RoomOfOne(shared, "hog").holding(LARGE, [3.0]):
            with pytest.raises(NoRoom) as raised:
                async with RoomOfOne(shared, "other").holding(LARGE, mine):
                    raise AssertionError
        assert isinstance(raised.value, LimitExceeded)
        assert not isinstance(raised.value, Unavailable)
        assert shared.content.held == 0
        return left - mine[0], time.monotonic() - begun

    waited, passed = ran(work)
    assert min(left, WAITING) - 0.05 <= waited <= passed


def test_what_an_image_waits_for_side_by_side_counts_once_and_has_an_end_for_all_of_it() -> None:
    async def work() -> tuple[float, int]:
        shared, mine, refused = rooms(), [60.0], 0
        room = RoomOfOne(shared, "other", 0.4)

        async def one() -> None:
            nonlocal refused
            try:
                async with room.holding(LARGE, mine):
                    pass
            except NoRoom:
                refused += 1

        async with RoomOfOne(shared, "hog").holding(LARGE, [3.0]):
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(one)
        return 60.0 - mine[0], refused

    waited, refused = ran(work)
    assert refused == 8
    assert 0.3 < waited < 3


def test_what_was_told_is_held_until_the_image_is_judged() -> None:
    async def work() -> list[int]:
        shared, held = rooms(), []
        async with shared.of("team/app") as room:
            await room.keep(4 * MIB, [3.0])
            await room.keep(2 * MIB, [3.0])
            held.append(shared.told.held)
        return [*held, shared.told.held]

    assert ran(work) == [6 * MIB, 0]


def test_allowance_is_taken_if_it_is_there() -> None:
    allowance = Allowance(10)
    assert allowance.take(10)
    assert not allowance.take(1)
    allowance.give(4)
    assert [allowance.take(4), allowance.take(1)] == [True, False]

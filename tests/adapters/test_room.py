"""The account of what others' content takes in memory: who waits for how long, for whom, and what that comes to."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import pytest

from agent.adapters.allowance import Allowance
from agent.adapters.budget import LOWEST_LIMIT, MIB, USUAL, divided
from agent.adapters.concurrent import SideBySide
from agent.adapters.room import FREE, FREE_TOLD, WAITING, Account, RoomOfOne, Rooms
from agent.adapters.turns import Crowded
from agent.errors import LimitExceeded, NoRoom

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
        account.give(10, "a")
        await account.take(10, "b", 0)
        return account.held

    assert ran(work) == 10


def test_more_than_there_is_is_refused_at_once() -> None:
    async def work() -> float:
        begun = time.monotonic()
        with pytest.raises(NoRoom):
            await Account(10).take(11, "a", 60)
        return time.monotonic() - begun

    assert ran(work) < 30


def test_who_waits_gets_all_or_nothing_in_turn_and_leaves_nothing_behind() -> None:
    async def work() -> tuple[list[str], int, int]:
        account, order = Account(10), list[str]()
        await account.take(10, "hog", 0)

        async def one(owner: str, amount: int) -> None:
            await account.take(amount, owner, 60)
            order.append(owner)
            await anyio.sleep(0.01)
            account.give(amount, owner)

        async with anyio.create_task_group() as group:
            for owner in ("many", "many", "many", "few"):
                group.start_soon(one, owner, 8)
                await anyio.sleep(0.01)
            with pytest.raises(Crowded):
                await account.take(1, "late", 0.05)
            account.give(10, "hog")
        return order, account.held, account.waiting

    assert ran(work) == (["many", "few", "many", "many"], 0, 0)


def test_who_is_cancelled_leaves_nothing_behind() -> None:
    async def work() -> tuple[int, int]:
        account = Account(10)
        await account.take(10, "a", 0)
        async with anyio.create_task_group() as group:
            group.start_soon(account.take, 10, "b", 60)
            await anyio.sleep(0.01)
            account.give(10, "a")  # it is b's from now on, who is cancelled before it hears of that
            group.cancel_scope.cancel()
        return account.held, account.waiting

    assert ran(work) in ((0, 0), (10, 0))


def test_small_content_is_never_waited_for() -> None:
    async def work() -> list[int]:
        shared = rooms()
        hog, small = RoomOfOne(shared, "hog"), RoomOfOne(shared, "small")
        await shared.content.take(shared.content.size, "hog", 0)
        await shared.told.take(shared.told.size, "hog", 0)
        async with small.holding(FREE // 2), small.holding(FREE // 2):
            await small.keep(FREE_TOLD)
        async with small.holding(FREE):
            pass
        hog.close()
        return [shared.content.waiting, shared.told.waiting]

    assert ran(work) == [0, 0]


def test_who_waits_for_others_is_left_to_his_child_and_neither_refused_nor_in_doubt() -> None:
    async def work() -> float:
        shared = rooms()
        async with RoomOfOne(shared, "hog").holding(LARGE):
            begun = time.monotonic()
            with pytest.raises(Crowded):
                async with RoomOfOne(shared, "other").holding(LARGE):
                    raise AssertionError
            waited = time.monotonic() - begun
        assert shared.content.held == 0
        return waited

    assert WAITING - 0.05 <= ran(work) < WAITING + 30


def test_what_finds_no_room_even_alone_is_contents_own_limit() -> None:
    async def work() -> None:
        shared = rooms()
        with pytest.raises(NoRoom) as raised:
            async with RoomOfOne(shared, "a").holding(shared.content.size + 1):
                raise AssertionError
        assert isinstance(raised.value, LimitExceeded)

    ran(work)


def test_what_would_fit_in_the_usual_memory_is_left_to_the_child_where_there_is_less() -> None:
    async def work() -> None:
        usual, shared = rooms(), Rooms(divided(LOWEST_LIMIT))
        for size, problem in ((usual.content.size, Crowded), (usual.content.size + 1, NoRoom)):
            assert size > shared.content.size
            with pytest.raises(problem):
                async with RoomOfOne(shared, "a").holding(size):
                    raise AssertionError
        assert (shared.content.held, shared.content.waiting) == (0, 0)

    ran(work)


def test_what_an_image_waits_for_side_by_side_counts_once_and_has_an_end_for_all_of_it() -> None:
    async def work() -> tuple[float, int]:
        shared, crowded = rooms(), 0
        room = RoomOfOne(shared, "other", 0.4)

        async def one() -> None:
            nonlocal crowded
            try:
                async with room.holding(LARGE):
                    pass
            except Crowded:
                crowded += 1

        async with RoomOfOne(shared, "hog").holding(LARGE):
            begun = time.monotonic()
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(one)
            return time.monotonic() - begun, crowded

    waited, crowded = ran(work)
    assert crowded == 8
    assert 0.35 < waited < 30


def test_one_registry_leaves_room_for_others_and_has_all_for_one_thing_alone() -> None:
    async def work() -> tuple[int, list[str]]:
        account, order = Account(100), list[str]()

        async def one(owner: str, amount: int) -> None:
            await account.take(amount, owner, 60)
            order.append(owner)

        await account.take(70, "a/1", 0)
        with pytest.raises(Crowded):
            await account.take(10, "a/2", 0.01)
        async with anyio.create_task_group() as group:
            group.start_soon(one, "a/2", 90)
            await anyio.sleep(0.01)
            group.start_soon(one, "a/3", 1)  # which does not pass what waits of its own registry
            await anyio.sleep(0.01)
            await account.take(30, "b/1", 0)
            held = account.held
            account.give(30, "b/1")
            assert order == []
            account.give(70, "a/1")
            await anyio.sleep(0.01)
            assert order == ["a/2"]
            account.give(90, "a/2")
        account.give(1, "a/3")
        assert account.held == 0
        return held, order

    assert ran(work) == (100, ["a/2", "a/3"])


def test_long_steps_are_made_one_at_a_time_and_others_go_on_between_them() -> None:
    """However many verifications are in the midst of long work: else nobody would hear of anything meanwhile."""

    async def work() -> str:
        shared, events = rooms(), list[str]()

        async def signatures() -> None:
            for _ in range(3):
                await SideBySide(step=RoomOfOne(shared, "a").step).pause()
                events.append("step")

        async def reading() -> None:
            for _ in range(3):
                async with RoomOfOne(shared, "a").working(1):
                    events.append("step")

        async def others() -> None:
            while events.count("step") < 30:
                events.append("other")
                await anyio.sleep(0)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(signatures)
                group.start_soon(reading)
            group.start_soon(others)
        return "".join(event[0] for event in events)

    told = ran(work)
    assert told.count("s") == 30
    assert "ss" not in told


def test_one_registrys_long_steps_leave_others_their_turn() -> None:
    """However many of its images make them, of whatever repositories."""

    async def work() -> list[int]:
        shared, made, found = rooms(), 0, list[int]()

        async def hostile(number: int) -> None:
            nonlocal made
            room = RoomOfOne(shared, f"hostile.example/{number}")
            while len(found) < 4:
                await SideBySide(step=room.step).pause()
                made += 1

        async def good() -> None:
            room = RoomOfOne(shared, "good.example/app")
            for _ in range(4):
                before = made
                await SideBySide(step=room.step).pause()
                found.append(made - before)

        async with anyio.create_task_group() as group:
            for number in range(48):
                group.start_soon(hostile, number)
            group.start_soon(good)
        return found

    assert max(ran(work)) <= 3


def test_what_was_told_is_held_until_the_image_is_judged() -> None:
    async def work() -> list[int]:
        shared, held = rooms(), []
        async with shared.of("team/app") as room:
            await room.keep(4 * MIB)
            await room.keep(2 * MIB)
            held.append(shared.told.held)
        return [*held, shared.told.held]

    assert ran(work) == [6 * MIB, 0]


def test_allowance_is_taken_if_it_is_there() -> None:
    allowance = Allowance(10)
    assert allowance.take(10)
    assert not allowance.take(1)
    allowance.give(4)
    assert [allowance.take(4), allowance.take(1)] == [True, False]

"""Whose turn it is: few at once, every repository in its turn, and a count that stays right whoever gives up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters import concurrent
from agent.adapters.http_pooled import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_HOST
from agent.adapters.turns import (
    AT_ONCE,
    IDLE_AT_ONCE,
    MOST_AT_ONCE,
    MOST_WAITING,
    OF_ONE_REGISTRY,
    PATIENCE,
    Crowded,
    Turns,
)

IDLE = "idle"
"""Instead of a repository: work that nobody waits for."""


class Players:
    """Who asks for turns; `order` is who got one, in order."""

    def __init__(self, turns: Turns, group: TaskGroup) -> None:
        """Nobody yet."""
        self.turns = turns
        self._group = group
        self.order: list[str] = []
        self.crowded: list[str] = []
        self._ends: dict[str, anyio.Event] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._tasks: dict[str, asyncio.Task[object]] = {}

    async def ask(self, *names: str) -> None:
        """Each asks; its repository is what stands before a dot."""
        for name in names:
            self._ends[name] = anyio.Event()
            self._group.start_soon(self._play, name)
            await settle()

    async def end(self, *names: str) -> None:
        """Each is done."""
        for name in names:
            self._ends[name].set()
            await settle()

    async def cancel(self, *names: str) -> None:
        """Each gives up; all of them at once."""
        for name in names:
            self._scopes[name].cancel()
        await settle()

    async def kill(self, name: str) -> None:
        """It ends, even with something to go on with in its hands, which anyio would let it take first."""
        self._tasks[name].cancel()
        await settle()

    async def _play(self, name: str) -> None:
        repository = name.partition(".")[0]
        self._tasks[name] = cast("asyncio.Task[object]", asyncio.current_task())
        with anyio.CancelScope() as self._scopes[name]:
            try:
                async with self.turns.idle_turn() if repository == IDLE else self.turns.turn(repository):
                    self.order.append(name)
                    await self._ends[name].wait()
            except Crowded:
                self.crowded.append(name)


async def settle() -> None:
    """Until nothing moves any more."""
    for _ in range(10):
        await checkpoint()


def played(turns: Turns, game: Callable[[Players], Awaitable[None]]) -> Players:
    """Play, and end with all places free."""

    async def run() -> Players:
        async with anyio.create_task_group() as group:
            players = Players(turns, group)
            await game(players)
            group.cancel_scope.cancel()
        return players

    players = anyio.run(run)
    assert (turns.running, turns.waiting, turns._idle_running, turns._waiting) == (0, 0, 0, {})
    assert not turns._at
    assert not turns._idle_waiting
    return players


def test_the_bounds() -> None:
    assert (AT_ONCE, MOST_AT_ONCE, MOST_WAITING, IDLE_AT_ONCE, PATIENCE) == (16, 32, 256, 2, 2.0)
    assert OF_ONE_REGISTRY == 12


def test_one_registry_never_takes_every_place_however_many_repositories_it_has() -> None:
    async def game(players: Players) -> None:
        await players.ask(*(f"slow/{n}.1" for n in range(4)))
        assert (players.turns.running, players.turns.waiting) == (2, 2)
        await players.ask("quick/a.1")
        assert (players.turns.running, players.turns.waiting) == (3, 2)
        await players.ask("other/a.1")
        assert (players.turns.running, players.turns.waiting) == (3, 3)
        await players.end("slow/0.1", "quick/a.1")
        assert (players.turns.running, players.turns.waiting) == (3, 1)

    order = ["slow/0.1", "slow/1.1", "quick/a.1", "slow/2.1", "other/a.1"]
    assert played(Turns(3, of_one_registry=2), game).order == order


def test_in_one_repository_the_first_is_first() -> None:
    async def game(players: Players) -> None:
        await players.ask("a.1", "a.2", "a.3", "a.4")
        assert (players.turns.running, players.turns.waiting) == (2, 2)
        await players.end("a.2", "a.1")
        assert (players.turns.running, players.turns.waiting) == (2, 0)

    assert played(Turns(2), game).order == ["a.1", "a.2", "a.3", "a.4"]


def test_repositories_take_turns() -> None:
    async def game(players: Players) -> None:
        await players.ask("x.1", "a.1", "a.2", "a.3", "b.1", "c.1", "c.2")
        await players.end("x.1", "a.1", "b.1", "c.1", "a.2", "c.2")

    assert played(Turns(1), game).order == ["x.1", "a.1", "b.1", "c.1", "a.2", "c.2", "a.3"]


def test_nobody_overtakes_who_waits() -> None:
    async def game(players: Players) -> None:
        await players.ask("a.1", "a.2")
        players._ends["a.1"].set()
        await players.ask("b.1")
        await players.end("a.2")

    assert played(Turns(1), game).order == ["a.1", "a.2", "b.1"]


def test_crowd_is_told_at_once() -> None:
    async def game(players: Players) -> None:
        await players.ask("a.1", "a.2", "b.1", "c.1")
        assert players.crowded == ["c.1"]
        await players.end("a.1")
        await players.ask("c.2")
        assert players.turns.waiting == 2

    assert played(Turns(1, 2), game).order == ["a.1", "a.2"]


def test_who_gives_up_waiting_takes_no_turn() -> None:
    async def game(players: Players) -> None:
        await players.ask("a.1", "a.2", "a.3", "b.1")
        await players.cancel("a.2", "b.1")
        assert (players.turns.running, players.turns.waiting) == (1, 1)
        await players.end("a.1")

    assert played(Turns(1), game).order == ["a.1", "a.3"]


def test_turn_of_who_gives_up_as_it_comes_is_the_next_ones() -> None:
    async def game(players: Players) -> None:
        async with players.turns.turn("x"):
            await players.ask("a.2", "a.3")
        await players.kill("a.2")  # it was given the place, and has not taken it yet
        assert (players.turns.running, players.turns.waiting) == (1, 0)

    assert played(Turns(1), game).order == ["a.3"]


def test_who_is_cancelled_while_he_has_a_turn_frees_his_place() -> None:
    async def game(players: Players) -> None:
        await players.ask("a.1", "a.2")
        await players.cancel("a.1")

    assert played(Turns(1), game).order == ["a.1", "a.2"]


def test_idle_work_comes_behind_all_pulls_and_never_takes_every_place() -> None:
    async def game(players: Players) -> None:
        await players.ask("a.1", "a.2", "a.3", "idle.1", "a.4", "idle.2", "idle.3")
        await players.end("a.1")
        assert players.order == ["a.1", "a.2", "a.3", "a.4"]
        await players.end("a.2", "a.3", "a.4")
        assert players.order[4:] == ["idle.1", "idle.2"]
        await players.ask("b.1")
        assert players.order[6:] == ["b.1"]
        await players.end("idle.1")

    assert played(Turns(3), game).order[6:] == ["b.1", "idle.3"]


def test_idle_work_that_gives_up_loses_nobody_a_turn() -> None:
    async def game(players: Players) -> None:
        async with players.turns.turn("x"):
            await players.ask("idle.1", "idle.2", "idle.3")
            await players.cancel("idle.1")
        await players.kill("idle.2")  # it was woken, and does nothing with it

    assert played(Turns(1), game).order == ["idle.3"]


def test_pull_that_comes_as_idle_work_is_woken_goes_first() -> None:
    async def game(players: Players) -> None:
        async with players.turns.turn("a"):
            await players.ask("idle.1")
        async with players.turns.turn("b"):
            await settle()
            assert players.order == []
        await settle()

    assert played(Turns(1), game).order == ["idle.1"]


def test_who_has_waited_long_goes_on_beside_those_who_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[anyio.CancelScope] = []

    def move_on_after(seconds: float) -> anyio.CancelScope:
        assert seconds == 7.0
        waits.append(anyio.CancelScope())
        return waits[-1]

    async def time_passes() -> None:
        for each in waits.copy():
            each.cancel()
        await settle()

    async def game(players: Players) -> None:
        monkeypatch.setattr("agent.adapters.turns.anyio.move_on_after", move_on_after)
        await players.ask("hung.1", "hung.2", "hung.3", "a.1")
        assert players.order == ["hung.1"]
        await time_passes()
        assert (players.turns.running, players.turns.waiting) == (3, 1)  # and no more than that
        await players.end("hung.1")
        assert (players.turns.running, players.turns.waiting) == (2, 1)
        await time_passes()
        await players.cancel("hung.2")
        assert players.turns.waiting == 0
        await players.ask("b.1")
        assert players.turns.waiting == 1

    order = played(Turns(1, most_at_once=3, patience=7.0), game).order
    assert order[0] == "hung.1"
    assert sorted(order[1:4]) == ["a.1", "hung.2", "hung.3"]


def test_a_repository_that_hangs_does_not_hold_the_connections_of_others() -> None:
    assert MAX_CONNECTIONS_PER_HOST >= MOST_AT_ONCE * concurrent.AT_ONCE
    assert MAX_CONNECTIONS >= MOST_AT_ONCE * concurrent.AT_ONCE


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "end", "cancel"]), st.integers(0, 11)), max_size=60)


@given(STEPS, st.integers(1, 4))
def test_count_stays_right_whatever_happens(steps: list[tuple[str, int]], at_once: int) -> None:
    names = [f"{repository}.{i}" for repository in ("a", "b", "c", IDLE) for i in range(3)]

    async def game(players: Players) -> None:
        asked: set[str] = set()
        for step, number in steps:
            name = names[number]
            if step == "ask" and name not in asked:
                asked.add(name)
                await players.ask(name)
            elif name in asked:
                await (players.end if step == "end" else players.cancel)(name)
            assert players.turns.running <= at_once
            assert players.turns._idle_running <= IDLE_AT_ONCE
            assert players.turns.waiting == 0 or players.turns.running == at_once

    played(Turns(at_once), game)

"""Several at once: the same results as one after another, and no more at once than allowed."""

from typing import Awaitable, Callable, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.concurrent import SideBySide
from agent.adapters.inline import OneByOne, run
from agent.errors import Malformed


class Job:
    """Items that give a number or fail, each after so many turns of the event loop; remembers what happened."""

    def __init__(self, plan: Sequence[tuple[int, bool]]) -> None:
        """`plan`: turns, and whether it fails."""
        self._plan = plan
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.now = self.most = 0

    async def __call__(self, item: int) -> int:
        """Do it."""
        turns, fails = self._plan[item]
        self.started.append(item)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(turns):
                await anyio.sleep(0)
        except BaseException:
            self.cancelled.append(item)
            raise
        finally:
            self.now -= 1
        if fails:
            raise Malformed(f"item {item}")
        return item * 10


def stops_at(count: int) -> Callable[[Sequence[int]], bool]:
    """Enough as soon as there are `count`."""
    return lambda results: len(results) >= count


def said(outcome: Callable[[], list[int]]) -> tuple[list[int], str]:
    """The results, or the error."""
    try:
        return outcome(), ""
    except Malformed as error:
        return [], error.message


def side_by_side(job: Callable[[int], Awaitable[int]], count: int, at_once: int, enough: int) -> list[int]:
    """All items at once."""
    return anyio.run(lambda: SideBySide(at_once).map(job, range(count), enough=stops_at(enough)))


@pytest.mark.unmeasured
@given(
    plan=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([False, False, False, True])), max_size=12),
    at_once=st.integers(1, 5),
    enough=st.integers(1, 14),
)
def test_as_one_by_one(plan: list[tuple[int, bool]], at_once: int, enough: int) -> None:
    """Whatever is slow, fails, or is behind what is enough."""
    at_once_job, one_by_one_job = Job(plan), Job([(0, fails) for _, fails in plan])
    expected = said(lambda: run(OneByOne().map(one_by_one_job, range(len(plan)), enough=stops_at(enough))))
    assert said(lambda: side_by_side(at_once_job, len(plan), at_once, enough)) == expected
    assert at_once_job.most <= at_once
    assert at_once_job.now == 0
    assert at_once_job.started == sorted(at_once_job.started)
    assert len(at_once_job.started) <= len(one_by_one_job.started) + at_once - 1


def test_several_run_at_once_and_the_rest_is_cancelled() -> None:
    """The first is enough: two of the others had begun, and are ended; the others never begin."""
    job = Job([(3, False), (1000, False), (1000, True), (0, False), (0, False)])
    assert side_by_side(job, 5, 3, 1) == [0]
    assert job.started == [0, 1, 2]
    assert job.cancelled == [1, 2]


def test_what_is_behind_does_not_count() -> None:
    """An error comes first in time and is never seen."""
    assert side_by_side(Job([(50, False), (0, True)]), 2, 2, 1) == [0]


def test_bugs_are_not_wrapped() -> None:
    """Neither the function's nor that of `enough`."""

    async def broken(item: int) -> int:
        raise KeyError("bug")

    def worse(results: Sequence[int]) -> bool:
        raise ZeroDivisionError

    with pytest.raises(KeyError):
        side_by_side(broken, 3, 2, 3)
    with pytest.raises(ZeroDivisionError):
        anyio.run(lambda: SideBySide().map(Job([(0, False)] * 3), range(3), enough=worse))
    with pytest.raises(ValueError, match="at least 1"):
        SideBySide(0)


def test_whoever_waits_can_give_up() -> None:
    """Then everything ends."""
    job = Job([(10**9, False)] * 3)

    async def impatient() -> bool:
        with anyio.move_on_after(0.05) as scope:
            await SideBySide(2).map(job, range(3), enough=stops_at(3))
        return scope.cancelled_caught

    assert anyio.run(impatient)
    assert sorted(job.cancelled) == [0, 1]


def test_pause_lets_others_go_on() -> None:
    turns: list[int] = []

    async def work(item: int) -> None:
        """Long work with pauses."""
        for _ in range(3):
            turns.append(item)
            await SideBySide().pause()

    async def both() -> None:
        """Two at once."""
        await SideBySide().map(work, (1, 2), enough=lambda _: False)

    anyio.run(both)
    assert sorted(turns) != turns
    run(OneByOne().pause())


def test_items_of_items_count_together() -> None:
    """However many levels of them there are, and whatever ends early: hundreds at once would be hundreds in memory."""
    few, leaf = SideBySide(4), Job([(1, False)] * 8)

    async def work(level: int) -> int:
        if not level:
            return await leaf(0)
        await few.map(work, [level - 1] * 5, enough=stops_at(4))
        if level == 2:
            raise Malformed("as some do")
        return level

    async def main() -> None:
        with pytest.raises(Malformed):
            await few.map(work, [3] * 5, enough=stops_at(5))
        assert leaf.most == 4
        assert len(leaf.started) >= 16
        leaf.most = 0
        await few.map(leaf, range(8), enough=stops_at(8))
        assert leaf.most == 4

    anyio.run(main)

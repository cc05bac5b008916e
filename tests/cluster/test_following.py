"""What to ask next, and when: with a clock and a chance of the tests' own."""

import random
from collections import Counter

import pytest

from agent.cluster import following as rules
from agent.cluster.following import Following, List, Watch
from agent.cluster.messages import Change, Kind, Page
from agent.cluster.troubles import ApiError, Trouble
from agent.model.configmap import ConfigMap
from tests.cluster.objects import configmap


class Chance:
    """The same number each time, until told otherwise."""

    def __init__(self, value: float = 0.5) -> None:
        """See `random.random`."""
        self.value = value

    def __call__(self) -> float:
        """The number."""
        return self.value


def listed(*names: str, version: str = "10", now: float = 100.0, chance: Chance | None = None) -> Following[ConfigMap]:
    """Who has a complete list, of one page."""
    following: Following[ConfigMap] = Following(chance or Chance())
    following.asking(now)
    following.page(Page(tuple(configmap(name) for name in names), version, ""))
    return following


def watching(*names: str, now: float = 100.0, chance: Chance | None = None) -> Following[ConfigMap]:
    """Who watches, since `now`."""
    following = listed(*names, now=now, chance=chance)
    following.asking(now)
    following.opened(now)
    return following


def failure(trouble: Trouble, retry_after: float = 0.0) -> ApiError:
    """Of that kind."""
    return ApiError(trouble, f"it is {trouble.value}", retry_after=retry_after)


def added(name: str, version: str, **data: str) -> Change[ConfigMap]:
    """An event."""
    return Change(Kind.ADDED, version, configmap(name, int(version), **data))


def test_nobody_begins_at_once_and_nothing_is_known_before() -> None:
    assert [Following(Chance(value)).next().wait for value in (0.0, 0.999)] == [0.0, pytest.approx(1.998)]
    assert Following(Chance()).next().request == List(rules.PAGE, "")
    assert Following(Chance()).state is None


def test_a_state_is_told_when_its_last_page_is_there() -> None:
    following: Following[ConfigMap] = Following(Chance())
    following.asking(1.0)
    following.page(Page((configmap("a"),), "10", "more"))
    assert following.state is None
    assert following.next() == (0.0, List(rules.PAGE, "more"))
    following.asking(2.0)
    following.page(Page((configmap("b"),), "10", ""))
    assert following.state is not None
    assert set(following.state) == {"a", "b"}
    assert following.proven == 1.0  # the first page may be as old as that
    assert following.next() == (0.0, Watch("10", 300))


def test_an_empty_list_is_a_state() -> None:
    assert listed().state == {}


def test_events_change_the_state_and_the_place_to_go_on_from() -> None:
    following = watching("a", "b")
    following.change(added("c", "11"), 101.0)
    following.change(Change(Kind.MODIFIED, "12", configmap("a", 12, key="new")), 102.0)
    following.change(Change(Kind.DELETED, "13", configmap("b", 13)), 103.0)
    assert following.state == {"a": configmap("a", 12, key="new"), "c": configmap("c", 11)}
    assert following.proven == 103.0
    following.closed(400.0)
    assert following.next().request == Watch("13", 300)


def test_a_state_is_never_changed_in_place() -> None:
    following = watching("a")
    before = following.state
    following.change(added("c", "11"), 101.0)
    assert before == {"a": configmap("a")}


def test_a_bookmark_proves_that_nothing_was_missed_and_changes_nothing() -> None:
    following = watching("a")
    before = following.state
    following.change(Change(Kind.BOOKMARK, "50", None), 160.0)
    assert following.state is before
    assert following.proven == 160.0
    following.silent(300.0)
    assert following.next().request == Watch("50", 300)


def test_a_place_that_is_gone_in_the_middle_of_a_watch_means_a_new_list_after_a_while_that_differs() -> None:
    for value, wait in ((0.0, 0.0), (0.5, 2.5), (0.9, 4.5)):
        following = watching("a", chance=Chance(value))
        following.failed(failure(Trouble.GONE), 200.0)
        assert following.next().wait == pytest.approx(wait)
        assert following.next().request == List(rules.PAGE, "")
        assert following.state == {"a": configmap("a")}  # the last one stays


def test_a_place_that_is_gone_again_and_again_is_asked_for_ever_more_seldom() -> None:
    following, waits = watching("a", chance=Chance(1.0)), []
    for _ in range(8):
        following.failed(failure(Trouble.GONE), 100.0)
        waits.append(following.next().wait)
        following.asking(100.0)
        following.page(Page((), "10", ""))
        following.asking(100.0)
        following.opened(100.0)
    assert waits == [5.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_token_that_is_gone_begins_the_list_anew_and_at_last_asks_for_all_at_once() -> None:
    following: Following[ConfigMap] = Following(Chance(0.0))
    for expected in (rules.PAGE, 0, 0):
        following.asking(1.0)
        following.page(Page((configmap("a"),), "10", "token"))
        following.failed(failure(Trouble.GONE), 2.0)
        assert following.next().request == List(expected, "")
    following.asking(3.0)
    following.page(Page((configmap("b"),), "10", ""))
    assert following.state == {"b": configmap("b")}  # nothing of the lists that were broken off
    following.failed(failure(Trouble.GONE), 4.0)
    assert following.next().request == List(rules.PAGE, "")


def test_an_hour_without_a_server_is_waited_out_with_every_wait_between_nothing_and_the_bound() -> None:
    for value in (0.0, 0.25, 1.0):
        following, now, requests = watching("a", chance=Chance(value)), 200.0, 0
        following.failed(failure(Trouble.UNAVAILABLE), now)
        while now < 3800.0 and requests < 1000:
            step = following.next()
            assert step.wait <= rules.BACKOFF_MOST * value
            following.asking(now)
            now += step.wait + 0.1
            requests += 1
            following.failed(failure(Trouble.UNAVAILABLE), now)
        assert following.state == {"a": configmap("a")}
        assert following.proven == 100.0
        assert value == 0.0 or requests < 3600 / (rules.BACKOFF_MOST * value) + 12


def test_a_lost_watch_goes_on_from_its_place_and_gives_it_up_after_the_third_refusal() -> None:
    following = watching("a")
    following.failed(failure(Trouble.UNAVAILABLE), 200.0)  # it had been open
    for _ in range(2):
        assert following.next().request == Watch("10", 300)
        following.asking(200.0)
        following.failed(failure(Trouble.UNAVAILABLE), 200.0)
    assert following.next().request == Watch("10", 300)
    following.asking(200.0)
    following.failed(failure(Trouble.UNAVAILABLE), 200.0)
    assert following.next().request == List(rules.PAGE, "")


def test_connections_that_take_long_to_fail_are_failures_all_the_same() -> None:
    following, waits = watching("a", chance=Chance(1.0)), []
    for now in range(200, 260, 10):  # each hangs until its time is over
        following.asking(float(now))
        following.failed(failure(Trouble.UNAVAILABLE), now + 9.9)
        waits.append(following.next().wait)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_watch_that_ends_at_once_is_a_failure() -> None:
    following, waits = watching("a", chance=Chance(1.0)), []
    for _ in range(4):
        following.closed(100.5)
        waits.append(following.next().wait)
        following.asking(100.0)
        following.opened(100.0)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert following.failures[Trouble.UNAVAILABLE] == 4
    assert following.trouble
    following.closed(400.0)
    assert following.next().wait == rules.AGAIN_SPREAD
    assert following.trouble == ""


def test_whoever_asks_to_be_left_alone_is_and_not_by_all_for_the_same_time() -> None:
    following = watching("a", chance=Chance(0.5))
    following.failed(failure(Trouble.THROTTLED, retry_after=7.0), 100.1)
    assert following.next().wait == 7.5


@pytest.mark.parametrize("trouble", [Trouble.MALFORMED, Trouble.TOO_LONG])
def test_what_was_not_understood_may_have_been_a_change(trouble: Trouble) -> None:
    following = watching("a")
    following.failed(failure(trouble), 300.0)
    assert following.next().request == List(rules.PAGE, "")
    assert following.state == {"a": configmap("a")}


def test_pages_that_are_too_long_are_asked_for_one_object_at_a_time() -> None:
    following: Following[ConfigMap] = Following(Chance())
    following.failed(failure(Trouble.TOO_LONG), 1.0)
    assert following.next().request == List(1, "")


def test_a_server_that_never_proves_anything_is_asked_for_a_list_once_an_hour() -> None:
    following = watching("a", now=100.0)
    following.silent(100.0 + rules.UNPROVEN)
    assert isinstance(following.next().request, Watch)
    following.silent(101.0 + rules.UNPROVEN)
    assert following.next().request == List(rules.PAGE, "")


def test_a_state_that_is_too_large_is_not_taken_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_OBJECTS", 2)
    monkeypatch.setattr(rules, "MOST_BYTES", 100)
    following = watching("a", "b")
    for change in (added("c", "11"), added("b", "12", key="x" * 100)):
        with pytest.raises(ApiError, match="expected at most") as caught:
            following.change(change, 101.0)
        assert caught.value.trouble is Trouble.TOO_LONG
    assert set(following.state or ()) == {"a", "b"}
    with pytest.raises(ApiError, match="expected at most 2"):
        Following[ConfigMap](Chance()).page(Page(tuple(configmap(name) for name in "abc"), "10", "more"))


def test_a_list_whose_pages_never_end_is_given_up_and_waited_for() -> None:
    following: Following[ConfigMap] = Following(Chance())
    with pytest.raises(ApiError) as caught:
        for i in range(rules.MOST_OBJECTS + 1):
            following.asking(1.0)
            following.page(Page((configmap("a"),), "10", f"token {i}"))
    assert caught.value.trouble is Trouble.TOO_LONG
    following.failed(caught.value, 2.0)
    assert following.next() == (0.5, List(1, ""))
    assert following.state is None


def test_lists_that_are_the_same_are_the_same_state() -> None:
    following = watching("a")
    before = following.state
    following.failed(failure(Trouble.GONE), 200.0)
    following.asking(201.0)
    following.page(Page((configmap("a"),), "99", ""))
    assert following.state is before
    assert following.proven == 201.0


def test_watches_are_asked_for_a_time_that_differs() -> None:
    assert [listed("a", chance=Chance(value)).next().request for value in (0.0, 0.99)] == [
        Watch("10", 240),
        Watch("10", 358),
    ]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("failures", "spread"),
    [(0, rules.START_SPREAD), (1, rules.BACKOFF_FIRST), (5, 16.0), (20, rules.BACKOFF_MOST)],
)
def test_thousands_that_lost_one_server_come_back_one_after_another(failures: int, spread: float) -> None:
    """Each asks at a time of its own: no tenth of the wait sees more than its share, chance allowed for."""
    nodes, tenths = 5_000, Counter[int]()
    for seed in range(nodes):
        following = Following[ConfigMap](random.Random(seed).random)
        for _ in range(failures):
            following.asking(0.0)
            following.failed(failure(Trouble.UNAVAILABLE), 0.1)
        wait = following.next().wait
        assert 0.0 <= wait < spread
        tenths[int(10 * wait / spread)] += 1
    assert len(tenths) == 10
    assert max(tenths.values()) < 1.25 * nodes / 10


@pytest.mark.unmeasured
def test_thousands_whose_place_is_gone_at_once_do_not_list_at_once() -> None:
    waits = []
    for seed in range(5_000):
        following = watching("a", chance=None)
        following._random = random.Random(seed).random
        following.failed(failure(Trouble.GONE), 200.0)
        waits.append(following.next().wait)
        assert isinstance(following.next().request, List)
    in_the_fullest_second = max(Counter(map(int, waits)).values())
    assert in_the_fullest_second < 1.25 * len(waits) / rules.RELIST_SPREAD

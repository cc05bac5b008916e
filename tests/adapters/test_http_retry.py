"""When a request is sent again: never a POST, never beyond the deadline, never for an absurd promise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.http_retry import BACK_OFFS, MAX_RETRIES, RETRY_TIME, RetryPolicy
from agent.registry.messages import Request, Response
from agent.registry.urls import Url

NOW = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT
GET = Request(Url.parse("https://registry.example/v2/", "test"), "test", 1000)
POST = GET._replace(body=b"")
POLICY = RetryPolicy(lambda: NOW, lambda: 0.5)


def answer(status: int, *waits: str, date: str = "") -> Response:
    """A response that may ask to wait."""
    headers = [("retry-after", wait) for wait in waits] + ([("date", date)] if date else [])
    return Response(status, tuple(headers))


def wait_after(response: Response, retries: int = 0, left: float = 60.0) -> float | None:
    """How long a GET waits."""
    return POLICY.wait_after(response, GET, retries, left)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateways(status: int) -> None:
    """Two more tries, each after a longer wait."""
    assert [wait_after(answer(status), retries) for retries in range(4)] == [*BACK_OFFS, None, None]
    assert [POLICY.wait_after_loss(GET, retries, 60.0) for retries in range(4)] == [*BACK_OFFS, None, None]
    assert len(BACK_OFFS) == MAX_RETRIES


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 429, 500, 501, 505])
def test_answers_that_stand(status: int) -> None:
    """At once: 429 too, unless it says how long."""
    assert wait_after(answer(status)) is None
    if status != 429:
        assert wait_after(answer(status, "1")) is None


def test_a_post_is_never_sent_again() -> None:
    """Whatever happened."""
    assert POLICY.wait_after_loss(POST, 0, 60.0) is None
    for response in (answer(502), answer(503, "0"), answer(429, "1")):
        assert POLICY.wait_after(response, POST, 0, 60.0) is None


def test_chance_spreads_the_waits() -> None:
    """From half to one and a half of the back-off; the real dice stay within."""
    low, high = (RetryPolicy(dice=lambda each=each: each).wait_after_loss(GET, 0, 60.0) for each in (0.0, 1.0))  # type: ignore[misc]
    assert (low, high) == (BACK_OFFS[0] * 0.5, BACK_OFFS[0] * 1.5)
    waits = {RetryPolicy().wait_after_loss(GET, 1, 60.0) or 0.0 for _ in range(50)}
    assert len(waits) > 10
    assert all(BACK_OFFS[1] * 0.5 <= each <= BACK_OFFS[1] * 1.5 for each in waits)


def test_there_must_be_time_for_an_answer() -> None:
    """After the wait."""
    enough = BACK_OFFS[0] + RETRY_TIME
    assert wait_after(answer(502), left=enough) == BACK_OFFS[0]
    assert wait_after(answer(502), left=enough - 0.01) is None
    assert wait_after(answer(502), left=-1.0) is None


@pytest.mark.parametrize("status", [429, 503])
def test_exactly_as_long_as_asked(status: int) -> None:
    """In seconds, or until a date of the response's own clock, or of ours if it has none."""
    assert wait_after(answer(status, "7")) == 7.0
    assert wait_after(answer(status, "Mon, 21 Sep 2026 14:13:27 GMT")) == 7.0
    there = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert wait_after(answer(status, "Sun, 06 Nov 1994 08:49:44 GMT", date=there)) == 7.0
    assert wait_after(answer(status, "Mon, 21 Sep 2026 14:13:27 GMT", date="yesterday")) == 7.0
    assert wait_after(answer(status, "7"), retries=MAX_RETRIES) is None


@pytest.mark.parametrize("told", ["0", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_no_wait_is_a_short_one(told: str) -> None:
    """Nobody is asked without a pause."""
    assert wait_after(answer(429, told)) == BACK_OFFS[0]


def test_at_most_half_of_what_is_left() -> None:
    """Else the answer stands."""
    assert wait_after(answer(429, "5"), left=10.0) == 5.0
    assert wait_after(answer(429, "5"), left=9.9) is None


@pytest.mark.parametrize(
    "told",
    [
        "",
        " ",
        "-1",
        "+1",
        "1.0",
        "1e0",
        "0x1",
        "1 s",
        "\u0661",
        "\u00b2",
        "99999999999999999999",
        "3600",
        "nan",
        "inf",
        "\x1b[31m",
        "Wed, 21 Oct 2099 07:28:00 GMT",
        "Mon, 21 Sep 2026 14:13:27 UTC",
        "Mon, 21 Sep 2026 14:13:27",
        "Mon, 1 Sep 2026 14:13:27 GMT",
        "Mon, 21 Foo 2026 14:13:27 GMT",
        "Mon, 21 Sep 2026 14:13 GMT",
        "Mon, 21 Sep 2026 14:13:-7 GMT",
        "Mon, 21 Sep 0000 14:13:27 GMT",
        "Monday, 21-Sep-26 14:13:27 GMT",
        "Mon Sep 21 14:13:27 2026",
    ],
)
def test_absurd_waits(told: str) -> None:
    """Are not kept, and nothing is tried."""
    for status in (429, 502, 503, 504):
        assert wait_after(answer(status, told)) is None


def test_two_promises_are_none() -> None:
    """Whichever comes first."""
    assert wait_after(answer(429, "1", "2")) is None


@given(
    status=st.sampled_from([200, 429, 502, 503, 504]),
    told=st.lists(st.text() | st.integers().map(str) | st.just("Mon, 21 Sep 2026 14:13:27 GMT"), max_size=2),
    date=st.text() | st.just("Mon, 21 Sep 2026 14:13:20 GMT"),
    retries=st.integers(0, 3),
    left=st.floats(-10, 100),
)
def test_never_beyond_the_deadline(status: int, told: list[str], date: str, retries: int, left: float) -> None:
    """For whatever a registry writes."""
    wait = wait_after(answer(status, *told, date=date), retries, left)
    assert wait is None or (0 < wait < left and retries < MAX_RETRIES)

"""What is said of a crowd is what was counted, by node, round and hour."""

from tests.soak.arrival import Arrival
from tests.soak.crowd import quantile
from tests.soak.phases import Moment, Phase, Setting, arrived, render
from tests.soak.watchers import Report


def moment(at: float, *, asked: dict[int, int], received: int, server: float, failures: int = 0) -> Moment:
    """Of two nodes."""
    report = Report([1.0, 2.0], [1.5, 2.5], {}, asked, {}, {"gone": failures}, 0, 100, received, 1.0, 50.0)
    return Moment(at, report, server, etcd=server / 10)


def row(text: str, name: str) -> list[str]:
    """The cells of a line, of the first table that has it."""
    line = next(each for each in text.splitlines() if each.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_quantiles_are_times_that_somebody_had() -> None:
    times = [float(each) for each in range(1, 101)]
    assert [quantile(times, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert quantile([3.0], 0.5) == 3.0


def test_a_phase_is_told_by_node_and_round_and_multiplied_for_a_cluster() -> None:
    first = moment(100.0, asked={99: 7}, received=1000, server=1.0)
    last = moment(110.0, asked={99: 7, 100: 6, 101: 2}, received=9000, server=1.2, failures=3)
    phase = Phase("a change", [0.1, 0.2, 0.3, 0.4], first, last, 0.2, rounds=2, away=4)
    text = render(Setting("1.20.2", 3, 4096, (300.0, 301.0), (100.0, 102.0)), [phase])
    assert row(text, "a change") == [
        "a change", "0.20", "0.40", "0.40", "2.00", "1.00", "6", "2000", "0", "50.00", "5.00", "0.00",
    ]  # fmt: skip
    assert "| a change | 275.0 | 10 |  |" in text.splitlines()
    assert "- a change, requests that failed: gone 3" in text.splitlines()
    assert "512 KiB for each; a simulated node's: 1024 KiB" in text


def test_quiet_is_told_by_the_hour() -> None:
    first = moment(0.0, asked={}, received=0, server=0.0)
    last = moment(360.0, asked={5: 2}, received=2000, server=0.36)
    text = render(
        Setting("1.20.2", 3, 4096, (300.0, 300.0), (1.0, 1.0)), [Phase("nothing happens", [], first, last, 0.36)]
    )
    assert row(text, "nothing happens, for an hour") == [
        "nothing happens, for an hour", "9900", "50", "per node 10 requests (12 by the rules), 10.0 kB",
    ]  # fmt: skip


def test_arrivals_are_told_in_milliseconds() -> None:
    said = arrived([Arrival(0.1, 0.02), Arrival(0.2, 0.03), Arrival(0.3, 0.04)])
    assert "3 changes: in force 200 ms" in said
    assert "worst 300" in said

"""The arithmetic behind docs/performance.md, and how it is written down."""

import pathlib
import re
import sys
import time

import pytest

from tests.bench import delay, pods, retries
from tests.bench.__main__ import FAMILIES
from tests.bench.figures import Figure, Section, Spread, machine, ratio, table
from tests.bench.measure import ROUNDS_BEYOND, Samples
from tests.bench.stage import Image, asked, enough
from tests.commands import run
from tests.documents import PERFORMANCE, put_between

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_spread_is_the_median_between_the_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == (2.0, 3.0, 4.0)
    assert Spread.of([7.0]) == (7.0, 7.0, 7.0)


def test_a_ratio_is_made_within_each_round() -> None:
    slow_machine_later = [1.0, 2.0, 30.0], [2.0, 4.0, 60.0]
    assert ratio(*slow_machine_later) == (0.5, 0.5, 0.5)


def test_a_ratio_of_unlike_numbers_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [(1.1, 1.1, True), (1.1004, 1.1, False), (1.0, None, None), (Spread(1.0, 1.2, 1.3), 1.1, False)],
)
def test_a_goal_is_held_against_the_median_before_rounding(
    value: float | Spread, goal: float | None, met: bool | None
) -> None:
    assert Figure("x", value, goal).met is met


def test_a_miss_is_said_as_loudly_as_it_can_be() -> None:
    assert Figure("a / b", Spread(1.0, 1.25, 1.5), 1.1).row() == "| a / b | 1.25 | 1.00 to 1.50 | ≤ 1.1 | **missed** |"
    assert Figure("MiB", 8.25, 10, 1).row() == "| MiB | 8.2 |  | ≤ 10 | met |"
    assert Figure("MiB", 8.0).row() == "| MiB | 8.00 |  |  |  |"


def test_every_row_has_the_columns_of_the_head() -> None:
    lines = table([Figure("a", 1.0), Figure("b", Spread(1.0, 2.0, 3.0), 2)])
    assert {line.count("|") for line in lines if line} == {6}
    assert lines[-1] == ""


def test_the_machine_is_described_and_not_named() -> None:
    said = machine()
    assert re.fullmatch(r"\d+ cores? \(.+\), \d+ GiB, Linux [0-9.]+, CPython [0-9.]+", said)
    assert pathlib.Path("/proc/sys/kernel/hostname").read_text().strip() not in said


def test_each_family_is_written_between_marks_of_its_own(tmp_path: pathlib.Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(PERFORMANCE.read_text())
    for name in FAMILIES:
        section = Section(name, [f"what {name} found"])
        put_between(section.mark, section.text(), document)
    written = document.read_text()
    for name in FAMILIES:
        assert written.count(f"what {name} found\n<!-- bench-{name}: end -->") == 1


def test_what_the_far_registry_takes_longer_is_counted_in_round_trips() -> None:
    def samples(*wall_ms: float) -> Samples:
        return {"wall_ms": list(wall_ms), "cpu_ms": [], "rss_kib": []}

    assert delay.round_trips(samples(10, 20, 30), samples(160, 170, 180)) == (3.0, 3.0, 3.0)


def test_a_command_that_must_not_repeat_itself_has_an_image_for_every_round() -> None:
    images = [Image(f"image-{number}", f"sha256:{number:064d}", 1) for number in range(enough(3))]
    calls = asked(pathlib.Path("/x"), images)["calls"]
    assert len({tuple(call["argv"]) for call in calls}) == 3 + ROUNDS_BEYOND


def test_pods_ask_again_as_the_kubelet_does() -> None:
    times = list(retries.attempts())
    assert times[:7] == [0, 10, 30, 70, 150, 310, 610]
    assert {after - before for before, after in zip(times[6:], times[7:], strict=False)} == {300}
    assert 3300 <= times[-1] < 3600


def test_the_program_lives_by_a_clock_that_is_moved_on(tmp_path: pathlib.Path) -> None:
    (tmp_path / "clock").write_text("+7200.000s\n")
    script = (
        "import sys, pathlib, time\n"
        "from tests.bench import moved\n"
        "moved.move(pathlib.Path(sys.argv[1]))\n"
        "from agent.adapters.inline import SystemClock\n"
        "print(SystemClock().now().timestamp(), time.time(), time.monotonic())\n"
    )
    before, begun = time.time(), time.monotonic()
    done = run([sys.executable, "-c", script, str(tmp_path / "clock")], environment={"PYTHONPATH": str(ROOT)})
    now, wall, monotonic = (float(each) for each in done.out.split())
    assert before + 7200 <= now <= wall <= time.time() + 7200
    assert begun <= monotonic <= time.monotonic()


def test_there_are_several_pods_for_each_image() -> None:
    assert pods.PODS > pods.IMAGES and pods.PODS % pods.IMAGES == 0

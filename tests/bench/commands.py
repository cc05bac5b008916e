"""Whole commands that were run in turns: their table, and one of them against another."""

from collections.abc import Mapping

from tests.bench.figures import Figure, Spread, ratio
from tests.bench.measure import Samples


def table(rounds: int, samples: Mapping[str, Samples]) -> list[str]:
    """What each of them took, as Markdown."""
    lines = [
        f"{rounds} alternating rounds, medians.",
        "",
        "| command | wall, ms | processor, ms | peak memory, MiB |",
        "|---|---|---|---|",
    ]
    for name, each in samples.items():
        wall, cpu = Spread.of(each["wall_ms"]).median, Spread.of(each["cpu_ms"]).median
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {max(each['rss_kib']) / 1024:.1f} |")
    return [*lines, ""]


def both(samples: Mapping[str, Samples], mine: str, other: str, goal: float | None) -> list[Figure]:
    """Our time and our processor time against another's."""
    one, two = samples[mine], samples[other]
    return [
        Figure(f"{mine} / {other}, wall", ratio(one["wall_ms"], two["wall_ms"]), goal),
        Figure(f"{mine} / {other}, processor", ratio(one["cpu_ms"], two["cpu_ms"]), goal),
    ]

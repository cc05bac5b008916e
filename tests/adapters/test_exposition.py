"""Families as text: what Prometheus reads is what was meant, whatever names are in it."""

import prometheus_client

from agent.adapters.exposition import Exposition
from agent.model.metrics import Family, Histogram, Kind
from tests.observed import families, value

HOSTILE = ('"', "\\", "\n", '"} 1\nx 2\n', "\\n", "\u2028", "\x7f", "é", "{}=,", "", "# TYPE x counter")


def test_kinds_are_what_they_are() -> None:
    seen = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0, -1.0):
        seen.observe(seconds)
    text = (
        Exposition()
        .render(
            [
                Family("a", Kind.COUNTER, "x", (), {(): 3}),
                Family("b", Kind.GAUGE, "x", ("l",), {("v",): 1.5, ("w",): 0}),
                Family("c", Kind.INFO, "x", ("version",), {("1.2",): 1}),
                Family("d_seconds", Kind.HISTOGRAM, "x", ("door",), seen={("p",): seen.seen()}),
                Family("e", Kind.GAUGE, "nothing yet"),
            ]
        )
        .decode()
    )
    assert value(text, "a_total") == 3
    assert (value(text, "b", l="v"), value(text, "b")) == (1.5, 1.5)
    assert value(text, "c_info", version="1.2") == 1
    buckets = {le: value(text, "d_seconds_bucket", door="p", le=le) for le in ("0.1", "1.0", "+Inf")}
    assert buckets == {"0.1": 3, "1.0": 4, "+Inf": 5}
    assert value(text, "d_seconds_count") == 5
    assert abs(value(text, "d_seconds_sum") - 7.65) < 0.001
    assert families(text)["e"].samples == []
    assert {"process_cpu_seconds_total", "process_open_fds"} <= families(text).keys()


def test_whatever_is_in_a_label_stays_in_it() -> None:
    samples: dict[tuple[str, ...], float] = {(text, text): number for number, text in enumerate(HOSTILE)}
    text = (
        Exposition().render([Family("a", Kind.GAUGE, 'quoted "help"\nof two \\ lines', ("l", "m"), samples)]).decode()
    )
    assert {(s.labels["l"], s.labels["m"]): s.value for s in families(text)["a"].samples} == samples
    assert "x" not in families(text)


def test_nothing_is_registered_for_the_whole_process() -> None:
    before = prometheus_client.generate_latest()
    first, second = Exposition(), Exposition()
    first.render([Family("a", Kind.GAUGE, "x", (), {(): 1})])
    assert b"\na 1" not in second.render([])
    assert prometheus_client.generate_latest().count(b"\n# TYPE") == before.count(b"\n# TYPE")


def test_exposed_name_has_the_suffix_of_its_kind() -> None:
    found = {Family("a", kind, "x").exposed for kind in Kind}
    assert found == {"a", "a_total", "a_info"}

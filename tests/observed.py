"""What a daemon shows to whoever watches it: its pages, and its metrics as numbers."""

import http.client
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

SECONDS = 60.0


class Page(NamedTuple):
    """What a request got."""

    status: int
    headers: Mapping[str, str]
    text: str


def page(address: str, path: str, *, method: str = "GET", body: bytes | None = None) -> Page:
    """What is at a path.  Raises `OSError`, `http.client.HTTPException`."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return Page(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())
    finally:
        connection.close()


def families(text: str) -> dict[str, Metric]:
    """Every metric of a scrape that has a type, by the name that its `# TYPE` line has."""
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    found = list(text_string_to_metric_families(text))
    assert len(names) == len(found) == len(set(names))
    return dict(zip(names, found, strict=True))


def series(text: str) -> set[str]:
    """Every name that an expression can ask for: a histogram has three."""
    names = set()
    for name, metric in families(text).items():
        histogram = {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        names |= histogram if metric.type == "histogram" else {name}
    return names


def value(text: str, name: str, **labels: str) -> float:
    """The sum of what has that name and these labels."""
    found = [
        sample.value
        for metric in families(text).values()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert found, (name, labels, text)
    return sum(found)


def until(reached: Callable[[], bool], why: Iterable[object] = ()) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, list(why)
        time.sleep(0.05)

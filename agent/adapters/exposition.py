"""Metrics in Prometheus' text format.

The only place that knows prometheus_client: never imported behind containerd's door.  Its registry for the whole
process is not used; each exposition has its own, with the process's figures (`process_*`).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import threading
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from agent.model.metrics import Family, Kind

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""What `Exposition.render` gives."""


class Exposition:
    """Renders families; threads may share it."""

    def __init__(self) -> None:
        """Nothing is collected before `render`."""
        self._lock = threading.Lock()
        self._collector = _Collector()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)

    def render(self, families: Sequence[Family]) -> bytes:
        """Everything as text.  It reads /proc, and takes its time: not for an event loop."""
        with self._lock:
            self._collector.families = families
            return bytes(generate_latest(self._registry))


class _Collector(Collector):
    """What is to be rendered next."""

    def __init__(self) -> None:
        self.families: Iterable[Family] = ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client wants it."""
        return map(_metric, self.families)


def _metric(family: Family) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for values, seen in family.seen.items():
            histogram.add_metric(values, list(seen.buckets), seen.sum)
        return histogram
    if family.kind is Kind.INFO:
        info = InfoMetricFamily(family.name, family.help)
        for values in family.samples:
            info.add_metric((), dict(zip(family.labels, values, strict=True)))
        return info
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for values, value in family.samples.items():
        metric.add_metric(values, value)
    return metric

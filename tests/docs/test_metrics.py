"""Dashboard, alerts, runbooks and the list of metrics against what a daemon really exposes."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from agent.adapters import ipc, reconciled
from agent.adapters.hostfiles import HostFiles
from agent.adapters.reconciled import Attempt, Reconciled
from agent.modes import watch
from tests.docs.test_docs import ROOT, anchor, anchors, prose
from tests.modes.clustered import SECONDS, daemon, platform, put
from tests.observed import families, page, series, until
from tests.promql import asked
from tests.simulators.cri import CriSimulator
from tests.simulators.kube import KubeSimulator

ALERTS = ROOT / "docs" / "alerts.yaml"
DASHBOARD = ROOT / "docs" / "grafana" / "nodeseal.json"
METRICS = ROOT / "docs" / "metrics.md"
RUNBOOKS = ROOT / "docs" / "runbooks.md"

PROMETHEUS_OWN = {"up"}
"""Written by Prometheus itself for each target."""

TARGET = {"instance", "job", "le"}
"""Labels that Prometheus adds to what it scrapes, and a histogram's own."""

_ROW = re.compile(r"^\| `((?:nodeseal|process)_\w+)` \| (\w+) \| (.*?) \| (.+) \|$")
_PARTS = ("**Meaning.**", "**Check.**", "**Remedy.**")

NOT_WATCHED = {
    "nodeseal_cache_survey_timestamp_seconds",  # says how old the caches' figures are, for who looks at one node
    "nodeseal_cluster_objects",  # `nodeseal_cluster_documents` has the same, by what came of them
    "nodeseal_pods_followed",  # what was asked for
    "nodeseal_pods",
    "process_virtual_memory_bytes",  # what every process has
    "process_start_time_seconds",
    "process_max_fds",
}
"""What neither a panel nor an alert asks for."""

NOT_FILLED = {
    "nodeseal_answers_total",  # nothing was pulled
    "nodeseal_configuration_refused",  # no folder is followed
    "nodeseal_fetched_keys_left_seconds",  # no keys are fetched
    "nodeseal_fetched_keys_kept_seconds",
    "nodeseal_trusted_root_fetched_timestamp_seconds",  # no trusted root is fetched
    "nodeseal_trusted_root_trouble",
    "nodeseal_break_glass_begin_timestamp_seconds",
    "nodeseal_break_glass_end_timestamp_seconds",
    "nodeseal_cache_misses",
}
"""What has no sample here, for nothing happens."""


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a daemon exposes that follows a cluster, and proves that it is asked, on a node that is kept wired up."""
    root = tmp_path_factory.mktemp("scrape")
    cri = tmp_path_factory.mktemp("cri") / "cri.sock"

    def address() -> str:
        said = json.loads(ipc.Client(str(root)).ask(ipc.STATUS, seconds=60) or b"{}")
        return (said.get("metrics") or {}).get("address") or ""

    said = Reconciled("settled", "well", time.time(), time.time(), (), 0, {each.value: 0 for each in Attempt})
    reconciled.write(HostFiles(str(root)), said)
    with KubeSimulator() as server, CriSimulator(cri):
        put(server, "platform", platform())
        proving = ("--prove", "--cri-socket", str(cri), "--pods")
        with daemon(root, server, "--metrics", "127.0.0.1:0", *proving):
            until(lambda: bool(address()))
            until(lambda: 'nodeseal_enforcing{state="enforcing"} 1' in page(address(), "/metrics").text)
            until(lambda: "\nnodeseal_pods_trouble 0" in page(address(), "/metrics").text)
            until(lambda: 'nodeseal_configuration_stage{stage="current"} 1' in page(address(), "/metrics").text)
            until(lambda: 'nodeseal_cluster_documents{state="accepted"} 1' in page(address(), "/metrics").text)
            until(lambda: "nodeseal_trusted_certificate_end_timestamp_seconds{" in page(address(), "/metrics").text)
            until(lambda: 'nodeseal_cache_files{store="answers"}' in page(address(), "/metrics").text)
            yield _filled(lambda: page(address(), "/metrics").text)


def _filled(scraped: Callable[[], str]) -> str:
    """A page on which all is that will be; the last one, if that takes too long."""
    end = time.monotonic() + SECONDS
    while _empty(text := scraped()) != NOT_FILLED and time.monotonic() < end:
        time.sleep(0.2)
    return text


def _empty(text: str) -> set[str]:
    return {name for name, metric in families(text).items() if not metric.samples}


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard that shows something."""
    return [panel for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """(where, expression) of each one in dashboard and alerts."""
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    found += [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    found += [(each["name"], each["expr"]) for each in dashboard["annotations"]["list"]]
    variables = [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
    found += [(each["name"], each[key]) for each in variables for key in ("definition",)]
    found += [(each["name"], each["query"]["query"]) for each in variables]
    return found


def documented() -> dict[str, tuple[str, set[str], str]]:
    """Type, labels and text of each metric in the list."""
    rows = [_ROW.match(line) for line in prose(METRICS.read_text("utf-8"))]
    return {row[1]: (row[2], set(re.findall(r"`(\w+)`", row[3])), row[4]) for row in rows if row}


def test_what_an_expression_asks_for_is_found() -> None:
    found = asked(
        'sum by (a) (rate(x_total{b="y{z}",c=~"$d"}[$__rate_interval])) / on (e) group_left (f) z '
        "unless (time() - q) > 3e5"
    )
    assert found == ({"x_total", "z", "q"}, {"a", "b", "c", "e", "f"})
    assert asked('label_values(up{job=~"$job"}, instance)') == ({"up"}, {"job", "instance"})
    assert asked("increase((sum without (kind) (m))[15m:1m]) > 0 or n offset 15m") == ({"m", "n"}, {"kind"})


def test_every_metric_that_is_asked_for_is_exposed(scrape: str) -> None:
    exposed = series(scrape) | PROMETHEUS_OWN
    assert len(expressions()) > 60
    assert not [(where, name) for where, text in expressions() for name in asked(text).metrics - exposed]
    assert all(asked(text).metrics for _, text in expressions())


def test_every_metric_is_on_the_dashboard_or_in_an_alert_unless_nobody_needs_to_watch_it() -> None:
    watched = {re.sub(r"_bucket\Z", "", name) for _, text in expressions() for name in asked(text).metrics}
    assert documented().keys() - watched == NOT_WATCHED


def test_every_label_that_is_asked_for_is_one_of_its_metrics() -> None:
    labels = {name: row[1] for name, row in documented().items()}
    unknown = []
    for where, text in expressions():
        metrics, named = asked(text)
        known = TARGET.union(*(labels.get(re.sub(r"_(bucket|sum|count)\Z", "", name), set()) for name in metrics))
        unknown += [(where, label) for label in named - known]
    assert not unknown


def test_list_of_metrics_is_what_is_exposed(scrape: str) -> None:
    exposed = families(scrape)
    told = {line.split()[2]: line.split(maxsplit=3)[3] for line in scrape.splitlines() if line.startswith("# HELP ")}
    assert {name: (kind, text) for name, (kind, _, text) in documented().items()} == {
        name: (metric.type, told[name]) for name, metric in exposed.items()
    }
    for name, metric in exposed.items():
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == documented()[name][1], name


def test_what_a_cluster_fills_is_filled(scrape: str) -> None:
    """Otherwise the labels above were compared with nothing."""
    assert _empty(scrape) == NOT_FILLED


def test_names_follow_the_conventions(scrape: str) -> None:
    for name, metric in families(scrape).items():
        assert re.fullmatch(r"(nodeseal|process)_[a-z_]+[a-z]", name)
        assert metric.documentation
        assert name.endswith("_total") is (metric.type == "counter")
        assert not re.search(r"_(ms|milliseconds|kib|mb|minutes|percent)(_|\Z)", name)
        for sample in metric.samples:
            assert {"image", "repository", "digest", "tag"}.isdisjoint(sample.labels)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_says_how_bad_it_is_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"]
    path, _, fragment = rule["annotations"]["runbook"].partition("#")
    assert (path, fragment) == ("docs/runbooks.md", anchor(rule["alert"]))
    assert fragment in anchors(RUNBOOKS)


def test_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    sections = re.split(r"^## ", RUNBOOKS.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert [section.split("\n")[0] for section in sections] == [rule["alert"] for rule in rules()]
    for section in sections:
        places = [section.find(part) for part in _PARTS]
        assert -1 not in places
        assert places == sorted(places)


def test_every_metric_that_a_runbook_or_the_list_names_is_exposed(scrape: str) -> None:
    text = RUNBOOKS.read_text("utf-8") + METRICS.read_text("utf-8")
    named = set(re.findall(r"\bnodeseal_[a-z_]+[a-z]\b(?!_)", text)) - {"nodeseal_cluster"}
    assert not named - series(scrape) - families(scrape).keys()


def test_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    assert "id" not in dashboard  # a dashboard of another server's
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["targets"]
        assert {each["datasource"]["uid"] for each in (panel, *panel["targets"])} == {"${datasource}"}


def test_port_is_told_as_it_is() -> None:
    for document in (METRICS, RUNBOOKS):
        ports = set(re.findall(r"127\.0\.0\.1:\d+", document.read_text("utf-8")))
        assert ports == {watch.METRICS}

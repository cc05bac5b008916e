"""What is shown of a cluster that is followed."""

import json
import pathlib
import time
from collections.abc import Iterator

import pytest

from agent.adapters import ipc
from tests.modes.clustered import daemon, platform, put, tenant
from tests.observed import families, page, until, value
from tests.simulators.kube import KubeSimulator

ANY = ("--metrics", "127.0.0.1:0")


@pytest.fixture
def server() -> Iterator[KubeSimulator]:
    """An API server."""
    with KubeSimulator() as found:
        yield found


def scraped(root: pathlib.Path) -> str:
    """The metrics of the daemon under a root."""
    said = json.loads(ipc.Client(str(root)).ask(ipc.STATUS, seconds=20) or b"{}")
    address = (said.get("metrics") or {}).get("address")
    return page(address, "/metrics").text if address else ""


def is_so(root: pathlib.Path, number: float, name: str, **labels: str) -> bool:
    """Whether a metric has a value by now."""
    text = scraped(root)
    return (
        bool(text)
        and any(s.labels.items() >= labels.items() for s in families(text)[name].samples)
        and (value(text, name, **labels) == number)
    )


def test_how_a_cluster_is_followed_is_shown(server: KubeSimulator, tmp_path: pathlib.Path) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    put(server, "junk", {"config.json": "{"})
    with daemon(tmp_path, server, *ANY):
        until(lambda: is_so(tmp_path, 2, "nodeseal_cluster_documents", state="accepted"))
        text = scraped(tmp_path)
        assert value(text, "nodeseal_cluster_followed") == 1
        assert value(text, "nodeseal_cluster_documents", state="quarantined") == 1
        assert value(text, "nodeseal_cluster_objects") == 3
        assert value(text, "nodeseal_cluster_trouble") == 0
        assert value(text, "nodeseal_cluster_lists_total") == 1
        assert value(text, "nodeseal_cluster_failures_total", trouble="unavailable") == 0
        assert value(text, "nodeseal_cluster_events_dropped_total") == 0
        assert 0 <= time.time() - value(text, "nodeseal_cluster_last_complete_timestamp_seconds") < 60
        put(server, "junk", tenant("junk", "r.example/junk/**"))
        until(lambda: is_so(tmp_path, 3, "nodeseal_cluster_documents", state="accepted"))
        assert value(scraped(tmp_path), "nodeseal_cluster_documents", state="quarantined") == 0
        until(lambda: is_so(tmp_path, 3, "nodeseal_configuration_rules"))
        until(
            lambda: len(families(scraped(tmp_path))["nodeseal_trusted_certificate_end_timestamp_seconds"].samples) == 3
        )
        ends = families(scraped(tmp_path))["nodeseal_trusted_certificate_end_timestamp_seconds"].samples
        assert {each.labels["owner"].partition("/")[2] for each in ends} == {"platform", "shop", "junk"}


def test_an_api_server_that_does_not_answer_is_shown(server: KubeSimulator, tmp_path: pathlib.Path) -> None:
    with daemon(tmp_path, server, *ANY):
        until(lambda: is_so(tmp_path, 0, "nodeseal_cluster_objects"))
        server.__exit__()
        until(lambda: is_so(tmp_path, 1, "nodeseal_cluster_trouble"))
        text = scraped(tmp_path)
        assert value(text, "nodeseal_cluster_failures_total") > 0
        assert value(text, "nodeseal_cluster_last_complete_timestamp_seconds") > 0

"""The program's daemon shows what it does: its libraries for that are in it, and in no other door's process."""

import json
import pathlib

import pytest

from agent.adapters import answers, ipc
from tests.commands import run
from tests.frozen.conftest import Setting
from tests.frozen.daemon import Daemon
from tests.frozen.program import descriptor, plugin_words
from tests.observed import page, series, until, value

pytestmark = pytest.mark.frozen


def address(daemon: Daemon) -> str:
    """Where it serves, once it does."""

    def said() -> str:
        status = json.loads(ipc.Client(str(daemon.program.root)).ask(ipc.STATUS, seconds=20) or b"{}")
        return (status.get("metrics") or {}).get("address") or ""

    until(lambda: bool(said()))
    return said()


def test_scrape_counts_pulls_of_every_door_and_names_none(setting: Setting) -> None:
    with Daemon(setting.program, "--metrics", "127.0.0.1:0") as daemon:
        at = address(daemon)
        assert page(at, "/readyz")[::2] == (200, "ready\n")
        kept = setting.program.root / answers.FOLDER
        for image, name in ((setting.signed, "signed"), (setting.unsigned, "unsigned"), (setting.signed, "signed")):
            words = plugin_words(f"{setting.registry.host}/team/{name}:1", str(image.digest))
            run([str(setting.program.path), *words], stdin=descriptor(str(image.digest), image.size))
            until(lambda: kept.exists() and any(kept.iterdir()))  # a moment after it was given
        with daemon.hidden():
            setting.program.forget()
            setting.program.pull(setting.unsigned_name, str(setting.unsigned.digest), setting.unsigned.size)
        until(lambda: value(page(at, "/metrics").text, "nodeseal_decisions_total", decision="deny") >= 2)
        text = page(at, "/metrics").text
        assert value(text, "nodeseal_answers_total", door="daemon", decision="allow") == 1
        assert value(text, "nodeseal_answers_total", door="answer", decision="allow") == 1
        assert value(text, "nodeseal_answers_total", door="plugin", decision="deny") == 1
        assert value(text, "nodeseal_pull_duration_seconds_count", door="daemon") == 2
        assert "process_resident_memory_bytes" in series(text)
        hidden = [
            setting.registry.host,
            "team/",
            "unsigned",
            *(str(i.digest)[7:19] for i in (setting.signed, setting.unsigned)),
        ]
        assert [word for word in hidden if word in text] == []
        assert daemon.stop() == 0
    assert "bug" not in {event["event"] for event in daemon.events()}


def test_without_metrics_nothing_is_served_or_loaded_for_them(setting: Setting) -> None:
    sizes = []
    for metrics in ("127.0.0.1:0", "off"):
        with Daemon(setting.program, "--metrics", metrics) as daemon:
            if metrics != "off":
                page(address(daemon), "/metrics")
            status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
            sizes.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")))
            assert daemon.stop() == 0
    print(f"VmRSS: {sizes[0]} KiB with metrics, {sizes[1]} KiB without")
    assert sizes[1] < sizes[0] < sizes[1] + 16 * 1024

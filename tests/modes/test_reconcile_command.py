"""`nodeseal install --reconcile` as a command: what it says line by line, and how signals end it."""

import json
import signal
import time
from collections.abc import Callable

import pytest

from agent.modes.reconcile import Ending
from tests.modes.hosts import Host
from tests.modes.test_install_command import Run, host, in_turn, run

__all__ = ["host", "run"]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[int, object], None]]:
    """A process that gets SIGTERM when it first sleeps; what it does with signals."""
    handlers: dict[int, Callable[[int, object], None]] = {}

    def sleep(ending: Ending, seconds: float) -> None:
        assert not ending()
        handlers[signal.SIGTERM](signal.SIGTERM, None)

    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(Ending, "sleep", sleep)
    return handlers


def test_each_event_is_a_line_and_a_signal_ends_it(host: Host, run: Run, ended: dict[int, object]) -> None:
    code, out, err = run("install", "--reconcile", "--format", "json", "--pace", "30s")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert [each["event"] for each in events if each["event"] != "install"] == ["begun", "mending", "wiring", "stopped"]
    assert events[0]["changes"] == "verifier-only"
    assert events[-1]["state"] == "settled"
    assert set(ended) == {signal.SIGTERM, signal.SIGINT}
    assert (host.root / "opt/nodeseal/current").is_symlink()


def test_people_get_text_and_must_enforce_says_how_it_stood_at_last(
    host: Host, run: Run, ended: dict[int, object]
) -> None:
    assert "[info     ] stopped" in run("install", "--reconcile", "--must-enforce")[1]
    host.world.never_asks = True
    code, out, _ = run("install", "--reconcile", "--must-enforce")
    assert code == 12
    assert "containerd does not ask this verifier" in out


def test_it_takes_turns(host: Host, run: Run, ended: dict[int, object], monkeypatch: pytest.MonkeyPatch) -> None:
    turns = in_turn(host, monkeypatch)
    words = ("--reconcile", "--in-turn", "--node-name", "n7", "--bin-dir", "/srv/verifiers", "--format", "json")
    assert run("install", *words)[0] == 0
    assert [each.node for each in turns.queues] == ["n7"]
    assert host.world.restarts == ["containerd.service"]


def test_sleep_ends_early_once_somebody_asks() -> None:
    ending, begun = Ending(), time.monotonic()
    ending.sleep(0.3)
    assert time.monotonic() - begun >= 0.3
    ending._ask(signal.SIGTERM, None)
    begun = time.monotonic()
    ending.sleep(60)
    assert time.monotonic() - begun < 30

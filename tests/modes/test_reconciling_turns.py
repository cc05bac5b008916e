"""`install --reconcile` where restarts are in turn, or happen by themselves."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.adapters import reconciled
from agent.modes import reconciling
from agent.modes.turns import Confirm, Tell
from tests.modes.hosts import Host, make_host
from tests.modes.keeping import MAIN, NONE_ARE_RUN, Keeping, _quick, host, in_turns, rewrite

__all__ = ["_quick", "host"]


def test_restarts_are_in_turn_and_a_turn_that_does_not_come_is_no_failure(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "LOOK", 30.0)
    taken, seen = in_turns(fails=6)
    keeping = Keeping(host, taken=taken)
    keeping.at(100, rewrite(host, restart=True))
    keeping.until(200)
    assert keeping.states == ["settled", "waiting"]
    assert "n2 has it" in keeping.said()
    assert host.read(MAIN) == NONE_ARE_RUN
    keeping.until(30000)
    assert seen == ["taken", "confirmed", "given back"]
    assert keeping.states[-1] == "settled"
    assert keeping.keeper.stands
    assert keeping.keeper.stands.attempts == {"mended": 1, "failed": 0, "noTurn": 6}


def test_turn_that_is_waited_for_is_what_is_said_meanwhile(host: Host) -> None:
    said: list[reconciled.Reconciled | None] = []

    @contextmanager
    def taken(tell: Tell) -> Iterator[Confirm]:
        tell("waiting for this node's turn to restart: n2 has it")
        said.append(reconciled.read(str(host.root)))
        yield lambda: None
        tell("the turn could not be given back")

    keeping = Keeping(host, taken=taken)
    keeping.at(10, rewrite(host, restart=True))
    keeping.until(60)
    (meanwhile,) = said
    assert meanwhile
    assert (meanwhile.state, meanwhile.message) == ("waiting", "waiting for this node's turn to restart: n2 has it")
    assert keeping.states == ["settled", "waiting", "settled"]
    assert {"said": "the turn could not be given back"} in keeping.log.of("install")


def test_k0s_whose_files_restart_it_is_not_written_before_an_hour_is_over(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path, "k0s")
    keeping = Keeping(host, bin_dir="/srv/verifiers").until(30)
    assert host.world.restarts == ["by itself"]
    own = next(host.root.rglob("zzz-nodeseal.toml"))
    keeping.at(40, own.unlink)
    keeping.until(2000)
    assert keeping.states[-1] == "restartPending"
    assert not own.exists()
    keeping.until(4000)
    assert own.exists()
    assert host.world.restarts == ["by itself"] * 2
    assert keeping.states[-1] == "settled"

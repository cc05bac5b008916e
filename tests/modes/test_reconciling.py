"""`install --reconcile`: notices what undoes an installation, mends it in its time, fights nobody, and ends cleanly."""

import os
import pathlib
import shutil
import time

import pytest

from agent.adapters import reconciled, state
from agent.adapters.hostfiles import HostFiles
from agent.adapters.reconciled import State
from agent.errors import HostError
from agent.modes import reconciling, turns
from agent.modes.reconciling import THOROUGH
from agent.wiring import pacing, steps
from agent.wiring.planning import Changes
from tests.modes.hosts import VERIFIERS, Host, make_host
from tests.modes.keeping import HOUR, MAIN, NONE_ARE_RUN, Keeping, _quick, host, rewrite
from tests.wiring.test_planning import IN_V3

__all__ = ["_quick", "host"]

OWN = "etc/containerd/conf.d/zzz-nodeseal.toml"
LINK = f"{VERIFIERS}/00-nodeseal"
TRIGGER = f"version = 3\n{IN_V3['discard_unpacked_layers']}"
DATED = '{"state": "settled", "message": "", "since": 1e300, "looked": 1, "contested": [], "failures": 0}'
COUNTED = DATED.replace("1e300", "1").replace("}", ', "attempts": {"mended": -1}}')


def test_where_nothing_happens_nothing_is_written_and_the_proof_is_repeated(host: Host) -> None:
    before = host.tree()
    keeping = Keeping(host).until(2 * THOROUGH + 10)
    assert host.tree() == before
    assert keeping.states == ["settled"]
    assert len([each for each in keeping.log.of("install") if "proof: enforcing" in str(each["said"])]) == 3
    assert keeping.keeper.is_enforcing


def test_node_that_is_new_is_installed(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path)
    keeping = Keeping(host).until(30)
    assert keeping.states == ["settled"]
    assert (host.root / LINK).is_symlink()
    assert host.world.restarts == []


def test_rewritten_configuration_is_noticed_and_mended_at_once_and_its_containerd_restarted(host: Host) -> None:
    before = host.tree()
    keeping = Keeping(host)
    keeping.at(100, rewrite(host, restart=True))
    keeping.until(200)
    assert keeping.mended == [[f"/{MAIN}"]]
    assert host.world.restarts[1:] == ["by its agent", "containerd.service"]
    assert keeping.states == ["settled"]
    assert {path for path in host.tree() if host.tree()[path] != before.get(path)} == set()


def test_files_that_the_running_containerd_had_loaded_before_are_set_right_without_a_restart(host: Host) -> None:
    before = host.tree()
    keeping = Keeping(host)
    keeping.at(100, rewrite(host))
    keeping.until(200)
    assert keeping.mended == [[f"/{MAIN}"]]
    assert host.world.restarts == ["containerd.service"]
    assert host.tree() == before
    assert keeping.states == ["settled"]


def test_without_having_seen_it_settled_a_restart_is_due(host: Host) -> None:
    rewrite(host)()
    keeping = Keeping(host).until(60)
    assert host.world.restarts == ["containerd.service"] * 2
    assert keeping.states == ["settled"]


@pytest.mark.parametrize("path", [LINK, OWN, "opt/nodeseal/current"])
def test_what_is_gone_is_put_back(host: Host, path: str) -> None:
    before = host.tree()
    keeping = Keeping(host)
    keeping.at(100, (host.root / path).unlink)
    keeping.until(200)
    assert keeping.mended in ([[f"/{path}"]], [[f"/{path}", f"/{LINK}"]])
    assert host.tree() == before
    assert keeping.states == ["settled"]


def test_program_that_is_damaged_is_placed_anew_each_time(host: Host) -> None:
    keeping = Keeping(host)
    for second in (100, 300, 700, 1500):
        keeping.at(second, lambda: (host.root / "opt/nodeseal/current/nodeseal").resolve().unlink())
    keeping.until(2500)
    assert len(keeping.mended) == 4
    assert sorted(os.listdir(host.root / "opt/nodeseal")) == ["0.1.0", "0.1.0+4180203d", "current"]
    assert (host.root / "opt/nodeseal/current/nodeseal").read_text() == "the program"
    assert keeping.states[-1] == "settled"


def test_setting_that_goes_past_is_told_or_set_back_as_is_allowed(host: Host) -> None:
    keeping = Keeping(host)
    keeping.at(100, rewrite(host, NONE_ARE_RUN + IN_V3["discard_unpacked_layers"], restart=True))
    keeping.until(400)
    assert keeping.states[-1] == "left"
    assert "discard_unpacked_layers" in keeping.said()
    assert not keeping.keeper.is_enforcing

    host.world.clock += HOUR
    allowed = Keeping(host, changes=Changes.PULL_PATH).until(60)
    assert allowed.states == ["settled"]
    assert "discard_unpacked_layers" in host.read(OWN)


def test_with_changes_none_it_only_reports(host: Host) -> None:
    keeping = Keeping(host, changes=Changes.NONE)
    keeping.at(100, rewrite(host, restart=True))
    keeping.until(2 * THOROUGH)
    assert host.read(MAIN) == NONE_ARE_RUN
    assert host.world.restarts[1:] == ["by its agent"]
    assert (keeping.mended, keeping.states) == ([], ["settled", "left"])
    assert "max_verifiers = 10 is needed, and nothing may be changed" in keeping.said()


def test_what_is_wrong_at_the_next_restart_alone_is_told_too(host: Host) -> None:
    keeping = Keeping(host, changes=Changes.NONE)
    keeping.at(100, rewrite(host))
    keeping.until(200)
    assert keeping.states == ["settled", "left"]
    assert keeping.said().endswith("pulls are verified at this moment")


@pytest.mark.unmeasured
def test_who_writes_again_and_again_is_named_and_mended_ever_more_slowly(host: Host) -> None:
    keeping = Keeping(host)
    for second in range(100, 12000, 40):
        keeping.at(second, rewrite(host))
    keeping.until(12000)
    assert [each["pause"] for each in keeping.log.of("contested")] == [240, 480, 960, 1920, *[3600] * 3]
    assert len(keeping.mended) == 9
    assert keeping.log.of("contested")[0]["path"] == f"/{MAIN}"
    assert keeping.keeper.stands is not None
    assert keeping.keeper.stands.contested == (f"/{MAIN}",)
    assert host.world.restarts == ["containerd.service"]


@pytest.mark.unmeasured
def test_containerd_is_restarted_once_an_hour_at_most_whoever_fights(host: Host) -> None:
    keeping, times = Keeping(host), []
    restart = host.world.restart

    def counted(unit: str) -> None:
        if unit == "containerd.service":
            times.append(keeping.now)
        restart(unit)

    host.world.restart = counted  # type: ignore[method-assign]
    for second in range(100, 9000, 300):
        keeping.at(second, rewrite(host, restart=True))
    keeping.until(9000)
    assert len(times) >= 2
    assert all(later - earlier >= steps.RESTART_INTERVAL for earlier, later in zip(times, times[1:], strict=False))
    assert "restartPending" in keeping.states


def test_failures_are_tried_again_ever_more_slowly_and_given_up_until_the_node_is_otherwise(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "LOOK", 60.0)
    keeping = Keeping(host)
    keeping.until(30)

    def break_it() -> None:
        (host.root / LINK).unlink()
        host.world.refuses_pause = True

    keeping.at(40, break_it)
    keeping.until(20000)
    assert len(keeping.mended) == pacing.GIVE_UP
    assert keeping.states[-1] == "gaveUp"
    assert keeping.keeper.stands
    assert keeping.keeper.stands.attempts == {"mended": 0, "failed": pacing.GIVE_UP, "noTurn": 0}
    assert "5 attempts failed, and no more are made until the node is otherwise" in keeping.said()
    assert "which every pod needs" in keeping.said()
    assert not (host.root / LINK).is_symlink()

    host.world.refuses_pause = False
    keeping.until(40000)
    assert len(keeping.mended) == pacing.GIVE_UP, "it can't know"
    keeping.at(40010, lambda: host.write(MAIN, f"{host.read(MAIN)}# another word\n"))
    keeping.until(45000)
    assert keeping.states[-1] == "settled"
    assert (host.root / LINK).is_symlink()


def test_what_was_taken_back_leaves_the_bytes_that_were_there(host: Host) -> None:
    keeping = Keeping(host)
    keeping.until(30)
    rewrite(host, restart=True)()
    before = host.tree()
    host.world.never_asks = True
    keeping.at(40, lambda: None)
    keeping.until(80)
    assert keeping.states[-1] == "failed"
    assert "it was taken back" in keeping.said()
    left = host.tree()
    assert {path for path in left if left[path] != before.get(path)} <= {"var/lib/nodeseal/install/manifest.json"}
    assert host.read(MAIN) == NONE_ARE_RUN


def test_what_was_uninstalled_stays_uninstalled(host: Host) -> None:
    keeping = Keeping(host)
    keeping.at(100, host.uninstall)
    keeping.until(2 * THOROUGH)
    assert keeping.states == ["settled", "uninstalled"]
    assert not (host.root / "opt/nodeseal").exists()
    assert not (host.root / "run/nodeseal").exists()


def test_uninstallation_that_comes_between_a_look_and_its_mending_stands(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = Keeping(host)
    install = turns.installed_so

    def late(*words: object, **more: object) -> object:
        host.uninstall()
        return install(*words, **more)  # type: ignore[arg-type]

    def wanted() -> None:
        (host.root / LINK).unlink()
        monkeypatch.setattr(turns, "installed_so", late)

    keeping.at(100, wanted)
    keeping.until(1000)
    assert keeping.states == ["settled", "failed", "uninstalled"]
    assert not (host.root / "opt/nodeseal").exists()
    assert not (host.root / "var/lib/nodeseal").exists()


def test_entry_whose_program_and_record_are_gone_is_mended(host: Host) -> None:
    keeping = Keeping(host)

    def wipe() -> None:
        shutil.rmtree(host.root / "opt/nodeseal")
        shutil.rmtree(host.root / "var/lib/nodeseal")

    keeping.at(100, wipe)
    keeping.until(200)
    assert keeping.states[-1] == "settled"
    assert (host.root / "opt/nodeseal/current/nodeseal").exists()


def test_containerd_that_is_away_is_told_and_waited_for(host: Host) -> None:
    keeping = Keeping(host)
    facts = host.world.facts

    def away() -> object:
        raise HostError("got no containerd whose version can be told")

    keeping.at(100, lambda: setattr(host.world, "facts", away))
    keeping.at(100, rewrite(host))
    keeping.at(300, lambda: setattr(host.world, "facts", facts))
    keeping.until(800)
    assert keeping.states == ["settled", "failed", "settled"]


def test_containerd_that_does_not_answer_is_no_failure(host: Host) -> None:
    host.world.runs = False
    keeping = Keeping(host).until(60)
    assert keeping.states == ["settled"]
    assert keeping.said() == "installed; no containerd can be asked"


def test_state_that_can_not_be_written_is_told_and_stops_nothing(host: Host) -> None:
    shutil.rmtree(host.root / "run")
    (host.root / "run").write_text("no folder")
    keeping = Keeping(host)
    keeping.at(100, (host.root / LINK).unlink)
    keeping.until(200)
    assert len(keeping.mended) == 1
    assert keeping.log.of("state not written")


def test_node_that_can_not_verify_is_left_alone(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path, "crio")
    before = host.tree()
    keeping = Keeping(host).until(2 * THOROUGH)
    assert (keeping.states, keeping.mended) == (["unsupported"], [])
    assert not (host.root / "run/nodeseal").exists()
    assert host.tree() == before


def test_what_is_said_can_be_read_while_it_runs_and_is_gone_afterwards(host: Host) -> None:
    keeping, seen = Keeping(host), list[reconciled.Reconciled | None]()
    keeping.at(10, lambda: seen.append(reconciled.read(str(host.root))))
    keeping.until(30)
    (said,) = seen
    assert said is not None
    assert (said.state, said.contested, said.failures) == (State.SETTLED.value, (), 0)
    assert said.since == said.looked
    assert reconciled.read(str(host.root)) is None
    assert state.tried(HostFiles(str(host.root))).restarted


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (reconciled.Reconciled("settled", "well", 1.0, 1e9), ""),
        (
            reconciled.Reconciled("settled", "well", 1.0, 1e9, ("/a", "/b")),
            "somebody else writes /a, /b again and again",
        ),
        (reconciled.Reconciled("gaveUp", "no room", 1.0, 1e9), "mending was given up: no room"),
        (reconciled.Reconciled("gaveUp", "no room", 1.0, 1e9 - reconciled.BELIEVED), ""),
    ],
)
def test_trouble_is_what_somebody_has_to_do_something_about(
    tmp_path: pathlib.Path, said: reconciled.Reconciled, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9 + 1)
    reconciled.write(HostFiles(str(tmp_path)), said)
    assert reconciled.read(str(tmp_path)) == said
    trouble = reconciled.trouble(str(tmp_path))
    assert trouble.startswith(expected) and bool(trouble) == bool(expected)
    reconciled.remove(HostFiles(str(tmp_path)))
    assert reconciled.trouble(str(tmp_path)) == ""


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"state": 1}', "[" * 10000, DATED, COUNTED, COUNTED.replace("-1", "[]")]
)
def test_damaged_word_is_none(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / reconciled.PATH.lstrip("/")
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text(content)
    assert reconciled.read(str(tmp_path)) is None

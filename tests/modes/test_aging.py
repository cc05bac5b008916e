"""A cluster's configuration grows old: what is noted, how often, and what people are told."""

import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent import cli
from agent.adapters.nodestate import COMPLETE, NodeState, moment
from agent.adapters.snapshots import STATE, SnapshotStore
from agent.config.config import Config
from agent.errors import Cause
from agent.modes import aging, node
from agent.modes.aging import Aging, Noting
from agent.rules import age
from agent.rules.age import Stage
from agent.rules.breakglass import Moment
from agent.rules.precedence import Standing
from tests.modes.test_node import CONFIG, RULES
from tests.warm import Told

NOW = moment()
DAY = 86400.0
OF_A_CLUSTER = CONFIG._replace(ruleset=RULES._replace(from_cluster=True))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node with a cluster's configuration."""
    SnapshotStore(str(tmp_path)).publish(OF_A_CLUSTER)
    return tmp_path


def ago(seconds: float) -> Moment:
    """A moment before now, of which nobody knows in which boot it was."""
    return Moment(moment().wall - timedelta(seconds=seconds), 0.0, "")


def stage(root: Path) -> Stage:
    """How old the node's configuration is."""
    return age.stage(node.opened(str(root)).standing)


def test_only_what_is_from_a_cluster_ends(root: Path) -> None:
    NodeState(str(root)).note_complete(ago(8 * DAY))
    assert stage(root) is Stage.STALE
    SnapshotStore(str(root)).publish(CONFIG)
    assert node.opened(str(root)).standing.complete is None
    assert stage(root) is Stage.CURRENT


@pytest.mark.parametrize("damage", ["missing", "torn", "foreign", "a link"])
def test_without_what_was_noted_the_publication_counts(root: Path, damage: str) -> None:
    NodeState(str(root)).note_complete(ago(1))
    file = root / COMPLETE
    if damage in ("missing", "a link"):
        file.rename(root / "elsewhere")
    if damage == "a link":
        file.symlink_to(root / "elsewhere")
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:20])
    if damage == "foreign":
        file.chmod(0o666)
    link = root / STATE / "current"
    for days, expected in ((1, Stage.CURRENT), (5, Stage.OLD), (8, Stage.STALE)):
        then = moment().wall.timestamp() - days * DAY
        os.utime(link, (then, then), follow_symlinks=False)
        assert stage(root) is expected


def test_what_is_missing_is_not_too_old(root: Path) -> None:
    NodeState(str(root)).note_complete(ago(8 * DAY))
    (root / STATE / "current").unlink()
    found = node.opened(str(root))
    assert not isinstance(found.config, Config)
    assert (found.config.cause, found.standing.complete) == (Cause.CONFIGURATION_MISSING, None)
    assert NodeState(str(root)).now(found.standing).complete is None


def test_where_nobody_can_tell_at_all_it_counts_no_more(tmp_path: Path) -> None:
    assert NodeState(str(tmp_path)).complete() == age.NEVER


def test_what_is_the_same_configuration_for_people_is_another_generation_from_a_cluster(tmp_path: Path) -> None:
    store = SnapshotStore(str(tmp_path))
    assert store.publish(CONFIG) != store.publish(OF_A_CLUSTER)
    assert store.load().ruleset.from_cluster
    copy = store.last_rules()
    assert copy is not None
    assert copy.from_cluster


def noted(root: Path) -> Moment:
    """What the disk says."""
    return NodeState(str(root)).complete()


def later(seconds: float) -> Moment:
    """A moment after now."""
    return Moment(NOW.wall + timedelta(seconds=seconds), NOW.boot_seconds + seconds, NOW.boot_id)


@pytest.mark.parametrize(("greatest", "every"), [(3600.0, 60), (7 * DAY, 604)])
def test_it_is_noted_at_first_and_then_rarely(root: Path, greatest: float, every: int) -> None:
    noting = Noting(str(root), Told())
    noting.greatest_age = greatest
    noting.note(later(0))
    assert noted(root) == later(0)
    noting.note(later(every - 1))
    assert noted(root) == later(0)
    noting.note(later(every + 1))
    assert noted(root) == later(every + 1)
    assert oct((root / COMPLETE).stat().st_mode & 0o777) == "0o600"


def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(root: Path) -> None:
    log, file = Told(), root / COMPLETE
    noting = Noting(str(root), log)
    file.mkdir()
    (file / "in the way").touch()
    noting.note(later(0))
    noting.note(later(1))
    assert len(log.of("configuration's age not noted")) == 1
    (file / "in the way").unlink()
    file.rmdir()
    noting.note(later(2))
    assert noted(root) == later(2)


def test_half_of_the_age_and_its_end_are_told_once_each_and_so_is_the_way_back(root: Path) -> None:
    log, state = Told(), NodeState(str(root))
    held = node.opened(str(root)).standing
    looking = Aging(lambda: state.now(held), log)
    for days in (1, 4, 5, 8, 9, 0.1, 6):
        state.note_complete(ago(days * DAY))
        looking.look()
    events = [(level, event) for level, event, _ in log.events]
    assert events == [
        ("warning", "configuration grows old"),
        ("warning", "configuration stale"),
        ("info", "configuration current again"),
        ("warning", "configuration grows old"),
    ]
    assert log.of("configuration stale")[0]["ageSeconds"] == pytest.approx(8 * DAY, abs=600)


def test_who_looks_while_nobody_can_tell_says_nothing() -> None:
    log = Told()
    Aging(lambda: None, log).look()
    assert log.events == []


def test_it_is_looked_at_again_and_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aging, "LOOK", 0.01)
    log, state = Told(), NodeState(str(root))
    held = node.opened(str(root)).standing

    def holding() -> Standing:
        return state.now(held)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(Aging(holding, log).run)
            await anyio.sleep(0.05)
            state.note_complete(ago(8 * DAY))
            with anyio.fail_after(30):
                while not log.events:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    anyio.run(run)
    assert log.of("configuration stale")


# ---- what people read ---------------------------------------------------------------------------------------------


@pytest.fixture
def status(root: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`nodeseal status` as text and as JSON, so many seconds after the last complete list."""

    def run(seconds: float) -> tuple[str, Mapping[str, Any]]:
        NodeState(str(root)).note_complete(ago(seconds))
        said = []
        for form in ("text", "json"):
            with pytest.raises(SystemExit) as ended:
                cli.main(["nodeseal", "status", "--root", str(root), "--format", form])
            assert ended.value.code == 0
            said.append(capsys.readouterr().out)
        return said[0], json.loads(said[1])

    return run


def test_status_says_how_old_it_is_and_when_that_is_too_old(status: Any) -> None:
    text, told = status(DAY)
    assert "  complete     20" in text
    assert "(24 h 0 min ago), counts until 20" in text
    assert "WARNING" not in text
    currency = told["currency"]
    assert (currency["state"], currency["maxSnapshotAgeSeconds"]) == ("current", 7 * DAY)
    assert currency["ageSeconds"] == pytest.approx(DAY, abs=60)
    ends = datetime.fromisoformat(currency["staleAt"]) - datetime.fromisoformat(currency["lastComplete"])
    assert ends.total_seconds() == pytest.approx(7 * DAY, abs=2)
    assert told["trouble"] is None


def test_status_warns_past_half_of_it(status: Any) -> None:
    text, told = status(4 * DAY)
    assert "  WARNING      more than half of that time is over" in text
    assert (told["currency"]["state"], told["trouble"]) == ("old", None)


def test_status_says_that_nothing_is_verified_once_it_is_too_old(status: Any) -> None:
    text, told = status(8 * DAY)
    assert "  STALE        configurationStale: the API server last told all of it at 20" in text
    assert told["currency"]["state"] == "stale"
    assert told["trouble"]["cause"] == "configurationStale"
    assert told["generation"]


def test_status_of_a_folders_configuration_says_nothing_of_an_age(root: Path, status: Any) -> None:
    SnapshotStore(str(root)).publish(CONFIG)
    text, told = status(8 * DAY)
    assert "complete " not in text
    assert told["currency"] is None


def test_status_of_a_time_that_nobody_knows_shows_none(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeState, "complete", lambda _: age.NEVER)
    with pytest.raises(SystemExit):
        cli.main(["nodeseal", "status", "--root", str(root), "--format", "json"])
    told = json.loads(capsys.readouterr().out)["currency"]
    assert (told["state"], told["lastComplete"], told["staleAt"]) == ("stale", None, None)

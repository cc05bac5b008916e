"""`nodeseal break-glass off` and `list`: which ones are ended, what is shown of them, and of the configuration's."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent import cli
from agent.adapters import nodestate
from agent.adapters.nodestate import BEGUN, NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import FOLDER
from agent.config.config import Config
from agent.rules.breakglass import BreakGlass
from agent.rules.ruleset import ConfiguredBreakGlass
from tests.modes.glass import Glass, Node
from tests.modes.test_node import CONFIG
from tests.signing import write_config

TIME = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture
def glass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Glass:
    """The commands, under an empty root."""
    return Glass(tmp_path, capsys)


def on_now(glass: Glass) -> list[str]:
    """Ids of those that count."""
    return sorted(each["id"] for each in glass.listed()["breakGlass"] if each["counts"])


def write(glass: Glass, *, begun_ago: float, hours: float = 1, **changes: object) -> BreakGlass:
    """Have one on the node that began some hours ago."""
    now = moment()
    up = max(now.boot_seconds - begun_ago * 3600, 0.0)
    since = now._replace(wall=now.wall - timedelta(hours=begun_ago), boot_seconds=up)
    entry = BreakGlass("a1", "r.example/**", "INC-1", since, since.wall + timedelta(hours=hours))
    entry = entry._replace(**changes)  # type: ignore[arg-type]
    state = NodeState(str(glass.root))
    state.write_break_glass([*state.break_glass(), entry])
    return entry


def test_without_words_all_of_them_are_ended(glass: Glass) -> None:
    names = [glass.on(f"r.example/{i}") for i in range(3)]
    told = glass("off")
    assert (told.code, told.err) == (0, "")
    for i, name in enumerate(names):
        assert f"break-glass {name} is off: r.example/{i} (INC-4711)\n" in told.out
    assert told.out.count("let in: nothing that the spool tells of\n") == 3
    assert "verified afterwards" not in told.out
    assert on_now(glass) == []


def test_one_is_ended_by_its_id_alone(glass: Glass) -> None:
    first, second, third = (glass.on("r.example/**") for _ in range(3))
    told = glass("off", second)
    assert told.out.startswith(f"break-glass {second} is off")
    assert on_now(glass) == sorted([first, third])
    assert glass("off", first, third).code == 0
    assert on_now(glass) == []


def test_those_with_one_pattern_are_ended_in_any_spelling_of_it(glass: Glass) -> None:
    glass.on("busybox")
    other = glass.on("r.example/**")
    glass.on("docker.io/library/busybox")
    assert glass("off", "--image", "docker.io/busybox").code == 0
    assert on_now(glass) == [other]
    assert glass("off", other, "--image", "r.example/**").code == 0
    assert on_now(glass) == []


def test_an_id_or_a_pattern_that_none_has_changes_nothing(glass: Glass) -> None:
    name = glass.on("r.example/**")
    for words in (["nobody"], [name, "nobody"], ["--image", "r.example/*"], [name, "--image", "r.example/x"], ["\x1b"]):
        told = glass("off", *words)
        assert told.code == 2
        assert f"one of this node's own: {name} (r.example/**)" in told.err
        assert "\x1b" not in told.err
    assert on_now(glass) == [name]
    assert glass("off", "--image", "**/x").code == 2


def test_an_id_that_none_has_where_none_is_on(glass: Glass) -> None:
    told = glass("off", "nobody")
    assert told.code == 2
    assert "one of this node's own: none that is on\n" in told.err


def test_where_none_is_on_nothing_is_changed(glass: Glass) -> None:
    told = glass("off")
    assert told == (0, "nothing was changed: no break-glass of this node's own is on\n", "")
    assert not glass.file.exists()


def test_where_all_have_ended_what_they_let_in_is_the_next_step(glass: Glass) -> None:
    write(glass, begun_ago=2)
    told = glass("off")
    assert told.code == 0
    assert "next step: verify what ended ones let in: nodeseal break-glass list --verify\n" in told.out


def test_one_that_ended_by_itself_can_be_named_and_its_end_stays(glass: Glass) -> None:
    entry = write(glass, begun_ago=2)
    told = glass("off", "a1")
    assert told.code == 0
    assert f"on from {entry.since.wall:{TIME}} to {entry.until:{TIME}}\n" in told.out


def test_ended_twice_it_ended_the_first_time(glass: Glass) -> None:
    name = glass.on("r.example/**")
    first = glass("off", name).out
    closed = NodeState(str(glass.root)).break_glass()[0].closed
    assert glass("off", name).out == first
    assert NodeState(str(glass.root)).break_glass()[0].closed == closed is not None


def test_what_is_on_is_listed_with_its_end_and_reason(glass: Glass) -> None:
    assert glass("list") == (0, "no break-glass\n", "")
    name = glass.on("r.example/**", "90m")
    (entry,) = NodeState(str(glass.root)).break_glass()
    assert glass("list").out == (
        f"{name}  r.example/**  (this node's own)\n"
        "    reason: INC-4711\n"
        f"    on since {entry.since.wall:{TIME}}, until {entry.until:{TIME}}, 1 h 29 min left\n"
        "    let in: nothing that the spool tells of\n"
    )


@pytest.mark.parametrize(("length", "left"), [("59s", "58 s left"), ("30m", "29 min left"), ("4h", "3 h 59 min left")])
def test_the_time_that_is_left_is_said_in_words(
    glass: Glass, length: str, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    glass.on("r.example/**", length)
    (entry,) = NodeState(str(glass.root)).break_glass()
    monkeypatch.setattr(nodestate, "moment", lambda: entry.since)  # however long the next command takes to begin
    assert left in glass("list").out


def test_for_programs_it_is_a_document_of_its_own(glass: Glass) -> None:
    name = glass.on("r.example/**")
    (entry,) = NodeState(str(glass.root)).break_glass()
    glass.tell(name, "r.example/x@sha256:5", times=2)
    found = glass.listed()
    (image,) = found["breakGlass"][0].pop("images")
    assert (image["image"], image["pulls"]) == ("r.example/x@sha256:5", 2)
    left = found["breakGlass"][0].pop("remainingSeconds")
    assert 7100 < left < 7200
    assert found == {
        "schemaVersion": "1",
        "now": found["now"],
        "breakGlass": [
            {
                "id": name,
                "source": "node",
                "match": "r.example/**",
                "reason": "INC-4711",
                "since": f"{entry.since.wall:{TIME}}",
                "until": f"{entry.until:{TIME}}",
                "endedAt": None,
                "counts": True,
                "whyNot": "",
                "pulls": 2,
            }
        ],
        "problems": [],
        "verified": None,
    }


def test_ended_ones_are_listed_for_seven_days(glass: Glass) -> None:
    week = 7 * 24
    over = write(glass, begun_ago=week + 0.9, id="over")
    write(glass, begun_ago=week + 1.1, id="gone")
    closed = write(glass, begun_ago=week + 2, hours=4, id="closed")
    closed = closed._replace(closed=closed.since.wall + timedelta(hours=2.5))
    NodeState(str(glass.root)).write_break_glass([over, closed, over._replace(id="gone", closed=over.since.wall)])
    name = glass.on("r.example/**")
    assert [entry.id for entry in NodeState(str(glass.root)).break_glass()] == ["over", "closed", name]
    glass("off", name)
    assert [each["id"] for each in glass.listed()["breakGlass"]] == [name, "closed", "over"]
    text = glass("list").out
    assert f"off since {closed.closed:{TIME}}: it was ended" in text
    assert f"off since {over.until:{TIME}}: its time is over" in text


def test_what_counts_is_listed_first_then_what_ended_last(glass: Glass) -> None:
    names = [glass.on("r.example/**", length) for length in ("1h", "3h", "2h")]
    write(glass, begun_ago=3, id="early")
    write(glass, begun_ago=2, id="late")
    assert [each["id"] for each in glass.listed()["breakGlass"]] == [names[1], names[2], names[0], "late", "early"]


def test_a_clock_that_was_set_back_is_told(glass: Glass, monkeypatch: pytest.MonkeyPatch) -> None:
    glass.on("r.example/**")
    now = moment()
    monkeypatch.setattr(nodestate, "moment", lambda: now._replace(wall=now.wall - timedelta(hours=1)))
    assert "does not count: the clock was set back" in glass("list").out


def test_nothing_that_a_terminal_obeys_gets_out(glass: Glass) -> None:
    write(glass, begun_ago=0.5, reason="a\x1b[2J\nb\u202e")
    glass.tell("a1", "r.example/\x1b[31m@sha256:5")
    for words in (["list"], ["list", "--format", "json"], ["off", "--no-verify"]):
        told = glass(*words)
        assert told.code == 0
        assert all(" " <= character <= "~" for line in told.out.split("\n") for character in line)
        assert "2J" in told.out


def test_of_a_thousand_images_people_see_fifty_and_programs_all(glass: Glass) -> None:
    name = glass.on("r.example/**")
    glass.tell(name, *(f"r.example/{i}@sha256:5" for i in range(60)))
    text = glass("list").out
    assert "let in: 60 pulls of 60 images\n" in text
    assert text.count("@sha256:5 (1 pull, last ") == 50
    assert "and 10 more; --format json lists all of them" in text
    assert len(glass.listed()["breakGlass"][0]["images"]) == 60


def test_what_the_spool_cannot_tell_is_said(glass: Glass) -> None:
    name = glass.on("r.example/**")
    glass.tell(name, "r.example/x@sha256:5")
    folder = glass.root / FOLDER
    with (folder / "spool.jsonl").open("ab") as file:
        file.write(b'{"torn\n\x00\n')
    assert "note: 2 line(s) of the spool can't be read: what they tell is not counted\n" in glass("list").out
    (folder / "spool.jsonl").rename(folder / "spool.1.jsonl")
    glass.tell(name, "r.example/y@sha256:5")
    problems = glass.listed()["problems"]
    assert any(each.endswith("what was let in before that is not known") for each in problems)
    folder.chmod(0o777)
    told = glass("off")
    assert (told.code, told.err) == (0, "")
    assert f"note: {folder}: got a folder that others may write to (mode 0777)" in told.out
    assert on_now(glass) == []


def test_one_entrys_images_are_not_anothers(glass: Glass) -> None:
    first, second = glass.on("r.example/x"), glass.on("r.example/**")
    glass.tell(first, "r.example/x@sha256:5")
    glass.tell(second, "r.example/y@sha256:5")
    seen = {each["id"]: [image["image"] for image in each["images"]] for each in glass.listed()["breakGlass"]}
    assert seen == {first: ["r.example/x@sha256:5"], second: ["r.example/y@sha256:5"]}


def configured(
    root: Path, config: Config = CONFIG, *, match: str = "r.example/shop/**", begin: bool = True
) -> ConfiguredBreakGlass:
    """Have a configuration in force with a break-glass of its own."""
    until = (datetime.now(timezone.utc) + timedelta(hours=2)).replace(microsecond=0)
    entry = ConfiguredBreakGlass(match, until, "INC-2")
    if begin:
        NodeState(str(root)).begin([entry])
    SnapshotStore(str(root)).publish(config._replace(ruleset=config.ruleset._replace(break_glass=(entry,))))
    return entry


def test_the_configurations_is_listed_and_is_not_ended_here(glass: Glass) -> None:
    entry = configured(glass.root)
    assert (
        f"{entry.id}  r.example/shop/**  (of the configuration)\n    reason: INC-2\n    on since " in glass("list").out
    )
    (seen,) = glass.listed()["breakGlass"]
    assert (seen["source"], seen["counts"], seen["until"]) == ("configuration", True, f"{entry.until:{TIME}}")
    told = glass("off", entry.id)
    assert told.code == 2
    assert "which stands in the configuration" in told.err
    assert "next step: remove it from breakGlass, then nodeseal config apply DIR\n" in told.err
    note = f"note: {entry.id} of the configuration is on until {entry.until:{TIME}}: r.example/shop/**\n"
    assert note in glass("off").out
    glass.on("r.example/**")
    assert note in glass("off").out
    assert on_now(glass) == [entry.id]


def test_the_configurations_that_has_not_begun_here_says_what_to_do(glass: Glass) -> None:
    configured(glass.root, begin=False)
    (seen,) = glass.listed()["breakGlass"]
    assert (seen["counts"], seen["since"]) == (False, None)
    text = glass("list").out
    assert "does not count: it is not in force on this node: put the configuration in force again" in text
    assert "on since" not in text
    assert "note: " not in glass("off").out


def test_the_configurations_goes_on_without_a_snapshot(glass: Glass) -> None:
    entry = configured(glass.root)
    (glass.root / "var/lib/nodeseal/current").unlink()
    assert on_now(glass) == [entry.id]
    (glass.root / BEGUN).write_text("{")
    assert on_now(glass) == []


def test_a_configuration_that_is_applied_switches_it_on_and_the_next_one_off(
    node: Node, glass: Glass, capsys: pytest.CaptureFixture[str]
) -> None:
    def apply(entries: list[dict[str, str]]) -> int:
        folder = write_config(node.root / "next", (node.root / "config" / "trusted.crt").read_bytes())
        value = json.loads((folder / "config.json").read_text())
        value["nodeseal"] = {"apiVersion": "nodeseal.dev/v1alpha1", "breakGlass": entries}
        (folder / "config.json").write_text(json.dumps(value))
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "config", "apply", str(folder), "--root", str(node.root)])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int), said
        return ended.value.code

    def entry(hours: float, match: str = node.pattern) -> dict[str, str]:
        until = datetime.now(timezone.utc) + timedelta(hours=hours)
        return {"match": match, "until": f"{until:{TIME}}", "reason": "INC-2"}

    assert apply([entry(2)]) == 0
    (name,) = on_now(glass)
    code, line = node.pull("team/unsigned")
    assert (code, f" break-glass {name} until " in line) == (0, True)
    assert apply([entry(5)]) == 3
    assert apply([entry(2, "**")]) == 3
    assert on_now(glass) == [name]
    assert apply([]) == 0
    assert on_now(glass) == []
    assert node.pull("team/unsigned")[0] == 10

"""`nodeseal status`: what holds, what was counted, and what passed unverified."""

import json
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.adapters import answers, reconciled, rootnotes
from agent.adapters.folding import POSITION, SpoolReader
from agent.adapters.hostfiles import HostFiles
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.rootnotes import RootNote
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import FOLDER, Spool
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.record import Record
from agent.rules.breakglass import BreakGlass
from agent.rules.rule import Enforcement
from tests.modes.test_node import CONFIG, RULES, write_bootstrap

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
IMAGE = "r.example/x@sha256:" + "5" * 64


DENIED = Answer(Exit.DENY, Code.NO_EVIDENCE, "shop", "x", 7)


def tell(root: Path, answer: Answer, *, at: datetime = NOW, door: str = "plugin", image: str = IMAGE) -> None:
    """Have one answer in the spool."""
    Spool(str(root)).append(Record.of(answer, now=at, door=door, image=image, name="r.example/x:1"))


@pytest.fixture
def status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command under an empty root."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "status", "--root", str(tmp_path), *words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return run


def test_somebody_who_may_not_look_is_told_that_and_nothing_that_is_not_so(
    status: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    SnapshotStore(str(tmp_path)).publish(CONFIG)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != f"{tmp_path}/var/lib/nodeseal" and may(path, mode))
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "status", "--root", str(tmp_path)])
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (Exit.HOST, "")
    assert told.err.endswith("nodeseal: next step: run as root\n")


def test_bootstrap_document_that_can_not_be_believed_is_why_the_floor_is_strict(status: Any, tmp_path: Path) -> None:
    assert json.loads(status("--format", "json"))["floor"]["trouble"] is None
    write_bootstrap(tmp_path, froor={})
    assert "break-glass 0s at most\n  bootstrap document: got an unknown key froor; expected the form" in status()
    assert "an unknown key froor" in json.loads(status("--format", "json"))["floor"]["trouble"]


def test_a_node_with_nothing_on_it_says_so(status: Any) -> None:
    text = status()
    assert "configurationMissing" in text
    assert "Enforce  where no rule matches" in text
    assert "answers        0 since never" in text
    assert "registry.k8s.io/pause, by 8 digests (built in: the sandbox of every pod)" in text
    assert json.loads(status("--format", "json"))["trouble"]["cause"] == "configurationMissing"


def test_how_the_fetching_of_trusted_roots_goes_is_shown(tmp_path: Path, status: Any) -> None:
    assert "trusted roots" not in status()
    good = RootNote("trusted_root.json", "https://tuf.example/", 86400.0, NOW.timestamp(), "ab" * 32)
    bad = good._replace(name="other.json", fetched=None, sha256="", trouble="gone\x1b", since=NOW.timestamp())
    rootnotes.write(str(tmp_path), (good, bad))
    text = status()
    fetched = "fetched 2026-06-01T00:00:00Z from https://tuf.example/, every 1d\n"
    assert f"trusted roots\n  trusted_root.json: {fetched}  other.json: not fetched yet from" in text
    meanwhile = "a document of this name counts, if there is one"
    assert f"  WARNING      not fetched since 2026-06-01T00:00:00Z, {meanwhile}: gone\\x1b\n" in text
    told = json.loads(status("--format", "json"))["trustRoots"]
    assert [(each["fetched"], each["trouble"]) for each in told] == [("2026-06-01T00:00:00Z", None), (None, "gone\x1b")]


def test_what_keeps_the_node_wired_up_is_shown(tmp_path: Path, status: Any) -> None:
    assert "\nwiring" not in status()
    assert json.loads(status("--format", "json"))["wiring"] is None
    now = time.time()
    attempts = {"mended": 5, "failed": 2, "noTurn": 1}
    contested = ("/etc/containerd/config.toml",)
    said = reconciled.Reconciled("waiting", "in a moment", now - 7200, now - 60, contested, 2, attempts)
    reconciled.write(HostFiles(str(tmp_path)), said)
    text = status()
    assert "wiring         waiting for 2 h 0 min, looked at 1 min ago: in a moment\n" in text
    assert "  mended 5 times, 2 in vain, 1 without a turn to restart\n" in text
    assert "  /etc/containerd/config.toml is written by somebody else, again and again\n" in text
    told = json.loads(status("--format", "json"))["wiring"]
    assert (told["state"], told["contested"], told["failures"]) == ("waiting", list(said.contested), 2)
    assert told["attempts"] == attempts
    assert datetime.fromisoformat(told["looked"]).timestamp() == int(now - 60)


def test_what_holds_is_shown_as_the_floor_lets_it_count(tmp_path: Path, status: Any) -> None:
    rule = RULES.rules[0]._replace(enforcement=Enforcement.DISABLED, rollout=20)
    SnapshotStore(str(tmp_path)).publish(CONFIG._replace(ruleset=RULES._replace(rules=(rule,))))
    write_bootstrap(tmp_path, node={"name": "worker-3"}, floor={"enforcement": "Audit"})
    text = status()
    assert "Audit    shop on 20 % of nodes" in text
    assert "node           worker-3" in text
    told = json.loads(status("--format", "json"))
    assert told["generation"] == SnapshotStore(str(tmp_path)).load().generation
    assert told["rules"] == [{"name": "shop", "enforcement": "Audit", "rollout": 20}]


def test_break_glass_that_counts_is_shown(tmp_path: Path, status: Any) -> None:
    now = moment()
    live = BreakGlass("a1", "r.example/**", "INC-1", now, now.wall + timedelta(hours=1))
    NodeState(str(tmp_path)).write_break_glass([live, live._replace(id="a2", match="**")])
    assert f"r.example/** until {live.until:%Y-%m-%dT%H:%M:%SZ}: INC-1" in status()
    (told,) = json.loads(status("--format", "json"))["breakGlass"]
    assert (told["match"], told["since"]) == ("r.example/**", f"{now.wall:%Y-%m-%dT%H:%M:%SZ}")
    assert 0 <= told["ageSeconds"] < 60


def test_every_allowance_is_counted_by_what_it_rests_on(tmp_path: Path, status: Any) -> None:
    verified = Answer(Exit.ALLOW, Code.VERIFIED, "shop", "1 of 1", 7, Ground.VERIFIED)
    ignored = Answer(Exit.ALLOW, Code.REGISTRY_UNAVAILABLE, "shop", "gone", 8, Ground.FAILURE_POLICY)
    audited = Answer(Exit.ALLOW, Code.NO_EVIDENCE, "shop", "would deny: x", 7, Ground.AUDIT, would=Exit.DENY)
    for answer in (verified, ignored, audited, ignored, DENIED):
        tell(tmp_path, answer)
    with (tmp_path / FOLDER / "spool.jsonl").open("ab") as spool:
        spool.write(b'{"torn\n')
    lines = [" ".join(line.split()) for line in status().splitlines()]
    for expected in (
        "answers 5 since 2026-06-01T00:00:00.000+00:00",
        "1 blocked NS-2001 rule=shop",
        "1 audit NS-2001 rule=shop",
        "2 failurePolicy NS-3001 rule=shop",
        "1 verified NS-0001 rule=shop",
        "doors plugin 5",
        "passed unverified: 3; the latest",
        f"2026-06-01T00:00:00.000+00:00 audit NS-2001 {IMAGE}",
        "1 lines of the spool can't be read",
    ):
        assert expected in lines
    told = json.loads(status("--format", "json"))
    assert {"ground": "failurePolicy", "code": "NS-3001", "rule": "shop", "count": 2} in told["answers"]
    assert {"ground": None, "code": "NS-2001", "rule": "shop", "count": 1} in told["answers"]
    assert [each["would"] for each in told["unverified"]] == [None, 10, None]
    assert told["doors"] == {"plugin": 5}
    assert told["gaps"] == 1


def test_since_when_it_holds_is_shown(tmp_path: Path, status: Any) -> None:
    assert json.loads(status("--format", "json"))["snapshot"] == {"since": None, "ageSeconds": None}
    SnapshotStore(str(tmp_path)).publish(CONFIG)
    link = tmp_path / "var/lib/nodeseal/current"
    since = datetime.now(timezone.utc) - timedelta(hours=50, minutes=10)
    os.utime(link, (since.timestamp(), since.timestamp()), follow_symlinks=False)
    assert f", in force since {since:%Y-%m-%dT%H:%M:%SZ} (2 d 2 h)\n" in status()
    told = json.loads(status("--format", "json"))["snapshot"]
    assert told["since"] == f"{since:%Y-%m-%dT%H:%M:%SZ}"
    assert 0 <= told["ageSeconds"] - (50 * 60 + 10) * 60 < 60


def test_how_old_the_oldest_line_is_is_shown(tmp_path: Path, status: Any) -> None:
    assert json.loads(status("--format", "json"))["spool"] == {"oldest": None, "ageSeconds": None, "problems": []}
    now = datetime.now(timezone.utc)
    tell(tmp_path, DENIED, at=now - timedelta(minutes=125))
    tell(tmp_path, DENIED, at=now)
    assert "spool          the oldest line is 2 h 5 min old\n" in status()
    assert 0 <= json.loads(status("--format", "json"))["spool"]["ageSeconds"] - 125 * 60 < 60


def test_a_line_of_a_time_to_come_is_not_of_an_age_below_zero(tmp_path: Path, status: Any) -> None:
    tell(tmp_path, DENIED, at=datetime.now(timezone.utc) + timedelta(hours=1))
    assert json.loads(status("--format", "json"))["spool"]["ageSeconds"] == 0


def test_the_share_that_was_answered_again_is_shown(tmp_path: Path, status: Any) -> None:
    assert json.loads(status("--format", "json"))["again"] == {"count": 0, "share": None}
    for door in ("plugin", "answer", "answer"):
        tell(tmp_path, DENIED, door=door)
    assert "doors          answer 2, plugin 1\nagain          66 % were answered as the same words before\n" in status()
    assert json.loads(status("--format", "json"))["again"] == {"count": 2, "share": 0.6667}


def test_the_most_frequent_reasons_are_shown_with_the_last_of_each(tmp_path: Path, status: Any) -> None:
    codes = list(Code)[5:20]
    for number, code in enumerate(codes):
        for i in range(number + 1):
            image = IMAGE.replace("/x@", f"/{code.name.lower()}{i}@")
            tell(tmp_path, DENIED._replace(code=code, message=f"m{i}"), image=image)
    tell(tmp_path, DENIED._replace(exit=Exit.ALLOW, ground=Ground.AUDIT, would=Exit.DENY))
    blocked = json.loads(status("--format", "json"))["blocked"]
    assert [(each["code"], each["count"]) for each in blocked] == [
        (codes[i].value, i + 1) for i in range(14, 4, -1)
    ]  # fmt: skip
    assert blocked[0]["last"]["message"] == "m14"
    assert blocked[0]["last"]["image"] == IMAGE.replace("/x@", f"/{codes[14].name.lower()}14@")
    text = status()
    assert f"       15  {codes[14].value}  last 2026-06-01T00:00:00.000+00:00  {blocked[0]['last']['image']}\n" in text
    assert "           m14\n" in text
    assert "           m3\n" not in text


def test_what_passed_on_an_old_word_or_because_a_rule_only_audits_is_counted(tmp_path: Path, status: Any) -> None:
    stale = Answer(Exit.ALLOW, Code.REGISTRY_UNAVAILABLE, "shop", "gone", 8, Ground.STALE)
    audited = Answer(Exit.ALLOW, Code.NO_EVIDENCE, "shop", "would deny: x", 7, Ground.AUDIT, would=Exit.DENY)
    for answer in (stale, audited, audited, DENIED):
        tell(tmp_path, answer)
    text = status()
    assert "stale          1 passed because verified before" in text
    assert "audit          2 passed that enforcing would have blocked" in text
    told = json.loads(status("--format", "json"))
    assert (told["stale"], told["wouldDeny"]) == (1, 2)


def test_how_far_folding_is_behind_is_shown(tmp_path: Path, status: Any) -> None:
    tell(tmp_path, DENIED)
    assert "folded         never: no daemon makes logs, metrics and events of it\n" in status()
    never = {"position": False, "behindBytes": None, "last": None}
    assert json.loads(status("--format", "json"))["folding"] == never
    reader = SpoolReader(str(tmp_path))
    reader.new()
    reader.done()
    tell(tmp_path, DENIED)
    size = (tmp_path / FOLDER / "spool.jsonl").stat().st_size // 2
    last = "2026-06-01T00:00:00.000+00:00"
    assert f"folded         up to {last}; {size} bytes were not read yet\n" in status()
    told = json.loads(status("--format", "json"))["folding"]
    assert told == {"position": True, "behindBytes": size, "last": last}


def test_what_cannot_be_read_is_told_once(tmp_path: Path, status: Any) -> None:
    tell(tmp_path, DENIED)
    spool, position = tmp_path / FOLDER / "spool.jsonl", tmp_path / FOLDER / POSITION
    spool.chmod(0o622)
    position.write_text("torn")
    text = status()
    assert text.count(f"{spool}: got ") == 1
    assert text.count(f"{position}: got ") == 1
    assert len(json.loads(status("--format", "json"))["spool"]["problems"]) == 2


def test_how_much_is_remembered_is_shown(tmp_path: Path, status: Any) -> None:
    folder = tmp_path / answers.FOLDER
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"12345")
    assert "remembered\n  answers     1 files, 5 bytes\n" in status()
    told = json.loads(status("--format", "json"))["caches"]
    assert (told["answers"], told["verdicts"]) == ({"files": 1, "bytes": 5}, {"files": 0, "bytes": 0})


def test_what_is_remembered_cannot_be_read(tmp_path: Path, status: Any) -> None:
    folder = tmp_path / answers.FOLDER
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"")
    assert f"  {folder}: got Not a directory; expected" in status()
    assert json.loads(status("--format", "json"))["caches"] is None


def test_nothing_that_a_terminal_obeys_gets_out(tmp_path: Path, status: Any) -> None:
    tell(tmp_path, Answer(Exit.ALLOW, Code.EXEMPT, "a\x1b[2J\nb", "\r", 5, Ground.EXEMPT))
    hostile = '"\x1b[2J\n'
    record = Record.of(DENIED, now=NOW, door="plugin", image=IMAGE, name="x")
    Spool(str(tmp_path)).append(record._replace(image=hostile, message=hostile, code=hostile, door=hostile))
    assert all(" " <= character <= "~" for line in status()[:-1].split("\n") for character in line)

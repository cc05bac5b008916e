"""`nodeseal status`: what holds, what was counted, and what passed unverified."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.adapters.nodestate import NodeState, moment
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


def tell(root: Path, answer: Answer) -> None:
    """Have one answer in the spool."""
    Spool(str(root)).append(Record.of(answer, now=NOW, door="plugin", image=IMAGE, name="r.example/x:1"))


@pytest.fixture
def status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command under an empty root."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "status", "--root", str(tmp_path), *words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return run


def test_a_node_with_nothing_on_it_says_so(status: Any) -> None:
    text = status()
    assert "configurationMissing" in text
    assert "Enforce  where no rule matches" in text
    assert "answers        0 since never" in text
    assert "registry.k8s.io/pause, by 8 digests (built in: the sandbox of every pod)" in text
    assert json.loads(status("--format", "json"))["trouble"]["cause"] == "configurationMissing"


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
    assert [each["match"] for each in json.loads(status("--format", "json"))["breakGlass"]] == ["r.example/**"]


def test_every_allowance_is_counted_by_what_it_rests_on(tmp_path: Path, status: Any) -> None:
    verified = Answer(Exit.ALLOW, Code.VERIFIED, "shop", "1 of 1", 7, Ground.VERIFIED)
    ignored = Answer(Exit.ALLOW, Code.REGISTRY_UNAVAILABLE, "shop", "gone", 8, Ground.FAILURE_POLICY)
    audited = Answer(Exit.ALLOW, Code.NO_EVIDENCE, "shop", "would deny: x", 7, Ground.AUDIT, would=Exit.DENY)
    denied = Answer(Exit.DENY, Code.NO_EVIDENCE, "shop", "x", 7)
    for answer in (verified, ignored, audited, ignored, denied):
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


def test_nothing_that_a_terminal_obeys_gets_out(tmp_path: Path, status: Any) -> None:
    tell(tmp_path, Answer(Exit.ALLOW, Code.EXEMPT, "a\x1b[2J\nb", "\r", 5, Ground.EXEMPT))
    assert all(" " <= character <= "~" for line in status()[:-1].split("\n") for character in line)

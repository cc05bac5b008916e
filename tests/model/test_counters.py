"""Counters: every answer is counted once, by what decided, and however many rules there are, in bounded memory."""

import json
from datetime import datetime, timezone

from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.counters import MOST, MOST_DOORS, OTHER, Counters, Labels
from agent.model.record import Record

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
VERIFIED = Answer(Exit.ALLOW, Code.VERIFIED, "shop", "1 of 1", 7, Ground.VERIFIED)
STALE = Answer(Exit.ALLOW, Code.REGISTRY_UNAVAILABLE, "shop", "gone", 8, Ground.STALE)
AUDITED = Answer(Exit.ALLOW, Code.NO_EVIDENCE, "shop", "would deny: x", 7, Ground.AUDIT, would=Exit.DENY)
DENIED = Answer(Exit.DENY, Code.NO_EVIDENCE, "shop", "x", 7)


def record(answer: Answer, door: str = "plugin", **changes: object) -> Record:
    """The record of an answer."""
    image = "r.example/x@sha256:" + "5" * 64
    usual = Record.of(answer, now=NOW, door=door, image=image, name="r.example/x:1")
    return usual._replace(**changes)  # type: ignore[arg-type]


def test_answers_are_counted_by_what_decided() -> None:
    counters = Counters()
    for each in (VERIFIED, VERIFIED, STALE, AUDITED, DENIED):
        counters.add(record(each))
    counters.add(record(VERIFIED, "answer"))
    assert counters.answers == {
        Labels("plugin", "allow", "verified", "NS-0001", "shop"): 2,
        Labels("answer", "allow", "verified", "NS-0001", "shop"): 1,
        Labels("plugin", "allow", "stale", "NS-3001", "shop"): 1,
        Labels("plugin", "allow", "audit", "NS-2001", "shop"): 1,
        Labels("plugin", "deny", "", "NS-2001", "shop"): 1,
    }
    assert (counters.stale, counters.would_deny) == (1, 1)


def test_gaps_and_losses_are_counted() -> None:
    counters = Counters()
    counters.gap(3)
    counters.gap(2)
    counters.lose()
    assert counters.as_json() == {"answers": [], "stale": 0, "wouldDeny": 0, "gaps": 5, "losses": 1}


def test_no_label_is_an_image() -> None:
    counters = Counters()
    counters.add(record(DENIED))
    text = json.dumps(counters.as_json())
    assert "r.example" not in text
    assert json.loads(text)["answers"] == [
        {"door": "plugin", "decision": "deny", "ground": "", "code": "NS-2001", "rule": "shop", "count": 1}
    ]


def test_label_sets_are_bounded_and_sums_stay_right() -> None:
    counters = Counters()
    for number in range(3 * MOST):
        counters.add(record(DENIED, rule=f"r{number}"))
        counters.add(record(VERIFIED, rule=f"r{number}"))
    assert len(counters.answers) == MOST + 2
    assert sum(counters.answers.values()) == 6 * MOST
    assert counters.answers[Labels("plugin", "deny", OTHER, OTHER, OTHER)] == 3 * MOST - MOST // 2
    counters.add(record(DENIED, rule="r1"))
    assert counters.answers[Labels("plugin", "deny", "", "NS-2001", "r1")] == 2


def test_what_no_program_of_ours_says_is_bounded_as_well() -> None:
    counters = Counters()
    for number in range(3 * MOST):
        odd = {"exit": number, "code": f"c{number}", "ground": f"g{number}", "rule": f"r{number}"}
        counters.add(record(DENIED, f"d{number}", **odd))
    assert len({each.door for each in counters.answers}) == MOST_DOORS + 1
    assert len(counters.answers) < MOST + 100
    assert sum(counters.answers.values()) == 3 * MOST
    assert Labels("d0", "allow", OTHER, OTHER, "r0") in counters.answers


def test_labels_are_printable_and_short() -> None:
    counters = Counters()
    counters.add(record(DENIED, "d\n", rule="\x1b" * 1_000))
    (labels,) = counters.answers
    assert all(" " <= character <= "~" for text in labels for character in text)
    assert max(map(len, labels)) == 64

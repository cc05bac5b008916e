"""What decides first, and what a verdict means for containerd."""

import pytest

from agent.config.config import Config
from agent.errors import Cause, Code, Exit, NodesealError
from agent.model.answer import LINE_LIMIT, Answer, Ground, printable
from agent.model.reference import Reference
from agent.model.verdict import Decision, Verdict
from agent.rules import precedence
from agent.rules.rule import Default, FailureAction, FailurePolicy
from agent.rules.ruleset import RuleSet
from tests import engines
from tests.engines import DEFAULT_RULE
from tests.formats.support import NAME


def concluded(decision: Decision, code: Code = Code.NO_EVIDENCE) -> Answer:
    causes = (Cause.REGISTRY_UNAVAILABLE,) if decision is Decision.CANNOT_TELL else ()
    return engines.concluded(Verdict(decision, code, "because", causes), NAME)


def test_only_an_allowing_verdict_exits_0_and_names_its_ground() -> None:
    answers = {decision: concluded(decision) for decision in Decision}
    assert {decision: answer.exit for decision, answer in answers.items()} == {
        Decision.ALLOW: Exit.ALLOW,
        Decision.DENY: Exit.DENY,
        Decision.CANNOT_TELL: Exit.CANNOT_TELL,
    }
    assert [answer.ground for answer in answers.values()] == [Ground.VERIFIED, None, None]


def test_answer_names_the_number_that_decided() -> None:
    assert [concluded(decision).precedence for decision in Decision] == [7, 7, 8]
    assert precedence.CANARY_ANSWER.precedence == 1


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        (Decision.ALLOW, "allow NS-2001 rule=default ground=verified: because"),
        (Decision.DENY, f"deny NS-2001 rule=default: because; see: nodeseal verify --explain {NAME}"),
        (Decision.CANNOT_TELL, f"cannot tell NS-2001 rule=default: because; see: nodeseal verify --explain {NAME}"),
    ],
)
def test_line_says_what_which_rule_why_and_the_next_step(decision: Decision, line: str) -> None:
    assert concluded(decision).line() == line


@pytest.mark.parametrize(
    "answer",
    [
        precedence.bad_request("x" * 5000),
        precedence.internal_error("ValueError"),
        precedence.blocked(Cause.DEADLINE, "no answer", "r.example/" + "a" * 5000),
        precedence.blocked(Cause.CONFIGURATION_MISSING, "m" * 5000, "r.example/a:1"),
        Answer(Exit.DENY, Code.NO_EVIDENCE, "r", "\x1b[31m\n\r\x00\u202e%s{0}" * 200, image="r.example/a:1"),
        Answer(Exit.DENY, Code.NO_EVIDENCE, "r\n", "m", image="r.example/\n\x1b" + "\U0001f600" * 300),
    ],
)
def test_line_is_short_and_printable_whatever_goes_into_it(answer: Answer) -> None:
    line = answer.line()
    assert len(line.encode()) <= LINE_LIMIT
    assert line.isascii()
    assert line.isprintable()
    assert answer.exit is not Exit.ALLOW


@pytest.mark.parametrize("length", [20, 110, 111, 150, 190])
def test_line_leaves_room_for_what_an_event_puts_around_it(length: int) -> None:
    name = "r.example/" + "a" * (length - 12) + ":1"
    line = Answer(Exit.DENY, Code.NO_EVIDENCE, "r" * 80, "m" * 500, image=name).line()
    assert len(line) + 275 + 3 * len(name) <= 1024
    assert line.startswith(f"deny NS-2001 rule={'r' * 61}...: mm")
    assert line.endswith("; see: nodeseal verify --explain " + (name if length <= 111 else "IMAGE"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Exit.ALLOW, Code.VERIFIED, "r", "m"),
        Answer(Exit.DENY, Code.VERIFIED, "r", "m", ground=Ground.VERIFIED),
    ],
)
def test_allowance_without_a_ground_is_a_bug_and_no_answer(answer: Answer) -> None:
    with pytest.raises(NodesealError, match="expected a ground iff 0"):
        answer.line()


def test_escapes_are_readable() -> None:
    assert printable("a\tM\u00fcller\u202e") == "a\\tM\\xfcller\\u202e"


@pytest.mark.parametrize("name", ["127.0.0.1:5000/nodeseal-canary:x", "127.0.0.1/nodeseal-canary:x"])
def test_canary_is_denied_before_anything_is_looked_at(name: str) -> None:
    repository = Reference.parse(name).repository
    assert precedence.is_canary(repository)
    nothing = engines.standing(Config("g", (), (), RuleSet(()), {}))
    assert precedence.before_verification(repository, "", NAME, nothing) is precedence.CANARY_ANSWER


def test_other_names_are_for_verification_to_decide() -> None:
    repository = Reference.parse(NAME).repository
    holding = engines.standing(Config("g", (), (), RuleSet((DEFAULT_RULE,)), {}))
    assert precedence.before_verification(repository, "", NAME, holding) is None
    assert precedence.terms_for(repository, holding).rule is DEFAULT_RULE


def test_image_that_no_rule_is_for_is_denied_whatever_else_is_missing() -> None:
    repository, ignored = Reference.parse(NAME).repository, FailurePolicy(FailureAction.IGNORE)
    elsewhere = DEFAULT_RULE._replace(match=("elsewhere.example/**",))
    rulesets = (RuleSet((elsewhere,), Default(failure_policy=ignored)), RuleSet((DEFAULT_RULE,)), RuleSet(()))
    found = []
    for ruleset in rulesets:
        holding = engines.standing(Config("g", (), (), ruleset, {}))
        verdict = precedence.not_verified(Cause.CONFIGURATION_MISSING, "nothing there", repository, holding)
        answer = precedence.conclude(verdict, precedence.terms_for(repository, holding), NAME, holding)
        found.append((answer.exit, answer.code))
    unknown = (Exit.CANNOT_TELL, Code.CONFIGURATION_MISSING)
    assert found == [(Exit.DENY, Code.NO_RULE), unknown, unknown]  # where there are no rules, nobody knows them


def test_every_cause_has_its_code() -> None:
    assert [Code.of(cause).name for cause in Cause] == [cause.name for cause in Cause]

"""The line that containerd shows: short, printable, and honest about what 0 rests on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Code, Exit, NodesealError
from agent.model.answer import LINE_LIMIT, Answer, Ground, printable, shortened

ANSWERS = [Exit.ALLOW, Exit.USAGE, Exit.CONFIGURATION, Exit.HOST, Exit.DENY, Exit.CANNOT_TELL, Exit.BUG]
ANY_TEXT = st.text(max_size=600) | st.text(st.characters(codec=None), max_size=50).map(lambda text: text * 40)


@given(st.sampled_from(ANSWERS), st.sampled_from(Code), ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_no_line_is_long_or_unprintable_or_an_exception(
    exit_: Exit, code: Code, rule: str, text: str, image: str
) -> None:
    ground = Ground.VERIFIED if exit_ is Exit.ALLOW else None
    line = Answer(exit_, code, rule, text, ground=ground, image=image).line()
    assert len(line) <= LINE_LIMIT
    assert all(" " <= character <= "~" for character in line)


@given(st.sampled_from(ANSWERS), st.sampled_from([None, Ground.VERIFIED]))
def test_ground_is_there_if_and_only_if_the_exit_code_is_0(exit_: Exit, ground: Ground | None) -> None:
    answer = Answer(exit_, Code.VERIFIED, "r", "m", ground=ground)
    if (exit_ is Exit.ALLOW) == (ground is not None):
        assert ("ground=verified" in answer.line()) is (exit_ is Exit.ALLOW)
    else:
        with pytest.raises(NodesealError, match="expected a ground iff 0"):
            answer.line()


def test_no_name_of_a_rule_crowds_out_the_reason() -> None:
    line = Answer(Exit.DENY, Code.NO_EVIDENCE, "r" * 1000, "the reason", image="r.example/a:1").line()
    assert ": the reason; see: nodeseal verify --explain r.example/a:1" in line


def test_long_image_name_is_left_out_and_the_next_step_is_not() -> None:
    line = Answer(Exit.DENY, Code.NO_EVIDENCE, "r", "the reason", image="r.example/" + "a" * 300).line()
    assert line == "deny NS-2001 rule=r: the reason; see: nodeseal verify --explain IMAGE"


def test_long_reason_is_cut_where_one_sees_it() -> None:
    line = Answer(Exit.DENY, Code.NO_EVIDENCE, "r", "m" * 1000, image="r.example/a:1").line()
    assert len(line) == LINE_LIMIT
    assert "mmm...; see: nodeseal verify --explain r.example/a:1" in line


def test_allowance_has_no_next_step() -> None:
    line = Answer(Exit.ALLOW, Code.VERIFIED, "r", "m", ground=Ground.VERIFIED, image="r.example/a:1").line()
    assert line == "allow NS-0001 rule=r ground=verified: m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ~!", "plain ~!"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x00\x1b\x7f\x9b", "\\x00\\x1b\\x7f\\x9b"),
        ("\u202e\ufeff", "\\u202e\\ufeff"),
        ("\U0001f600\udc80", "\\U0001f600\\udc80"),
    ],
)
def test_what_is_not_printable_ascii_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("limit", "shown"), [(6, "abcdef"), (5, "ab..."), (3, "..."), (0, "...")])
def test_cut_text_has_a_mark(limit: int, shown: str) -> None:
    assert shortened("abcdef", limit) == shown

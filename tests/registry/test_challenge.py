"""WWW-Authenticate: what is read, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LimitExceeded, Malformed
from agent.registry.challenge import Challenge, parse


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([""], []),
        ([" , ,"], []),
        (['Bearer realm="https://a/b",service="s"'], [("bearer", {"realm": "https://a/b", "service": "s"})]),
        (['BEARER Realm=x , SERVICE = "y"'], [("bearer", {"realm": "x", "service": "y"})]),
        (
            ['Bearer scope="repository:a:pull,push",realm="r"'],
            [("bearer", {"scope": "repository:a:pull,push", "realm": "r"})],
        ),
        ([r'Bearer realm="a\"b\\c"'], [("bearer", {"realm": 'a"b\\c'})]),
        (['Bearer realm=""'], [("bearer", {"realm": ""})]),
        (["Negotiate"], [("negotiate", {})]),
        (["Negotiate, NTLM"], [("negotiate", {}), ("ntlm", {})]),
        (["Negotiate YWJj=="], [("negotiate", {})]),
        (["Negotiate YWJj=, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Negotiate a/b+c, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ['Basic realm="one", Bearer realm="two",service=s, Digest qop="auth,auth-int"'],
            [
                ("basic", {"realm": "one"}),
                ("bearer", {"realm": "two", "service": "s"}),
                ("digest", {"qop": "auth,auth-int"}),
            ],
        ),
        (["Basic realm=a", "Bearer realm=b"], [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (["Bearer realm=a,,service=b,"], [("bearer", {"realm": "a", "service": "b"})]),
    ],
)
def test_what_is_read(lines: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """Schemes and names in lower case, values as they are."""
    assert parse(lines) == tuple(Challenge(*each) for each in expected)


@pytest.mark.parametrize(
    "line",
    [
        'Bearer realm="open',
        'Bearer realm="open\\',
        'Bearer realm="a" service="b"',
        'Bearer realm="a"service="b"',
        'Bearer realm="a", realm="b"',
        'Bearer realm="a", REALM="b"',
        'Bearer realm="a\r\nb"',
        'Bearer realm="a\x00b"',
        'Bearer realm="a\\\x00b"',
        '"Bearer"',
        "=",
        "Bearer =",
        "Bearer (x)",
        "Bearer/1 realm=a",
        'Bearer realm="a", \x7f',
    ],
)
def test_what_is_refused(line: str) -> None:
    """Anything that the grammar does not have."""
    with pytest.raises(Malformed, match="WWW-Authenticate"):
        parse([line])


def test_limits() -> None:
    """Length over all lines, number of challenges, number of parameters: the limit itself is taken."""
    assert len(parse(["x" * 4096, "y" * 4096])) == 2
    with pytest.raises(LimitExceeded, match="8193 characters"):
        parse(["x" * 4096, "y" * 4097])
    assert len(parse([", ".join("abcdefgh")])) == 8
    with pytest.raises(LimitExceeded, match="8 challenges"):
        parse([", ".join("abcdefghi")])
    many = ", ".join(f"p{number}=1" for number in range(16))
    assert len(parse([f"Bearer {many}"])[0].parameters) == 16
    with pytest.raises(LimitExceeded, match="16 parameters"):
        parse([f"Bearer {many}, q=1"])


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=80), max_size=4))
def test_total(lines: list[str]) -> None:
    """Whatever the bytes, it is challenges or `Malformed`."""
    try:
        parse(lines)
    except Malformed as error:
        assert error.message.isascii() and error.message.isprintable()


@pytest.mark.unmeasured
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        min_size=1,
        max_size=5,
    )
)
def test_quoting_is_undone(parameters: dict[str, str]) -> None:
    """What was quoted comes back."""
    quoted = ", ".join(
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in parameters.items()
    )
    assert parse([f"Bearer {quoted}"]) == (Challenge("bearer", parameters),)

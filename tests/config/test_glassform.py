"""Break-glass on disk: what was written comes back, and nothing that others made up is taken."""

import json
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.codec.strictjson import MAX_VALUES
from agent.config import glassform, momentform
from agent.errors import Malformed
from agent.rules.breakglass import MAX_REASON, MOST_CLOSED, MOST_OPEN, BreakGlass, Moment
from agent.rules.matching import MAX_LENGTH
from agent.rules.ruleset import ConfiguredBreakGlass

WALL = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
ENTRY = BreakGlass("a1", "r.example/shop/**", "INC-1", Moment(WALL, 1000.5, "boot"), WALL + timedelta(hours=2))
CONFIGURED = ConfiguredBreakGlass("r.example/**", WALL, "INC-2")

_TIMES = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(timezone.utc))
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_REASON)
_MOMENTS = st.builds(
    Moment, _TIMES, st.floats(0, momentform.MAX_BOOT_SECONDS), st.text("0123456789abcdef-", max_size=64)
)
_PATTERNS = st.sampled_from(["**", "r.example/**", "r.example/*/x", "docker.io/library/busybox", "localhost:5000/**"])


@pytest.mark.unmeasured
@given(
    st.lists(
        st.builds(
            BreakGlass,
            st.from_regex("[0-9a-z]{1,16}", fullmatch=True),
            _PATTERNS,
            _TEXT,
            _MOMENTS,
            _TIMES,
            st.none() | _TIMES,
        ),
        max_size=4,
        unique_by=lambda entry: entry.id,
    )
)
def test_what_was_written_comes_back(entries: list[BreakGlass]) -> None:
    assert glassform.decode(glassform.encode(entries)) == tuple(entries)


@pytest.mark.unmeasured
@given(st.dictionaries(st.builds(ConfiguredBreakGlass, _PATTERNS, _TIMES, _TEXT), _MOMENTS, max_size=4))
def test_since_when_the_configurations_is_in_force_comes_back(begun: dict[ConfiguredBreakGlass, Moment]) -> None:
    assert glassform.decode_begun(glassform.encode_begun(begun)) == begun


def changed(**values: object) -> bytes:
    """A file of one entry, with some of its members changed; `...` takes one away."""
    return _changed(glassform.encode([ENTRY]), values)


def changed_begun(**values: object) -> bytes:
    """The same of the other file."""
    return _changed(glassform.encode_begun({CONFIGURED: ENTRY.since}), values)


def _changed(content: bytes, values: dict[str, Any]) -> bytes:
    value = json.loads(content)
    entry = value["entries"][0] | values
    value["entries"] = [{key: each for key, each in entry.items() if each is not ...}]
    return json.dumps(value).encode()


def since(
    boot_seconds: object, *, wall: object = "2026-06-01T12:00:00+00:00", boot_id: object = "boot"
) -> list[object]:
    """A moment as it is written."""
    return [wall, boot_seconds, boot_id]


NO_MOMENTS: dict[str, object] = {
    "no list": "2026-06-01T12:00:00+00:00",
    "empty": [],
    "two parts": since(5)[:2],
    "four parts": [*since(5), 5],
    "NaN": since(float("nan")),
    "infinite": since(float("inf")),
    "infinite the other way": since(-float("inf")),
    "negative": since(-1),
    "before the boot": since(-0.001),
    "beyond belief": since(1e9 + 1),
    "text": since("5"),
    "true": since(True),
    "nothing": since(None),
    "a time without zone": since(5, wall="2026-06-01T12:00:00"),
    "no time": since(5, wall="soon"),
    "a number as time": since(5, wall=5),
    "out of all time": since(5, wall="0001-01-01T00:00:00+12:00"),
    "a number as boot": since(5, boot_id=5),
    "the name of a boot that is endless": since(5, boot_id="b" * 65),
}


@pytest.mark.parametrize("value", NO_MOMENTS.values(), ids=list(NO_MOMENTS))
def test_a_beginning_that_is_none_spoils_the_file(value: object) -> None:
    with pytest.raises(Malformed):
        glassform.decode(changed(since=value))
    with pytest.raises(Malformed):
        glassform.decode_begun(changed_begun(since=value))


NOT_TEXTS: tuple[object, ...] = (..., None, 5, [], {})
NO_TIMES: tuple[object, ...] = (5, True, "", "never", "2026-06-01", "inf", [])


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *product(("id", "match", "reason", "since", "until"), NOT_TEXTS),
        ("closed", ...),
        *(("id", value) for value in ("", "A", "a" * 17, "a\n", "config-1", "a b")),
        *(("match", value) for value in ("", "*", "*/**", "**/**", "r.example", "r.example/x:1", "r.example/**\n")),
        ("match", "r.example/" + "a" * MAX_LENGTH),
        *(("reason", value) for value in ("", "x" * (MAX_REASON + 1))),
        *product(("until", "closed"), NO_TIMES),
        ("closed", False),
    ],
    ids=repr,
)
def test_a_member_that_is_of_another_form_spoils_the_file(member: str, value: object) -> None:
    with pytest.raises(Malformed, match=r"break-glass: got .*; expected "):
        glassform.decode(changed(**{member: value}))


@pytest.mark.parametrize(
    ("member", "value"),
    [*product(("match", "reason", "until"), NOT_TEXTS), ("match", "*/**")],
    ids=repr,
)
def test_the_same_of_the_configurations(member: str, value: object) -> None:
    with pytest.raises(Malformed):
        glassform.decode_begun(changed_begun(**{member: value}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'{"formatVersion":1}',
        b'{"formatVersion":2,"entries":[]}',
        b'{"formatVersion":"1","entries":[]}',
        b'{"formatVersion":1,"entries":null}',
        b'{"formatVersion":1,"entries":5}',
        b'{"formatVersion":1,"entries":[5]}',
        b'{"formatVersion":1,"entries":[null]}',
        b'{"formatVersion":1,"entries":"ab"}',
        b'{"formatVersion":1,"entries":{"a":1}}',
        b'{"formatVersion":1,"formatVersion":1,"entries":[]}',
        b'{"formatVersion":1,"entries":[]}\xff',
        b"[" * 100_000,
    ],
    ids=lambda content: content[:48].decode("latin-1"),
)
def test_what_is_not_of_the_form_is_told_without_a_bug(content: bytes) -> None:
    for decode in (glassform.decode, glassform.decode_begun):
        with pytest.raises(Malformed):
            decode(content)


def test_one_bad_entry_spoils_all_of_them() -> None:
    value = json.loads(glassform.encode([ENTRY, ENTRY._replace(id="a2")]))
    value["entries"][1]["until"] = "never"
    with pytest.raises(Malformed):
        glassform.decode(json.dumps(value).encode())


def test_an_id_stands_for_one_entry() -> None:
    with pytest.raises(Malformed, match="an id twice"):
        glassform.decode(glassform.encode([ENTRY, ENTRY._replace(match="**")]))


def test_there_are_not_more_entries_than_could_be_compared_with_a_pull() -> None:
    entries = [ENTRY._replace(id=f"{i}") for i in range(glassform.MAX_ENTRIES)]
    assert len(glassform.decode(glassform.encode(entries))) == glassform.MAX_ENTRIES
    with pytest.raises(Malformed, match="too many entries"):
        glassform.decode(glassform.encode([*entries, ENTRY]))


def test_as_many_as_may_be_written_can_be_read_whatever_they_say() -> None:
    longest = ENTRY._replace(match="r.example/" + "a" * (MAX_LENGTH - 10), reason="\U0001f600" * MAX_REASON)
    assert MOST_OPEN + MOST_CLOSED < glassform.MAX_ENTRIES
    content = glassform.encode([longest._replace(id=f"{i}") for i in range(glassform.MAX_ENTRIES)])
    assert len(glassform.decode(content)) == glassform.MAX_ENTRIES
    configured = {CONFIGURED._replace(match=longest.match, reason=f"{i:0200}"): ENTRY.since for i in range(1_000)}
    assert len(glassform.decode_begun(glassform.encode_begun(configured))) == 1_000


def test_a_file_is_read_within_bounds() -> None:
    with pytest.raises(Malformed):
        glassform.decode(glassform.encode([ENTRY]) + b" " * glassform.MAX_SIZE)
    with pytest.raises(Malformed):
        glassform.decode(b"[" + b"[]," * MAX_VALUES + b"[]]")


def test_times_and_patterns_are_read_in_one_spelling() -> None:
    (found,) = glassform.decode(changed(until="2026-06-01T16:00:00+02:00", match="R.EXAMPLE:443/shop/**"))
    assert found == ENTRY
    assert found.until.tzinfo is timezone.utc


def test_break_glass_of_two_documents_is_told_apart_and_one_without_owner_is_written_as_ever() -> None:
    until = datetime(2027, 3, 1, 13, tzinfo=timezone.utc)
    since = Moment(datetime(2027, 3, 1, 12, tzinfo=timezone.utc), 10.0, "boot")
    begun = {ConfiguredBreakGlass("r.example/**", until, "why", owner): since for owner in ("", "n/a", "n/b")}
    assert glassform.decode_begun(glassform.encode_begun(begun)) == begun
    assert b"owner" not in glassform.encode_begun({ConfiguredBreakGlass("r.example/**", until, "why"): since})

"""A moment in a file of its own is read back, or is none."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import momentform
from agent.errors import Malformed
from agent.rules.breakglass import Moment

MOMENT = Moment(datetime(2026, 6, 1, 12, 0, 1, 5, tzinfo=timezone.utc), 1.5, "boot")


@given(st.datetimes(timezones=st.just(timezone.utc)), st.floats(0, momentform.MAX_BOOT_SECONDS), st.text(max_size=64))
def test_what_was_written_is_read(wall: datetime, boot: float, name: str) -> None:
    moment = Moment(wall, boot, name)
    assert momentform.decode(momentform.encode(moment)) == moment


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    there = MOMENT.wall.astimezone(timezone(timedelta(hours=5)))
    assert momentform.from_json([there.isoformat(), 1.5, "boot"]) == MOMENT


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"formatVersion":1}',
        json.dumps({"formatVersion": 2, "moment": momentform.to_json(MOMENT)}).encode(),
        json.dumps({"formatVersion": True, "moment": momentform.to_json(MOMENT)}).encode(),
        momentform.encode(MOMENT) + b" " * momentform.MAX_SIZE,
        momentform.encode(MOMENT)[:-5],
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        momentform.decode(content)


@pytest.mark.parametrize(
    "value",
    [
        None, {}, [], ["2026-06-01T12:00:00+00:00", 1], ["2026-06-01T12:00:00", 1, ""], ["x", 1, ""], [5, 1, ""],
        ["2026-06-01T12:00:00+00:00", True, ""], ["2026-06-01T12:00:00+00:00", -1, ""],
        ["2026-06-01T12:00:00+00:00", 1e10, ""], ["2026-06-01T12:00:00+00:00", "1", ""],
        ["2026-06-01T12:00:00+00:00", 1, None], ["2026-06-01T12:00:00+00:00", 1, "b" * 65],
        ["0001-01-01T00:00:00+05:00", 1, ""],
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(value: object) -> None:
    with pytest.raises(Malformed):
        momentform.decode(json.dumps({"formatVersion": 1, "moment": value}).encode())

"""Time: nanoseconds since 1970 in UTC.  Time zones are files of the host, which no policy reads."""

import re
from calendar import monthrange
from datetime import datetime, timedelta, timezone

from agent.rego.builtins import Context
from agent.rego.builtins import arguments as take
from agent.rego.faults import EvaluationFault
from agent.rego.values import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_DURATION = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LIMIT = 2**63
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def time_now_ns(context: Context) -> Value:
    return context.now_ns


def time_parse_rfc3339_ns(_: Context, text: Value) -> Value:
    match = _RFC3339.fullmatch(take.text(text))
    if match is None:
        raise take.wrong(text, "a time like 2006-01-02T15:04:05Z (RFC 3339)")
    *numbers, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(*map(int, numbers), tzinfo=timezone.utc)  # type: ignore[arg-type, misc]
    except ValueError:
        raise take.wrong(text, "a time that there is") from None
    if sign and (int(hours) > 24 or int(minutes) > 60):
        raise take.wrong(text, "a time zone that there is")
    offset = (int(hours) * 60 + int(minutes)) * 60 if sign else 0
    whole = _seconds(moment) - (offset if sign == "+" else -offset)
    return _in_range(whole * 10**9 + int((fraction or "")[:9].ljust(9, "0")))


def time_parse_duration_ns(_: Context, text: Value) -> Value:
    plain = take.text(text)
    match = re.fullmatch(r"([+-]?)((?:\d*\.?\d*(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+|0)", plain, re.ASCII)
    if match is None:
        raise take.wrong(text, "a duration like 1h30m")
    from fractions import Fraction

    total = 0
    for amount, unit in re.findall(r"(\d*\.?\d*)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", match.group(2), re.ASCII):
        if not re.search(r"\d", amount) or len(amount) > 40:
            raise take.wrong(text, "a duration like 1h30m")
        total += int(
            Fraction(f"0{amount}" if amount.startswith(".") else f"{amount}0" if amount.endswith(".") else amount)
            * _DURATION[unit]
        )
    return _in_range(-total if match.group(1) == "-" else total)


def time_date(_: Context, value: Value) -> Value:
    moment = _moment(value)
    return (moment.year, moment.month, moment.day)


def time_clock(_: Context, value: Value) -> Value:
    moment = _moment(value)
    return (moment.hour, moment.minute, moment.second)


def time_weekday(_: Context, value: Value) -> Value:
    return _DAYS[_moment(value).weekday()]


def time_add_date(_: Context, value: Value, years: Value, months: Value, days: Value) -> Value:
    """Go's rule: a day that a month doesn't have runs over into the next one."""
    moment = _moment(value)
    month = moment.month - 1 + take.whole(months) + 12 * (moment.year + take.whole(years))
    try:
        first = datetime(month // 12, month % 12 + 1, 1, moment.hour, moment.minute, moment.second, tzinfo=timezone.utc)
        then = first + timedelta(days=moment.day - 1 + take.whole(days))
    except (ValueError, OverflowError):
        raise take.wrong(value, "a time between 1678 and 2262") from None
    return _in_range(_seconds(then) * 10**9 + _nanoseconds(value) % 10**9)


def time_diff(_: Context, left: Value, right: Value) -> Value:
    """Years, months, days, hours, minutes and seconds between two times."""
    low, high = sorted((_nanoseconds(left), _nanoseconds(right)))
    a, b = _moment(low), _moment(high)
    parts = [
        b.year - a.year,
        b.month - a.month,
        b.day - a.day,
        b.hour - a.hour,
        b.minute - a.minute,
        b.second - a.second,
    ]
    for i, base in ((5, 60), (4, 60), (3, 24)):
        if parts[i] < 0:
            parts[i] += base
            parts[i - 1] -= 1
    if parts[2] < 0:
        parts[2] += monthrange(a.year, a.month)[1]
        parts[1] -= 1
    if parts[1] < 0:
        parts[1] += 12
        parts[0] -= 1
    return tuple(parts)


def _nanoseconds(value: Value) -> int:
    """A time; with a time zone, only UTC."""
    if isinstance(value, tuple) and len(value) == 2:
        value, zone = value
        if zone not in ("", "UTC"):
            raise take.wrong(zone, "the time zone UTC: no other is known here")
    return _in_range(take.whole(value))


def _moment(value: Value) -> datetime:
    return _EPOCH + timedelta(seconds=_nanoseconds(value) // 10**9)


def _seconds(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds())


def _in_range(nanoseconds: int) -> int:
    if not -_LIMIT <= nanoseconds < _LIMIT:
        raise EvaluationFault("a time outside of 1678 to 2262")
    return nanoseconds

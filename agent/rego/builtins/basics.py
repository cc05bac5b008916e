"""Comparisons, numbers, aggregates, types."""

from collections.abc import Callable
from math import ceil as _ceil
from math import floor as _floor

from agent.rego import values
from agent.rego.builtins import UNDEFINED, Context
from agent.rego.builtins import arguments as take
from agent.rego.faults import EvaluationFault
from agent.rego.values import Object, Set, Value, decimal, rank, same
from agent.rego.values import number as _number

MAX_RANGE = 100_000
MAX_SHIFT = 4096


def equal(_: Context, left: Value, right: Value) -> Value:
    return same(left, right)


def neq(_: Context, left: Value, right: Value) -> Value:
    return not same(left, right)


def lt(_: Context, left: Value, right: Value) -> Value:
    return rank(left) < rank(right)


def lte(_: Context, left: Value, right: Value) -> Value:
    return rank(left) <= rank(right)


def gt(_: Context, left: Value, right: Value) -> Value:
    return rank(left) > rank(right)


def gte(_: Context, left: Value, right: Value) -> Value:
    return rank(left) >= rank(right)


def plus(_: Context, left: Value, right: Value) -> Value:
    return _number(take.number(left) + take.number(right))


def minus(_: Context, left: Value, right: Value) -> Value:
    if isinstance(left, Set) and isinstance(right, Set):
        return Set(value for each, value in left.members.items() if each not in right.members)
    if isinstance(left, Set) or isinstance(right, Set):
        raise take.wrong(right if isinstance(left, Set) else left, "two numbers or two sets")
    return _number(take.number(left) - take.number(right))


def mul(_: Context, left: Value, right: Value) -> Value:
    return _number(take.number(left) * take.number(right))


def div(_: Context, left: Value, right: Value) -> Value:
    if take.number(left) is not None and take.number(right) == 0:
        raise EvaluationFault("divide by zero")
    from fractions import Fraction

    return _number(Fraction(left) / Fraction(right))


def rem(_: Context, left: Value, right: Value) -> Value:
    dividend, divisor = take.whole(left), take.whole(right)
    if divisor == 0:
        raise EvaluationFault("modulo by zero")
    result = abs(dividend) % abs(divisor)
    return -result if dividend < 0 else result


def and_(_: Context, left: Value, right: Value) -> Value:
    others = take.a_set(right).members
    return Set(value for each, value in take.a_set(left).members.items() if each in others)


def or_(_: Context, left: Value, right: Value) -> Value:
    return Set([*take.a_set(left), *take.a_set(right)])


def abs_(_: Context, value: Value) -> Value:
    return abs(take.number(value))


def ceil(_: Context, value: Value) -> Value:
    return _ceil(take.number(value))


def floor(_: Context, value: Value) -> Value:
    return _floor(take.number(value))


def round_(_: Context, value: Value) -> Value:
    """Halves go away from zero, as in Go."""
    take.number(value)
    whole = _floor(abs(value) * 2 + 1) // 2
    return whole if value >= 0 else -whole


def numbers_range(context: Context, first: Value, last: Value) -> Value:
    return numbers_range_step(context, first, last, 1)


def numbers_range_step(_: Context, first: Value, last: Value, step: Value) -> Value:
    start, end, width = take.whole(first), take.whole(last), take.whole(step)
    if width <= 0:
        raise EvaluationFault("step must be a positive number above zero")
    if abs(end - start) // width >= MAX_RANGE:  # one more than this is how many there are
        raise EvaluationFault(f"more than {MAX_RANGE} numbers")
    return tuple(range(start, end + 1, width) if start <= end else range(start, end - 1, -width))


def bits_and(_: Context, left: Value, right: Value) -> Value:
    return take.whole(left) & take.whole(right)


def bits_or(_: Context, left: Value, right: Value) -> Value:
    return take.whole(left) | take.whole(right)


def bits_xor(_: Context, left: Value, right: Value) -> Value:
    return take.whole(left) ^ take.whole(right)


def bits_negate(_: Context, value: Value) -> Value:
    return ~take.whole(value)


def bits_lsh(_: Context, value: Value, count: Value) -> Value:
    return _number(take.whole(value) << _shift(count))


def bits_rsh(_: Context, value: Value, count: Value) -> Value:
    return take.whole(value) >> _shift(count)


def _shift(count: Value) -> int:
    if not 0 <= take.whole(count) <= MAX_SHIFT:
        raise EvaluationFault(f"a shift by {count}; expected 0 to {MAX_SHIFT}")
    return int(count)


def count(_: Context, value: Value) -> Value:
    if not isinstance(value, (str, tuple, Object, Set)):
        raise take.wrong(value, "a collection or a string")
    return len(value)


def sum_(_: Context, members: Value) -> Value:
    total = 0
    for each in take.members(members):
        total = _number(total + take.number(each))
    return total


def product(_: Context, members: Value) -> Value:
    total = 1
    for each in take.members(members):
        total = _number(total * take.number(each))
    return total


def max_(_: Context, members: Value) -> Value:
    return max(take.members(members), key=rank, default=UNDEFINED)


def min_(_: Context, members: Value) -> Value:
    return min(take.members(members), key=rank, default=UNDEFINED)


def sort(_: Context, members: Value) -> Value:
    return tuple(sorted(take.members(members), key=rank))


def all_(_: Context, members: Value) -> Value:
    return all(each is True for each in take.members(members))


def any_(_: Context, members: Value) -> Value:
    return any(each is True for each in take.members(members))


def _is(check: Callable[[Value], bool]) -> Callable[[Context, Value], Value]:
    return lambda _, value: check(value)


is_array = _is(lambda value: isinstance(value, tuple))
is_boolean = _is(lambda value: isinstance(value, bool))
is_null = _is(lambda value: value is None)
is_number = _is(values.is_number)
is_object = _is(lambda value: isinstance(value, Object))
is_set = _is(lambda value: isinstance(value, Set))
is_string = _is(lambda value: isinstance(value, str))


def type_name(_: Context, value: Value) -> Value:
    return values.type_name(value)


def to_number(_: Context, value: Value) -> Value:
    if value is None or isinstance(value, bool):
        return int(value or 0)
    if isinstance(value, str):
        return decimal(_numeral(value))
    return take.number(value)


def _numeral(text: str) -> str:
    import re

    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        raise take.wrong(text, "a number as JSON writes it")
    return text


def print_(_: Context, *values: Value) -> Value:
    """Prints nothing: nobody could read it."""
    return True


def trace(_: Context, note: Value) -> Value:
    take.text(note)
    return True

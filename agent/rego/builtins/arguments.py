"""What functions take: an argument of the right type, or `EvaluationFault`."""

from agent.rego.faults import EvaluationFault
from agent.rego.values import Object, Set, Value, is_number, shown, type_name

_LONGEST_SHOWN = 60


def wrong(value: Value, expected: str) -> EvaluationFault:
    """The fault of an argument."""
    text = shown(value)
    return EvaluationFault(f"got {type_name(value)} {text[:_LONGEST_SHOWN]}; expected {expected}")


def text(value: Value) -> str:
    """A text."""
    if not isinstance(value, str):
        raise wrong(value, "a string")
    return value


def number(value: Value) -> Value:
    """A number."""
    if not is_number(value):
        raise wrong(value, "a number")
    return value


def whole(value: Value) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(value, "a whole number")
    return value


def array(value: Value) -> tuple[Value, ...]:
    """An array."""
    if not isinstance(value, tuple):
        raise wrong(value, "an array")
    return value


def a_set(value: Value) -> Set:
    """A set."""
    if not isinstance(value, Set):
        raise wrong(value, "a set")
    return value


def an_object(value: Value) -> Object:
    """An object."""
    if not isinstance(value, Object):
        raise wrong(value, "an object")
    return value


def members(value: Value) -> list[Value]:
    """The members of an array or set."""
    if not isinstance(value, (tuple, Set)):
        raise wrong(value, "an array or a set")
    return list(value)

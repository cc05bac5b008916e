"""Members of JSON objects from outside, by their exact names.

Go's reader, which Ratify has, takes names in any case: a second spelling of one that is read here is refused, as one
that stands twice is, so that two readers don't see two things.
"""

from collections.abc import Mapping, Sequence

from agent.errors import LimitExceeded, Malformed

Object = Mapping[str, object]


def members(value: object, names: Sequence[str], where: str) -> Object:
    """`value`, an object with no other spelling of any of `names`.  Raises `Malformed`, naming `where`."""
    if not isinstance(value, dict):
        raise Malformed(f"{where}: got {type(value).__name__}; expected an object")
    for other in value:
        for name in names:
            if len(other) == len(name) and other != name and other.casefold() == name.casefold():
                raise Malformed(f"{where}: got the member {ascii(other)[:60]}; expected {name}")
    return value


def text(value: Object, name: str, where: str) -> str:
    """A member that is a text; empty if it is missing.  Raises `Malformed`."""
    found = value.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Malformed(f"{where}.{name}: got {type(found).__name__}; expected a text")
    return found


def items(value: Object, name: str, where: str, *, most: int) -> Sequence[object]:
    """A member that is a list of at most `most`; empty if it is missing.  Raises `Malformed`, `LimitExceeded`."""
    found = value.get(name)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise Malformed(f"{where}.{name}: got {type(found).__name__}; expected a list")
    if len(found) > most:
        raise LimitExceeded(f"{where}.{name}: got {len(found)}; expected at most {most}")
    return found

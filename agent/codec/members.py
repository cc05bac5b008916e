"""Members of JSON objects from outside (RFC 8259, section 4), each of the type that it must have.

`agent.codec.strictjson` says what a text holds; here that becomes objects, strings and lists, or is refused: the word
is what was got, what was expected, and `where`, which callers write as a path.  Members that nobody asks for are
nobody's here; which may stand there is for callers to say.  Behind every door: imports nothing but errors.

Ratify reads reports with Go's reader, which takes names in any case, and `null` as a member that was left out.
`spelt`, `optional_text` and `optional_array` are for what it reads, too: two readers must not see two things.
"""

from typing import Mapping, Sequence

from agent.errors import LimitExceeded, Malformed


def of(value: object, where: str, *, expected: str = "an object") -> dict[str, object]:
    """The members of `value`, which must be an object.  Raises `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed(f"{where}: got {type(value).__name__}; expected {expected}")
    return value


def spelt(value: object, names: Sequence[str], where: str) -> dict[str, object]:
    """The members of `value`, an object with no other spelling of any of `names`.  Raises `Malformed`."""
    found = of(value, where)
    for other in found:
        for name in names:
            if len(other) == len(name) and other != name and other.casefold() == name.casefold():
                raise Malformed(f"{where}: got the member {ascii(other)[:60]}; expected {name}")
    return found


def nested(value: Mapping[str, object], name: str, where: str) -> dict[str, object]:
    """The members of the object that is the member `name`.  Raises `Malformed`, also if it was left out."""
    return of(value.get(name), f"{where}: {name}")


def string(value: object, where: str) -> str:
    """`value`, which must be a string.  Raises `Malformed`."""
    if not isinstance(value, str):
        raise Malformed(f"{where}: got {type(value).__name__}; expected a string")
    return value


def text(value: Mapping[str, object], name: str, where: str, default: object = None) -> str:
    """The string that is the member `name`, or `default` if it was left out.  Raises `Malformed`."""
    return string(value.get(name, default), f"{where}: {name}")


def optional_text(value: Mapping[str, object], name: str, where: str) -> str:
    """The string that is the member `name`; empty if it is `null` or was left out.  Raises `Malformed`."""
    found = value.get(name)
    return "" if found is None else string(found, f"{where}: {name}")


def array(value: Mapping[str, object], name: str, where: str, *, most: int, of_what: str) -> list[object]:
    """The list that is the member `name`, of one to `most` elements, called `of_what`.

    Raises `Malformed`, also for an empty list, or `LimitExceeded`.
    """
    found = value.get(name)
    if not isinstance(found, list) or not found:
        raise Malformed(f"{where}: {name}: got none; expected a list with at least one")
    if len(found) > most:
        raise LimitExceeded(f"{where}: got {len(found)} {of_what}; expected at most {most}")
    return found


def optional_array(value: Mapping[str, object], name: str, where: str, *, most: int) -> list[object]:
    """The list that is the member `name`, of at most `most`; empty if it is `null` or was left out.

    Raises `Malformed` or `LimitExceeded`.
    """
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Malformed(f"{where}: {name}: got {type(found).__name__}; expected a list")
    if len(found) > most:
        raise LimitExceeded(f"{where}: {name}: got {len(found)}; expected at most {most}")
    return found


def hexadecimal(digits: str, where: str) -> bytes:
    """The bytes that `digits` stand for, lower-case and at least two.  Raises `Malformed` for every other spelling."""
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        found = b""
    if not found or found.hex() != digits:
        raise Malformed(f"{where}: got {ascii(digits)[:80]}; expected lower-case hexadecimal")
    return found

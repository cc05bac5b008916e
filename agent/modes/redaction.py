"""What may leave a node in a support bundle: the keys on a list, and of texts what looks like no secret.  Pure.

Nothing that is collected should hold a secret in the first place.  This is the second line: a key that nobody put on
the list is named, and its value left out; in each text that remains, what is written where secrets are written is
blacked out.
"""

import json
import re
from collections.abc import Mapping

from agent.model.answer import printable

BLACKED = "(blacked out)"
KEEP = True
"""In a list of keys: the value stays if it is a text, number or truth value, or a list of these."""

SCALAR = ""
"""A key in a list of keys: what may be a single value instead of an object."""

EVERY = "*"
"""A key in a list of keys: any that is not named."""

Allowed = Mapping[str, object] | bool

_LONGEST_TEXT = 4096
_LOOKED_AT = 4 * _LONGEST_TEXT
"""Characters that are looked through, so that no secret is cut in two before it is seen."""

_LEFT_OUT = "(left out: {})"
_DIGESTS = ("sha256:", "sha512:")
_WORD = re.compile(r"[^\s\"'<>]+")
_SECRETS = (
    # Each is linear but for the number of its beginnings: names of images, which others choose, are looked through.
    (re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']+"), rf"\1?{BLACKED}"),
    (re.compile(r"\b(bearer|basic)\s{1,4}[\w.~+/-]{6,}=*", re.IGNORECASE), rf"\1 {BLACKED}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w.-]*"), BLACKED),
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        BLACKED,
    ),
    (
        re.compile(
            r"(?P<key>(?:(?:password|passwd|secret|token|credential|api[_-]?key|authorization)[\w-]{0,40}|\bauth)"
            r"[\"']{0,2}\s{0,4}[:=]\s{0,4})(?P<value>\"[^\"]*\"|'[^']*'|[^\s,;}\"']+)",
            re.IGNORECASE,
        ),
        rf"\g<key>{BLACKED}",
    ),
)


def text(value: str) -> str:
    """A text without control characters and what looks like a secret, cut to a bounded length."""
    seen = _WORD.sub(_without_user, value[:_LOOKED_AT])
    for pattern, instead in _SECRETS:
        seen = pattern.sub(instead, seen)
    return printable(seen[:_LONGEST_TEXT]) + ("..." if max(len(seen), len(value)) > _LONGEST_TEXT else "")


def _without_user(match: re.Match[str]) -> str:
    """A word without what stands in front of an `@`: user information of a URL, or of a host without scheme.

    A digest behind one is no host, and a name without colon in front of one no password.
    """
    word = match[0]
    scheme, separator, rest = word.rpartition("://")
    at = rest.rfind("@")
    while at >= 0 and rest.startswith(_DIGESTS, at + 1):
        at = rest.rfind("@", 0, at)
    if at < 0 or not (separator or ":" in rest[:at]):
        return word
    return f"{scheme}{separator}{BLACKED}{rest[at:]}"


def value(given: object) -> object:
    """A value of JSON, each text in it as `text` has it, keys too."""
    if isinstance(given, str):
        return text(given)
    if isinstance(given, Mapping):
        return {text(str(key)): value(each) for key, each in given.items()}
    if isinstance(given, list | tuple):
        return [value(each) for each in given]
    return given if isinstance(given, int | float | None) else text(str(given))


def selected(given: object, allowed: Allowed) -> object:
    """What is on the list; in place of a value that is not stands what kind of value it was."""
    if isinstance(given, list | tuple):
        return [selected(each, allowed) for each in given]
    if isinstance(given, Mapping):
        if isinstance(allowed, bool):
            return _LEFT_OUT.format(f"{len(given)} keys")
        return {str(key): _one(each, allowed.get(str(key), allowed.get(EVERY))) for key, each in given.items()}
    if given is None or allowed is KEEP or (isinstance(allowed, Mapping) and SCALAR in allowed):
        return given
    return _LEFT_OUT.format(type(given).__name__)


def _one(given: object, allowed: object) -> object:
    if isinstance(allowed, Mapping) or allowed is KEEP:
        return selected(given, allowed)
    size = len(json.dumps(given, default=str))
    return _LEFT_OUT.format(f"{size} characters")

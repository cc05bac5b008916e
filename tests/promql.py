"""What an expression of Prometheus asks for: names of metrics, and of labels.  As far as ours go; not a parser."""

import re
from typing import NamedTuple

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_LABELS_OF = re.compile(r"\blabel_values\(\s*(.*),\s*([a-z_]+)\s*\)\Z", re.DOTALL)
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+[0-9a-z]+")
_NAME = re.compile(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*\b(?!\s*\()")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_WORDS = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring", "group_left", "group_right"}


class Asked(NamedTuple):
    """What an expression asks for."""

    metrics: set[str]
    labels: set[str]


def asked(expression: str) -> Asked:
    """Names of metrics and labels in it."""
    text = _TEXT.sub('""', expression)
    labels: set[str] = set()
    found = _LABELS_OF.fullmatch(text)
    if found:
        text = found[1]
        labels.add(found[2])
    for part in _MATCHERS.findall(text) + _CLAUSE.findall(text):
        labels |= set(_LABEL.findall(part))
    text = _RANGE.sub(" ", _CLAUSE.sub(" ", _MATCHERS.sub(" ", text)))
    return Asked(set(_NAME.findall(text)) - _WORDS, labels)

"""A rule: which repositories it is for, and its name, which stands in every message."""

from typing import NamedTuple

EVERYTHING = "**"


class Rule(NamedTuple):
    """`match` is a pattern over repositories; a Ratify configuration is one rule, named "default", over everything."""

    name: str
    match: str


DEFAULT_RULE = Rule("default", EVERYTHING)

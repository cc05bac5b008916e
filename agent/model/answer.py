"""Answers: what containerd gets, an exit code and one line.

The line is at most `LINE_LIMIT` bytes, and less for a long name: containerd and the kubelet put about 275 bytes around
it, and the image's name three times; and Kubernetes events end at 1,024.  It holds printable ASCII alone, whatever the
world put into a name.
"""

from enum import Enum
from typing import NamedTuple

from agent.errors import Code, Exit, NodesealError

LINE_LIMIT = 400
"""Most bytes of a line."""

_EVENT_LIMIT = 1024
_AROUND = 290  # what stands around the line in an event, without names
_NAMES_AROUND = 3
_SHORTEST = 160  # for names that leave no room: the line's beginning matters more than the event's end
_RULE_LIMIT = 64  # a name is for finding the rule; the reason must not be crowded out by it


class Ground(str, Enum):
    """What an exit code of 0 rests on."""

    VERIFIED = "verified"
    EXEMPT = "exempt"
    ALLOWED_BY_DIGEST = "allowedByDigest"
    AUDIT = "audit"
    DISABLED = "disabled"
    BREAK_GLASS = "breakGlass"
    FAILURE_POLICY = "failurePolicy"
    STALE = "stale"


class Answer(NamedTuple):
    """Exit code, and the parts of the line.

    `rule` is the rule that was applied, "-" where none was picked yet; `ground` is set iff the exit code is 0;
    `precedence` is the number in the order of precedence that decided (docs/architecture.md), 0 before any.  `would` is
    the exit code that enforcing would have given, None unless the ground is `audit`.  `entry` is the id of the
    break-glass that lets it pass, empty on any other ground.
    """

    exit: Exit
    code: Code
    rule: str
    message: str
    precedence: int = 0
    ground: Ground | None = None
    image: str = ""
    would: Exit | None = None
    entry: str = ""

    def line(self, most: int = LINE_LIMIT) -> str:
        """The line that containerd shows, of at most so many bytes.

        Raises `NodesealError` for an allowance that names no ground.
        """
        if (self.exit is Exit.ALLOW) != (self.ground is not None):
            raise NodesealError(f"answer: got exit {self.exit} with ground {self.ground}; expected a ground iff 0")
        room = _EVENT_LIMIT - _AROUND - _NAMES_AROUND * len(printable(self.image))
        limit = min(most, max(_SHORTEST, room))
        ground = f" ground={self.ground.value}" if self.ground else ""
        rule = shortened(printable(self.rule), _RULE_LIMIT)
        head = f"{_WORDS[self.exit]} {self.code.value} rule={rule}{ground}: "
        tail = f"; see: nodeseal verify --explain {printable(self.image)}" if self.image and not self.ground else ""
        if len(tail) > limit // 2:
            tail = "; see: nodeseal verify --explain IMAGE"
        return head + shortened(printable(self.message), limit - len(head) - len(tail)) + tail


_WORDS = {
    Exit.ALLOW: "allow",
    Exit.USAGE: "bad request",
    Exit.CONFIGURATION: "bad configuration",
    Exit.HOST: "host refused",
    Exit.DENY: "deny",
    Exit.CANNOT_TELL: "cannot tell",
    Exit.BUG: "internal error",
}


def printable(text: str) -> str:
    """`text` with everything but printable ASCII written as an escape: no control character gets out."""
    if text.isascii() and text.isprintable():  # nearly all is, and a pull shows a dozen texts
        return text
    return "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)


def shortened(text: str, limit: int) -> str:
    """`text`, cut to `limit` characters with a mark where it was cut."""
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."

"""Records: one line about one answer, for whoever counts and looks through them later."""

from datetime import datetime
from typing import NamedTuple

from agent.model.answer import Answer, shortened

_TEXT_LIMIT = 600


class Record(NamedTuple):
    """One answer as the spool keeps it; texts are shortened, so that a line stays below its limit.

    `image` is `repository@digest`, `name` what was asked for.  `would` is the exit code that enforcing would have
    given, None unless the ground is `audit`.
    """

    time: str
    door: str
    image: str
    name: str
    exit: int
    code: str
    rule: str
    precedence: int
    ground: str
    would: int | None
    message: str

    @classmethod
    def of(cls, answer: Answer, *, now: datetime, door: str, image: str, name: str) -> "Record":
        """The record of `answer`."""
        return cls(
            now.isoformat(timespec="milliseconds"),
            door,
            shortened(image, _TEXT_LIMIT),
            shortened(name, _TEXT_LIMIT),
            int(answer.exit),
            answer.code.value,
            shortened(answer.rule, _TEXT_LIMIT),
            answer.precedence,
            answer.ground.value if answer.ground else "",
            None if answer.would is None else int(answer.would),
            shortened(answer.message, _TEXT_LIMIT),
        )

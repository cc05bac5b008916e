"""Records: one line about one answer, for whoever counts and looks through them later."""

from datetime import datetime
from typing import NamedTuple

from agent.model.answer import Answer, printable, shortened

_TEXT_LIMIT = 600


class Record(NamedTuple):
    """One answer as the spool keeps it; texts are printable and shortened, so that a line stays below its limit.

    `image` is `repository@digest`, `name` what was asked for.  `would` is the exit code that enforcing would have
    given, None unless the ground is `audit`.  `entry` is the id of the break-glass that let it pass.
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
    entry: str = ""

    @property
    def at(self) -> datetime:
        """When it was given.  Raises `ValueError` for what is no time."""
        return datetime.fromisoformat(self.time)

    @classmethod
    def of(cls, answer: Answer, *, now: datetime, door: str, image: str, name: str) -> "Record":
        """The record of `answer`."""
        return cls(
            now.isoformat(timespec="milliseconds"),
            door,
            _text(image),
            _text(name),
            int(answer.exit),
            answer.code.value,
            _text(answer.rule),
            answer.precedence,
            answer.ground.value if answer.ground else "",
            None if answer.would is None else int(answer.would),
            _text(answer.message),
            answer.entry,
        )


def _text(text: str) -> str:
    return shortened(printable(text), _TEXT_LIMIT)

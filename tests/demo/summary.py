"""The demonstration's lines: what was expected, what came, and the sum at the end."""

from typing import NamedTuple

from tests.demo.cases import Case


class Line(NamedTuple):
    """One attempt: through which door, on which image, what came of it; `reason` is what the client was told."""

    door: str
    case: Case
    allowed: bool
    reason: str

    @property
    def as_expected(self) -> bool:
        """Whether the image was let in or refused as it must be, and for the right reason."""
        return self.allowed == self.case.allowed and self.case.code in self.reason

    def show(self) -> None:
        """Print it."""
        mark = "ok  " if self.as_expected else "BAD "
        what = "pulled" if self.allowed else "refused"
        print(f"  {mark} {self.door:16} {self.case.repository:20} {what:8} {self.case.story}", flush=True)
        if self.reason:
            print(f"         {self.reason}", flush=True)


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def conclude(lines: list[Line]) -> int:
    """Print the sum, and return the exit code: 0 only if there were lines and every one came out as expected."""
    heading("Summary")
    bad = [line for line in lines if not line.as_expected]
    for line in bad:
        print(f"  BAD  {line.door}: {line.case.repository}: {line.reason}")
    good = len(lines) - len(bad)
    print(f"  {good} of {len(lines)} lines came out as expected")
    return 0 if lines and not bad else 1

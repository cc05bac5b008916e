"""What can be wrong with a policy, and with an evaluation."""

from agent.errors import NodesealError


class SyntaxFault(NodesealError):
    """A policy that can't be used: `got` and `expected` at a line and column, both counted from 1.

    `more` are further ones of the same policy, if they were looked for.
    """

    more: "tuple[SyntaxFault, ...]" = ()

    def __init__(self, line: int, column: int, got: str, expected: str) -> None:
        """Keep all four."""
        super().__init__(f"line {line}, column {column}: got {got}; expected {expected}")
        self.line = line
        self.column = column
        self.got = got
        self.expected = expected


class EvaluationFault(NodesealError):
    """An evaluation that came to no answer: a built-in failed, rules conflict, a limit was reached."""

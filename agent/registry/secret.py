"""Values that nobody may see: passwords, tokens, user names that may be tokens.

A secret is shown nowhere by accident: it has no text form, and it can't be pickled.  Only where a header or a form is
built is it revealed.
"""

from typing import NoReturn


class Secret:
    """A text that is hidden from `repr`, `str`, formatting and pickling."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide `text`."""
        self._text = text

    def reveal(self) -> str:
        """The text itself.  For the one place that sends it."""
        return self._text

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._text)

    def __repr__(self) -> str:
        """The same for every secret."""
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be written anywhere."""
        raise TypeError("a secret is written nowhere")

"""The log of a process that lives long: one JSON object per line."""

import json
from typing import TextIO

from agent.model.answer import printable


class LineLog:
    """`ports.Log` into a stream."""

    def __init__(self, stream: TextIO) -> None:
        """Takes it."""
        self._stream = stream

    def info(self, event: str, **fields: object) -> None:
        """See `ports.Log.info`."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """See `ports.Log.warning`."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """See `ports.Log.error`."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        said = {
            name: value if isinstance(value, int | float) else printable(str(value)) for name, value in fields.items()
        }
        try:
            self._stream.write(json.dumps({"level": level, "event": event, **said}) + "\n")
            self._stream.flush()
        except OSError:
            return


def open_log(stream: TextIO, form: str) -> LineLog:
    """A log into `stream`."""
    return LineLog(stream)

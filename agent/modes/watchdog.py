"""The deadline of containerd's child, kept by a thread.

containerd kills a verifier at its own time limit, and then our reason is lost.  A thread ends the process earlier, with
a reason, whatever the main thread hangs in; a signal handler would not: name resolution blocks it.  Imports nothing
beyond what the plugin needs anyway.
"""

import _thread
import os
import select
import time
from typing import Callable

from agent.errors import Exit

_WRITE_MILLISECONDS = 500


class Watchdog:
    """Ends the process `seconds` after `start`, unless somebody answered before.

    `answer` is called in the watchdog's thread; it returns the exit code and the line to be written to `stdout`.
    Exactly one of the watchdog and the main thread answers: whoever gets the claim.
    """

    def __init__(self, seconds: float, answer: Callable[[], tuple[int, bytes]], stdout: int = 1) -> None:
        """The time runs from now; nothing is watched before `start`."""
        self._claim = _thread.allocate_lock()
        self._moved = _thread.allocate_lock()
        self._moved.acquire()
        self.deadline = time.monotonic() + seconds
        self._answer = answer
        self._stdout = stdout

    def start(self) -> None:
        """Start the thread.  Raises `RuntimeError` if there can be none."""
        _thread.start_new_thread(self._watch, ())

    def move(self, deadline: float) -> None:
        """End the process at another time, of `time.monotonic()`.  For the main thread, once."""
        self.deadline = deadline
        self._moved.release()

    def finish(self, exit_code: int, line: bytes) -> None:
        """Answer and end the process, now.  Does not return; if the watchdog was quicker, its answer stands."""
        if not self._claim.acquire(blocking=False):
            while True:  # the watchdog is about to end this process
                time.sleep(1)
        self._end(exit_code, line)

    def _watch(self) -> None:
        while (left := self.deadline - time.monotonic()) > 0:
            self._moved.acquire(timeout=left)
        if self._claim.acquire(blocking=False):
            try:
                self._end(*self._answer())
            finally:  # whatever went wrong: the main thread waits for this process to end, and it must block
                os._exit(Exit.BUG)

    def _end(self, exit_code: int, line: bytes) -> None:
        """Write and leave without clean-up: there is nothing to clean, and clean-up can hang."""
        try:
            poll = select.poll()
            poll.register(self._stdout, select.POLLOUT)
            if poll.poll(_WRITE_MILLISECONDS):  # a full pipe must not keep us past containerd's time limit
                os.write(self._stdout, line)
        except OSError:
            pass  # nobody listens; the exit code still does its work
        os._exit(exit_code)

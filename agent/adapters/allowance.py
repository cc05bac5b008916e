"""A bound, in bytes, for optional work: it is done if there is room for it now, and left undone if not.

Imports nothing: the pull path has one, too.
"""

import _thread


class Allowance:
    """A number of bytes that nobody waits for.  Threads may use it."""

    def __init__(self, size: int) -> None:
        """All `size` bytes are free."""
        self._lock = _thread.allocate_lock()
        self._left = size

    def take(self, amount: int) -> bool:
        """Hold `amount` bytes if they are free now; whether they were."""
        with self._lock:
            if amount > self._left:
                return False
            self._left -= amount
            return True

    def give(self, amount: int) -> None:
        """Give back what `take` got."""
        with self._lock:
            self._left += amount

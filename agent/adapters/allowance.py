"""Room for what may as well be left undone: so many bytes, taken if they are free, and never waited for.

Imports nothing: a pull has one, too.
"""

import _thread


class Allowance:
    """So many bytes for what may as well be left undone.  Threads may use it."""

    def __init__(self, size: int) -> None:
        """Nobody holds anything."""
        self._lock = _thread.allocate_lock()
        self._left = size

    def take(self, amount: int) -> bool:
        """Hold so many bytes, if there is room for them now."""
        with self._lock:
            if amount > self._left:
                return False
            self._left -= amount
            return True

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += amount

"""
Keep some disk space back, so that endings can be written when there is no other.

Strategy
    A file of zeros beside the log. When a commit finds the disk full the file is removed, and from then on only
    endings are taken; every second at most it is tried whether the file can be made again, which is the sign that
    there is space.
"""

import os
from pathlib import Path

RESERVE_BYTES = 1024 * 1024
"""Bytes kept back: the endings of some thirty streams one by one (eight pages each and the text that is in no block
yet), of many more in one commit."""

PROBE_S = 1.0
"""Seconds between two attempts to make the file again: each writes `RESERVE_BYTES` at most."""


class Reserve:
    """
    The space kept back for one log.

    Args:
        path: The log's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".reserve")
        self._next_probe = 0.0
        self.spent = False
        """True while there is no space but the reserve's."""

    def fill(self) -> bool:
        """Make the file; False if there is no space for it."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(descriptor, bytes(RESERVE_BYTES), 0)
                whole = os.fstat(descriptor).st_size == RESERVE_BYTES
            finally:
                os.close(descriptor)
        except OSError:
            whole = False
        self.spent = not whole
        if self.spent:
            self._path.unlink(missing_ok=True)
        return whole

    def spend(self) -> None:
        """Give the space to whoever writes next."""
        self._path.unlink(missing_ok=True)
        self.spent = True

    def probe(self, now: float) -> bool:
        """
        Find out whether there is space again.

        Args:
            now: Seconds, of a monotonic clock.

        Returns:
            True if the reserve is whole.
        """
        if self.spent and now >= self._next_probe:
            self._next_probe = now + PROBE_S
            self.fill()
        return not self.spent

    def remove(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)

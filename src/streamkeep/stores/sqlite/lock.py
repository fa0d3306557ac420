"""
Let one process at a time write a file.

Strategy
    An exclusive `flock` on `<path>.lock`, held as long as the process lives. The kernel drops it when the process
    dies, however it dies, so a lock file that was left behind holds nobody up. What is written in it is for people.
"""

import fcntl
import os
import sys
from pathlib import Path

from streamkeep.errors import StoreInUse

MAX_NOTE_BYTES = 200
"""Bytes of the lock file that are read: a process id and a command's name."""


class FileLock:
    """
    The right to write one file.

    Args:
        path: The file it is for; the lock stands beside it.
    """

    def __init__(self, path: Path) -> None:
        self._guarded = path
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """
        Take the lock and leave a note of who has it.

        Raises:
            StoreInUse: Another process has it; the text names it.
            OSError: The lock file cannot be written.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note = os.read(descriptor, MAX_NOTE_BYTES).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise StoreInUse(
                f"The log {self._guarded} is being written by another process ({note or 'it left no note'}). "
                "Stop that one, or use another file."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()}, {Path(sys.argv[0]).name}\n".encode()[:MAX_NOTE_BYTES])
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. Idempotent. The file stays: removing it would race with the next one to take it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""
Write to the terminal, or to what stands in its place: the answer to stdout, everything else to stderr.

Strategy
    Append only: nothing that was printed is changed, so that scrollback and copies stay clean. Colour is for stderr
    and for terminals. A reader of stdout that pauses (a pager, a slow pipe) must not hold up the event loop, on which
    in this process the answer itself may arrive: what does not fit at once is written by a thread.
"""

import asyncio
import os
import select
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from streamkeep.terminal.words import printable

ATOMIC_BYTES = 4096
"""Bytes that a pipe takes without waiting once it says that it is ready: Linux's page, and POSIX's PIPE_BUF here."""

DIM, PLAIN = "\x1b[2m", "\x1b[22m"


def coloured(file: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether to colour what goes to a file: on terminals, unless `NO_COLOR`; elsewhere if `FORCE_COLOR`."""
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or (file.isatty() and environment.get("TERM") != "dumb")


class Screen:
    """
    The two outputs of a command.

    Args:
        answers: Takes the answer; stdout if left out.
        informs: Takes everything else; stderr if left out.

    Attributes:
        interactive: True if stdout is a terminal.
        watched: True if stderr is a terminal: somebody looks.
    """

    def __init__(self, answers: TextIO | None = None, informs: TextIO | None = None) -> None:
        self._out = (answers or sys.stdout).buffer
        self._err = informs or sys.stderr
        self.interactive = self._out.isatty()
        self.watched = self._err.isatty()
        self._dims = coloured(self._err)
        self._open_line = ""

    async def write(self, text: str) -> None:
        """
        Write a piece of the answer, now.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        if not text:
            return
        if self._open_line == "aside":
            self._end_line()
        await self.write_raw((printable(text) if self.interactive else text).encode("utf-8", "replace"))
        self._open_line = "" if text.endswith("\n") else "answer"

    async def write_raw(self, data: bytes) -> None:
        """
        Write bytes to stdout as they are, now, without holding up the event loop.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        if len(data) <= ATOMIC_BYTES and select.select([], [self._out.fileno()], [], 0)[1]:
            self.write_bytes(data)
        else:
            await asyncio.to_thread(self.write_bytes, data)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes to stdout as they are, now."""
        self._out.write(data)
        self._out.flush()

    def aside(self, text: str) -> None:
        """Write a piece of what is not the answer, such as its thinking, to stderr."""
        if self._open_line == "answer" and self.interactive and self.watched:
            self._end_line()
        self._to_stderr(printable(text))
        self._open_line = "" if text.endswith("\n") else "aside"

    def note(self, text: str) -> None:
        """Write a line of information to stderr."""
        if self._open_line == "aside" or (self._open_line and self.interactive and self.watched):
            self._end_line()
        self._to_stderr(f"{printable(text)}\n")

    def end(self) -> None:
        """End the answer's last line, if it is not ended."""
        if self._open_line == "answer":
            self.write_bytes(b"\n")
        elif self._open_line:
            self._end_line()
        self._open_line = ""

    def _end_line(self) -> None:
        self._to_stderr("\n")
        self._open_line = ""

    def _to_stderr(self, text: str) -> None:
        line = text.rstrip("\n")
        with suppress(OSError):
            self._err.write(f"{DIM}{line}{PLAIN}{text[len(line) :]}" if self._dims and line else text)
            self._err.flush()

"""
Keep an eye on everybody who is connected, from one timer for the process: heartbeats, readers that take nothing, and
the cut at the end.
"""

import asyncio
from types import TracebackType
from typing import Protocol, Self

from streamkeep.errors import Overloaded

LOOK_S = 0.5
"""Seconds between two looks at all readers."""


class Reader(Protocol):
    """One connected reader."""

    sent_at: float
    """Loop time when the last send began."""
    sending: bool
    """True while a send waits for the reader."""

    def beat(self) -> None:
        """Send a heartbeat if there is nothing else to send."""

    def cut(self) -> None:
        """End the connection uncleanly, soon."""

    def abort(self) -> None:
        """End the connection at once and drop what was not taken."""


class Heart:
    """
    The server's one timer.

    Args:
        heartbeat_s: Silence after which a reader gets a heartbeat.
        send_timeout_s: How long a reader may take nothing.
        max_readers: Connected at once.
    """

    def __init__(self, *, heartbeat_s: float, send_timeout_s: float, max_readers: int) -> None:
        self._heartbeat_s = heartbeat_s
        self._send_timeout_s = send_timeout_s
        self._max_readers = max_readers
        self._readers: set[Reader] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to beat."""
        self._task = asyncio.create_task(self._run(), name="server heart")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def readers(self) -> int:
        """Give the number of connected readers."""
        return len(self._readers)

    def admit(self) -> None:
        """
        Refuse a further reader where the limit is reached.

        Raises:
            Overloaded: It is.
        """
        if len(self._readers) >= self._max_readers:
            raise Overloaded(f"All {self._max_readers} places for readers are taken; try again.")

    def join(self, reader: Reader) -> None:
        """Look after a reader."""
        self._readers.add(reader)
        self._empty.clear()

    def leave(self, reader: Reader) -> None:
        """Look after a reader no more."""
        self._readers.discard(reader)
        if not self._readers:
            self._empty.set()

    async def wait_empty(self, limit_s: float) -> None:
        """Wait until everybody has gone, but no longer than `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                await self._empty.wait()
        except TimeoutError:
            pass

    def cut_all(self) -> None:
        """Cut everybody: whoever is not done comes back with its cursor (I12)."""
        for reader in list(self._readers):
            if reader.sending:  # It would not hear of it: the send waits for who takes nothing.
                reader.abort()
            else:
                reader.cut()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(LOOK_S, self._heartbeat_s / 2))
            time = loop.time()
            for reader in list(self._readers):
                silent_s = time - reader.sent_at
                if reader.sending and silent_s >= self._send_timeout_s:
                    reader.abort()
                elif silent_s >= self._heartbeat_s:
                    reader.beat()

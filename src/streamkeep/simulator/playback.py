"""
Write a stream to a socket at its pace, and end it well or badly.

A client that goes away cancels the request's task, also while it sleeps between two tokens: nothing here has to look.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from streamkeep.simulator import pace
from streamkeep.simulator.events import PING, error
from streamkeep.simulator.pace import Frame
from streamkeep.simulator.records import Outcome, Records, RequestRecord
from streamkeep.simulator.refusals import REFUSALS, Ending, Fault

MAX_SILENCE_S: Final = 3600.0
"""Seconds that a stalled stream is held open: longer than any watchdog under test."""

PING_S: Final = 1.0
"""Seconds between the pings of a stream that sends nothing else."""


class Playback:
    """
    One response being written.

    Args:
        transport: the connection's.
        response: prepared already, its headers out.
        records: where progress is noted.
        record: of this request.
        started: when the request came, on the loop's clock; due times count from there.
    """

    def __init__(
        self,
        transport: asyncio.Transport | None,
        response: web.StreamResponse,
        records: Records,
        record: RequestRecord,
        started: float,
    ) -> None:
        self.response = response
        self._transport = transport
        self._records = records
        self._record = record
        self._started = started
        self._clock = asyncio.get_running_loop().time

    async def play(self, frames: Sequence[Frame], most_together: int = pace.MAX_TOGETHER) -> None:
        """
        Write all frames when they are due.

        Args:
            frames: in order of their due times.
            most_together: how many late frames go into one write; 1 where chunks are to stay apart.
        """
        at = 0
        while at < len(frames):
            elapsed = self._clock() - self._started
            end = pace.due_until(frames, at, elapsed, most_together)
            if end == at:
                await asyncio.sleep(pace.pause_s(frames[at].due_s, elapsed))
                continue
            await self._write(frames[at:end])
            at = end
            if at < len(frames) and frames[at].due_s <= elapsed:
                await asyncio.sleep(0)

    async def finish(self) -> None:
        """
        End the body as it should end.
        """
        await self.response.write_eof()
        self._records.end(self._record, Outcome.FINISHED)

    async def fail(self, fault: Fault) -> None:
        """
        End the body as the fault says.
        """
        if fault.ending is Ending.RESET:
            self._records.end(self._record, Outcome.FAILED)
            reset(self._transport)
            return
        if fault.ending in (Ending.SILENCE, Ending.PINGS):
            await self._stay(pings=fault.ending is Ending.PINGS)
        if fault.ending is Ending.ERROR_EVENT:
            overloaded = REFUSALS["529"]
            await self._write([Frame(error(overloaded.kind, overloaded.message).frame, 0.0)])
        await self.response.write_eof()
        self._records.end(self._record, Outcome.FAILED)

    async def _stay(self, *, pings: bool) -> None:
        until = self._clock() + MAX_SILENCE_S
        while (left := until - self._clock()) > 0:
            await asyncio.sleep(min(PING_S, left) if pings else left)
            if pings:
                await self._write([Frame(PING.frame, 0.0)])

    async def _write(self, frames: Sequence[Frame]) -> None:
        await self.response.write(b"".join(frame.data for frame in frames))
        self._records.sent(self._record, sum(frame.events for frame in frames))


def reset(transport: asyncio.Transport | None) -> None:
    """
    Reset a connection: what was not sent is dropped, and the other side reads "connection reset by peer".
    """
    if transport is None:
        return
    held = transport.get_extra_info("socket")
    if held is not None and held.fileno() >= 0:
        with socket.socket(fileno=os.dup(held.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()

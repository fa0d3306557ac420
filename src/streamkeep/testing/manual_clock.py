"""
Test what takes time without taking any: an event loop whose clock jumps to the next timer when nothing else is ready.

Strategy
    `VirtualLoop` is asyncio's own loop with another selector. When the loop would wait for a timer, the selector looks
    once whether a socket is ready and, if none is, moves the clock. So heartbeats, limits, leases and pauses happen
    in order, exactly at their times, in microseconds. What comes over a socket of this machine is ready as soon as
    it is sent; what another thread or another machine does takes time that this clock does not see, so a test that
    waits for such a thing must not have a timer running against it.

Example:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())  # and in it: await ManualClock().advance(60)
"""

import asyncio
import selectors
from typing import cast

STARTED_AT = 1_800_000_000.0
"""What `ManualClock.now` says when the loop begins, in seconds since the Unix epoch (January 2027)."""

TICK_S = 1e-6
"""Seconds that `settle` lets pass; shorter than every limit there is."""

MAX_S = 30 * 86_400.0
"""Virtual seconds after which the loop refuses to go on: a test that waits for what never comes must fail."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which begins at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Give the virtual time, in seconds."""
        return self._jumping.time


class ManualClock:
    """The running loop's clock; make it inside a task of a `VirtualLoop`."""

    def __init__(self) -> None:
        self._loop = cast(VirtualLoop, asyncio.get_running_loop())

    @property
    def time(self) -> float:
        """Give the virtual time, in seconds since the loop began."""
        return self._loop.time()

    def now(self) -> float:
        """Give the virtual time as seconds since the Unix epoch."""
        return STARTED_AT + self._loop.time()

    async def advance(self, seconds: float) -> None:
        """Let this many seconds pass, and all that happens in them happen."""
        await asyncio.sleep(seconds)

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        await asyncio.sleep(TICK_S)


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: moves its clock instead."""

    time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready; if nothing is, let the time pass that the loop wants to wait."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.time += timeout
            if self.time > MAX_S:
                raise TimeoutError(f"{MAX_S:g} virtual seconds have passed: what is waited for does not come.")
        return ready

"""
Notice an upstream that hangs.

Strategy
    One timer per stream, set to the nearest deadline. Progress only stores a time; the timer, when it fires, looks
    whether the deadline has moved and sets itself again. So an event costs no timer.
"""

import asyncio
from collections.abc import Callable

from streamkeep.errors import UpstreamTimeout
from streamkeep.relay.policy import Timeouts

_TEXTS = {
    "first_event": "The model's API did not begin to answer within {limit:g} s.",
    "idle": "The model's API sent nothing for {limit:g} s.",
    "content": "The model's API sent nothing but signs of life for {limit:g} s.",
    "total": "The answer was not finished within {limit:g} s.",
}


class Watchdog:
    """
    Watches one stream's attempts.

    Args:
        timeouts: The limits.
        bark: Called once with the error when a limit passes.
    """

    def __init__(self, timeouts: Timeouts, bark: Callable[[UpstreamTimeout], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._bark = bark
        self._timer: asyncio.TimerHandle | None = None
        self._born = self._attempt = self._byte = self._content = self._loop.time()
        self._heard = False

    def begin(self) -> None:
        """Start watching an attempt."""
        self.stop()
        self._attempt = self._byte = self._content = self._loop.time()
        self._heard = False
        self._look()

    def go_on(self) -> None:
        """Watch on after `stop`, as if bytes had just come."""
        self._byte = self._content = self._loop.time()
        self._set()

    def life(self) -> None:
        """Note that bytes came."""
        self._byte = self._loop.time()

    def event(self) -> None:
        """Note that an event came, be it a ping."""
        if not self._heard:
            self._heard = True
            self._set()

    def content(self) -> None:
        """Note that an event came that shows something."""
        self._content = self._byte

    def stop(self) -> None:
        """Stop watching. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deadline(self) -> tuple[float, str, float]:
        limits = self._timeouts
        waiting = ("idle", self._byte) if self._heard else ("first_event", self._attempt)
        since = [waiting, ("content", self._content), ("total", self._born)]
        return min((start + getattr(limits, name), name, getattr(limits, name)) for name, start in since)

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline()[0], self._look)

    def _look(self) -> None:
        when, name, limit = self._deadline()
        if self._loop.time() < when:
            self._timer = self._loop.call_at(when, self._look)
            return
        self._timer = None
        error = UpstreamTimeout(_TEXTS[name].format(limit=limit), code=f"upstream_{name}_timeout")
        error.retryable = name != "total"
        self._bark(error)

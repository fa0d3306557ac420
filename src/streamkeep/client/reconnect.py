"""
Say when a reader that lost its connection comes back, and when it gives up.

Pure: no I/O, no clock. Times and random numbers are given.

Strategy
    Exponential backoff with full jitter: the n-th pause is a random share of `first_pause_s * 2**n`, so that a crowd
    that was cut at one moment does not come back at one moment.

Laws
    1. What counts against the budget is connections in a row that brought nothing. One that brought an entry, or
       stood for `LASTED_S`, was a good one: a proxy that cuts every minute can go on doing so for hours.
    2. A server that says how long to wait is obeyed, up to `MAX_ASKED_S`.
"""

MAX_TRIES = 5
"""Connections in a row that may fail before the reader gives up; with the pauses between, some 8 s on average."""

FIRST_PAUSE_S = 0.5
"""Longest first pause, in seconds; doubles from there. Short: most cuts are a proxy's, and the server is there."""

MAX_PAUSE_S = 8.0
"""Longest pause, in seconds: a reader is a person who waits."""

MAX_ASKED_S = 60.0
"""Longest pause that a server may ask for, in seconds."""

LASTED_S = 10.0
"""Seconds after which a connection without an entry was a good one all the same: the model was thinking."""

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""


class Reconnect:
    """
    One reader's pauses and budget.

    Args:
        max_tries: See `MAX_TRIES`.
        first_pause_s: See `FIRST_PAUSE_S`.
    """

    def __init__(self, *, max_tries: int = MAX_TRIES, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self.failures = 0
        self.max_tries = max_tries
        self._first_pause_s = first_pause_s

    def progressed(self) -> None:
        """Note that an entry came."""
        self.failures = 0

    def pause_s(self, random: float, *, lasted_s: float = 0.0, asked_s: float | None = None) -> float | None:
        """
        Count a connection that was lost or refused, and say how long to wait before the next.

        Args:
            random: From 0 up to 1.
            lasted_s: Seconds that the connection stood.
            asked_s: Seconds that the server asked to wait, if it did.

        Returns:
            Seconds, or None if the budget is spent.
        """
        if lasted_s >= LASTED_S:
            self.failures = 0
        if self.failures >= self.max_tries:
            return None
        longest = min(MAX_PAUSE_S, self._first_pause_s * 2.0**self.failures)
        self.failures += 1
        return random * longest + (0.0 if asked_s is None else min(max(asked_s, 0.0), MAX_ASKED_S))

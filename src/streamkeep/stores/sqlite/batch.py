"""
Gather what will be committed together.
"""

import asyncio
from collections.abc import Callable

from streamkeep.errors import StoreError, StreamkeepError
from streamkeep.lifecycle import State
from streamkeep.stores.base import Append
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.streams import Statement


class Act:
    """
    A write that is no append: a start, a take-over, a deletion.

    Args:
        statements: What to write.
        done: Called once, in the event loop, before the appends of the same batch are called back.
        live: The stream whose fate it shares when a commit fails.
    """

    __slots__ = ("done", "live", "statements")

    def __init__(
        self, statements: list[Statement], done: Callable[[StoreError | None], None], live: Live | None = None
    ) -> None:
        self.statements = statements
        self.done = done
        self.live = live


class Batch:
    """The writes of one commit."""

    __slots__ = (
        "acts",
        "appends",
        "blocks",
        "refusals",
        "riders",
        "ripe",
        "row",
        "row_size",
        "size",
        "waiters",
        "written",
    )

    def __init__(self) -> None:
        self.appends: list[tuple[Live, Append, State | None]] = []
        """Each with the state after it; None if it writes nothing and only waits for its turn to be answered."""
        self.acts: list[Act] = []
        self.ripe: set[Live] = set()
        """Streams whose tail becomes a block in this commit."""
        self.riders: set[Live] = set()
        """Streams of which an append only waits for its turn here."""
        self.refusals: dict[Append, StreamkeepError] = {}
        """The answers of those that were refused."""
        self.size = 0
        """Bytes of entries that are gathered."""
        self.blocks: list[tuple[Live, int, int]] = []
        """Written blocks: stream, last entry, bytes."""
        self.row = 0
        """The journal row's number, if one was needed."""
        self.row_size = 0
        self.written = 0
        """Bytes of all that is written."""
        self.waiters: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        """Say whether there is anything to do, be it only to tell those who wait."""
        return bool(self.appends or self.acts or self.ripe or self.waiters)

    def ride(self, live: Live, append: Append, refusal: StreamkeepError | None) -> None:
        """Let an append that writes nothing be answered in its turn."""
        self.riders.add(live)
        self.appends.append((live, append, None))
        if refusal is not None:
            self.refusals[append] = refusal

    def take_failed(self, lives: set[Live]) -> "Batch":
        """Take out what was judged on top of writes that failed."""
        failed = Batch()
        failed.acts = [act for act in self.acts if act.live in lives]
        failed.appends = [each for each in self.appends if each[0] in lives]
        if failed.acts:
            self.acts = [act for act in self.acts if act.live not in lives]
        if failed.appends:
            self.appends = [each for each in self.appends if each[0] not in lives]
            self.ripe -= lives
            self.riders -= lives
        return failed

    def lives(self) -> set[Live]:
        """Name the streams whose fate is bound to this batch."""
        return {live for live, _, _ in self.appends} | {act.live for act in self.acts if act.live is not None}

"""
Hold what is needed of a stream while it is written: where it stands, and its newest entries.

Pure: no I/O, no clock.

Strategy
    Two positions: what is *offered* (judged and in a batch) and what is *durable* (committed). Writers are judged
    against the first, readers see the second. When a commit fails, the first falls back to the second.

        entries  1 … start | start+1 … blocked | blocked+1 … durable | durable+1 … offered
                 in blocks | in blocks, kept   | in the journal      | in a batch
                           └────────────────────── tail ──────────────────────────────┘
"""

from collections.abc import Sequence

from msgspec.structs import replace

from streamkeep.entry import Entry
from streamkeep.lifecycle import State, step
from streamkeep.stores.base import Head, Record

BLOCK_BYTES = 64 * 1024
"""Bytes of entries that make a block: what a late reader decodes at once (53 µs measured)."""

KEPT_BYTES = 16 * 1024
"""Bytes of the newest entries that stay in memory when they are in a block, so that the readers that a commit wakes,
a thousand at once, need no look into the file."""

ENTRY_BYTES = 32
"""What an entry takes in a block besides its data: name, number, time."""


class Live:
    """
    One stream in memory.

    Args:
        key: Its number in the file.
        record: What it is.
        token: The current fencing token.
        epochs: Of its writers.
        seq: Its last entry in a block.
        state: After that entry.
    """

    __slots__ = (
        "blocked",
        "durable",
        "durable_epochs",
        "durable_state",
        "durable_token",
        "epochs",
        "key",
        "lease_until",
        "oldest_row",
        "record",
        "seq",
        "size",
        "start",
        "state",
        "tail",
        "token",
    )

    def __init__(
        self, key: int, record: Record, *, token: int, epochs: tuple[tuple[int, str], ...], seq: int, state: State
    ) -> None:
        self.key = key
        self.record = record
        self.lease_until = 0.0
        self.tail: list[Entry] = []
        self.start = self.blocked = self.durable = self.seq = seq
        self.durable_state = self.state = state
        self.durable_token = self.token = token
        self.durable_epochs = self.epochs = epochs
        self.size = 0
        """Bytes of offered entries that are in no block."""
        self.oldest_row = 0
        """A journal row not after the first that holds entries in no block; 0 if there is none."""

    def head(self) -> Head:
        """Say where readers see it."""
        ended = self.durable_state.ended
        last = self.tail[self.durable - self.start - 1] if ended else None
        return Head(
            record=self.record,
            seq=self.durable,
            state=self.durable_state,
            epochs=self.durable_epochs,
            ended_at=last.at if last else None,
            ending=last.data if last else None,
        )

    def offer(self, entries: Sequence[Entry], state: State, size: int) -> None:
        """
        Take judged entries.

        Args:
            entries: In a row, after `seq`.
            state: After them.
            size: As `size_of` says.
        """
        self.tail.extend(entries)
        self.seq = entries[-1].seq
        self.state = state
        self.size += size

    def seen(self, after: int) -> list[Entry]:
        """Give the durable entries after `after`, which is not before `start`."""
        return self.tail[after - self.start : self.durable - self.start]

    def unblocked(self) -> list[Entry]:
        """Give what is offered and in no block."""
        return self.tail[self.blocked - self.start :]

    def settle(self) -> None:
        """Make durable all that is offered."""
        self.durable, self.durable_state = self.seq, self.state

    def put_in_block(self, last_seq: int, size: int) -> None:
        """
        Note that a block was written, and let go of what it holds, except the newest.

        Args:
            last_seq: Its last entry.
            size: What was in `size` for its entries.
        """
        self.blocked = last_seq
        self.size -= size
        kept = 0
        start = last_seq
        while start > self.start and (kept == 0 or kept < KEPT_BYTES):
            kept += len(self.tail[start - self.start - 1].data) + ENTRY_BYTES
            start -= 1
        del self.tail[: start - self.start]
        self.start = start
        if self.durable_state.ended:
            self.record = replace(self.record, request=b"")

    def fall_back(self) -> None:
        """Forget what is offered and not durable."""
        del self.tail[self.durable - self.start :]
        self.seq, self.state = self.durable, self.durable_state
        self.token, self.epochs = self.durable_token, self.durable_epochs
        self.size = size_of(self.unblocked())
        if self.blocked == self.durable:
            self.oldest_row = 0

    def advance(self, entries: Sequence[Entry], row: int) -> bool:
        """
        Take entries found in the journal, if they follow.

        Args:
            entries: Of this stream, from one row; what is known already is passed over.
            row: The row's number.

        Returns:
            False if entries before them are missing.
        """
        fresh = [entry for entry in entries if entry.seq > self.seq]
        if not fresh:
            return True
        if fresh[0].seq != self.seq + 1:
            return False
        self.oldest_row = self.oldest_row or row
        state = self.state
        for entry in fresh:
            state = step(state, entry.name)
        self.offer(fresh, state, size_of(fresh))
        self.settle()
        return True


def size_of(entries: Sequence[Entry]) -> int:
    """Estimate the bytes that entries take in a block."""
    size = ENTRY_BYTES * len(entries)
    for entry in entries:
        size += len(entry.data)
    return size

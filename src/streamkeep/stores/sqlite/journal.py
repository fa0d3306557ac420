"""
Turn a batch into statements: one journal row for all streams, blocks for those that have enough.

Strategy
    The journal is short-lived. A row can go when all its entries are in blocks. So that a quiet stream cannot keep
    it for ever, the streams with the oldest rows are put into blocks early when it has grown to its limit. The last
    row always stays: it carries the numbering on.
"""

import heapq
from collections import deque
from collections.abc import Iterable

from streamkeep.stores.sqlite import streams
from streamkeep.stores.sqlite.batch import Batch
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.seal import seal_block, seal_parts
from streamkeep.stores.sqlite.streams import Statement

MAX_ROWS = 100_000
"""Rows of the journal before streams are put into blocks early: what is read again after a crash, in about 0.2 s."""

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of the journal before the same; read again in about 0.1 s."""

TRIM_COMMITS = 64
"""Commits between two trims, so that most commits touch one page only."""

TRIM_ROWS = 1024
"""Rows that one trim removes at most (about a millisecond), well above the 64 that came since the last."""

EARLY_BLOCKS = 32
"""Streams put into blocks early in one commit at most, 2 MiB of writing."""

_INSERT_ROW = "INSERT INTO journal (n, data) VALUES (?, ?)"
_INSERT_BLOCK = "INSERT INTO blocks (stream, first_seq, last_seq, state, data) VALUES (?, ?, ?, ?, ?)"
_EMPTY_ROW = "UPDATE journal SET data = ? WHERE n = ?"
_DELETE_ROWS = "DELETE FROM journal WHERE n < ?"


class Journal:
    """
    The newest entries of all streams, and the bookkeeping of what can go.

    Args:
        lives: The streams that have not ended; looked at, never changed.
        rows: What is there already: `(number, bytes)`, ascending.
        max_rows: See `MAX_ROWS`.
        max_bytes: See `MAX_BYTES`.
    """

    def __init__(
        self,
        lives: dict[str, Live],
        rows: Iterable[tuple[int, int]] = (),
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._lives = lives
        self._rows = deque(rows)
        self._last = self._rows[-1][0] if self._rows else 0
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._trimmed_to = 0
        self._commits = 0
        self.size = sum(size for _, size in self._rows)
        """Bytes of its rows."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._rows)

    def prepare(self, batch: Batch) -> list[Statement]:
        """Give the statements that commit a batch, and note in it what they write."""
        statements = [statement for act in batch.acts for statement in act.statements]
        self._commits += 1
        if self._commits % TRIM_COMMITS == 0:
            statements += self._trim(batch)
        self._add_row(batch, statements)
        for live in batch.ripe:
            self._add_block(live, batch, statements)
        return statements

    def committed(self, batch: Batch) -> None:
        """Note that a batch is written."""
        if batch.row:
            self._last = batch.row
            self._rows.append((batch.row, batch.row_size))
            self.size += batch.row_size
        for live, last_seq, size in batch.blocks:
            live.put_in_block(last_seq, size)
            live.oldest_row = 0
        while self._rows and self._rows[0][0] < self._trimmed_to:
            self.size -= self._rows.popleft()[1]

    def emptied(self) -> list[Statement]:
        """Remove what the rows hold, all but the last with themselves; for when all streams are in blocks."""
        self._trimmed_to = self._last
        return [(_DELETE_ROWS, (self._last,)), (_EMPTY_ROW, (seal_parts([]), self._last))]

    def _add_row(self, batch: Batch, statements: list[Statement]) -> None:
        ripe = batch.ripe
        row = self._last + 1
        parts = []
        for live, append, state in batch.appends:
            if state is not None and live not in ripe:
                parts.append((live.key, append.entries))
                if not live.oldest_row:
                    live.oldest_row = row
        if parts:
            data = seal_parts(parts)
            statements.append((_INSERT_ROW, (row, data)))
            batch.row = row
            batch.row_size = len(data)
            batch.written += len(data)

    def _add_block(self, live: Live, batch: Batch, statements: list[Statement]) -> None:
        entries = live.unblocked()
        if not entries:
            return
        data = seal_block(entries)
        last_seq = entries[-1].seq
        statements.append((_INSERT_BLOCK, (live.key, entries[0].seq, last_seq, live.state.value, data)))
        if live.state.ended:
            statements.append(streams.ended(live))
        batch.blocks.append((live, last_seq, live.size))
        batch.written += len(data)

    def _trim(self, batch: Batch) -> list[Statement]:
        writing = [live for live in self._lives.values() if live.oldest_row]
        if len(self._rows) > self._max_rows or self.size > self._max_bytes:
            batch.ripe.update(heapq.nsmallest(EARLY_BLOCKS, writing, key=lambda live: live.oldest_row))
        if len(self._rows) < 2:
            return []
        needed = min((live.oldest_row for live in writing), default=self._last)
        first = self._rows[0][0]
        # Rows are numbered without gaps, except across a restart, where one trim removes fewer.
        self._trimmed_to = min(needed, self._last, first + TRIM_ROWS)
        return [(_DELETE_ROWS, (self._trimmed_to,))] if self._trimmed_to > first else []

"""
Keep the books while streams are written: judge what is offered, commit it, answer.

Strategy
    `submit` is the hot path: one look-up, the judgement, the entries into the stream's tail and into the batch. No
    task, timer, lock or encoding for one append. `_settle` answers in the order of submission, after the books agree
    with the file again.
"""

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable

from streamkeep.entry import TERMINALS
from streamkeep.errors import StoreError, StoreFull, StoreUnavailable, StreamExpired, StreamkeepError, StreamNotFound
from streamkeep.lifecycle import State
from streamkeep.stores.base import Append, Head, is_repetition, judge
from streamkeep.stores.sqlite.batch import Act, Batch
from streamkeep.stores.sqlite.checkpoints import Checkpoints
from streamkeep.stores.sqlite.committer import Committer
from streamkeep.stores.sqlite.faults import fault, full, is_full
from streamkeep.stores.sqlite.file import LogFile
from streamkeep.stores.sqlite.journal import EARLY_BLOCKS, Journal
from streamkeep.stores.sqlite.live import BLOCK_BYTES, Live, size_of
from streamkeep.stores.sqlite.streams import Statement, head_of

MAX_BATCH_BYTES = 64 * 1024 * 1024
"""Bytes of entries that may wait for one commit; far beyond what a disk that works leaves waiting."""

RECENT_STREAMS = 1024
"""Ended streams whose newest entries stay in memory, some 16 KiB each: their readers come for the ending at once."""

_OPEN = State.OPEN
_log = logging.getLogger(__name__)


class Ledger:
    """
    The streams that are written, and the way into the file.

    Args:
        file: Open.
        lives: The streams that have not ended, by id.
        commit_in_thread: True if a commit waits for the disk.
    """

    def __init__(self, file: LogFile, lives: dict[str, Live], *, commit_in_thread: bool) -> None:
        self.lives = lives
        self.recent: OrderedDict[str, Live] = OrderedDict()
        self.keys = {key: live.record.id for live in lives.values() if (key := live.record.idempotency_key) is not None}
        """Of `lives`: idempotency key → id."""
        self.journal = Journal(lives, file.replayed.rows)
        self.committer = Committer(
            file.writer, pool=file.pool if commit_in_thread else None, prepare=self._prepare, settle=self._settle
        )
        self.checkpoints = Checkpoints(file.checkpointer, file.pool, self.committer, written=file.write_ahead_bytes)
        self._file = file
        self._reserve = file.reserve
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def submit(self, append: Append) -> None:
        """Judge an append, and commit it with the next batch."""
        live = self.lives.get(append.id)
        if live is None or self._closed or self._reserve.spent:
            refusal = self._admit(live, append)
            if refusal is not None or live is None:
                append.done(append, refusal)
                return
        try:
            state = judge(append, seq=live.seq, state=live.state, token=live.token)
        except StreamkeepError as refusal:
            self._refuse(live, append, refusal)
            return
        committer = self.committer
        batch = committer.batch
        size = size_of(append.entries)
        if batch.size + size > MAX_BATCH_BYTES:
            self._refuse(live, append, self._overrun())
            return
        batch.size += size
        batch.appends.append((live, append, state))
        live.offer(append.entries, state, size)
        if live.size >= BLOCK_BYTES or (state is not _OPEN and state.ended):
            batch.ripe.add(live)
        if not committer.awake:
            committer.wake()

    async def act(
        self,
        statements: list[Statement],
        live: Live | None = None,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        """
        Write something that is no append, and wait until it is durable.

        Args:
            statements: What.
            live: The stream it belongs to.
            done: Called with the outcome, whether or not anyone still waits.

        Raises:
            StoreError: Nothing was written.
        """
        future: asyncio.Future[None] = self._loop.create_future()

        def settled(error: StoreError | None) -> None:
            if done is not None:
                done(error)
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.check_open()
        self.committer.batch.acts.append(Act(statements, settled, live))
        if not self.committer.awake:
            self.committer.wake()
        await future

    def check_open(self) -> None:
        """
        Refuse to write after the end.

        Raises:
            StoreUnavailable: The store is closed.
        """
        if self._closed:
            raise StoreUnavailable("The log is closed: this server is shutting down.")

    def check_space(self) -> None:
        """
        Refuse to begin what there is no space for.

        Raises:
            StoreFull: Only the reserve is left.
        """
        if self._reserve.spent and not self._reserve.probe(self._loop.time()):
            raise full(self._file.path)

    def find(self, id: str) -> Live | None:
        """Find a stream in memory; one whose start is not yet durable does not count."""
        live = self.lives.get(id)
        if live is not None and live.durable:
            return live
        return self.recent.get(id)

    async def put_away(self) -> bool:
        """Put all tails into blocks and empty the journal; False if it could not be written."""
        committer = self.committer
        while ripe := [live for live in self.lives.values() if live.size][:EARLY_BLOCKS]:
            committer.batch.ripe.update(ripe)
            committer.wake()
            await committer.drained()
            if any(live.size for live in ripe):
                return False
        committer.batch.acts.append(Act(self.journal.emptied(), lambda _: None))
        committer.wake()
        await committer.drained()
        return True

    async def close(self) -> None:
        """Commit what is offered, put it away, and empty the write-ahead log."""
        self._closed = True
        await self.committer.drained()
        if not await self.put_away():
            _log.error("the newest entries of live streams stay in the journal: their blocks could not be written")
        await self.checkpoints.finish()

    def _admit(self, live: Live | None, append: Append) -> StreamkeepError | None:
        """Look closer: the stream is not live, the store is closed, or there is no space."""
        if self._closed:
            return StoreUnavailable("The log is closed: this server is shutting down.")
        if live is None:
            return self._answer_late(append)
        if append.token is None or append.entries[-1].name in TERMINALS or self._reserve.probe(self._loop.time()):
            return None
        return full(self._file.path)

    def _answer_late(self, append: Append) -> StreamkeepError | None:
        """Answer an append to a stream that has ended or never was."""
        shelf = self._file.shelf
        try:
            row = shelf.row(append.id)
            if row is None or row["seq"] is None:
                return expired() if shelf.is_buried(append.id) else not_found()
            written = shelf.entries(row["key"], append.after, size_of(append.entries))
        except StoreError as error:
            return error
        except sqlite3.Error as error:
            return fault(error, self._file.path)
        return None if is_repetition(append, written) else _refusal(append, head_of(row), row["token"])

    def _refuse(self, live: Live, append: Append, refusal: StreamkeepError) -> None:
        """Answer an append that is not to be written, in its turn."""
        answer = None if self._is_written(live, append) else refusal
        if live.seq == live.durable and not self.committer.has_rider(live):
            append.done(append, answer)
            return
        self.committer.batch.ride(live, append, answer)
        if not self.committer.awake:
            self.committer.wake()

    def _is_written(self, live: Live, append: Append) -> bool:
        if not 0 <= append.after < live.seq:
            return False
        if append.after >= live.start:
            first = append.after - live.start
            return is_repetition(append, live.tail[first : first + len(append.entries)])
        # An append is never split between two blocks, so the block where it begins has all of it.
        return is_repetition(append, self._file.shelf.entries(live.key, append.after, size_of(append.entries)))

    def _overrun(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"More than {MAX_BATCH_BYTES >> 20} MiB wait to be written to the log: its disk is too slow. "
            "Try again later."
        )

    def _prepare(self, batch: Batch) -> list[Statement]:
        return self.journal.prepare(batch)

    def _settle(self, batch: Batch, error: Exception | None) -> None:
        if error is None:
            self._apply(batch)
            self._answer(batch, None)
        else:
            self._undo(batch, error)

    def _apply(self, batch: Batch) -> None:
        for live, append, state in batch.appends:
            if state is not None:
                live.durable = append.entries[-1].seq
                live.durable_state = state
        self.journal.committed(batch)
        for live, _, _ in batch.blocks:
            if live.durable_state.ended:
                self._retire(live)
        if not self._reserve.spent:  # a checkpoint makes the file grow, which would take the space kept for endings
            self.checkpoints.note(batch.written)

    def _undo(self, batch: Batch, error: Exception) -> None:
        """Make the books agree with the file again, which has nothing of this batch."""
        answer = fault(error, self._file.path)
        if is_full(error):
            self._reserve.spend()
        lives = batch.lives()
        behind = self.committer.batch.take_failed(lives)
        for live in lives:
            live.fall_back()
            if not live.durable:
                self._drop(live)
        if not isinstance(answer, StoreFull):
            _log.error("a commit failed: %s", answer.message)
        self._answer(batch, answer)
        self._answer(behind, answer)

    def _answer(self, batch: Batch, error: StoreError | None) -> None:
        for act in batch.acts:
            act.done(error)
        for _, append, state in batch.appends:
            try:
                append.done(append, error or (batch.refusals.get(append) if state is None else None))
            except Exception as raised:  # the others' answers must not be lost with it
                self._loop.call_exception_handler({"message": "an append's callback failed", "exception": raised})

    def _retire(self, live: Live) -> None:
        self._drop(live)
        self.recent[live.record.id] = live
        if len(self.recent) > RECENT_STREAMS:
            self.recent.popitem(last=False)

    def _drop(self, live: Live) -> None:
        self.lives.pop(live.record.id, None)
        if live.record.idempotency_key is not None:
            self.keys.pop(live.record.idempotency_key, None)


def _refusal(append: Append, head: Head, token: int) -> StreamkeepError:
    try:
        judge(append, seq=head.seq, state=head.state, token=token)
    except StreamkeepError as refusal:
        return refusal
    raise AssertionError("an ended stream takes no append")


def expired() -> StreamExpired:
    """Say that a stream was and is no more."""
    return StreamExpired("The stream ended, its time to live is over and it was forgotten.")


def not_found() -> StreamNotFound:
    """Say that there is no such stream."""
    return StreamNotFound("No stream has this id.")

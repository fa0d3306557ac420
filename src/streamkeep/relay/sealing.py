"""
Seal a log: fold what it holds, and write its one ending.

Strategy
    The fold is made once, at the end, page by page, so that an event costs no decoding while it passes and the
    memory of an open stream does not grow with its length. An ending that the store cannot take now is tried again
    for a while: readers wait for it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from streamkeep.entry import VISIBLE, Entry, Event
from streamkeep.errors import CallerError, Fenced, StoreUnavailable, StreamClosed, StreamkeepError, UpstreamBroken
from streamkeep.message import MessageFold
from streamkeep.relay.tail import Tail
from streamkeep.relay.writer import Writer
from streamkeep.stores.base import Store

FIRST_PAUSE_S = 0.1
"""Seconds before an ending is tried a second time; doubles from there."""

MAX_PAUSE_S = 5.0
"""Longest pause between two tries, in seconds."""

MAX_SEAL_S = 120.0
"""Seconds for which an ending is tried. What is left open then is ended when the server starts again."""

_log = logging.getLogger(__name__)


class Folded:
    """
    What a log holds.

    Attributes:
        fold: The message, as far as the entries make sense.
        error: What does not, or None.
        first_visible: `at` of the first entry that shows something, or None.
        last: `at` of the last entry.
    """

    def __init__(self) -> None:
        self.fold = MessageFold()
        self.error: StreamkeepError | None = None
        self.first_visible: float | None = None
        self.last = 0.0


async def fold_log(store: Store, tail: Tail) -> Folded:
    """
    Fold the whole log, in pages, giving way in between.

    A store that cannot be read now shortens what is folded; the ending then says so.
    """
    folded = Folded()
    position = 0
    while position < tail.seq:
        entries = await _page(store, tail, position)
        if not entries:
            folded.error = folded.error or StoreUnavailable("The log could not be read when the stream ended.")
            break
        for entry in entries:
            if folded.first_visible is None and entry.name in VISIBLE:
                folded.first_visible = entry.at
            if folded.error is None:
                try:
                    folded.fold.add(entry)
                except UpstreamBroken as error:
                    folded.error = error
        position, folded.last = entries[-1].seq, entries[-1].at
        await asyncio.sleep(0)
    return folded


async def _page(store: Store, tail: Tail, position: int) -> Sequence[Entry]:
    try:
        return tail.since(position) or await store.read(tail.id, position)
    except StreamkeepError:
        return ()


async def write_ending(writer: Writer, tail: Tail, compose: Callable[[], list[Event]]) -> None:
    """
    Write the ending until it is durable, or another writer has taken the log, or there is no log any more.

    Args:
        writer: The lease's holder.
        tail: The log's shared end.
        compose: Makes the ending.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + MAX_SEAL_S
    pause_s = FIRST_PAUSE_S
    while not tail.state.ended:
        try:
            await writer.flush()
            writer.write(compose())
            await writer.flush()
        except (Fenced, StreamClosed, CallerError):
            return
        except StreamkeepError as error:
            if loop.time() > give_up_at:
                _log.error("stream %s: its ending could not be written (%s)", tail.id, error.code)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
            writer.recover()

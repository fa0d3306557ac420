"""
End streams whose producer died: take the log over, keep what there is, and say what happened.
"""

import asyncio
from typing import TYPE_CHECKING

from streamkeep.errors import LeaseHeld, StreamClosed, StreamkeepError
from streamkeep.lifecycle import State
from streamkeep.relay import ending
from streamkeep.relay.sealing import Folded, fold_log, write_ending
from streamkeep.relay.tail import Tail
from streamkeep.relay.writer import Writer
from streamkeep.stores.base import MAX_LIST

if TYPE_CHECKING:
    from streamkeep.entry import Event
    from streamkeep.relay.relay import Relay

MAX_AT_ONCE = 32
"""Orphans ended at the same time when a relay starts."""

LEASE_S = 30.0
"""Seconds for which an orphan's log is taken; ending it takes milliseconds."""


async def end_all(relay: "Relay") -> None:
    """End every live stream that this relay does not produce; for stores with one writer, before anything starts."""
    live = frozenset({State.OPEN, State.CANCELLING})
    before = None
    while heads := await relay.store.list(states=live, before=before, limit=MAX_LIST):
        before = (heads[-1].record.created_at, heads[-1].id)
        for first in range(0, len(heads), MAX_AT_ONCE):
            await asyncio.gather(*[end(relay, head.id) for head in heads[first : first + MAX_AT_ONCE]])


async def end(relay: "Relay", id: str) -> None:
    """
    End one orphan as `failed(producer_lost)`.

    If a stop was asked for before the producer died, it ends as stopped; if the answer came to its end, as completed.
    """
    try:
        lease = await relay.store.acquire(id, epoch=relay.mint_epoch(), now=relay.now(), lease_s=LEASE_S)
    except (StreamClosed, LeaseHeld):
        return
    tail = relay.tails.get(id) or Tail(await relay.store.head(id))
    await relay.look(tail)
    writer = Writer(relay.store, lease, tail, now=relay.now, missed=lambda _: None, lost=lambda _: None)
    folded = await fold_log(relay.store, tail)
    await write_ending(writer, tail, lambda: [_ending(tail, folded)])
    relay.tell_ended(tail)


def _ending(tail: Tail, folded: Folded) -> "Event":
    timing = ending.Timing(accepted=tail.record.created_at, first_visible=folded.first_visible, ended=folded.last)
    if folded.fold.complete and folded.error is None:
        return ending.completed(folded.fold, timing)
    if tail.state is State.CANCELLING:
        stop = ending.Stop(by="caller", requested_at=folded.last, upstream_closed_ms=None)
        return ending.cancelled(folded.fold, timing, stop)
    lost = StreamkeepError(
        "The server that produced this answer died; what it had received is kept.", code="producer_lost"
    )
    return ending.failed(folded.fold, timing, lost, lost.message)

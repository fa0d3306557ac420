"""
Do what must be done now and then, from one timer for the process: keep leases, stop unwatched streams, forget old ones,
and look after logs that another process writes.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from streamkeep.errors import Fenced, StreamkeepError

if TYPE_CHECKING:
    from streamkeep.relay.relay import Relay

BEAT_S = 0.25
"""Seconds between two looks; also how late a reader learns of what another process wrote."""

LEASE_S = 10.0
"""Seconds that a lease runs; a writer that cannot renew it for so long has lost its log."""

RENEW_S = 3.0
"""Seconds between renewals: a lease survives two that are lost."""

EXPIRE_S = 30.0
"""Seconds between two looks for streams to forget."""

_log = logging.getLogger(__name__)


class Pulse:
    """The relay's one timer."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self._renew_at = self._expire_at = 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(BEAT_S)
            for work in (self._watch, self._renew, self._expire, self._follow):
                try:
                    await work(loop.time())
                except StreamkeepError as error:
                    _log.warning("pulse: %s (%s)", error.message, error.code)
                except Exception:
                    _log.exception("pulse: a mistake")

    async def _watch(self, time: float) -> None:
        """Stop streams that nobody watches, where their policy says so (I6)."""
        for id, producer in list(self._relay.producers.items()):
            grace_s = producer.policy.cancel_when_unwatched
            since = self._relay.tails[id].unwatched_since
            if grace_s is not None and since is not None and time - since >= grace_s:
                producer.cancel("unwatched")

    async def _renew(self, time: float) -> None:
        if time < self._renew_at or self._relay.read_only:
            return
        self._renew_at = time + RENEW_S
        leases = [producer.lease for producer in self._relay.producers.values()]
        for lease in await self._relay.store.renew(leases, now=self._relay.now(), lease_s=LEASE_S):
            if producer := self._relay.producers.get(lease.id):
                producer.interrupt(Fenced("Another writer has taken this stream over; this one must let go."))

    async def _expire(self, time: float) -> None:
        if time >= self._expire_at and not self._relay.read_only:
            self._expire_at = time + EXPIRE_S
            await self._relay.store.expire(now=self._relay.now())

    async def _follow(self, time: float) -> None:
        """Read on where somebody waits for what another process writes."""
        for id, tail in list(self._relay.tails.items()):
            if id not in self._relay.producers and not tail.state.ended and tail.readers:
                try:
                    await self._relay.look(tail)
                except StreamkeepError as error:  # The other logs are to be read on all the same.
                    _log.warning("pulse: stream %s: %s (%s)", id, error.message, error.code)

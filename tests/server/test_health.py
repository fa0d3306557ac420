"""Whether the server lives, and whether it can serve."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamkeep.errors import StoreUnavailable
from streamkeep.stores.memory import MemoryStore
from tests.relay.scripted import CLOSING, OPENING, Script, Wait, delta
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]

SLOW = Script([OPENING + delta("a"), Wait(9), CLOSING])


async def test_a_server_that_serves_says_how_much(hall: Maker) -> None:
    """The counts are those of this moment."""
    opened = await hall(SLOW)
    reader = opened.begin("POST", "/v1/streams", {"prompt": "x", "stream": True})
    await opened.clock.advance(1)

    alive, ready = await opened.ask("GET", "/healthz"), await opened.ask("GET", "/readyz")
    await reader.task

    assert (200, {"status": "ok"}) == (alive.status, alive.json)
    assert (200, {"status": "ready", "streams": 1, "readers": 1}) == (ready.status, ready.json)


async def test_a_server_on_its_way_down_wants_no_more(hall: Maker) -> None:
    """A load balancer sends new callers elsewhere; the process still lives."""
    opened = await hall(SLOW)
    await opened.relay.drain(0)

    alive, ready = await opened.ask("GET", "/healthz"), await opened.ask("GET", "/readyz")

    assert (200, 503, "draining", "1") == (
        alive.status,
        ready.status,
        ready.json["status"],
        ready.headers["retry-after"],
    )


async def test_a_store_without_answer_is_not_ready(hall: Maker) -> None:
    """Streams cannot be started then, and the answer says why."""

    class Moody(MemoryStore):
        away = False

        async def list(self, **how: Any) -> Any:
            if self.away:
                raise StoreUnavailable("away")
            return await super().list(**how)

    store = Moody()
    opened = await hall(SLOW, store=store)
    store.away = True

    ready = await opened.ask("GET", "/readyz")

    assert (503, "store", "store_unavailable") == (ready.status, ready.json["status"], ready.json["code"])

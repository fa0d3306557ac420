"""What the relay's tests share: a loop whose time is virtual, a store in memory, an upstream that follows a script."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.manual_clock import ManualClock, VirtualLoop
from tests.relay.scripted import Maker, ScriptedUpstream, Stage, staged


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on virtual time: what takes an hour takes no time, and happens exactly then."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def stage(clock: ManualClock, store: MemoryStore) -> AsyncIterator[Maker]:
    """Give a maker of open relays: `stage(answer, answer, …)`."""
    stages: list[Stage] = []

    async def make(*answers: Any, **options: Any) -> Stage:
        opened = staged(clock, ScriptedUpstream(*answers), **{"store": store, **options})
        await opened.relay.__aenter__()
        stages.append(opened)
        return opened

    yield make
    for opened in stages:
        await opened.relay.__aexit__(None, None, None)

"""What the server's tests share: virtual time, a scripted upstream, an application without a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from streamkeep.server import create_app
from streamkeep.settings import Settings
from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.manual_clock import ManualClock, VirtualLoop
from tests.relay.scripted import ScriptedUpstream, Stage, staged
from tests.server.asking import Exchange, Visitor


class Hall(Visitor):
    """A running application, its relay and its clock."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        self.application = create_app(stage.relay, settings)
        super().__init__(self.application)
        self.stage = stage
        self.relay = stage.relay
        self.clock = stage.clock
        self.upstream = stage.upstream
        self.settings = settings


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on virtual time: what takes an hour takes no time, and happens exactly then."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture(params=["through ASGI", "past ASGI"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test on both ways that a chunk can take to its reader."""
    monkeypatch.setattr(Exchange, "pushed", request.param == "past ASGI")


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hall(clock: ManualClock) -> AsyncIterator[Callable[..., Any]]:
    """Give a maker of running applications: `hall(answer, …, setting=value)`."""
    async with AsyncExitStack() as stack:

        async def make(*answers: Any, store: Any = None, **settings: Any) -> Hall:
            stage = staged(clock, ScriptedUpstream(*answers), store=store or MemoryStore())
            opened = Hall(stage, Settings(store="memory://", **settings))
            await stack.enter_async_context(opened.application.router.lifespan_context(opened.application))
            return opened

        yield make

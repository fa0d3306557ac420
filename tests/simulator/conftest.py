"""A simulator that runs, and the official clients that judge it."""

from collections.abc import AsyncIterator

import anthropic
import pytest

from streamkeep.simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Serve without a pace: as fast as the socket takes it."""
    async with Simulator(ttft_s=0, tokens_per_s=0) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Give the official client, without retries of its own."""
    async with anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="any", max_retries=0) as opened:
        yield opened

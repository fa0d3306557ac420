"""Virtual time: in order, exact, and never in vain."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from streamkeep.testing import manual_clock
from streamkeep.testing.manual_clock import STARTED_AT, TICK_S, ManualClock, VirtualLoop


def run(story: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


def test_hours_take_no_time_and_end_exactly() -> None:
    """The clock stands where it was told to, the machine's does not move."""

    async def story() -> tuple[float, float]:
        clock = ManualClock()
        await clock.advance(36_000)
        return clock.time, clock.now()

    began = time.monotonic()
    assert (36_000, STARTED_AT + 36_000) == run(story())
    assert time.monotonic() - began < 5


def test_what_is_due_earlier_happens_earlier() -> None:
    """Timers fire in the order of their times, each at its own."""

    async def story() -> list[float]:
        clock, fired = ManualClock(), []

        async def after(seconds: float) -> None:
            await clock.advance(seconds)
            fired.append(clock.time)

        await asyncio.gather(*[after(seconds) for seconds in (3, 1, 2.5, 0.1)])
        return fired

    assert [0.1, 1, 2.5, 3] == run(story())


def test_settling_lets_everything_happen_that_needs_no_time() -> None:
    """A chain of a thousand steps is run to its end within one tick."""

    async def story() -> tuple[int, float]:
        clock, steps = ManualClock(), 0

        async def chain() -> None:
            nonlocal steps
            for _ in range(1000):
                await asyncio.sleep(0)
                steps += 1

        task = asyncio.create_task(chain())
        await clock.settle()
        await task
        return steps, clock.time

    assert (1000, TICK_S) == run(story())


def test_what_a_socket_of_this_machine_says_comes_before_the_next_timer() -> None:
    """A limit does not pass while the answer is on its way through the kernel."""

    async def story() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(5))
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(0.001):
                writer.write(b"hello")
                answer = await reader.read()
            writer.close()
            return answer

    assert b"hello" == run(story())


def test_without_a_timer_the_loop_waits_for_real() -> None:
    """Work in another thread is waited for where nothing is due."""

    async def story() -> str:
        return await asyncio.to_thread(str.upper, "done")

    assert "DONE" == run(story())


def test_waiting_for_what_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits in vain fails, though something keeps ticking."""
    monkeypatch.setattr(manual_clock, "MAX_S", 1000)

    async def story() -> None:
        async def tick() -> None:
            while True:
                await ManualClock().advance(1)

        ticking = asyncio.create_task(tick())
        await asyncio.Event().wait()
        ticking.cancel()

    loop = VirtualLoop()
    with pytest.raises(TimeoutError, match="does not come"):
        loop.run_until_complete(story())
    monkeypatch.undo()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
    loop.close()

"""A simulated provider on a thread of its own, so that tests without an event loop can start, ask and stop it."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from streamkeep.simulator import RequestRecord, Simulator, Statistics
from streamkeep.simulator.records import Predicate

WAIT_S = 15.0
"""Seconds for the thread to do anything that it is asked."""

T = TypeVar("T")


class SimulatorThread:
    """
    Runs a `Simulator`; a context manager. Its times are `time.monotonic()`.

    Args:
        **options: As `Simulator`.
    """

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._simulator = Simulator(**{"ttft_s": 0.02, "tokens_per_s": 400.0, **options})
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._simulator.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._simulator.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    @property
    def base_url(self) -> str:
        """Give what `ANTHROPIC_BASE_URL` is set to."""
        return self._simulator.base_url

    @property
    def requests(self) -> list[RequestRecord]:
        """List the remembered requests, the oldest first."""
        return list(self._simulator.requests)

    def statistics(self) -> Statistics:
        """Give the counts as they are now."""
        return self._simulator.statistics()

    def wait_for(self, predicate: Predicate, timeout_s: float = WAIT_S) -> RequestRecord:
        """
        Wait for a request that the predicate is true of.

        Raises:
            TimeoutError: There is none in time.
        """
        return self._run(self._simulator.wait_for(predicate, timeout_s))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(4 * WAIT_S)

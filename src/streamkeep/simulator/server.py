"""
Start and stop a simulated Messages API on a socket.
"""

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from streamkeep.errors import BadRequest
from streamkeep.simulator import options, replay
from streamkeep.simulator.app import MessagesApi
from streamkeep.simulator.options import Options
from streamkeep.simulator.records import Predicate, Records, RequestRecord, Statistics
from streamkeep.simulator.refusals import Refused
from streamkeep.simulator.replay import Chunking

BACKLOG: Final = 4096
"""Connections that may wait to be accepted; one too many waits a second for its retransmitted SYN."""

SHUTDOWN_S: Final = 1.0
"""Seconds that a cut request has to notice it."""


class Simulator:
    """
    A simulated Messages API; an async context manager, serving while it is entered.

    The same seed and request always give the same bytes.

    Args:
        seed: decides the answers, with the requests.
        ttft_s: seconds to the first token.
        tokens_per_s: pace after it; 0 is as fast as the socket takes it.
        host: what to bind.
        port: 0 for a free one.
        keys: API keys that are taken; None for any.
        replay: a recording that answers every stream request; `tokens_per_s` counts its events then.
        chunking: how the recording is cut into writes.
        crlf: rewrite the recording's line ends to CR LF.

    Raises:
        BadRequest: if a number is out of its bounds or the recording cannot be played.
        OSError: on entering, if the port is taken.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        ttft_s: float = 0.3,
        tokens_per_s: float = 60.0,
        host: str = "127.0.0.1",
        port: int = 0,
        keys: Collection[str] | None = None,
        replay: Path | None = None,
        chunking: Chunking | str = Chunking.EVENT,
        crlf: bool = False,
    ) -> None:
        self._host = host
        self._port = port
        self._records = Records(lambda: asyncio.get_running_loop().time())
        recording = _load(replay, crlf=crlf)
        self._api = MessagesApi(
            _defaults(seed, ttft_s, tokens_per_s), keys, self._records, recording, Chunking(chunking)
        )
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(
            self._api.application(), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG).start()
        except OSError:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        self._runner = runner
        return self

    async def __aexit__(self, *_: object) -> None:
        self._api.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        """
        What `ANTHROPIC_BASE_URL` is set to; its port is known once the simulator is entered.
        """
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def requests(self) -> Iterator[RequestRecord]:
        """
        The remembered requests, the oldest first.
        """
        return iter(self._records)

    def statistics(self) -> Statistics:
        """
        Return the counts as they are now.
        """
        return self._records.statistics()

    async def wait_for(self, predicate: Predicate, timeout_s: float) -> RequestRecord:
        """
        Return the first remembered request that the predicate is true of, as soon as there is one.

        Raises:
            TimeoutError: after `timeout_s` seconds.
        """
        return await self._records.wait_for(predicate, timeout_s)


def _load(path: Path | None, *, crlf: bool) -> replay.Recording | None:
    return None if path is None else replay.load(path, crlf=crlf)


def _defaults(seed: int, ttft_s: float, tokens_per_s: float) -> Options:
    asked = {"seed": str(seed), "ttft_s": repr(ttft_s), "tokens_per_s": repr(tokens_per_s)}
    try:
        return options.read(Options(0.0, 0.0, 0), asked)
    except Refused as refused:
        raise BadRequest(f"The simulator cannot run so: {refused.refusal.message}.") from None

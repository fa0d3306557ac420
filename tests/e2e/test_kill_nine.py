"""
`kill -9` at random moments, on one store: what was acknowledged stays, unchanged, and every stream comes to an end.

Each life of the server: start it on what the one before left, follow what was followed before to its end, start a
hundred streams more, and kill it while they run. Some lives are killed while they are still starting or recovering.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Measured
from tests.e2e.processes import WarmServer
from tests.e2e.reading import Frame, frames, joined

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no process descriptors"),
]

SEED = int(os.environ.get("STREAMKEEP_TEST_SEED", str(time.time_ns() % 1_000_000)))
"""Where every random choice comes from; printed, so that a failure can be had again."""

KILLS = 50
"""Lives that are ended with SIGKILL."""

STREAMS = 100
"""Streams started in one life."""

STOPS = 5
"""Streams of one life that are told to stop."""

EARLY = 0.2
"""Share of the lives that are killed before or while they recover."""

LONGEST_LIFE_S = 0.9
"""Seconds after its first start at which a life is killed, at most."""

RECOVERY_S = 15.0
"""Seconds after which a stream whose server died must have its ending, once a server runs again."""

MAX_LEFT_BYTES = 48 * 1024 * 1024
"""What a killed server may leave in SQLite's write-ahead log: three checkpoints' worth, however many lives it takes."""

ENDINGS = {"stream.completed", "stream.failed", "stream.cancelled"}

PACES = ("ttft_s=0&tokens_per_s=0", "ttft_s=0.05&tokens_per_s=60", "ttft_s=0.2&tokens_per_s=20", "ttft_s=2")


class Follower:
    """A reader that keeps each frame that it has seen, over all lives."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.kept: list[Frame] = []
        self.stopped = False

    @property
    def ended(self) -> bool:
        """Tell whether the last frame is an ending."""
        return bool(self.kept) and self.kept[-1].name in ENDINGS

    async def follow(self, session: aiohttp.ClientSession) -> None:
        """Read on from the last cursor until the end, or until the server dies."""
        headers = {"last-event-id": self.kept[-1].id} if self.kept else {}
        rest = b""
        with suppress(aiohttp.ClientError, ConnectionError):
            async with session.get(f"/v1/streams/{self.id}/events", headers=headers) as response:
                assert response.status == 200, f"{self.id} {headers}: {response.status} {await response.text()}"
                async for piece in response.content.iter_any():
                    whole, mark, rest = (rest + piece).rpartition(b"\n\n")
                    self.kept += frames(whole + mark)
            assert self.ended, f"{self.id}: the body ended well-formed without an ending"


class History:
    """All that the readers of all lives have seen, and what is checked of it."""

    def __init__(self) -> None:
        self.followers: dict[str, Follower] = {}
        self.asked: set[str] = set()
        self.checked: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()

    def open(self) -> list[Follower]:
        """List the followers that have not seen an ending."""
        return [each for each in self.followers.values() if not each.ended]

    async def check(self, session: aiohttp.ClientSession, follower: Follower) -> None:
        """Hold what a reader has put together over several lives against the log as it stands now."""
        async with session.get(f"/v1/streams/{follower.id}/events") as response:
            log = frames(await response.read())
        assert joined(log) == joined(follower.kept), f"{follower.id}: the log is not what was read"
        numbers = [int(frame.id.partition(".")[2]) for frame in log]
        assert list(range(1, len(log) + 1)) == numbers
        assert [log[-1].name] == [frame.name for frame in log if frame.name in ENDINGS]
        self.checked["entries"] += len(log)
        self.checked["streams"] += 1
        self._count(log[-1], follower)

    def _count(self, ending: Frame, follower: Follower) -> None:
        code = json.loads(ending.data).get("error", {}).get("code", "")
        assert ending.name != "stream.failed" or code == "producer_lost", f"{follower.id}: {ending.data!r}"
        assert not follower.stopped or ending.name == "stream.cancelled", f"{follower.id}: the stop was lost"
        self.endings[f"{ending.name} {code}".strip()] += 1


class Nemesis:
    """Runs the lives."""

    def __init__(self, server: WarmServer, random: Random) -> None:
        self.history = History()
        self.kills = 0
        self.left_bytes = 0
        self.recovery_s: list[float] = []
        self._server = server
        self._random = random

    async def live(self) -> None:
        """Run one life, and kill it."""
        self._server.launch()
        if self._random.random() < EARLY:
            await asyncio.sleep(self._random.uniform(0, 0.25))
            self._kill()
            return
        await asyncio.to_thread(self._server.wait_until_ready)
        async with self._session() as session:
            await self._recover(session)
            following: list[asyncio.Task[None]] = []
            starting = asyncio.create_task(self._start_all(session, following))
            await asyncio.sleep(self._random.uniform(0.02, LONGEST_LIFE_S))
            self._kill()
            await starting
            await asyncio.gather(*following)

    async def last(self) -> None:
        """Run a life that is not killed, and look at everything again."""
        await asyncio.to_thread(self._server.start)
        async with self._session() as session:
            await self._recover(session)
            self.history.checked.clear()
            self.history.endings.clear()
            followers = list(self.history.followers.values())
            for first in range(0, len(followers), STREAMS):
                await asyncio.gather(
                    *[self.history.check(session, each) for each in followers[first : first + STREAMS]]
                )
            await self._expect_all_ended(session)

    def _kill(self) -> None:
        self._server.kill()
        self.kills += 1
        left = self._server.store.with_name("streams.db-wal")
        self.left_bytes = max(self.left_bytes, left.stat().st_size if left.exists() else 0)

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=RECOVERY_S)
        return aiohttp.ClientSession(self._server.url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0))

    async def _recover(self, session: aiohttp.ClientSession) -> None:
        """Follow to its end what was open when the last server died."""
        open_before = self.history.open()
        began = time.monotonic()
        async with asyncio.timeout(RECOVERY_S):
            await asyncio.gather(*[each.follow(session) for each in open_before])
        self.recovery_s.append(time.monotonic() - began)
        assert [] == self.history.open()
        await asyncio.gather(*[self.history.check(session, each) for each in open_before])

    async def _start_all(self, session: aiohttp.ClientSession, following: list[asyncio.Task[None]]) -> None:
        names = [f"life{self.kills}-{nth}" for nth in range(STREAMS)]
        self.history.asked.update(names)
        results = await asyncio.gather(*[self._start(session, name, following) for name in names])
        begun = [name for name in results if name]
        stopped = [self.history.followers[name] for name in self._random.sample(begun, min(STOPS, len(begun)))]
        following += [asyncio.create_task(self._stop(session, each)) for each in stopped]

    async def _start(
        self, session: aiohttp.ClientSession, name: str, following: list[asyncio.Task[None]]
    ) -> str | None:
        pace, count = self._random.choice(PACES), self._random.randint(1, 60)
        body = {"id": name, "model": f"simulated-1?{pace}", "prompt": f"count to {count}"}
        try:
            async with session.post("/v1/streams", json=body) as response:
                assert response.status == 201, await response.text()
        except (aiohttp.ClientError, ConnectionError):
            return None
        follower = self.history.followers[name] = Follower(name)
        following.append(asyncio.create_task(follower.follow(session)))
        return name

    async def _stop(self, session: aiohttp.ClientSession, follower: Follower) -> None:
        with suppress(aiohttp.ClientError, ConnectionError):
            async with session.post(f"/v1/streams/{follower.id}/cancel") as response:
                receipt: dict[str, Any] = await response.json()
            follower.stopped = receipt["state"] == "cancelled"

    async def _expect_all_ended(self, session: aiohttp.ClientSession) -> None:
        """Also a stream whose start was not acknowledged has an ending, if there is one at all."""
        listed: dict[str, str] = {}
        found: dict[str, Any] = {"has_more": True, "next": None}
        while found["has_more"]:
            page = {"page": found["next"]} if found["next"] else {}
            async with session.get("/v1/streams", params={"limit": "200", **page}) as response:
                found = await response.json()
            listed |= {each["id"]: each["state"] for each in found["data"]}
        missing = sorted(set(self.history.followers) - set(listed))
        assert not missing, f"{len(missing)} of {len(self.history.followers)} are not listed, such as {missing[:5]}"
        assert not set(listed) - self.history.asked
        assert set(listed.values()) <= {"completed", "failed", "cancelled"}


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[WarmServer]:
    with WarmServer(tmp_path, ("--provider", "simulated"), {}) as server:
        yield server


def test_nothing_acknowledged_is_lost(mortal: WarmServer, measured: Measured) -> None:
    """I1, I2, I3, I13: over fifty kills no entry that a reader saw is lost or changed, and each stream has one ending.

    Readers go on with their cursors in the next life; what they have put together is the log, byte for byte. A stream
    that was acknowledged exists; its ending is its own, or `failed(producer_lost)` with what it had.
    """
    measured(f"STREAMKEEP_TEST_SEED={SEED}")
    nemesis = Nemesis(mortal, Random(SEED))

    async def run() -> None:
        for _ in range(KILLS):
            await nemesis.live()
        await nemesis.last()

    began = time.monotonic()
    asyncio.run(run())
    mortal.kill()
    with sqlite3.connect(mortal.store) as log:
        intact = log.execute("PRAGMA integrity_check").fetchall()
    log.close()
    measured(
        f"{nemesis.kills} kills in {time.monotonic() - began:.0f} s; {nemesis.history.checked['streams']} streams, "
        f"{nemesis.history.checked['entries']} entries checked twice; endings {dict(nemesis.history.endings)}; "
        f"slowest recovery {max(nemesis.recovery_s):.2f} s; at most {nemesis.left_bytes >> 20} MiB left to checkpoint"
    )

    assert KILLS == nemesis.kills
    assert [("ok",)] == intact
    assert nemesis.left_bytes < MAX_LEFT_BYTES
    assert nemesis.history.endings["stream.failed producer_lost"] > 100
    assert "Traceback" not in mortal.log

"""
Check that a store keeps what `stores/base.py` promises.

Strategy
    One state machine (hypothesis) does to a store whatever writers, readers and time can do to it, does the same to
    a model made of plain lists (`store_model`), and compares the two after each step. Run it on a store of your own:

        @asynccontextmanager
        async def opened():
            store = MyStore(...)          # empty
            await store.open()
            yield store
            await store.close()

        def test_my_store_keeps_its_promises():
            check_store(opened)

    Time is an argument everywhere (`now`), so no step waits. A story that fails is shrunk to the shortest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

from hypothesis import HealthCheck
from hypothesis import settings as Settings  # noqa: N812  a class, which hypothesis spells in lower case
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, CANCELLED, COMPLETED, FAILED, Entry
from streamkeep.errors import StreamkeepError
from streamkeep.lifecycle import IllegalEntry, State
from streamkeep.stores.base import MAX_READ_BYTES, Append, Head, Lease, Record, Store
from streamkeep.testing.store_model import Attempt, ModelStream, StoreModel, attempt, outcome

Opened = Callable[[], AbstractAsyncContextManager[Store]]
"""Gives a store that is open and empty, and closes it."""

Crashed = Callable[[Store], AbstractAsyncContextManager[Store]]
"""Gives a second store, opened on what the first would leave behind if it were killed now."""

Reopened = Callable[[Store], Awaitable[Store]]
"""Closes the store and opens it again; gives the one to go on with."""

DEFAULT_SETTINGS = Settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
"""Some five seconds for a store on disk."""

T = TypeVar("T")

_IDS = st.sampled_from(["ada", "bea", "cyd", "dot"])
_KEYS = st.sampled_from([None, None, "key-1", "key-2"])
_FINGERPRINTS = st.sampled_from(["same", "same", "same", "other"])
_SIZES = st.sampled_from([2, 2, 2, 300, 9_000, 40_000, 70_000])
_KINDS = st.sampled_from(["next"] * 6 + ["end", "stop", "stale", "ahead", "repeat", "alter", "ownerless"])
_STATES = st.sampled_from([None, *(frozenset({state}) for state in State), frozenset(State)])
_LEASE_S = 30.0


def check_store(
    opened: Opened,
    *,
    crashed: Crashed | None = None,
    reopened: Reopened | None = None,
    settings: Settings = DEFAULT_SETTINGS,
) -> None:
    """
    Run the state machine.

    Args:
        opened: Called for each story.
        crashed: For a store that survives its process.
        reopened: The same.
        settings: How many stories, and how long.

    Raises:
        AssertionError: The store and the model differ; the story is printed.
    """

    class Machine(StoreMachine):
        """Bound to one kind of store."""

        def __init__(self) -> None:
            super().__init__(opened, crashed, reopened)

    run_state_machine_as_test(Machine, settings=settings)


async def attempted(call: Awaitable[T]) -> Attempt[T]:
    """Ask the store."""
    try:
        return Attempt(value=await call)
    except (StreamkeepError, IllegalEntry) as error:
        return Attempt(error=error)


async def compare(store: Store, model: StoreModel, ids: Iterable[str]) -> None:
    """
    Hold a store against the model.

    Raises:
        AssertionError: They differ.
    """
    for id in ids:
        expected = attempt(partial(model.find, id))
        head = await attempted(store.head(id))
        assert outcome(expected.error) == outcome(head.error)
        if expected.value is not None:
            assert expected.value.head() == head.value
            assert expected.value.entries == await read_all(store, id)


async def read_all(store: Store, id: str) -> list[Entry]:
    """Read a log page by page."""
    found: list[Entry] = []
    while page := await store.read(id, len(found)):
        found += page
    return found


def place_of(found: Sequence[Head]) -> tuple[float, str] | None:
    """Say where a page of the list ended."""
    return (found[-1].record.created_at, found[-1].id) if found else None


class StoreMachine(RuleBasedStateMachine):
    """
    The rules.

    Args:
        opened: See `check_store`.
        crashed: The same.
        reopened: The same.
    """

    def __init__(self, opened: Opened, crashed: Crashed | None, reopened: Reopened | None) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.context = opened()
        self.store = self.run(self.context.__aenter__())
        self.crashed = crashed
        self.reopened = reopened
        self.model = StoreModel()
        self.now = 1_000_000.0
        self.serial = 0
        self.touched: set[str] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run in this story's event loop."""
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        """Compare everything once more, and close."""
        try:
            self.run(compare(self.store, self.model, self.model.streams))
        finally:
            self.run(self.context.__aexit__(None, None, None))
            self.runner.close()

    @invariant()
    def store_and_model_agree(self) -> None:
        """I2, I3: what was touched in the step has just the entries it should have, and stands where it should."""
        self.run(compare(self.store, self.model, self.touched))
        self.touched.clear()

    @rule(id=_IDS, key=_KEYS, fingerprint=_FINGERPRINTS, ttl_s=st.sampled_from([0.0, 10.0, 3600.0]))
    def start(self, id: str, key: str | None, fingerprint: str, ttl_s: float) -> None:
        """Start a stream, or repeat a start (I15), or be too late for a stop that came early (I14)."""
        record, accepted, cancelled, epoch = self.offer(id, key, fingerprint, ttl_s)
        expected = attempt(lambda: self.model.create(record, accepted, cancelled, epoch, _LEASE_S))
        creating = self.store.create(record, accepted, epoch=epoch, cancelled=cancelled, lease_s=_LEASE_S)
        actual = self.run(attempted(creating))
        assert outcome(expected.error) == outcome(actual.error)
        if actual.value is not None:
            assert expected.value == actual.value.replayed
            stream = self.model.streams[actual.value.head.id]
            assert stream.head() == actual.value.head
            self.note(stream, actual.value.lease)

    @rule(id=_IDS, other=_IDS, key=_KEYS)
    def start_at_once(self, id: str, other: str, key: str | None) -> None:
        """Two starts at the same instant are the same as two in some order: one stream, one lease."""
        offers = [self.offer(id, key, "same", 10.0), self.offer(other, key, "same", 10.0)]

        async def both() -> list[Any]:
            starts = (
                self.store.create(record, accepted, epoch=epoch, cancelled=cancelled, lease_s=_LEASE_S)
                for record, accepted, cancelled, epoch in offers
            )
            return await asyncio.gather(*starts, return_exceptions=True)

        expected = [attempt(partial(self.model.create, *offer, _LEASE_S)) for offer in offers]
        actual = self.run(both())
        for wanted, got in zip(expected, actual, strict=True):
            assert outcome(wanted.error) == (outcome(got) if isinstance(got, BaseException) else "done")
            if not isinstance(got, BaseException):
                assert wanted.value == got.replayed
                self.note(self.model.streams[got.head.id], got.lease)

    @rule(steps=st.lists(st.tuples(_IDS, _KINDS, _SIZES, st.integers(1, 3)), min_size=1, max_size=6))
    def append(self, steps: list[tuple[str, str, int, int]]) -> None:
        """Submit appends without waiting in between; each is answered once, those of one stream in their order."""
        appends, expected = [], []
        for step in steps:
            each = self.compose(*step)
            appends.append(each)
            expected.append((each[0], outcome(attempt(partial(self.model.append, *each)).error)))
        answers = self.run(self.submit_all(appends))
        for id in {each[0] for each in appends}:
            assert [each for each in expected if each[0] == id] == [each for each in answers if each[0] == id]
        self.touched.update(each[0] for each in appends)

    @rule(id=_IDS)
    def break_the_grammar(self, id: str) -> None:
        """A mistake of the program is raised, and writes nothing."""
        stream = self.model.streams.get(id)
        if stream is None or stream.state is not State.OPEN:
            return
        again = [self.entry(stream.seq + 1, ACCEPTED)]
        skipping = [self.entry(stream.seq + 1, "ping"), self.entry(stream.seq + 3, "ping")]
        for entries in (again, skipping):
            append = self.store.append(id, entries, after=stream.seq, token=stream.token)
            assert isinstance(self.run(attempted(append)).error, IllegalEntry)
        self.touched.add(id)

    @rule(id=_IDS, back=st.integers(0, 8), max_bytes=st.sampled_from([1, 100, 50_000, MAX_READ_BYTES]))
    def read(self, id: str, back: int, max_bytes: int) -> None:
        """A page is the exact continuation, not empty before the end, no larger than asked unless it is one entry."""
        stream = self.model.streams.get(id)
        after = max(0, stream.seq + 1 - back) if stream else 0
        expected = attempt(lambda: self.model.find(id).entries[after:])
        actual = self.run(attempted(self.store.read(id, after, max_bytes=max_bytes)))
        assert outcome(expected.error) == outcome(actual.error)
        if expected.value is not None and actual.value is not None:
            page = actual.value
            assert expected.value[: len(page)] == page
            assert bool(expected.value) == bool(page)
            assert len(page) <= 1 or sum(len(entry.data) for entry in page) <= max_bytes

    @rule(states=_STATES, limit=st.integers(1, 3))
    def list_pages(self, states: frozenset[State] | None, limit: int) -> None:
        """Paging through the list gives every stream once, newest first."""
        found: list[Any] = []
        while page := self.run(self.store.list(states=states, before=place_of(found), limit=limit)):
            assert len(page) <= limit
            found += page
        assert self.model.list(states) == found

    @rule(id=_IDS)
    def acquire(self, id: str) -> None:
        """A lease that has not run out is respected; a new one has a greater token and an epoch of its own."""
        epoch = self.mint()
        expected = attempt(lambda: self.model.acquire(id, epoch, self.now, _LEASE_S))
        acquiring = self.store.acquire(id, epoch=epoch, now=self.now, lease_s=_LEASE_S)
        actual = self.run(attempted(acquiring))
        assert outcome(expected.error) == outcome(actual.error)
        if expected.value is not None and actual.value is not None:
            stream, lease = expected.value, actual.value
            assert (id, epoch, stream.seq) == (lease.id, lease.epoch, lease.after)
            assert stream.token < lease.token
            self.note(stream, lease)
        self.touched.add(id)

    @rule(ids=st.lists(_IDS, max_size=4), newest=st.booleans())
    def renew(self, ids: list[str], newest: bool) -> None:
        """Leases that were taken over, or whose stream is over, come back as lost."""
        streams = [self.model.streams[id] for id in dict.fromkeys(ids) if id in self.model.streams]
        leases = [stream.leases[-1 if newest else 0] for stream in streams]
        expected = self.model.renew(leases, self.now, _LEASE_S)
        assert expected == [*self.run(self.store.renew(leases, now=self.now, lease_s=_LEASE_S))]

    @rule(id=_IDS, newest=st.booleans())
    def release(self, id: str, newest: bool) -> None:
        """Giving a lease back frees it; giving back one that was lost changes nothing."""
        if id in self.model.streams:
            lease = self.model.streams[id].leases[-1 if newest else 0]
            self.model.release(lease)
            self.run(self.store.release(lease))

    @rule(id=_IDS)
    def stop_early(self, id: str) -> None:
        """A stop that overtakes its start is remembered for a while (I14)."""
        self.model.remember_cancel(id, self.now)
        self.run(self.store.remember_cancel(id, now=self.now))

    @rule(id=_IDS)
    def delete(self, id: str) -> None:
        """Only what has ended can be deleted; its id is free again."""
        expected = attempt(lambda: self.model.delete(id))
        assert outcome(expected.error) == outcome(self.run(attempted(self.store.delete(id))).error)
        self.touched.add(id)

    @rule(seconds=st.sampled_from([1.0, 31.0, 61.0, 3601.0, 2 * 86_400.0]))
    def pass_time(self, seconds: float) -> None:
        """What is over is forgotten and leaves a tombstone for a day; a live stream never is."""
        self.now += seconds
        assert self.model.expire(self.now) == self.run(self.store.expire(now=self.now))
        self.touched.update(self.model.graves)

    @precondition(lambda self: self.crashed is not None)
    @rule()
    def crash(self) -> None:
        """What was answered is there after the process was killed."""

        async def look() -> None:
            assert self.crashed is not None
            async with self.crashed(self.store) as survivor:
                await compare(survivor, self.model, self.model.streams)
                assert self.model.list(None) == await survivor.list(limit=100)

        self.run(look())

    @precondition(lambda self: self.reopened is not None)
    @rule()
    def reopen(self) -> None:
        """Closing and opening changes nothing, but that all leases may have gone."""

        async def again() -> Store:
            assert self.reopened is not None
            return await self.reopened(self.store)

        self.store = self.run(again())
        self.now += _LEASE_S
        self.touched.update(self.model.streams)

    def offer(self, id: str, key: str | None, fingerprint: str, ttl_s: float) -> tuple[Record, Entry, Entry, str]:
        """Make what `create` takes; no two streams are created at the same time, so that their order is known."""
        self.now += 0.001
        record = Record(
            id=id, created_at=self.now, provider="sim", model="m", fingerprint=fingerprint, idempotency_key=key,
            request=b'{"model":"m"}', metadata=b'{"a":1}', ttl_s=ttl_s,
        )  # fmt: skip
        self.touched.add(id)
        return record, self.entry(1, ACCEPTED), self.entry(2, CANCEL_REQUESTED), self.mint()

    def compose(self, id: str, kind: str, size: int, count: int) -> tuple[str, Sequence[Entry], int, int | None]:
        """Make an append of some kind, as the model stands now."""
        stream = self.model.streams.get(id) or self.nothing(id)
        seq, token, names = stream.seq, stream.token, ["content_block_delta"] * count
        after = seq + (kind == "ahead")
        if kind == "end":
            names[-1] = CANCELLED if stream.state is State.CANCELLING else (COMPLETED, FAILED)[size % 3 % 2]
        elif kind == "stop":
            return id, [self.entry(seq + 1, CANCEL_REQUESTED)], seq, None
        elif kind == "ownerless":
            return id, [self.entry(seq + 1, "ping")], seq, None
        elif kind == "stale":
            token -= 1
        elif kind in ("repeat", "alter") and stream.appends:
            after, entries = stream.appends[size % len(stream.appends)]
            if kind == "alter":
                entries = [*entries[:-1], Entry(entries[-1].seq, self.now, entries[-1].name, b"altered")]
            return id, entries, after, token
        entries = [self.entry(after + n, name, size) for n, name in enumerate(names, 1)]
        return id, entries, after, token

    def nothing(self, id: str) -> ModelStream:
        """Stand in for a stream that is not there."""
        record = Record(id=id, created_at=self.now, provider="sim", model="m", fingerprint="none")
        stream = ModelStream(record, "none")
        stream.leases.append(Lease(id=id, token=1, epoch="none", after=0))
        return stream

    def note(self, stream: ModelStream, lease: Lease | None) -> None:
        """Keep a lease that the store gave."""
        if lease is not None:
            stream.leases.append(lease)
            assert stream.seq == lease.after
            assert stream.epochs[-1][1] == lease.epoch

    def entry(self, seq: int, name: str, size: int = 2) -> Entry:
        """Make an entry unlike all others."""
        self.serial += 1
        return Entry(seq, self.now, name, b'{"n":%d}' % self.serial + b" " * size)

    def mint(self) -> str:
        """Give an epoch never given before."""
        self.serial += 1
        return f"e{self.serial}"

    async def submit_all(
        self, appends: Sequence[tuple[str, Sequence[Entry], int, int | None]]
    ) -> list[tuple[str, str]]:
        """Submit without waiting, then wait for all answers, in the order in which they come."""
        answers: list[tuple[str, str]] = []
        everything = asyncio.Event()

        def done(append: Append, error: StreamkeepError | None) -> None:
            answers.append((append.id, outcome(error)))
            if len(answers) == len(appends):
                everything.set()

        for id, entries, after, token in appends:
            self.store.submit(Append(id, entries, after=after, token=token, done=done))
        await everything.wait()
        return answers

"""Pieces of an answer, readers that come and go, a stop at any moment: what every reader has at the end."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from streamkeep import registry
from streamkeep.cursor import Cursor
from streamkeep.entry import TERMINALS
from streamkeep.message import fold
from streamkeep.relay.subscription import Subscription
from streamkeep.testing.manual_clock import ManualClock, VirtualLoop
from streamkeep.wire.base import Options
from tests.relay.scripted import MESSAGE_START, Script, ScriptedUpstream, Stage, Wait, sse, staged
from tests.relay.stubborn_store import StubbornStore

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VIEWS = [
    (registry.wire(name), Options(hide_thinking=hide)) for name in ("native", "anthropic") for hide in (False, True)
]


def answer(size: int) -> bytes:
    """Write a thinking block and a text block, with `size` bytes of padding in each piece."""
    pad = "." * size
    thinking = [{"type": "thinking_delta", "thinking": letter + pad} for letter in LETTERS[:5]]
    text = [{"type": "text_delta", "text": letter + pad} for letter in LETTERS]
    return b"".join(
        [
            MESSAGE_START,
            sse("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
            *[sse("content_block_delta", index=0, delta=each) for each in thinking],
            sse("content_block_stop", index=0),
            sse("content_block_start", index=1, content_block={"type": "text", "text": ""}),
            *[sse("content_block_delta", index=1, delta=each) for each in text],
            sse("content_block_stop", index=1),
            sse("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7}),
            sse("message_stop"),
        ]
    )


class Crowd:
    """Readers of one stream, and what each has got."""

    def __init__(self, stage: Stage, id: str) -> None:
        self._stage = stage
        self._id = id
        self.got: list[tuple[int, int, list[bytes]]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._seqs: list[int] = []

    def join(self, view: int, seq: int, place: int | None = None) -> None:
        """Begin to read behind `seq`; in the place of a reader that left, its bytes go on."""
        if place is None:
            place = len(self.got)
            self.got.append((view, seq, []))
            self._seqs.append(seq)
            self.tasks.append(asyncio.create_task(self._follow(place)))
        else:
            self.tasks[place] = asyncio.create_task(self._follow(place))

    async def come_back(self, place: int) -> None:
        """Drop a reader and let it go on from its cursor."""
        if place < len(self.tasks) and not self.tasks[place].done():
            self.tasks[place].cancel()
            await asyncio.wait([self.tasks[place]])
            self.join(0, 0, place)

    async def _follow(self, place: int) -> None:
        view, _, got = self.got[place]
        async with self._stage.relay.watch(self._id) as tail:
            cursor = Cursor("", self._seqs[place])
            reader = Subscription(tail, self._stage.relay.store, *VIEWS[view], cursor=cursor)
            while (chunk := await reader.read()) is not None:
                got.append(chunk)
                self._seqs[place] = reader.seq


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 9)),
        st.tuples(st.just("join"), st.integers(0, 40)),
        st.tuples(st.just("drop"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["hold", "commit", "release"]), st.integers(1, 3)),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(
    actions=ACTIONS,
    cut=st.integers(50, 5000),
    size=st.sampled_from([0, 500, 20_000]),
    stop_at=st.one_of(st.none(), st.integers(0, 30)),
    view=st.integers(0, len(VIEWS) - 1),
)
def test_every_reader_ends_with_the_logs_own_frames(
    actions: list[tuple[str, int]], cut: int, size: int, stop_at: int | None, view: int
) -> None:
    """I2, I3, I4, I5, I14: in any order of pieces, commits, joins, drops and a stop, nobody misses or repeats any."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play_out(actions, cut * (1 + size // 100), size, stop_at, view))


async def play_out(actions: list[tuple[str, int]], cut: int, size: int, stop_at: int | None, view: int) -> None:
    whole = answer(size)
    steps = [step for at in range(0, len(whole), cut) for step in (Wait(0.3), whole[at : at + cut])]
    store = StubbornStore()
    stage = staged(ManualClock(), ScriptedUpstream(Script(steps)), store=store)
    stopping: list[asyncio.Task[object]] = []
    async with stage.relay:
        stream = await stage.start(id="s")
        crowd = Crowd(stage, stream.id)
        crowd.join(view, 0)
        for number, (what, count) in enumerate(actions):
            if number == stop_at:
                stopping.append(asyncio.create_task(stream.cancel()))
            if what == "pass":
                await stage.clock.advance(count * 0.2)
            elif what == "join":
                crowd.join((view + count) % len(VIEWS), max(0, (await stream.refresh()).seq - count))
            elif what == "drop":
                await crowd.come_back(count)
            elif what == "hold":
                store.holding = True
            elif what == "commit":
                store.commit(count)
            else:
                store.let_go()
        store.let_go()
        await asyncio.gather(*crowd.tasks, *stopping)
        log = await stage.log(stream)

    names = [entry.name for entry in log]
    assert ([names[-1]], list(range(1, len(log) + 1))) == (
        [name for name in names if name in TERMINALS],
        [entry.seq for entry in log],
    )
    assert "".join(letter + "." * size for letter in LETTERS).startswith(fold(log).text())
    for shown, first, got in crowd.got:
        wire, options = VIEWS[shown]
        encoder = wire.encoder(options)
        frames = [encoder.encode(entry, log_epoch(stream.head.epochs)) for entry in log]
        assert b"".join(frames[first:]) == b"".join(got)


def log_epoch(epochs: tuple[tuple[int, str], ...]) -> str:
    """Give the one epoch of a log that had one writer."""
    return epochs[0][1]

"""Readers of one log: they leave, come back, join late, stall and go; each gets everything once (I4, I5, I6, I13)."""

import json
import os
import time
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import Measured
from tests.e2e.processes import ServerProcess
from tests.e2e.reading import Body, Frame, events, frames, in_threads, joined, read, reading

pytestmark = pytest.mark.e2e

SEED = int(os.environ.get("STREAMKEEP_TEST_SEED", "20261120"))
"""Where every random choice of this file comes from."""

DROPS = 1_000
"""Times that a reader drops its connection."""

BITE = 400
"""Bytes that it reads before it drops, at most: some three events, so that most drops fall inside one."""

BIG_BITE = 4_000
"""The same for one try in ten: an ending is longer than a small bite, and must be swallowed in one."""

AT_ONCE = "simulated-1?ttft_s=0&tokens_per_s=0"
SLOW = "simulated-1?ttft_s=0.1&tokens_per_s=50"


class Dropper:
    """A reader that drops its connection at random bytes and comes back with the last cursor that it has whole."""

    def __init__(self, server: ServerProcess, id: str, random: Random, query: str = "") -> None:
        self.kept: list[Frame] = []
        self.dropped_at: list[float] = []
        self._server = server
        self._path = events(id, query)
        self._random = random

    def read_to_end(self) -> None:
        """Read until the server says 204."""
        while self._bite():
            self.dropped_at.append(time.monotonic())

    def _bite(self) -> bool:
        after = self.kept[-1].id if self.kept else None
        with reading(self._server.url, self._path, after=after) as open_reading:
            left = self._random.randint(0, BIG_BITE if self._random.random() < 0.1 else BITE)
            while left and (piece := open_reading.more(left)):
                left -= len(piece)
            self.kept += [frame for frame in frames(open_reading.raw) if frame.id]
            return open_reading.status != 204


# ---------------------------------------------------------------------------------------------------------------------
# Coming back


def test_a_thousand_drops_lose_and_double_nothing(server: ServerProcess, measured: Measured) -> None:
    """I4, I5: who drops a thousand times at random bytes, live or later, has the bytes of one who never did."""
    live = server.begin("simulated-1?ttft_s=0.1&tokens_per_s=300", "count to 500")
    random = Random(SEED)
    droppers = [Dropper(server, live, Random(random.random())) for _ in range(2)]
    ended_at = 0.0

    def stay() -> Body:
        nonlocal ended_at
        body = read(server.url, events(live))
        ended_at = time.monotonic()
        return body

    steady, *_ = in_threads(stay, *[each.read_to_end for each in droppers])
    while sum(len(each.dropped_at) for each in droppers) < DROPS:
        droppers.append(Dropper(server, live, Random(random.random())))
        droppers[-1].read_to_end()

    moments = [at for each in droppers for at in each.dropped_at]
    measured(f"seed {SEED}: {len(moments)} drops, {sum(at < ended_at for at in moments)} of them while it was live")
    assert steady.clean
    for dropper in droppers:
        assert joined(steady.frames) == joined(dropper.kept)
    assert list(range(1, len(steady.frames) + 1)) == [int(frame.id.partition(".")[2]) for frame in steady.frames]
    assert "stream.completed" == steady.frames[-1].name


def test_every_suffix_is_exact(server: ServerProcess) -> None:
    """I5: from each cursor of a log, by header or by query, comes exactly the rest, byte for byte; 204 at its end."""
    id = server.begin(AT_ONCE, "count to 20")
    server.ended(id)
    whole = read(server.url, events(id)).frames

    for place, frame in enumerate(whole[:-1], 1):
        assert joined(whole[place:]) == joined(read(server.url, events(id), after=frame.id).frames)
    assert joined(whole[7:]) == joined(read(server.url, events(id, f"?after={whole[6].id}")).frames)
    assert joined(whole[7:]) == joined(read(server.url, events(id, "?after=7")).frames)


def test_the_end_answers_204(server: ServerProcess) -> None:
    """I12: an EventSource that has it all is told to stop with 204, however often and on every wire that resumes."""
    id = server.begin(AT_ONCE)
    cursor = server.ended(id)["cursor"]

    for query in ("", "?wire=anthropic", "?catchup=merged", "?thinking=hide", "?follow=0"):
        answer = server.call("GET", events(id, query), headers={"last-event-id": cursor})
        assert (204, b"") == (answer.status, answer.body)
        assert id == answer.headers["x-stream-id"]


def test_two_readers_of_one_wire_get_identical_bytes(server: ServerProcess) -> None:
    """I5: ten readers from the beginning get the same bytes, on each wire, live; comments of silence aside."""
    id = server.begin("simulated-1?ttft_s=0.3&tokens_per_s=200", "think, then count to 100")
    queries = ["", "?wire=anthropic", "?thinking=hide", "?wire=text", "?wire=anthropic&thinking=hide"]
    bodies = in_threads(
        *[lambda query=query: read(server.url, events(id, query)) for query in queries for _ in range(2)]
    )

    for first, second in zip(bodies[::2], bodies[1::2], strict=True):
        assert first.clean
        assert first.raw == second.raw
        assert len(first.raw) > 100


def test_readers_join_at_any_moment(server: ServerProcess) -> None:
    """I13: whoever joins before the first token, in the middle or around the end gets all of it, once."""
    random = Random(SEED)
    id = server.begin("simulated-1?ttft_s=0.4&tokens_per_s=100", "count to 60")
    began = time.monotonic()

    def join(at_s: float) -> Body:
        time.sleep(max(0.0, began + at_s - time.monotonic()))
        return read(server.url, events(id))

    moments = [0.0, 0.01, *[random.uniform(0, 1.9) for _ in range(28)]]
    bodies = in_threads(*[lambda at=at: join(at) for at in moments])

    assert {joined(bodies[0].frames)} == {joined(body.frames) for body in bodies}
    assert all(body.clean for body in bodies)
    assert "stream.completed" == bodies[0].frames[-1].name


def test_a_reload_before_the_first_token_attaches(server: ServerProcess) -> None:
    """I13: a stream that has shown nothing yet is there: its first entry comes at once, the rest when it comes."""
    id = server.begin("simulated-1?ttft_s=0.6&tokens_per_s=0", "count to 5")
    with reading(server.url, events(id)) as first:
        begun = first.until_frame(2)
    rest = read(server.url, events(id), after=begun[-1].id)

    assert ["stream.accepted", "stream.attempt"] == [frame.name for frame in begun]
    assert begun[-1].id not in [frame.id for frame in rest.frames]
    assert joined(read(server.url, events(id)).frames) == joined(begun) + joined(rest.frames)


# ---------------------------------------------------------------------------------------------------------------------
# What a reader may ask for


@pytest.fixture(scope="module")
def finished(server: ServerProcess) -> str:
    """Give a finished stream with thinking, text and a tool's input."""
    id = server.begin(AT_ONCE, "think, use a tool, and count to 30", max_tokens=4000)
    assert server.ended(id)["state"] == "completed"
    return id


def folded(found: list[Frame]) -> list[dict[str, Any]]:
    """Fold block events by hand: type, and all that its deltas add."""
    blocks: list[dict[str, Any]] = []
    for frame in found:
        data = json.loads(frame.data)
        if frame.name == "content_block_start":
            blocks.append({"type": data["content_block"]["type"]})
        if frame.name == "content_block_delta":
            for member, piece in data["delta"].items():
                if member != "type":
                    blocks[-1][member] = blocks[-1].get(member, "" if isinstance(piece, str) else 0) + piece
    return blocks


def test_merged_catchup_is_the_same_message(server: ServerProcess, finished: str) -> None:
    """I5: runs of deltas come joined: fewer frames, the same blocks, the same cursors to go on from."""
    exact = read(server.url, events(finished)).frames
    merged = read(server.url, events(finished, "?catchup=merged")).frames

    assert folded(exact) == folded(merged)
    assert len(merged) < len(exact) / 3
    assert {frame.id for frame in merged} <= {frame.id for frame in exact}
    for frame in merged[:-1]:
        rest = read(server.url, events(finished), after=frame.id).frames
        place = [each.id for each in exact].index(frame.id)
        assert joined(exact[place + 1 :]) == joined(rest)


def test_merged_catchup_goes_on_live(server: ServerProcess) -> None:
    """I5: a late reader gets what was there in few frames, and then each event as it comes."""
    id = server.begin("simulated-1?ttft_s=0&tokens_per_s=100", "count to 80")
    with reading(server.url, events(id)) as early:
        early.until_frame(60)
        late = read(server.url, events(id, "?catchup=merged"))
        exact = early.until_end()

    assert folded(exact.frames) == folded(late.frames)
    assert exact.frames[-1] == late.frames[-1]
    assert 20 < len(late.frames) < len(exact.frames) - 20


def test_thinking_can_be_hidden(server: ServerProcess, finished: str) -> None:
    """I5: without thinking there is no thinking block, all else is there, and a resume is still an exact suffix."""
    shown = read(server.url, events(finished)).frames
    hidden = read(server.url, events(finished, "?thinking=hide")).frames

    assert "thinking" in [block["type"] for block in folded(shown)]
    assert [block for block in folded(shown) if block["type"] != "thinking"] == folded(hidden)
    assert b"thinking_delta" not in joined(hidden)
    for place, frame in enumerate(hidden[:-1], 1):
        rest = read(server.url, events(finished, "?thinking=hide"), after=frame.id)
        assert joined(hidden[place:]) == joined(rest.frames)


def test_hidden_thinking_leaves_no_gap_for_an_sdk(server: ServerProcess, finished: str) -> None:
    """I5: on the Messages API's wire the blocks that remain are numbered 0, 1, 2 …, also after a resume."""
    path = events(finished, "?wire=anthropic&thinking=hide")
    whole = read(server.url, path).frames
    starts = [json.loads(frame.data)["index"] for frame in whole if frame.name == "content_block_start"]

    assert list(range(len(starts))) == starts
    for place in range(0, len(whole) - 1, 7):
        rest = read(server.url, path, after=whole[place].id).frames
        assert joined(whole[place + 1 :]) == joined(rest)


def test_the_text_wire_is_the_text(server: ServerProcess) -> None:
    """I12: bare text, clean at the end of a whole answer; that of a broken answer is cut, because it cannot say so."""
    whole = server.begin(AT_ONCE, "echo: Grüße, 世界 👩‍👩‍👧!")
    server.ended(whole)
    broken = server.begin("simulated-1?ttft_s=0&tokens_per_s=0&refuse=truncate-after:12", "count to 30")
    server.ended(broken)
    text, partial = (read(server.url, events(id, "?wire=text")) for id in (whole, broken))

    assert ("Grüße, 世界 👩‍👩‍👧!", True) == (text.raw.decode(), text.clean)
    assert partial.raw.startswith(b"1, 2")
    assert not partial.clean


def test_the_anthropic_wire_is_what_the_upstream_said(server: ServerProcess, finished: str) -> None:
    """I8: frames carry the log's bytes; none of the relay's own entries appear."""
    native = read(server.url, events(finished)).frames
    vendor = read(server.url, events(finished, "?wire=anthropic")).frames

    of_provider = [(frame.id, frame.name, frame.data) for frame in native if not frame.name.startswith("stream.")]
    assert of_provider == [(frame.id, frame.name, frame.data) for frame in vendor]


def test_without_following_it_ends_where_the_log_ends(server: ServerProcess) -> None:
    """`follow=0` gives what is there now and ends well-formed; the rest is an exact suffix of it."""
    id = server.begin("simulated-1?ttft_s=0.2&tokens_per_s=100", "count to 50")
    parts: list[Frame] = []
    while not parts or parts[-1].name != "stream.completed":
        after = parts[-1].id if parts else None
        body = read(server.url, events(id, "?follow=0"), after=after)
        assert body.clean
        parts += body.frames
        time.sleep(0.05)

    assert joined(read(server.url, events(id)).frames) == joined(parts)


@pytest.mark.parametrize("make", ["zzzzzz.{seq}", "{epoch}.{beyond}", "{beyond}"], ids=["foreign", "ahead", "bare"])
def test_a_cursor_of_another_history_is_refused(server: ServerProcess, finished: str, make: str) -> None:
    """I7: a foreign cursor or one ahead of the log is 409 with the place where the log stands, by header and query."""
    head = server.show(finished)["cursor"]
    epoch, seq = head.split(".")
    cursor = make.format(epoch=epoch, seq=3, beyond=int(seq) + 1)
    by_header = server.call("GET", events(finished), headers={"last-event-id": cursor})
    by_query = server.call("GET", events(finished, f"?after={quote(cursor)}"))

    for answer in (by_header, by_query):
        code = "cursor_foreign" if make.startswith("zz") else "cursor_ahead"
        assert (409, code) == (answer.status, answer.code)
        assert head == answer.json["error"]["cursor"]

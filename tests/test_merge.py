"""Joining runs of deltas: our vectors, and that nobody can tell from the message whether it was done."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep import merge
from streamkeep.entry import Entry
from streamkeep.errors import UpstreamBroken
from streamkeep.merge import Merger, merged
from streamkeep.message import fold
from tests.recordings import ROOT, Recording, anthropic_recordings

VECTORS = [
    pytest.param(vector, id=f"{path.stem}:{vector['name']}")
    for path in sorted((ROOT / "spec" / "vectors" / "merge").glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
]

MEMBERS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def entries(events: list[dict[str, Any]]) -> list[Entry]:
    """Make entries of a vector's."""
    return [Entry(each["seq"], each["at"], each["name"], each["data"].encode()) for each in events]


def change(place: int, kind: str, text: str, **members: Any) -> tuple[str, bytes]:
    """Give the name and the data of one delta, padded as the Messages API pads."""
    data = {"index": place, "delta": {"type": kind, MEMBERS[kind]: text, **members}}
    return "content_block_delta", json.dumps({"type": "content_block_delta", **data}).encode()[:-1] + b"   }"


def numbered(events: list[tuple[str, bytes]]) -> list[Entry]:
    """Number events from 1."""
    return [Entry(seq, seq / 8, name, data) for seq, (name, data) in enumerate(events, 1)]


def told(log: list[Entry]) -> Any:
    """Give all that a fold knows of a log, or that it refused it."""
    try:
        folded = fold(log)
    except UpstreamBroken as error:
        return error.code
    return folded.message(), folded.usage(), folded.digest(), folded.stop_reason, folded.complete, folded.unknown


@pytest.mark.parametrize("vector", VECTORS)
def test_joins_as_the_vector_says(vector: dict[str, Any]) -> None:
    """Entries come out as stated, byte for byte."""
    assert entries(vector["merged"]) == merged(entries(vector["entries"]))


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_a_recorded_answer_stays_the_same(recording: Recording) -> None:
    """The merged log of a real answer tells the same message, with at most one entry for each run."""
    log = numbered([(json.loads(payload)["type"], payload) for payload in recording.payloads()])
    short = merged(log)
    assert told(log) == told(short)
    assert short == merged(short)
    assert log[-1] == short[-1]
    assert not any(map(same_run, short, short[1:]))


def same_run(left: Entry, right: Entry) -> bool:
    """Tell whether two entries could still be joined."""
    if {left.name, right.name} != {"content_block_delta"}:
        return False
    one, other = left.json(), right.json()
    kind = one["delta"]["type"]
    return (one["index"], kind) == (other["index"], other["delta"]["type"]) and kind in MEMBERS


def test_a_run_is_cut_at_its_bound() -> None:
    """A merged delta holds at most `MAX_MERGED_BYTES` of UTF-8; the next begins another (I10)."""
    half = "é" * (merge.MAX_MERGED_BYTES // 4)
    log = numbered([change(0, "text_delta", text) for text in (half, half, "", "x", "y")])
    short = merged(log)
    assert [(3, half * 2), (5, "xy")] == [(each.seq, each.json()["delta"]["text"]) for each in short]
    assert short == merged(short)


def test_one_delta_above_the_bound_stays_alone() -> None:
    """A delta that is longer than the bound passes as it came."""
    huge = "x" * (merge.MAX_MERGED_BYTES + 1)
    log = numbered([change(0, "text_delta", text) for text in ("a", huge, "b")])
    assert log == merged(log)


def test_the_last_run_stays_open_until_it_is_flushed() -> None:
    """What may still grow is kept back; flushing twice gives nothing more."""
    log = numbered([change(0, "text_delta", "a"), ("content_block_stop", b'{"index":0}'), change(1, "text_delta", "b")])
    merger = Merger()
    assert [log[:2], [log[2]], []] == [merger.feed(log), merger.flush(), merger.flush()]


@pytest.mark.parametrize("seq", [2, 3, 4])
def test_deep_nesting_passes(seq: int) -> None:
    """A delta too deep to decode ends the run and passes unchanged."""
    deep = b'{"index":0,"delta":{"x":%s,"type":"text_delta","text":""}}' % (b"[" * 100_000)
    log = numbered([change(0, "text_delta", "a")] * 5)
    log[seq - 1] = Entry(seq, 0.0, "content_block_delta", deep)
    assert log[seq - 1] in merged(log)


BLOCKS = [("text", "text_delta"), ("thinking", "thinking_delta"), ("tool_use", "input_json_delta")]

START = ("message_start", b'{"message":{"content":[],"usage":{}}}')

OPENINGS = [
    ("content_block_start", msgspec.json.encode({"index": place, "content_block": {"type": kind}}))
    for place, (kind, _) in enumerate(BLOCKS)
]

RUNS = st.lists(
    st.builds(change, st.integers(0, 3), st.sampled_from(list(MEMBERS)), st.text(max_size=5))
    | st.builds(change, st.just(0), st.just("text_delta"), st.text(max_size=5))
    | st.builds(change, st.just(1), st.just("thinking_delta"), st.text(max_size=5), estimated_tokens=st.integers(0, 9))
    | st.sampled_from(
        [
            ("content_block_stop", b'{"index":0}'),
            ("content_block_delta", b'{"index":1,"delta":{"type":"signature_delta","signature":"s"}}'),
            ("content_block_delta", b'{"index":0,"delta":{"type":"citations_delta","citation":{}}}'),
            ("content_block_delta", b'{"index":0,"delta":{"type":"text_delta","text":"x"},"upstream":{}}'),
            ("content_block_delta", b'{"index":0,"delta":{"type":"text_delta"}}'),
            ("content_block_start", b'{"index":3,"content_block":{"type":"hologram"}}'),
            ("message_delta", b'{"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}'),
            ("message_stop", b"{}"),
            ("stream.seam", b'{"rewind_to":2}'),
            START,
        ]
    ),
    max_size=40,
).map(lambda events: numbered([START, *OPENINGS, *events]))


@given(RUNS)
def test_merging_is_invisible_in_the_message(log: list[Entry]) -> None:
    """Folding the merged log gives the same message, usage and digest; a broken log stays broken."""
    assert told(log) == told(merged(log))


@given(RUNS)
def test_merging_again_changes_nothing(log: list[Entry]) -> None:
    """A merged log has no more runs to join."""
    assert merged(log) == merged(merged(log))


@given(RUNS)
def test_cursors_keep_their_meaning(log: list[Entry]) -> None:
    """Entries keep place and time of the last of their run: after each, exactly the log up to its `seq` was told."""
    short = merged(log)
    assert [(log[each.seq - 1].at, log[each.seq - 1].name) for each in short] == [(e.at, e.name) for e in short]
    for count in range(len(short) + 1):
        seq = short[count - 1].seq if count else 0
        assert told(log[:seq]) == told(short[:count])


@given(RUNS, st.integers(0, 50))
def test_feeding_in_parts_changes_nothing(log: list[Entry], cut: int) -> None:
    """However a log is handed over, the same entries come out (I8)."""
    merger = Merger()
    assert merged(log) == [*merger.feed(log[:cut]), *merger.feed(log[cut:]), *merger.flush()]


@given(st.sampled_from(["content_block_delta", "ping"]), st.binary(max_size=60))
def test_any_bytes_pass(name: str, data: bytes) -> None:
    """What is no delta that can be joined comes out as it went in."""
    log = numbered([(name, data)])
    assert log == merged(log)

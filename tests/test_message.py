"""Folding a log: our vectors, the official SDK as the judge, and what holds for every log however broken."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep import message
from streamkeep.block import DELTA_TYPES
from streamkeep.entry import ATTEMPT, SEAM, Entry
from streamkeep.errors import UpstreamBroken
from streamkeep.message import MessageFold, fold
from tests.recordings import ROOT, Recording, anthropic_recordings

FOLDER = ROOT / "spec" / "vectors" / "message"

VECTORS = {
    f"{path.stem}:{vector['name']}": vector
    for path in sorted(FOLDER.glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
}

WELL_FORMED = [pytest.param(each, id=name) for name, each in VECTORS.items() if "code" not in each["expected"]]

MALFORMED = [pytest.param(each, id=name) for name, each in VECTORS.items() if "code" in each["expected"]]

JUDGED = [pytest.param(each, id=name) for name, each in VECTORS.items() if each.get("official_sdk_agrees")]

RAW_EVENTS = frozenset(
    {"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"}
)
"""Events of the SDK's stream that stand for one event of the wire; it adds others of its own between them."""

START = Entry(1, 0.0, "message_start", b'{"message":{"model":"m","content":[],"usage":{"output_tokens":1}}}')

TEXT = Entry(2, 0.0, "content_block_start", b'{"index":0,"content_block":{"type":"text","text":""}}')


def log(events: Iterable[dict[str, str]]) -> list[Entry]:
    """Number the events of a vector."""
    return [Entry(seq, 0.0, each["name"], each["data"].encode()) for seq, each in enumerate(events, 1)]


def recorded_log(recording: Recording) -> list[Entry]:
    """Number the payloads of a recording."""
    return log({"name": json.loads(payload)["type"], "data": payload.decode()} for payload in recording.payloads())


def delta(text: str, seq: int = 3) -> Entry:
    """Write `text` into block 0."""
    data = {"index": 0, "delta": {"type": "text_delta", "text": text}}
    return Entry(seq, 0.0, "content_block_delta", msgspec.json.encode(data))


def official_snapshots(body: bytes) -> list[Any]:
    """Give what the official SDK holds after each event of a body; pings count as none."""
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    transport = httpx2.MockTransport(lambda request: reply)
    with (
        anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport), max_retries=0) as client,
        client.beta.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        return [
            comparable(stream.current_message_snapshot.to_dict(mode="json"))
            for event in stream
            if event.type in RAW_EVENTS | {"message_stop"}
        ]


def comparable(value: Any) -> Any:
    """
    Leave out members that are null: the SDK adds members with that default, and says null for absent.

    Nothing else is left out or changed on either side: `to_dict` gives only what was set, and JSON types.
    """
    if isinstance(value, dict):
        return {name: comparable(each) for name, each in value.items() if each is not None}
    return [comparable(each) for each in value] if isinstance(value, list) else value


def our_snapshots(entries: list[Entry]) -> list[Any]:
    """Give what the fold holds after each event that the SDK accumulates."""
    folded, snapshots = MessageFold(), []
    for entry in entries:
        folded.add(entry)
        if entry.name in RAW_EVENTS | {"message_stop"}:
            snapshots.append(comparable(folded.message()))
    return snapshots


def state(folded: MessageFold) -> dict[str, Any]:
    """Give everything that can be asked of a fold."""
    return {
        "message": folded.message(),
        "usage": folded.usage(),
        "stop_reason": folded.stop_reason,
        "text": folded.text(),
        "complete": folded.complete,
        "attempts": folded.attempts,
        "unknown": folded.unknown,
        "digest": folded.digest(),
    }


def malformed(folded: MessageFold, entry: Entry) -> UpstreamBroken:
    """Give the error that an entry causes."""
    with pytest.raises(UpstreamBroken) as caught:
        folded.add(entry)
    return caught.value


@pytest.mark.parametrize("vector", WELL_FORMED)
def test_folds_to_what_the_vector_says(vector: dict[str, Any]) -> None:
    """Message, usage, ending, counts and digest are those that the vector states."""
    assert vector["expected"] == state(fold(log(vector["entries"])))


@pytest.mark.parametrize("vector", MALFORMED)
def test_names_the_malformed_event(vector: dict[str, Any]) -> None:
    """An event that contradicts the API is one error with a code, its seq and its name; what came before stays."""
    *before, broken = log(vector["entries"])
    folded = fold(before)
    error = malformed(folded, broken)
    assert vector["expected"]["code"] == error.code
    assert f"Event {vector['expected']['seq']} ({vector['expected']['event']})" in error.message
    assert state(fold(before)) == state(folded)


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_agrees_with_the_official_sdk_after_each_event_of_a_recording(recording: Recording) -> None:
    """Fed with a real provider's body, the official SDK holds the same message as the fold, event by event."""
    assert official_snapshots(recording.sse_bytes()) == our_snapshots(recorded_log(recording))


@pytest.mark.parametrize("vector", JUDGED)
def test_agrees_with_the_official_sdk_on_our_vectors(vector: dict[str, Any]) -> None:
    """Where a vector says that the official SDK agrees, it does, event by event."""
    body = "".join(f"event: {each['name']}\ndata: {each['data']}\n\n" for each in vector["entries"])
    assert official_snapshots(body.encode()) == our_snapshots(log(vector["entries"]))


def test_a_message_is_the_callers_to_change() -> None:
    """A snapshot shares nothing with the fold or with another snapshot."""
    for vector in VECTORS.values():
        if "code" not in vector["expected"]:
            folded = fold(log(vector["entries"]))
            spoil(folded.message())
            spoil(folded.usage())
            assert vector["expected"] == state(folded)


def spoil(value: Any) -> None:
    """Empty every object and list."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        spoil(each)
    if isinstance(value, dict | list):
        value.clear()


def test_asking_in_between_changes_nothing() -> None:
    """Whoever looks at a message while it grows sees each state, and the end is the same."""
    folded = fold([START, TEXT])
    seen = []
    for seq, piece in enumerate(["a", "b", "c"], 3):
        folded.add(delta(piece, seq))
        seen.append((folded.text(), folded.digest()["blocks"][0]["bytes"]))
    assert [("a", 1), ("ab", 2), ("abc", 3)] == seen


def test_counts_attempts() -> None:
    """Each `stream.attempt` is one call upstream."""
    assert fold([Entry(1, 0.0, ATTEMPT, b"{}"), Entry(2, 0.0, ATTEMPT, b"{}")]).attempts == 2


def test_a_rewind_takes_the_stop_reason_back() -> None:
    """What `message_delta` and `message_stop` said is gone after a seam with `rewind_to` (law 3)."""
    ended = Entry(3, 0.0, "message_delta", b'{"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}')
    folded = fold([START, TEXT, ended, Entry(4, 0.0, "message_stop", b"{}")])
    before = (folded.stop_reason, folded.usage(), folded.complete)
    folded.add(Entry(5, 0.0, SEAM, b'{"rewind_to":1}'))
    assert ("end_turn", {"output_tokens": 9}, True) == before
    assert (None, {"output_tokens": 1}, False) == (folded.stop_reason, folded.usage(), folded.complete)


def test_a_stop_reason_may_stand_in_the_start() -> None:
    """Until `message_delta` comes, what `message_start` says holds."""
    start = Entry(1, 0.0, "message_start", b'{"message":{"stop_reason":"refusal"}}')
    assert fold([start]).stop_reason == "refusal"


def test_blocks_are_bounded() -> None:
    """A message has at most `MAX_BLOCKS` blocks, and the error says so (I10)."""
    blocks = [
        Entry(2 + place, 0.0, "content_block_start", b'{"index":%d,"content_block":{"type":"x"}}' % place)
        for place in range(message.MAX_BLOCKS)
    ]
    folded = fold([START, *blocks])
    too_many = Entry(20_000, 0.0, "content_block_start", b'{"index":0,"content_block":{"type":"x"}}')
    assert f"at most {message.MAX_BLOCKS} blocks" in malformed(folded, too_many).message
    assert message.MAX_BLOCKS == len(folded.digest()["blocks"])


def test_blocks_of_the_start_are_bounded() -> None:
    """Nor can `message_start` bring more than `MAX_BLOCKS` (I10)."""
    content = [{"type": "x"}] * (message.MAX_BLOCKS + 1)
    start = Entry(1, 0.0, "message_start", msgspec.json.encode({"message": {"content": content}}))
    assert f"at most {message.MAX_BLOCKS} blocks" in malformed(MessageFold(), start).message


@pytest.mark.parametrize("levels", [65, 100_000])
@pytest.mark.parametrize(
    "name, template",
    [
        ("message_start", '{"message":{"x":%s}}'),
        ("content_block_start", '{"index":0,"content_block":{"type":"x","x":%s}}'),
        ("content_block_delta", '{"index":0,"delta":{"type":"citations_delta","citation":{"x":%s}}}'),
        ("message_delta", '{"delta":{},"usage":{"x":%s}}'),
    ],
)
def test_nesting_is_bounded(name: str, template: str, levels: int) -> None:
    """JSON nested deeper than we or our readers can take is malformed, however deep it is (I10)."""
    before = [] if name == "message_start" else [START, TEXT]
    deep = template % ("[" * levels + "]" * levels)
    assert "upstream_malformed" == malformed(fold(before), Entry(3, 0.0, name, deep.encode())).code


def test_unknown_names_are_bounded() -> None:
    """At most `MAX_UNKNOWN` names of at most `MAX_UNKNOWN_NAME` characters are kept, each once (I10)."""
    folded = fold([START, TEXT])
    for number in [*range(100), 0]:
        data = {"index": 0, "delta": {"type": f"{number:03}" + "x" * 100}}
        folded.add(Entry(3, 0.0, "content_block_delta", msgspec.json.encode(data)))
    names = [f"{number:03}" + "x" * (message.MAX_UNKNOWN_NAME - 3) for number in range(message.MAX_UNKNOWN)]
    assert names == folded.unknown


def test_an_error_repeats_nothing_of_the_answer() -> None:
    """The text of the error holds no word that the model or the provider wrote."""
    data = b'{"index":"secret","delta":{"type":"text_delta","text":["secret"]}}'
    assert "secret" not in malformed(fold([START, TEXT]), Entry(3, 0.0, "content_block_delta", data)).message


@given(st.text(), st.lists(st.integers(min_value=0)))
def test_cuts_between_deltas_are_invisible(text: str, cuts: list[int]) -> None:
    """However a text is cut into deltas, the message and its digest are the same (I8)."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    pieces = [text[left:right] for left, right in itertools.pairwise(places)]
    in_pieces = fold([START, TEXT, *(delta(piece, seq) for seq, piece in enumerate(pieces, 3))])
    assert state(fold([START, TEXT, delta(text)])) == state(in_pieces)


BLOCK_TYPES = ["text", "thinking", "tool_use", "compaction", "fallback", "hologram"]

WORDS = st.sampled_from([*BLOCK_TYPES, *sorted(DELTA_TYPES), "end_turn", '{"a":[1', "nope", ""])

EVENT_MEMBERS = ["type", "index", "delta", "content_block", "message", "content", "usage", "stop_reason", "rewind_to"]

BLOCK_MEMBERS = ["text", "thinking", "partial_json", "citation", "citations", "signature", "input", "to", "model"]

MEMBERS = st.sampled_from([*EVENT_MEMBERS, *BLOCK_MEMBERS])

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=5),
    max_leaves=12,
)

NAMES = st.sampled_from([*message._STEPS, "ping", "error", "stream.accepted"])

PLAUSIBLE = st.sampled_from([entry for vector in VECTORS.values() for entry in log(vector["entries"])])


def encoded(value: Any) -> bytes:
    """Encode JSON with integers of any size."""
    return json.dumps(value).encode()


@given(st.lists(PLAUSIBLE | st.builds(Entry, st.just(1), st.just(0.0), NAMES, JSON.map(encoded))))
def test_no_log_breaks_the_fold(entries: list[Entry]) -> None:
    """Whatever a provider sends, an event is taken or refused by name, and the message stays one that JSON can hold."""
    folded = MessageFold()
    for seq, entry in enumerate(entries, 1):
        refusal = refused(folded, Entry(seq, 0.0, entry.name, entry.data))
        assert refusal is None or refusal.startswith(f"upstream_malformed: Event {seq} ({entry.name}) ")
    assert state(folded) == json.loads(json.dumps(state(folded), allow_nan=False))
    assert folded.usage() == msgspec.json.decode(msgspec.json.encode(folded.usage()))


@given(NAMES, st.binary(max_size=60))
def test_no_bytes_break_the_fold(name: str, data: bytes) -> None:
    """Bytes that are no JSON are refused by name, or not looked at."""
    folded = fold([START, TEXT])
    refusal = refused(folded, Entry(3, 0.0, name, data))
    assert refusal is None or refusal.startswith(f"upstream_malformed: Event 3 ({name}) ")
    assert fold([START, TEXT]).message() == folded.message()


def refused(folded: MessageFold, entry: Entry) -> str | None:
    """Add an entry and give the code and the text of the refusal, if it was refused."""
    try:
        folded.add(entry)
    except UpstreamBroken as error:
        return f"{error.code}: {error.message}"
    return None

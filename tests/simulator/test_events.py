"""The stream's bytes are in the manner of the Messages API."""

import json
import re
from random import Random
from typing import Any

import pytest

from streamkeep.simulator import request
from streamkeep.simulator.events import MAX_PADDING, PING, error, events
from streamkeep.simulator.script import script
from tests.simulator.asking import GET_TIDES, asked, body


def stream(prompt: str, **more: Any) -> bytes:
    answer = script(request.read(body(prompt, **more)), 0)
    return b"".join(event.frame for event in events(answer, Random(1)))


def payloads(raw: bytes) -> list[bytes]:
    return re.findall(rb"^data: (.*)$", raw, re.MULTILINE)


def kinds(raw: bytes) -> list[str]:
    return [json.loads(payload)["type"] for payload in payloads(raw)]


@pytest.mark.parametrize(
    "prompt", ["hello", "think", "use a tool", "cite", "refuse", "emoji, arabic", "echo:\u2028\u0085"]
)
def test_each_event_is_two_lines_and_a_blank_one(prompt: str) -> None:
    """The event's name is the payload's type; nothing else stands between."""
    for frame in stream(prompt).split(b"\n\n")[:-1]:
        first, second = frame.split(b"\n")
        assert first == b"event: " + json.loads(second.removeprefix(b"data: "))["type"].encode()


def test_padding_makes_the_bytes_differ_from_a_dump() -> None:
    """A reader that parses and writes again loses the wire's bytes."""
    found = payloads(stream("long"))
    dumps = [json.dumps(json.loads(each), ensure_ascii=False, separators=(",", ":")).encode() for each in found]
    padded = [each for each, dump in zip(found, dumps, strict=True) if each != dump and b"ping" not in each]

    assert len(found) * 0.8 < len(padded) < len(found)
    assert set(range(MAX_PADDING + 1)) == {len(each) - len(dump) for each, dump in zip(found, dumps, strict=True)}
    assert all(re.search(rb" +}$", each) for each in padded)


def test_a_stream_has_the_recorded_order() -> None:
    """Start, first block, ping, deltas, stop, message delta, message stop."""
    found = kinds(stream("echo: hi"))

    assert ["message_start", "content_block_start", "ping", "content_block_delta"] == found[:4]
    assert ["content_block_stop", "message_delta", "message_stop"] == found[-3:]


def test_pings_come_now_and_then() -> None:
    """One at the start, and some in a long stream, spaced as the recorded ones are."""
    raw = stream("long")

    assert 2 <= kinds(raw).count("ping") <= 12
    assert kinds(raw).count("ping") == raw.count(PING.frame)
    assert b'{"type": "ping"}' in PING.frame


def test_blocks_do_not_interleave() -> None:
    """Indexes rise by one, each block opened and closed once."""
    found = [json.loads(each) for each in payloads(stream("think, then use a tool"))]
    order = [(each["type"][14:], each["index"]) for each in found if "index" in each and "delta" not in each["type"]]

    assert [("start", 0), ("stop", 0), ("start", 1), ("stop", 1), ("start", 2), ("stop", 2)] == order


def test_an_answer_without_blocks_still_begins_and_ends() -> None:
    """Nothing is left to say when the partial answer was whole."""
    whole = "".join(block.whole["text"] for block in script(asked("echo: done"), 0).blocks)
    messages = [*body("echo: done")["messages"], {"role": "assistant", "content": whole}]

    assert ["message_start", "ping", "message_delta", "message_stop"] == kinds(stream("", messages=messages))


def test_a_tools_input_that_is_cut_leaves_its_block_open() -> None:
    """As recorded where `max_tokens` ends inside a tool's input."""
    found = kinds(stream("get_tides", tools=[GET_TIDES], max_tokens=14))

    assert ["content_block_delta", "message_delta", "message_stop"] == found[-3:]


def test_usage_is_cumulative() -> None:
    """The input's cost stands at both ends, the output's grows."""
    found = [json.loads(each) for each in payloads(stream("think"))]
    first, last = found[0]["message"]["usage"], found[-2]["usage"]

    assert first["input_tokens"] == last["input_tokens"]
    assert 1 == first["output_tokens"] < last["output_tokens_details"]["thinking_tokens"] < last["output_tokens"]
    assert {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0} == first["cache_creation"]


def test_the_same_randomness_gives_the_same_bytes() -> None:
    """I5: nothing else goes in."""
    assert stream("hello") == stream("hello")


def test_an_error_event_has_no_request_id() -> None:
    """The documented shape."""
    expected = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'

    assert expected == error("overloaded_error", "Overloaded").frame

"""The event-stream codec: the standard's vectors, our own, and the properties that hold for every body."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamkeep import sse
from streamkeep.errors import IllegalField, LineTooLong, MessageTooLong, SseError
from streamkeep.sse import Decoder, SseMessage, comment, encode, retry
from tests.recordings import RECORDINGS, ROOT, Recording, wpt_vectors

VECTORS = {
    f"{path.stem}:{vector['name']}": vector
    for path in sorted((ROOT / "spec" / "vectors" / "sse").glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
}

WHOLE = [pytest.param(vector, id=name) for name, vector in VECTORS.items() if "steps" not in vector]

STEPWISE = [pytest.param(vector, id=name) for name, vector in VECTORS.items() if "steps" in vector]

STANDARD = [pytest.param(vector, id=vector["id"]) for vector in wpt_vectors() if vector["kind"] == "parse"]


class Outcome:
    """What a decoder gave in the end, for comparison."""

    def __init__(self, decoder: Decoder, chunks: Iterable[bytes]) -> None:
        self.messages: list[SseMessage] = []
        self.error: str | None = None
        try:
            for chunk in [*chunks, b""]:
                self.messages += decoder.feed(chunk)
        except SseError as error:
            self.error = error.code
        self.retry = decoder.retry
        self.last_event_id = decoder.last_event_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Outcome({vars(self)})"


def read(*chunks: bytes, **limits: int) -> Outcome:
    """Feed a new decoder."""
    return Outcome(Decoder(**limits), chunks)


def every_split(body: bytes) -> Iterable[list[bytes]]:
    """Give the body whole, byte by byte, and cut in two at every place."""
    yield [body]
    yield [body[i : i + 1] for i in range(len(body))]
    yield from ([body[:cut], body[cut:]] for cut in range(1, min(len(body), 400)))


def text_or_base64(vector: dict[str, Any], member: str) -> bytes:
    """Read one of the two forms in which vectors hold bytes."""
    if member in vector:
        return str(vector[member]).encode()
    return base64.b64decode(vector[f"{member}_base64"])


def messages_of(rows: list[dict[str, str]]) -> list[SseMessage]:
    """Read the messages that a vector expects."""
    return [SseMessage(row["event"], row["data"].encode(), row["id"]) for row in rows]


def reference(body: bytes) -> tuple[list[SseMessage], int | None, str]:
    """Transcribe WHATWG 9.2.6 as it is written: over the decoded text, character by character where it says so."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    data_buffer, event_type, last_event_id_buffer, last_event_id = "", "", "", ""
    reconnection_time: int | None = None
    dispatched: list[SseMessage] = []
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    for line in lines:
        if line == "":
            last_event_id = last_event_id_buffer
            if data_buffer != "":
                data = data_buffer[:-1] if data_buffer[-1] == "\n" else data_buffer
                dispatched.append(SseMessage(event_type or "message", data.encode(), last_event_id))
            data_buffer, event_type = "", ""
            continue
        if line[0] == ":":
            continue
        field, value = line, ""
        if ":" in line:
            field, value = line.split(":", 1)
            value = value[1:] if value[:1] == " " else value
        if field == "event":
            event_type = value
        elif field == "data":
            data_buffer += value + "\n"
        elif field == "id" and "\0" not in value:
            last_event_id_buffer = value
        elif field == "retry" and value and all(character in "0123456789" for character in value):
            reconnection_time = min(int(value), sse.MAX_RETRY_MS)
    return dispatched, reconnection_time, last_event_id


FRAGMENTS = [b"data", b"event", b"id", b"retry", b": ", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"x", b"12"]
FRAGMENTS += [
    b"data: x\n\n",
    b"event: message_stop\n",
    b"id: a.1\n",
    b"\xef\xbb\xbf",
    "é€😀\u2028".encode(),
    b"\xe2\x82",
    b"\xff",
]

bodies = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=30).map(b"".join)
fields = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))


@st.composite
def splits(draw: st.DrawFn, body: st.SearchStrategy[bytes] = bodies) -> list[bytes]:
    """Draw a body cut at random places; pieces may be empty."""
    whole = draw(body)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@pytest.mark.parametrize("vector", STANDARD)
def test_the_standards_vectors_hold_however_they_are_cut(vector: dict[str, Any]) -> None:
    """I8: web-platform-tests' bodies dispatch the events that browsers dispatch, at every cut."""
    events = vector["expected_events"]
    expected = [SseMessage(each["type"], each["data"].encode(), each["lastEventId"]) for each in events]

    for chunks in every_split(base64.b64decode(vector["input_b64"])):
        got = read(*chunks)
        assert (expected, vector["last_event_id_after"], None) == (got.messages, got.last_event_id, got.error)
        assert vector["expected_reconnection_time_ms"] == got.retry


@pytest.mark.parametrize("vector", WHOLE)
def test_a_vector_gives_its_messages_however_it_is_cut(vector: dict[str, Any]) -> None:
    """I8: where the network splits the bytes is invisible, in what is given and in what is refused."""
    limits = {name: vector[name] for name in ("max_line", "max_message") if name in vector}

    for chunks in every_split(text_or_base64(vector, "input")):
        got = read(*chunks, **limits)
        assert (messages_of(vector["messages"]), vector.get("error")) == (got.messages, got.error)
        assert vector.get("retry", got.retry) == got.retry
        assert vector.get("last_event_id", got.last_event_id) == got.last_event_id


@pytest.mark.parametrize("vector", STEPWISE)
def test_a_message_is_returned_by_the_call_that_completes_it(vector: dict[str, Any]) -> None:
    """Law 2: not by a later call; each step of a vector says what that very call returns."""
    decoder = Decoder()

    for step in vector["steps"]:
        assert messages_of(step["messages"]) == decoder.feed(text_or_base64(step, "chunk"))


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_recorded_stream_gives_the_payloads_it_holds(recording: Recording) -> None:
    """I8: what providers really sent is read unchanged, whole and in small pieces."""
    body = recording.sse_bytes()
    expected = recording.payloads()
    if recording.form == "json-lines" and recording.api == "openai-chat":
        expected = [*expected, b"[DONE]"]

    assert expected == [message.data for message in read(body).messages]
    assert read(body) == read(*(body[start : start + 37] for start in range(0, len(body), 37)))


@given(splits())
@example([b"data: x\r", b"", b"\n\n"])
@example([b"\xef", b"\xbb\xbf", b"data: x\n\n"])
def test_the_decoder_agrees_with_the_standards_algorithm(chunks: list[bytes]) -> None:
    """I8: any chunking gives what a plain transcription of the standard gives for the whole."""
    got = read(*chunks)

    assert (*reference(b"".join(chunks)), None) == (got.messages, got.retry, got.last_event_id, got.error)


@pytest.mark.parametrize("body", [b"data: a\n\n", b"data: a\ndata: b\n\n", "data: é\ndata: b\n\n".encode()])
def test_data_is_bytes_whatever_it_was_put_together_from(body: bytes) -> None:
    """A log and a dict take it as it is: no view, no bytearray that could still change."""
    assert [bytes] == [type(message.data) for message in read(body).messages]


@given(splits(), st.integers(0, 12), st.integers(0, 8))
def test_limits_do_not_depend_on_chunking(chunks: list[bytes], max_line: int, max_message: int) -> None:
    """I8, I10: the same messages come before the same refusal."""
    limits = {"max_line": max_line, "max_message": max_message}

    assert read(b"".join(chunks), **limits) == read(*chunks, **limits)


@given(splits(), st.integers(0, 12), st.integers(0, 8))
def test_nothing_passes_a_limit(chunks: list[bytes], max_line: int, max_message: int) -> None:
    """I10: a refusal loses nothing that came before; without one, nothing was too long and nothing is missing."""
    longest = max(map(len, re.split(b"\r\n|\n|\r", b"".join(chunks))))
    free = read(*chunks)

    got = read(*chunks, max_line=max_line, max_message=max_message)

    assert free.messages[: len(got.messages)] == got.messages
    if got.error is None:
        assert free == got
        assert longest <= max_line
    elif got.error == "line_too_long":
        assert longest > max_line


@pytest.mark.parametrize(
    "body, limit, error",
    [(b"data: 12345", "max_line", LineTooLong), (b"data: 12345\n", "max_message", MessageTooLong)],
)
def test_a_spent_decoder_raises_the_same_error_at_every_call(body: bytes, limit: str, error: type[SseError]) -> None:
    """I10: the limit is in the text, complete messages come first, then each call raises the very same error."""
    decoder = Decoder(**{limit: 4 if limit == "max_message" else 8})

    assert [SseMessage("message", b"a", "")] == decoder.feed(b"data: a\n\n" + body)
    with pytest.raises(error, match=r"more than \d bytes") as first:
        decoder.feed(b"data: b\n\n")
    with pytest.raises(error) as second:
        decoder.feed(b"")
    assert first.value is second.value


@pytest.mark.parametrize("limit", ["max_line", "max_message"])
def test_a_violation_alone_is_raised_at_once(limit: str) -> None:
    """I10: a call with nothing to return does not wait for the next one to say why."""
    with pytest.raises(SseError, match="more than 5 bytes"):
        Decoder(**{limit: 5}).feed(b"data: 123456\n")


ONE_LINE = b"data: %b\n\n"


@pytest.mark.parametrize(
    "make, cut",
    [
        pytest.param(lambda size: ONE_LINE % (b"x" * size), 16, id="one-line-in-16-byte-chunks"),
        pytest.param(lambda size: b"data: x\n" * (size // 8) + b"\n", 4096, id="many-lines-in-one-message"),
        pytest.param(lambda size: b"\r\n" * (size // 2), 15, id="line-ends-in-15-byte-chunks"),
        pytest.param(lambda size: b": " + b"\xff" * size + b"\n", 16, id="one-comment-in-16-byte-chunks"),
    ],
)
def test_time_is_linear(make: Callable[[int], bytes], cut: int) -> None:
    """
    Law 3: eight times the bytes cost about eight times the CPU time, not sixty-four times.

    The sizes are such that copying what is pending at each chunk would take a second; CPU time of the thread and the
    best of three make other programs invisible.
    """

    def cost(size: int) -> float:
        body = make(size)
        chunks = [body[start : start + cut] for start in range(0, len(body), cut)]
        return min(cpu_seconds(chunks) for _ in range(3))

    assert cost(1 << 19) < 24 * cost(1 << 16)


def cpu_seconds(chunks: list[bytes]) -> float:
    """Measure one decoding."""
    feed = Decoder().feed
    start = time.thread_time()
    for chunk in chunks:
        feed(chunk)
    return time.thread_time() - start


def test_a_megabyte_in_16_byte_chunks_arrives_whole() -> None:
    """Law 3: the pieces of a long line are put together without loss."""
    data = bytes(range(32, 127)) * 11_038
    body = ONE_LINE % data

    got = read(*(body[start : start + 16] for start in range(0, len(body), 16)))

    assert [SseMessage("message", data, "")] == got.messages


@given(st.text(st.characters(exclude_categories=["Cs"])), st.none() | fields, st.none() | fields)
def test_what_is_encoded_is_read_again(text: str, event: str | None, ident: str | None) -> None:
    """I8: a message survives the wire; its line ends become LF, an empty type the default."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")

    got = read(encode(text.encode(), event=event, id=ident))

    assert [SseMessage(event or "message", lines.encode(), ident or "")] == got.messages


def test_the_order_of_fields_is_id_event_data() -> None:
    """The frame's bytes are fixed: readers of one wire get the same (I5)."""
    assert b"id: k3.1\nevent: x\ndata: a\ndata: \ndata: b\n\n" == encode(b"a\r\n\rb", event="x", id="k3.1")
    assert b"data: {}\n\n" == encode(b"{}")


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\n", "\ud800"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_a_field_that_would_break_the_frame_is_refused(field: str, text: str) -> None:
    """A name or id from outside cannot smuggle in a second message."""
    with pytest.raises(IllegalField, match=f"The {field} of a message"):
        encode(b"{}", **{field: text})


def test_unprintable_characters_that_break_nothing_are_sent() -> None:
    """Only CR, LF and NUL are special: a tab in a name is a tab."""
    assert b"event: a\tb\ndata: {}\n\n" == encode(b"{}", event="a\tb")


@given(st.text())
def test_a_comment_is_invisible(text: str) -> None:
    """Whatever stands in it, before, inside and after a message, it changes nothing."""
    line = comment(text)

    got = read(line + b"id: 1\ndata: a\n" + line + b"\n" + line + b"data: b\n\n" + line)

    assert [SseMessage("message", b"a", "1"), SseMessage("message", b"b", "1")] == got.messages


def test_a_comment_is_a_line_and_no_message() -> None:
    """A blank line after it makes some SDKs dispatch an empty message once an id was seen."""
    assert b": ping\n" == comment("ping")
    assert b": a\n: b\n: c\n" == comment("a\r\nb\rc")


@given(st.integers(0, sse.MAX_RETRY_MS))
def test_a_reconnection_time_is_read_again(ms: int) -> None:
    """Every time that may be sent arrives."""
    assert ms == read(retry(ms)).retry


@pytest.mark.parametrize("ms", [-1, sse.MAX_RETRY_MS + 1])
def test_a_reconnection_time_out_of_range_is_refused(ms: int) -> None:
    """I10: the range is in the text."""
    with pytest.raises(IllegalField, match=str(sse.MAX_RETRY_MS)):
        retry(ms)


def test_the_memory_for_event_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: a sender that invents names forever fills nothing, and is still read."""
    monkeypatch.setattr(sse, "_event_lines", {})
    long = "n" * sse.MAX_KNOWN_EVENT_BYTES
    names = [long, *(f"name-{number}" for number in range(sse.MAX_KNOWN_EVENTS + 10))]

    got = read(*(encode(b"{}", event=name) for name in names * 2))

    assert names * 2 == [message.event for message in got.messages]
    assert sse.MAX_KNOWN_EVENTS == len(sse._event_lines)
    assert f"event: {long}".encode() not in sse._event_lines


def test_the_same_name_is_the_same_object() -> None:
    """Names repeat a thousand times in a stream; they are decoded once."""
    first, second = read(encode(b"{}", event="content_block_delta") * 2).messages

    assert first.event is second.event

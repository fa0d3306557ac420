"""The Messages API's wire: its vectors, its checker, and the official SDK as the judge."""

from typing import Any

import anthropic
import httpx2
import pytest

from streamkeep.entry import CANCELLED, COMPLETED, FAILED, Entry
from streamkeep.errors import IllegalField
from streamkeep.message import fold
from streamkeep.testing.check_wire import check_wire, sample_logs
from streamkeep.wire.anthropic import WIRE, error_body
from streamkeep.wire.base import Options
from tests.recordings import Recording, anthropic_recordings
from tests.wire.logs import WireVector, frames, read, recorded_log, vectors

VECTORS = vectors("anthropic")

BY_NAME = {each.id: each.values[0] for each in VECTORS}


@pytest.mark.parametrize("vector", VECTORS)
def test_a_log_gives_the_frames_of_its_vector(vector: WireVector) -> None:
    """I5: the bytes are fixed, for every implementation."""
    assert vector.frames == frames(WIRE, vector.log, vector.options, vector.epoch)
    if vector.ends_cleanly is not None:
        assert vector.ends_cleanly == WIRE.ends_cleanly(vector.log[-1].name)


def test_it_keeps_the_promises_of_a_wire() -> None:
    """I5, I12: what every wire promises, over the logs of the vectors and hostile ones."""
    check_wire(WIRE, [each.log for each in BY_NAME.values()])


class Asked:
    """What the official SDK makes of a body."""

    def __init__(self, body: bytes) -> None:
        reply = httpx2.Response(200, headers={"content-type": WIRE.media_type, "request-id": "req_1"}, content=body)
        transport = httpx2.MockTransport(lambda request: reply)
        self.message: dict[str, Any] | None = None
        self.error: anthropic.APIError | None = None
        self.text = ""
        http = httpx2.Client(transport=transport)
        with anthropic.Anthropic(api_key="none", http_client=http, max_retries=0) as client:
            self._read(client)

    def _read(self, client: anthropic.Anthropic) -> None:
        asked: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        try:
            with client.beta.messages.stream(**asked) as stream:
                for text in stream.text_stream:
                    self.text += text
                self.message = comparable(stream.get_final_message().to_dict(mode="json", warnings=False))
        except anthropic.APIError as error:
            self.error = error


def body(log: list[Entry], options: Options = Options()) -> bytes:
    """Give a whole body, with a heartbeat wherever one can be."""
    return WIRE.opening + WIRE.heartbeat + WIRE.heartbeat.join(frames(WIRE, log, options)) + WIRE.heartbeat


def comparable(value: Any) -> Any:
    """Leave out null members, which the SDK adds."""
    if isinstance(value, dict):
        return {name: comparable(each) for name, each in value.items() if each is not None}
    return [comparable(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_the_official_sdk_reads_a_recorded_answer(recording: Recording) -> None:
    """The message that the SDK holds at the end is the one that the log folds to."""
    log = recorded_log(recording)

    asked = Asked(body(log))

    assert asked.error is None
    assert comparable(fold(log).message()) == asked.message


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_the_official_sdk_reads_an_answer_without_its_thinking(recording: Recording) -> None:
    """The SDK refuses gaps in the indexes; what it holds is the message without the hidden blocks."""
    log = recorded_log(recording)
    message = comparable(fold(log).message())
    hidden = ("thinking", "redacted_thinking")

    asked = Asked(body(log, Options(hide_thinking=True)))

    assert asked.error is None
    content = [block for block in message["content"] if block["type"] not in hidden]
    assert {**message, "content": content} == asked.message


@pytest.mark.parametrize(
    "name, kind, text",
    [
        ("failed", "overloaded_error", "Hel"),
        ("failed-before-anything", "overloaded_error", ""),
        ("failed-without-words", "api_error", ""),
        ("cancelled", "api_error", "Hello 🌍"),
    ],
)
def test_the_official_sdk_raises_what_is_no_success(name: str, kind: str, text: str) -> None:
    """I12: a clean early end would count as a complete answer; the error keeps that from happening."""
    asked = Asked(body(BY_NAME[name].log))

    assert isinstance(asked.error, anthropic.APIStatusError)
    assert (kind, text, None) == (asked.error.type, asked.text, asked.message)


@pytest.mark.parametrize("hide_thinking", [False, True])
def test_the_official_sdk_takes_what_it_does_not_know(hide_thinking: bool) -> None:
    """New events and blocks pass through; the text arrives."""
    whole = sample_logs()[0]

    asked = Asked(body(whole, Options(hide_thinking=hide_thinking)))

    assert (None, "Grüße 🌍") == (asked.error, asked.text)


@pytest.mark.parametrize("name", ["completed", "failed", "cancelled"])
def test_the_last_frame_carries_the_last_cursor_that_matters(name: str) -> None:
    """An EventSource that comes back after an error has the whole log, so that it can be told to stay away (I12)."""
    vector = BY_NAME[name]
    last = read(b"".join(vector.frames))[-1]

    seq = len(vector.log) - (name == "completed")
    assert f"k3f7x2.{seq}" == last.id


def test_every_ending_ends_the_body_well_formed() -> None:
    """I12: the dialect has a word for failure."""
    assert all(WIRE.ends_cleanly(ending) for ending in (COMPLETED, FAILED, CANCELLED))


def test_an_error_has_the_vendors_shape() -> None:
    """With the request's id where there is one."""
    error = {"type": "overloaded_error", "message": "m"}

    assert {"type": "error", "error": error} == error_body("overloaded_error", "m")
    assert {"type": "error", "error": error, "request_id": "r"} == error_body("overloaded_error", "m", "r")


def test_a_name_that_would_break_the_frame_is_refused() -> None:
    """No provider gives such a name; a log that holds one all the same cannot smuggle in a message."""
    with pytest.raises(IllegalField):
        frames(WIRE, [Entry(1, 0.0, "a\nevent: b", b"{}")], Options())

"""The provider checker: ours passes it, and providers with a planted mistake do not."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamkeep.entry import Event
from streamkeep.errors import BadRequest, UpstreamBusy, UpstreamError
from streamkeep.providers.anthropic import Anthropic, AnthropicParser
from streamkeep.providers.base import Call
from streamkeep.sse import SseMessage
from streamkeep.testing.check_provider import SECRET, Vector, check_provider, read_vectors

EVENTS = [
    Event("message_start", b'{"type":"message_start","message":{}}'),
    Event("content_block_start", b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'),
    Event("message_stop", b'{"type":"message_stop"}   '),
]


def frame(event: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.name.encode(), event.data)


BODY = b"".join(map(frame, EVENTS))

WHOLE = Vector(name="whole", body=BODY + frame(EVENTS[1]), events=EVENTS, ended=True)

CUT = Vector(name="cut", body=BODY[:200], events=EVENTS[:2], ended=False)

ERROR = b'event: error\ndata: {"error":{"type":"overloaded_error","message":"m"}}\n\n'

FAILED = Vector(
    name="failed", body=frame(EVENTS[0]) + ERROR, events=EVENTS[:1], ended=False, failure={"status": 529, "detail": "m"}
)

VECTORS = [WHOLE, CUT, FAILED]


def test_a_provider_that_keeps_its_promises_passes() -> None:
    """I3, I8: the checker asks for nothing that ours does not do."""
    check_provider(Anthropic(), VECTORS)


class Talkative(AnthropicParser):
    """Goes on after the end."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        if self.ended:
            return [Event(each.event, each.data) for each in messages]
        return super().feed(messages)


class Hasty(AnthropicParser):
    """Takes the end of a block for the end of the answer."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        events = super().feed(messages)
        self.ended = bool(self.ended or events)
        return events


class Fragile(AnthropicParser):
    """Trusts what it reads."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        for each in messages:
            msgspec.json.decode(each.data)
        return super().feed(messages)


class Rewriting(AnthropicParser):
    """Loses bytes."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        return [Event(name, data.strip()) for name, data in super().feed(messages)]


class Credulous(AnthropicParser):
    """Logs under any name, and whatever comes."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        known = [
            each for each in messages if each.event in ("message_start", "content_block_start", "message_stop", "error")
        ]
        odd = [Event(each.event, each.data) for each in messages if each not in known]
        return [*odd, *super().feed(known)]


class Chunked(AnthropicParser):
    """Counts calls instead of messages."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        return super().feed(messages[:1]) if len(messages) == 4 else super().feed(messages)


@pytest.mark.parametrize(
    "parser, promise",
    [
        (Talkative, "other events|after the end"),
        (Hasty, "other events"),
        (Rewriting, "other events"),
        (Chunked, "other events"),
        (Credulous, "cannot be the name|no JSON object|more than one line"),
    ],
)
def test_a_parser_with_a_mistake_is_found_out(parser: type[AnthropicParser], promise: str) -> None:
    """Each broken promise is named."""

    class Provider(Anthropic):
        def parser(self) -> AnthropicParser:
            return parser()

    with pytest.raises(AssertionError, match=promise):
        check_provider(Provider(), VECTORS)


def test_a_parser_that_raises_is_found_out() -> None:
    """Its own exception says where."""

    class Provider(Anthropic):
        def parser(self) -> AnthropicParser:
            return Fragile()

    with pytest.raises(ValueError, match=r"JSON|truncated"):
        check_provider(Provider(), VECTORS)


class Leaky(Anthropic):
    """Passes on every header of the caller."""

    def call(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        call = super().call(request, headers)
        return msgspec.structs.replace(call, headers={**headers, **call.headers})


class Meddling(Anthropic):
    """Changes the caller's request."""

    def call(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        if isinstance(request, dict):
            request["stream"] = True
        return super().call(request, headers)


class Lenient(Anthropic):
    """Asks without a model."""

    def call(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        return super().call({"model": "m", **request}, headers)


class Vague(Anthropic):
    """Refuses without saying why."""

    def call(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        try:
            return super().call(request, headers)
        except BadRequest:
            raise BadRequest("No.") from None


class Keyless(Anthropic):
    """Forgets the key."""

    def authorization(self, key: str) -> dict[str, str]:
        return {}


class Quoting(Anthropic):
    """Repeats the vendor."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        error = super().failure(status, headers, body)
        return UpstreamBusy(f"It said {error.detail}", status=error.status)


class Redirecting(Anthropic):
    """Passes on statuses that nobody can answer with."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return UpstreamBusy("Busy.", status=status)


class Boundless(Anthropic):
    """Keeps all that was said."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        error = super().failure(status, headers, body)
        return UpstreamBusy(error.message, status=error.status, detail=body.decode("utf-8", "replace"))


class Patient(Anthropic):
    """Waits as long as it is told to."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        error = super().failure(status, headers, body)
        if headers.get("retry-after", "").isdecimal():
            error.retry_after = float(headers["retry-after"])
        return error


@pytest.mark.parametrize(
    "provider, promise",
    [
        (Leaky, "a secret of the caller"),
        (Meddling, "changed its input"),
        (Lenient, "without model was taken"),
        (Vague, "does not name model"),
        (Keyless, "no header carries the key"),
        (Quoting, "outside of `detail`|longer than"),
        (Redirecting, "no status to answer with"),
        (Boundless, "has no bound"),
        (Patient, "`retry_after` has no bound"),
    ],
)
def test_a_provider_with_a_mistake_is_found_out(provider: Callable[[], Anthropic], promise: str) -> None:
    """Each broken promise is named."""
    with pytest.raises(AssertionError, match=promise):
        check_provider(provider(), VECTORS)


def test_a_secret_is_not_in_what_passes() -> None:
    """The canary that the checker looks for is one that ours is given too."""
    call = Anthropic().call({"model": "m", "messages": [], "max_tokens": 1}, {"authorization": SECRET})

    assert SECRET not in repr(call)


@pytest.mark.parametrize(
    "change, promise",
    [
        ({"failure": {"status": 529}}, "no failure"),
        ({"events": EVENTS[:1]}, "other events"),
        ({"ended": False}, "other events"),
    ],
)
def test_a_vector_that_is_wrong_is_found_out(change: dict[str, Any], promise: str) -> None:
    """A vector is held as strictly as a provider."""
    with pytest.raises(AssertionError, match=f"whole: {promise}"):
        check_provider(Anthropic(), [msgspec.structs.replace(WHOLE, **change)])


@pytest.mark.parametrize("failure, promise", [(None, "overloaded"), ({"status": 500}, "another failure")])
def test_a_failure_that_is_not_the_vectors_is_found_out(failure: dict[str, Any] | None, promise: str) -> None:
    """Neither a failure too many nor another one passes."""
    with pytest.raises(AssertionError, match=promise):
        check_provider(Anthropic(), [msgspec.structs.replace(FAILED, failure=failure)])


def test_nothing_is_not_enough() -> None:
    """A check without vectors proves nothing."""
    with pytest.raises(AssertionError, match="nothing to check with"):
        check_provider(Anthropic(), [])


def test_vectors_are_read_from_pairs(tmp_path: Path) -> None:
    """A body and what comes of it, each in a file of its own."""
    told = {
        "provenance": "scripted: a test",
        "events": [{"name": each.name, "data": each.data.decode()} for each in EVENTS],
        "ended": True,
        "failure": None,
    }
    (tmp_path / "whole.sse").write_bytes(WHOLE.body)
    (tmp_path / "whole.json").write_text(json.dumps(told))

    assert [WHOLE] == read_vectors(tmp_path)

    (tmp_path / "whole.json").write_text(json.dumps({**told, "provenance": ""}))
    with pytest.raises(ValueError, match="does not say where it comes from"):
        read_vectors(tmp_path)


def test_a_folder_without_vectors_is_refused(tmp_path: Path) -> None:
    """A wrong path must not look like a pass."""
    with pytest.raises(ValueError, match="no vectors in"):
        read_vectors(tmp_path)

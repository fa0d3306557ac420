"""
Check that a provider keeps what `providers/base.py` promises.

Strategy
    A vector is a response body and what has to come of it. Each is read whole, byte by byte, cut in two at every
    place and cut at random; then it is damaged in every way we know. Run it on a provider of your own:

        def test_my_provider_keeps_its_promises():
            check_provider(MyProvider(), read_vectors(Path("spec/vectors/acme")))

    A folder of vectors holds pairs: `name.sse` with the bytes, and `name.json` with `provenance` (where they come
    from, and why), `events` (each `name` and `data`), `ended`, and `failure` (null, or the attributes of the error that
    matter: `code`, `kind`, `status`, `retryable`, `retry_after`, `detail`).
"""

import copy
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamkeep.entry import Event
from streamkeep.errors import BadRequest, UpstreamBroken, UpstreamError
from streamkeep.providers.base import MAX_DETAIL_CHARACTERS, MAX_RETRY_AFTER_S, Parser, Provider, is_event_name
from streamkeep.sse import Decoder, SseMessage

MAX_CUTS = 600
"""Places at which a body is cut in two; spread evenly over a longer one, so that a check takes some seconds."""

RANDOM_CUTS = 20
"""Random chunkings and random damages of each vector; all are the same in every run."""

CANARY = "Zebra quagga 7f3a-canary"
"""Stands for a vendor's words: it must not be found where only ours may be."""

SECRET = "sk-canary-0123456789abcdef"  # noqa: S105  opens nothing
"""Stands for a key among the caller's headers."""

REQUEST: Mapping[str, Any] = {
    "model": "check-1",
    "max_tokens": 16,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello, wörld \U0001f30d"}]}],
    "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    "stream": False,
}
"""A request that each provider must be able to make a call of."""


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """A response body and what comes of it."""

    name: str
    """For messages of failure."""
    body: bytes
    """The bytes of a `text/event-stream`."""
    events: list[Event]
    """What is logged of it."""
    ended: bool
    """Whether the vendor's own terminal event came."""
    failure: dict[str, Any] | None = None
    """Attributes of the error that its end must have."""


def read_vectors(folder: Path) -> list[Vector]:
    """
    Read the pairs of a folder.

    Raises:
        ValueError: There are none, or one is not as it should be.
    """
    found = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise ValueError(f"no vectors in {folder}")
    return found


def check_provider(provider: Provider, vectors: Iterable[Vector]) -> None:
    """
    Run every check.

    Raises:
        AssertionError: A promise is broken; the text names vector and promise.
    """
    vectors = list(vectors)
    assert vectors, "nothing to check with"
    for vector in vectors:
        check_reading(provider, vector)
        check_silence_after_the_end(provider, vector)
        check_terminal(provider, vector)
        check_damage(provider, vector)
    check_call(provider)
    check_failure(provider)
    check_models(provider)


def check_reading(provider: Provider, vector: Vector) -> None:
    """Hold a parser to its vector, however the body is cut (I8)."""
    expected = (vector.events, vector.ended)
    for chunks in _cuts(vector.body):
        decoder, parser = Decoder(), provider.parser()
        events = [event for chunk in chunks for event in parser.feed(decoder.feed(chunk))]
        assert expected == (events, parser.ended), f"{vector.name}: other events than the vector's"
        _check_end(vector, parser.failure)
        _check_events(vector.name, events)


def check_silence_after_the_end(provider: Provider, vector: Vector) -> None:
    """After the end or a failure nothing that comes changes anything, whether in the same call or in a later one."""
    messages = _messages([vector.body])
    parser, events = _parse(provider, messages)
    if not (parser.ended or parser.failure):
        return
    before = (parser.ended, parser.failure)
    assert not parser.feed(messages), f"{vector.name}: events after the end"
    assert before == (parser.ended, parser.failure), f"{vector.name}: a second end"
    at_once = provider.parser()
    assert events == at_once.feed([*messages, *messages]), f"{vector.name}: events after the end, in one call"


def check_terminal(provider: Provider, vector: Vector) -> None:
    """A body without its last event is never complete (I3)."""
    parser = provider.parser()
    events: list[Event] = []
    for message in _messages([vector.body]):
        assert not (parser.ended and parser.failure), f"{vector.name}: ended and failed at once"
        was_ended, given = parser.ended, parser.feed([message])
        assert not (was_ended and given), f"{vector.name}: events after the end"
        events += given
    if vector.ended:
        cut, _ = _parse(provider, _until_end(provider, vector.body))
        assert not cut.ended, f"{vector.name}: complete without its last event"


def check_damage(provider: Provider, vector: Vector) -> None:
    """Whatever comes, nothing is raised; what is logged stays loggable."""
    for messages in _damaged(_messages([vector.body]), random.Random(vector.name)):
        parser, events = _parse(provider, messages)
        assert parser.failure is None or isinstance(parser.failure, UpstreamError)
        assert not (parser.ended and parser.failure), f"{vector.name}: ended and failed at once"
        _check_events(vector.name, events)
        if parser.failure is not None:
            _check_error(parser.failure)


def check_call(provider: Provider) -> None:
    """A call holds no secret, is the same each time, leaves its input as it was and names what is missing."""
    headers = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET, "cookie": SECRET, "x-other": SECRET}
    request, given = copy.deepcopy(dict(REQUEST)), dict(headers)
    call = provider.call(request, given)
    assert (REQUEST, headers) == (request, given), "call() changed its input"
    assert call == provider.call(request, given), "call() differs from one time to the next"
    assert SECRET not in repr(call), "a secret of the caller is in the call"
    assert call.path.startswith("/"), "a path begins with a slash"
    assert all(name == name.lower() for name in call.headers), "header names are in lower case"
    assert isinstance(json.loads(call.body), dict), "a body is a JSON object"
    for member in ("model", "messages"):
        _refused(provider, {name: value for name, value in REQUEST.items() if name != member}, member)
    assert any(SECRET in value for value in provider.authorization(SECRET).values()), "no header carries the key"
    assert provider.models_call().path.startswith("/"), "a path begins with a slash"


def check_failure(provider: Provider) -> None:
    """Every response is classified, in our words; what it says itself goes into `detail`, bounded."""
    for status in range(100, 1000):
        _check_error(provider.failure(status, {}, b""))
    for status in (400, 401, 404, 408, 429, 500, 503, 529):
        for body in error_bodies():
            _check_error(provider.failure(status, {}, body))
        for headers in retry_headers():
            _check_error(provider.failure(status, headers, b""))


def check_models(provider: Provider) -> None:
    """A list of models that cannot be read is the upstream's fault, by name."""
    for body in error_bodies():
        try:
            provider.models(body)
        except UpstreamBroken:
            continue


def error_bodies() -> list[bytes]:
    """Give bodies as vendors, their proxies and their bugs send them, each with `CANARY` where it can hold it."""
    word = json.dumps(CANARY).encode()
    texts = [b"%b", b'{"error":%b}', b'{"message":%b}', b'{"error":{"type":%b,"message":%b}}', b"[%b]"]
    texts += [
        b'{"type":"error","error":{"type":"overloaded_error","message":%b}}',
        b'{"error":{"message":%b,"code":5}}',
    ]
    bodies = [text.replace(b"%b", word) for text in texts]
    bodies += [CANARY.encode(), b"<html><body>" + CANARY.encode() + b"</body></html>", b"\xff\xfe" + CANARY.encode()]
    bodies += [b"", b"null", b"[]", b"{}", b"5", b'"', b'{"error":', b'{"error":null}', b'{"error":[]}', b'{"error":5}']
    bodies += [b'{"error":{"type":5,"message":{}}}', b'{"error":{"type":null,"message":null}}', b'{"data":5}']
    bodies += [b'{"error":{"message":"\\ud800"}}', b'{"error":{"message":"\xff"}}', b'{"data":[5]}', b'{"data":[{}]}']
    bodies += [
        b"[" * 60_000,
        b'{"error":' * 8_000,
        b'{"error":{"message":"' + b"long " * 12_000 + b'"}}',
        b"x" * 65_536,
    ]
    return bodies


def retry_headers() -> list[dict[str, str]]:
    """Give response headers that ask for a pause in every form, most of them wrong."""
    dates = ["Fri, 20 Nov 2026 07:00:30 GMT", "Friday, 20-Nov-26 07:00:30 GMT", "Fri Nov 20 07:00:30 2026"]
    values = [
        "0",
        "7",
        "1.5",
        "-1",
        "nan",
        "inf",
        "1e400",
        "1_000",
        "",
        " ",
        "soon",
        "7 s",
        "9" * 400,
        "\u0667",
        *dates,
    ]
    clocks: list[dict[str, str]] = [{}, {"date": "Fri, 20 Nov 2026 07:00:00 GMT"}, {"date": "today"}]
    named = [{name: value} for name in ("retry-after", "retry-after-ms") for value in values]
    return [
        {**asked, **clock, "x-should-retry": should}
        for asked in named
        for clock in clocks
        for should in ("true", "false", CANARY)
    ]


def _read(path: Path) -> Vector:
    told = json.loads(path.read_text(encoding="utf-8"))
    if not told["provenance"]:
        raise ValueError(f"{path.name} does not say where it comes from")
    events = [Event(each["name"], each["data"].encode()) for each in told["events"]]
    body = path.with_suffix(".sse").read_bytes()
    return Vector(name=path.stem, body=body, events=events, ended=told["ended"], failure=told["failure"])


def _messages(chunks: Iterable[bytes]) -> list[SseMessage]:
    decoder = Decoder()
    return [message for chunk in chunks for message in decoder.feed(chunk)]


def _parse(provider: Provider, messages: Iterable[SseMessage]) -> tuple[Parser, list[Event]]:
    """Feed a new parser message by message."""
    parser = provider.parser()
    return parser, [event for message in messages for event in parser.feed([message])]


def _cuts(body: bytes) -> Iterator[list[bytes]]:
    """Give the body whole, byte by byte, cut in two, and cut at random."""
    yield [body]
    yield [body[at : at + 1] for at in range(len(body))]
    step = max(1, len(body) // MAX_CUTS)
    yield from ([body[:at], body[at:]] for at in range(1, len(body), step))
    source = random.Random(len(body))
    for _ in range(RANDOM_CUTS):
        places = sorted(source.choices(range(len(body) + 1), k=8))
        yield [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def _until_end(provider: Provider, body: bytes) -> list[SseMessage]:
    """Give the messages before the one that ends the answer."""
    parser, before = provider.parser(), []
    for message in _messages([body]):
        parser.feed([message])
        if parser.ended:
            break
        before.append(message)
    return before


def _damaged(messages: Sequence[SseMessage], source: random.Random) -> Iterator[list[SseMessage]]:
    """Give the messages with one of them hurt, doubled, lost or misplaced."""
    hostile = [b"", b"null", b"5", b"[]", b"{}", b'{"type":5}', b'{"type":"error"}', b'{"error":5}', b"[DONE]", b"\xff"]
    hostile += [b'{"type":"content_block_start","index":"x","content_block":5}', b'{"type":' + b"[" * 20_000]
    for at, message in enumerate(messages[:40]):
        before, after = list(messages[:at]), list(messages[at + 1 :])
        yield [*before, *after]
        yield [*before, message, message, *after]
        for data in source.sample(hostile, 4):
            yield [*before, message._replace(data=data), *after]
        for event in ("message", "error", "stream.completed", "a\0b", "x" * 5000):
            yield [*before, message._replace(event=event), *after]
    for _ in range(RANDOM_CUTS):
        yield source.sample(list(messages), len(messages))
        yield [_scratched(message, source) for message in messages]


def _scratched(message: SseMessage, source: random.Random) -> SseMessage:
    data = bytearray(message.data or b"x")
    data[source.randrange(len(data))] = source.randrange(32, 127)
    return message._replace(data=bytes(data))


def _check_events(name: str, events: Iterable[Event]) -> None:
    for event in events:
        assert is_event_name(event.name), f"{name}: {event.name[:40]!r} cannot be the name of an event"
        assert b"\n" not in event.data, f"{name}: data of more than one line"
        assert b"\r" not in event.data, f"{name}: data of more than one line"
        try:
            msgspec.json.decode(event.data, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            raise AssertionError(f"{name}: data is no JSON object") from None


def _check_end(vector: Vector, failure: UpstreamError | None) -> None:
    if vector.failure is None:
        assert failure is None, f"{vector.name}: {failure}"
        return
    assert failure is not None, f"{vector.name}: no failure"
    actual = {name: getattr(failure, name) for name in vector.failure}
    assert vector.failure == actual, f"{vector.name}: another failure"
    _check_error(failure)


def _check_error(error: UpstreamError) -> None:
    """Hold one error to what may be shown of it, and to its bounds."""
    assert isinstance(error, UpstreamError)
    assert 400 <= error.status <= 599, f"{error.status} is no status to answer with"
    assert error.message, "an error says what happened"
    for text in (error.message, error.code, error.kind):
        assert CANARY not in text, "the vendor's words stand outside of `detail`"
        assert len(text) <= 300, "longer than anybody reads"
    assert error.kind.replace("_", "").isalnum(), f"{error.kind!r} is no error type"
    assert len(error.detail) <= MAX_DETAIL_CHARACTERS, "`detail` has no bound"
    waits = error.retry_after is None or 0 <= error.retry_after <= MAX_RETRY_AFTER_S
    assert waits, "`retry_after` has no bound"


def _refused(provider: Provider, request: Mapping[str, Any], member: str) -> None:
    try:
        provider.call(request, {})
    except BadRequest as error:
        told = error.message
    else:
        raise AssertionError(f"a request without {member} was taken")
    assert member in told, f"the refusal does not name {member}"

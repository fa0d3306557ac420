"""A request's body is read, and refused, as the Messages API does."""

from typing import Any

import pytest

from streamkeep.simulator import request
from streamkeep.simulator.refusals import Refused
from streamkeep.simulator.request import MAX_OUTPUT_TOKENS
from tests.simulator.asking import GET_TIDES, asked, body, turns

WITHOUT = object()


@pytest.mark.parametrize("raw", [b"", b"{", b'"\\ud800"', b'{"a":"\xff"}', b"[" * 100_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    """Half characters and endless nesting included."""
    with pytest.raises(Refused, match="not valid JSON"):
        request.decode(raw)


def test_a_body_is_an_object() -> None:
    """A list is JSON, and no request."""
    assert {"a": 1} == request.decode(b'{"a":1}')
    with pytest.raises(Refused, match="not a JSON object"):
        request.decode(b"[]")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"model": WITHOUT}, "model: Field required"),
        ({"messages": WITHOUT}, "messages: Field required"),
        ({"max_tokens": WITHOUT}, "max_tokens: Field required"),
        ({"model": 1}, "model: Input should be a valid string"),
        ({"model": ""}, "model: String should have at least 1 character"),
        ({"model": "?seed=1"}, "model: String should have at least 1 character"),
        ({"messages": "hi"}, "messages: Input should be a valid list"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": MAX_OUTPUT_TOKENS + 1}, f"max_tokens: {MAX_OUTPUT_TOKENS + 1} > {MAX_OUTPUT_TOKENS}"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"policy": {}}, "policy: Extra inputs are not permitted"),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": ["x"]}, "tools.0: Input should be a valid dictionary"),
        ({"stop_sequences": [1]}, "stop_sequences: Input should be at most"),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"thinking": {"type": "deep"}}, "thinking.type: Input should be"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Input should be greater than"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "`max_tokens` must be greater than"),
    ],
)
def test_a_malformed_request_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    """The API's words name the member."""
    changed = {name: value for name, value in (body() | change).items() if value is not WITHOUT}

    with pytest.raises(Refused) as refused:
        request.read(changed)

    assert refused.value.refusal.message.startswith(words)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_sampling_parameters_went_with_a_version(name: str) -> None:
    """Older clients may still send them."""
    sampled = body() | {name: 1}

    assert "hello" == request.read(sampled, "2023-06-01").turn.prompt
    with pytest.raises(Refused, match=f"{name}: Extra inputs are not permitted"):
        request.read(sampled, "2026-10-21")


@pytest.mark.parametrize(
    "thinking, thinks, shows",
    [
        (None, None, True),
        ({"type": "adaptive"}, True, True),
        ({"type": "enabled", "budget_tokens": 1024}, True, True),
        ({"type": "adaptive", "display": "omitted"}, True, False),
        ({"type": "disabled"}, False, True),
        ({"type": "between_tools"}, False, True),
    ],
)
def test_thinking_is_read(thinking: Any, thinks: bool | None, shows: bool) -> None:
    """Asked for, forbidden, or not spoken of."""
    read = asked(thinking=thinking)

    assert (thinks, shows) == (read.thinks, read.shows_thinking)


@pytest.mark.parametrize("more", [{"thinking": {"type": "adaptive"}}, {"model": "simulated-1-thinking"}])
def test_a_model_that_thinks_takes_no_prefill(more: dict[str, Any]) -> None:
    """As the present models of the API."""
    with pytest.raises(Refused, match="does not support assistant message prefill"):
        request.read(body() | {"messages": turns("hi", "The")} | more)


def test_options_behind_the_model_and_in_metadata_are_kept_apart() -> None:
    """The model's name is what stands before them."""
    read = asked(model="simulated-1?seed=3", metadata={"user_id": "u", "simulator": {"ttft_s": 0}})

    assert "simulated-1" == read.model
    assert ({"ttft_s": "0"}, {"seed": "3"}) == read.options


def test_the_identity_is_the_conversation() -> None:
    """Pace, budget and model do not change what is said; a prefill belongs to the question before it."""
    question = asked("hi")
    same = [
        asked("hi", max_tokens=5),
        asked("hi", model="simulated-1-fast?seed=2"),
        asked("hi", stream=True),
        request.read(body() | {"messages": turns("hi", "The")}),
    ]

    assert {question.identity} == {each.identity for each in same}
    assert question.identity != asked("ho").identity
    assert question.identity != asked("hi", system="Be brief.").identity


def test_the_fingerprint_is_all_that_shows_in_the_bytes() -> None:
    """Only where a message goes, not how fast, may differ."""
    question = asked("hi")

    assert question.fingerprint == asked("hi", stream=True, model="simulated-1?ttft_s=0").fingerprint
    assert question.fingerprint != asked("hi", max_tokens=5).fingerprint
    assert question.fingerprint != asked("hi", model="other").fingerprint


def test_tools_without_a_schema_are_the_servers_own() -> None:
    """Only tools with an input schema are called."""
    assert (GET_TIDES,) == asked(tools=[GET_TIDES, {"type": "web_search_20250305", "name": "web_search"}]).tools


@pytest.mark.parametrize("choice", [{"output_config": {"format": {"type": "json_schema", "schema": {"type": "null"}}}}])
def test_an_output_schema_is_read(choice: dict[str, Any]) -> None:
    """The text has to fit it."""
    assert {"type": "null"} == asked(**choice).output_schema
    assert asked().output_schema is None


def test_documents_are_read() -> None:
    """Text documents with their titles; citations where one enables them."""
    document = {"type": "document", "title": "Log", "source": {"type": "text", "data": "Lit."}}
    plain = request.read(body() | {"messages": turns([document, {"type": "document", "source": {"type": "base64"}}])})
    cited = request.read(body() | {"messages": turns([{**document, "citations": {"enabled": True}}])})

    assert ((("Log", "Lit."),), False) == (plain.documents, plain.cites)
    assert cited.cites


def test_input_tokens_follow_from_the_length() -> None:
    """Longer requests cost more; only a cache mark makes part of them cached."""
    short, longer = asked("hi"), asked("hi" * 400)
    marked = request.read(
        body() | {"messages": turns([{"type": "text", "text": "hi" * 400, "cache_control": {"ttl": "1h"}}])}
    )

    assert 0 < short.input_tokens < longer.input_tokens - 190
    assert (0, "5m") == (longer.cached_tokens, longer.cache_ttl)
    assert marked.input_tokens * 3 // 4 == marked.cached_tokens
    assert "1h" == marked.cache_ttl


def test_counting_needs_no_budget() -> None:
    """`count_tokens` takes a request without `max_tokens`, and gives what the message would cost."""
    counted = {name: value for name, value in body("hi").items() if name != "max_tokens"}

    assert asked("hi").input_tokens == request.count_input(counted)
    with pytest.raises(Refused, match="model: Field required"):
        request.count_input({"messages": turns("hi")})

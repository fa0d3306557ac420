"""
Read the body of `POST /v1/messages`, and refuse what the Messages API refuses.

Pure: no I/O, no clock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from streamkeep.simulator import conversation, options
from streamkeep.simulator.refusals import invalid

MAX_OUTPUT_TOKENS: Final = 128_000
"""The largest `max_tokens`, as for the present models."""

MAX_STOP_SEQUENCES: Final = 8191
"""Stop sequences of one request."""

_BYTES_PER_TOKEN: Final = 4
"""JSON bytes an input token stands for: near enough for English."""

_CACHE_MARK: Final = b'"cache_control":{'

_SAMPLING: Final = ("temperature", "top_p", "top_k")

_NO_SAMPLING_SINCE: Final = "2026-10-21"
"""The API version that took the sampling parameters away."""

_KNOWN: Final = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "stream",
        "system",
        "metadata",
        "stop_sequences",
        "thinking",
        "tools",
        "tool_choice",
        "service_tier",
        "container",
        "inference_geo",
        "output_config",
        "output_format",
        "cache_control",
        "mcp_servers",
        "context_management",
        "fallbacks",
        "compaction",
        "diagnostics",
        "speed",
        "thread",
        "user_profile_id",
        "workspace_id",
        "billing_policy",
        "fallback_credit_token",
        *_SAMPLING,
    ]
)
"""Members of a request: those of the Messages API, its betas included."""

THINKS_BY_DEFAULT: Final = "simulated-1-thinking"
"""The listed model that thinks without being asked to, and takes no prefill."""

_NO_PREFILL: Final = (
    "This model does not support assistant message prefill. The conversation must end with a user message."
)


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """
    A request that is well formed.

    Attributes:
        model: the name, without the simulator's options behind it.
        max_tokens: of the answer, thinking and tool input included.
        stream: events are asked for, not one message.
        turn: what the model is asked.
        tools: those with an input schema.
        tool_choice: `auto`, `any`, `none`, or `tool` with its name in `forced_tool`.
        forced_tool: the one tool to be called.
        thinks: whether thinking was asked for; None where nothing was said.
        shows_thinking: False for `display: omitted`.
        stop_sequences: texts that end the answer.
        output_schema: the JSON schema that the text has to fit.
        documents: the text documents of the last message, as (title, text).
        cites: one of the last message's documents has citations enabled.
        identity: what decides the answer's text: system, tools and the messages up to the question, as SHA-256 in hex.
        fingerprint: all that decides the answer's bytes, as SHA-256 in hex.
        input_tokens: estimated.
        cached_tokens: those of them that the cache takes part in; 0 without a `cache_control` mark.
        cache_ttl: `5m` or `1h`.
        options: the simulator's options in metadata, then those behind the model's name.
    """

    model: str
    max_tokens: int
    stream: bool
    turn: conversation.Turn
    tools: tuple[dict[str, Any], ...]
    tool_choice: str
    forced_tool: str
    thinks: bool | None
    shows_thinking: bool
    stop_sequences: tuple[str, ...]
    output_schema: dict[str, Any] | None
    documents: tuple[tuple[str, str], ...]
    cites: bool
    identity: str
    fingerprint: str
    input_tokens: int
    cached_tokens: int
    cache_ttl: str
    options: tuple[Mapping[str, str], Mapping[str, str]]


def decode(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in a request's body.

    Raises:
        Refused: 400, if it is none.
    """
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("The request body is not valid JSON") from None
    if not isinstance(decoded, dict):
        raise invalid("The request body is not a JSON object")
    return decoded


def read(body: Mapping[str, Any], version: str = "2023-06-01") -> MessagesRequest:
    """
    Return the request in a decoded body.

    Args:
        body: the JSON object.
        version: the `anthropic-version` it was sent with.

    Raises:
        Refused: 400, for the first thing that is wrong.
    """
    _check(body, version)
    model, in_model = options.in_model(body["model"])
    turn = conversation.read(body["messages"])
    thinks, shows = _thinking(body, model)
    if body["messages"][-1]["role"] == "assistant" and (thinks or (thinks is None and model == THINKS_BY_DEFAULT)):
        raise invalid(_NO_PREFILL)
    choice = body.get("tool_choice") or {"type": "auto"}
    encoded = msgspec.json.encode([body.get("cache_control"), body.get("system"), body.get("tools"), body["messages"]])
    tokens = max(1, len(encoded) // _BYTES_PER_TOKEN)
    asked = turn.origin[-1]["content"]
    return MessagesRequest(
        model=model,
        max_tokens=body["max_tokens"],
        stream=bool(body.get("stream")),
        turn=turn,
        tools=_tools(body),
        tool_choice=str(choice.get("type")),
        forced_tool=str(choice.get("name", "")),
        thinks=thinks,
        shows_thinking=shows,
        stop_sequences=tuple(body.get("stop_sequences") or ()),
        output_schema=_output_schema(body),
        documents=_documents(asked),
        cites=_wants_citations(asked),
        identity=_digest([body.get("system"), body.get("tools"), turn.origin]),
        fingerprint=_digest({**body, "model": model, "metadata": None, "stream": None}),
        input_tokens=tokens,
        cached_tokens=tokens * 3 // 4 if _CACHE_MARK in encoded else 0,
        cache_ttl="1h" if b'"ttl":"1h"' in encoded else "5m",
        options=(options.in_metadata(body.get("metadata") or {}), in_model),
    )


def count_input(body: Mapping[str, Any]) -> int:
    """
    Return the input tokens that `POST /v1/messages/count_tokens` answers with.

    Raises:
        Refused: 400, if the model or the messages are missing or wrong.
    """
    return read({**body, "max_tokens": 1, "stream": False}).input_tokens


def _is(*types: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, types) and (bool in types or not isinstance(value, bool))


_FIELDS: Final[Sequence[tuple[str, Callable[[object], bool], str, bool]]] = (
    ("model", _is(str), "Input should be a valid string", True),
    ("messages", _is(list), "Input should be a valid list", True),
    ("max_tokens", _is(int), "Input should be a valid integer", True),
    ("stream", _is(bool), "Input should be a valid boolean", False),
    ("metadata", _is(dict), "Input should be a valid dictionary", False),
    ("system", _is(str, list), "Input should be a valid list", False),
    ("tools", _is(list), "Input should be a valid list", False),
    ("tool_choice", _is(dict), "Input should be a valid dictionary", False),
    ("thinking", _is(dict), "Input should be a valid dictionary", False),
    ("stop_sequences", _is(list), "Input should be a valid list", False),
    ("output_config", _is(dict), "Input should be a valid dictionary", False),
)
"""Name, test, the API's words, and whether it must be there."""


def _check(body: Mapping[str, Any], version: str) -> None:
    for name, fits, words, required in _FIELDS:
        value = body.get(name)
        if required and value is None:
            raise invalid(f"{name}: Field required")
        if value is not None and not fits(value):
            raise invalid(f"{name}: {words}")
    unknown = sorted(body.keys() - _KNOWN)
    if unknown:
        raise invalid(f"{unknown[0][:64]}: Extra inputs are not permitted")
    sampling = [name for name in _SAMPLING if name in body]
    if sampling and version >= _NO_SAMPLING_SINCE:
        raise invalid(f"{sampling[0]}: Extra inputs are not permitted")
    _check_values(body)
    conversation.check(body["messages"])


def _check_values(body: Mapping[str, Any]) -> None:
    if not body["model"].partition("?")[0]:
        raise invalid("model: String should have at least 1 character")
    if body["max_tokens"] < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if body["max_tokens"] > MAX_OUTPUT_TOKENS:
        raise invalid(
            f"max_tokens: {body['max_tokens']} > {MAX_OUTPUT_TOKENS}, which is the maximum allowed number of output "
            "tokens for this model"
        )
    stops = body.get("stop_sequences") or []
    if len(stops) > MAX_STOP_SEQUENCES or not all(isinstance(stop, str) for stop in stops):
        raise invalid(f"stop_sequences: Input should be at most {MAX_STOP_SEQUENCES} valid strings")
    if any(not stop.strip() for stop in stops):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    for at, tool in enumerate(body.get("tools") or []):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str | None):
            raise invalid(f"tools.{at}: Input should be a valid dictionary with a name")


def _thinking(body: Mapping[str, Any], model: str) -> tuple[bool | None, bool]:
    """
    Return whether thinking was asked for, and whether it is to be seen.
    """
    thinking = body.get("thinking")
    if thinking is None:
        return None, True
    kind = thinking.get("type")
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise invalid("thinking.type: Input should be 'enabled', 'adaptive', 'disabled' or 'between_tools'")
    budget = thinking.get("budget_tokens")
    if kind == "enabled" and (not isinstance(budget, int) or budget < 1024):
        raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if kind == "enabled" and budget >= body["max_tokens"]:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
    return kind in ("enabled", "adaptive"), thinking.get("display") != "omitted"


def _tools(body: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple(tool for tool in body.get("tools") or [] if isinstance(tool.get("input_schema"), dict))


def _output_schema(body: Mapping[str, Any]) -> dict[str, Any] | None:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    return schema if isinstance(schema, dict) else None


def _documents(content: object) -> tuple[tuple[str, str], ...]:
    found = [block for block in conversation.blocks(content) if block["type"] == "document"]
    sources = [(block, block.get("source")) for block in found]
    return tuple(
        (str(block.get("title") or "document"), str(source.get("data", "")))
        for block, source in sources
        if isinstance(source, dict) and source.get("type") == "text"
    )


def _digest(decisive: Any) -> str:
    return sha256(msgspec.json.encode(decisive, order="sorted")).hexdigest()


def _wants_citations(content: object) -> bool:
    marks = [block.get("citations") for block in conversation.blocks(content) if block["type"] == "document"]
    return any(isinstance(mark, dict) and mark.get("enabled") is True for mark in marks)

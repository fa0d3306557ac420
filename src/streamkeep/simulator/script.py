"""
Decide the whole answer to a request from a seed: its blocks, its tokens and why it stops.

Strategy: draft the parts (thinking, text, tool uses), take away what the reader has already, end at a stop sequence,
and cut the rest into tokens until the request's budget is used up.

Laws
    1. The same seed and request give the same answer, ids included, streamed or not.
    2. The answer's text does not depend on the model, the pace or `max_tokens`: a second request that goes on from a
       partial answer gets exactly the rest of it.

Pure: no I/O, no clock.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any, Final

import jiter

from streamkeep.simulator import corpus, texts
from streamkeep.simulator.answer import Answer, Block, Delta
from streamkeep.simulator.pieces import pieces
from streamkeep.simulator.refusals import invalid
from streamkeep.simulator.request import THINKS_BY_DEFAULT, MessagesRequest
from streamkeep.simulator.schema import value_for
from streamkeep.simulator.steering import Steering, steer

MAX_TOOL_USES: Final = 16
"""Tools called in one answer."""

MAX_CITATIONS: Final = 3
"""Passages cited in one answer."""

SIGNATURE_BYTES: Final = 240
"""Bytes of a thinking block's signature before base64."""

_DIGITS: Final = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_WEATHER: Final[Mapping[str, Any]] = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["location"],
    },
}
"""The tool that is called where a tool is asked for and none was given."""

_DECLINED: Final = "This request asks for something the simulated model was told to decline."


@dataclass(frozen=True, slots=True)
class _Draft:
    kind: str
    text: str
    name: str = ""
    ident: str = ""
    citation: Mapping[str, Any] | None = None
    hidden: bool = False


def identifier(prefix: str, random: Random) -> str:
    """
    Return an id in the API's form, such as `msg_01` and 22 letters and digits.
    """
    return f"{prefix}_01{''.join(random.choices(_DIGITS, k=22))}"


def script(request: MessagesRequest, seed: int) -> Answer:
    """
    Return the answer to a request.

    Raises:
        Refused: 400, if a tool's schema is none.
    """
    content = Random(f"{seed}:{request.identity}")
    naming = Random(f"{seed}:{request.model}:{request.identity}:{request.turn.partial}")
    message_id = identifier("msg", naming)
    steering = steer(request.turn.prompt)
    drafts = _drafts(request, steering, content, naming)
    reason = _reason(drafts, steering)
    drafts = _after(drafts, request.turn.partial, is_tail=request.turn.is_tail)
    drafts, stopped_by = _until(drafts, request.stop_sequences)
    blocks, cut = _cut(drafts, request.max_tokens, Random(f"{seed}:{request.identity}:pieces"), naming)
    if stopped_by is not None:
        reason = "stop_sequence"
    if cut:
        reason = "max_tokens"
    return Answer(
        message_id=message_id,
        model=request.model,
        blocks=blocks,
        stop_reason=reason,
        stop_sequence=stopped_by if reason == "stop_sequence" else None,
        stop_details=_details(steering) if reason == "refusal" else None,
        input_usage=_input_usage(request),
    )


def _drafts(request: MessagesRequest, steering: Steering, random: Random, naming: Random) -> list[_Draft]:
    drafts = []
    asked = request.thinks if request.thinks is not None else steering.think or request.model == THINKS_BY_DEFAULT
    thought = "\n\n".join(random.sample(corpus.THOUGHTS, 2))
    if asked and steering.decline is None:
        drafts.append(_Draft("thinking", thought, hidden=not request.shows_thinking))
    tools = _tools(request, steering)
    if request.tool_choice not in ("any", "tool") or not tools:
        drafts += _texts(request, steering, random, calls=bool(tools))
    return [*drafts, *(_tool_draft(tool, random, naming) for tool in tools)]


def _texts(request: MessagesRequest, steering: Steering, random: Random, *, calls: bool) -> list[_Draft]:
    if steering.decline is not None:
        return [_Draft("text", random.choice(corpus.OPENINGS))]
    if request.turn.results and not request.turn.prompt:
        return [_Draft("text", texts.follow_up(request.turn.results, random))]
    if request.output_schema is not None:
        return [_Draft("text", _json(_made_up(request.output_schema, "output_config.format.schema", random)))]
    if steering.cite or request.cites:
        return _cited(request, random)
    if calls and not steering.kinds and steering.echo is None and steering.count is None:
        return [_Draft("text", "I will look that up for you.")]
    return [_Draft("text", texts.compose(steering, random))]


def _cited(request: MessagesRequest, random: Random) -> list[_Draft]:
    written = [document for document in request.documents if document[1].strip()]
    title, source = written[0] if written else ("The keeper's notebook", "".join(corpus.FACTS))
    drafts = [_Draft("text", f"{random.choice(corpus.OPENINGS)}\n\nThe source says: ")]
    for passage in islice(re.finditer(r"[^.!?\n]+[.!?]*\s*", source), MAX_CITATIONS):
        citation = {
            "type": "char_location",
            "cited_text": passage[0],
            "document_index": request.documents.index(written[0]) if written else 0,
            "document_title": title,
            "file_id": None,
            "start_char_index": passage.start(),
            "end_char_index": passage.end(),
        }
        drafts.append(_Draft("text", passage[0].strip() or passage[0], citation=citation))
        drafts.append(_Draft("text", " "))
    return [*drafts[:-1], _Draft("text", f"\n\n{random.choice(corpus.CLOSINGS)}")]


def _tools(request: MessagesRequest, steering: Steering) -> Sequence[Mapping[str, Any]]:
    """
    Return the tools to call: the ones named in the prompt, or the one that is asked for without a name.
    """
    if request.tool_choice == "none" or steering.decline is not None:
        return []
    if request.tool_choice == "tool":
        return [tool for tool in request.tools if tool["name"] == request.forced_tool]
    prompt = request.turn.prompt if steering.echo is None else ""
    named = [tool for tool in request.tools if re.search(rf"\b{re.escape(str(tool['name']))}\b", prompt)]
    if named or not (steering.tool or request.tool_choice == "any"):
        return named[:MAX_TOOL_USES]
    return [request.tools[0] if request.tools else _WEATHER]


def _tool_draft(tool: Mapping[str, Any], random: Random, naming: Random) -> _Draft:
    made_up = _made_up(tool["input_schema"], f"tools.{tool['name']}.input_schema", random)
    value = made_up if isinstance(made_up, dict) else {}
    return _Draft("tool_use", _json(value), str(tool["name"]), identifier("toolu", naming))


def _made_up(schema: Mapping[str, Any], place: str, random: Random) -> Any:
    try:
        return value_for(schema, random)
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise invalid(f"{place}: JSON schema is invalid") from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _reason(drafts: list[_Draft], steering: Steering) -> str:
    if steering.decline is not None:
        return "refusal"
    return "tool_use" if any(draft.kind == "tool_use" for draft in drafts) else "end_turn"


def _details(steering: Steering) -> dict[str, Any]:
    category = steering.decline or None
    return {"type": "refusal", "category": category, "explanation": _DECLINED if category else None}


def _after(drafts: list[_Draft], partial: str, *, is_tail: bool) -> list[_Draft]:
    """
    Return what follows a partial answer; the whole answer, if the partial is none of its beginnings.
    """
    if not partial:
        return drafts
    said = "".join(draft.text for draft in drafts if draft.kind == "text")
    at = said.rfind(partial) if is_tail else (0 if said.startswith(partial) else -1)
    if at < 0:
        return drafts
    known, rest = at + len(partial), []
    for draft in drafts:
        if draft.kind == "text":
            left = draft.text[known:]
            known = max(0, known - len(draft.text))
            rest += [replace(draft, text=left)] if left else []
        elif draft.kind == "tool_use":
            rest.append(draft)
    return rest


def _until(drafts: list[_Draft], stops: tuple[str, ...]) -> tuple[list[_Draft], str | None]:
    """
    Return the drafts up to the first stop sequence in a text, and that sequence.
    """
    for nth, draft in enumerate(drafts):
        found = [(draft.text.find(stop), stop) for stop in stops if stop in draft.text] if draft.kind == "text" else []
        if found:
            at, stop = min(found)
            return [*drafts[:nth], replace(draft, text=draft.text[:at])], stop
    return drafts, None


def _cut(drafts: list[_Draft], budget: int, random: Random, naming: Random) -> tuple[tuple[Block, ...], bool]:
    """
    Cut the drafts into tokens; the second value tells whether the budget ended them early.
    """
    blocks: list[Block] = []
    for draft in drafts:
        if not draft.text:
            continue
        tokens = pieces(draft.text, random)
        taken = list(islice(tokens, budget))
        cut = next(tokens, None) is not None
        if taken:
            blocks.append(_block(draft, taken, naming, cut=cut))
        budget -= len(taken)
        if cut:
            return tuple(blocks), True
    return tuple(blocks), False


def _block(draft: _Draft, taken: list[str], naming: Random, *, cut: bool) -> Block:
    if draft.kind == "thinking":
        return _thinking(draft, taken, naming)
    if draft.kind == "tool_use":
        return _tool_use(draft, taken, cut=cut)
    opening: dict[str, Any] = {"type": "text", "text": ""}
    whole = {"type": "text", "text": "".join(taken)}
    deltas = _steps("text_delta", "text", taken)
    if draft.citation is None:
        return Block(opening, tuple(deltas), whole)
    cited = Delta({"type": "citations_delta", "citation": draft.citation}, 0)
    return Block({"citations": [], **opening}, (cited, *deltas), {"citations": [draft.citation], **whole})


def _steps(kind: str, member: str, taken: list[str]) -> Iterator[Delta]:
    return (Delta({"type": kind, member: piece}, 1) for piece in taken)


def _thinking(draft: _Draft, taken: list[str], naming: Random) -> Block:
    signature = b64encode(naming.randbytes(SIGNATURE_BYTES)).decode()
    shown = [] if draft.hidden else taken
    deltas = _steps("thinking_delta", "thinking", shown)
    signed = Delta({"type": "signature_delta", "signature": signature}, len(taken) if draft.hidden else 0)
    return Block(
        {"type": "thinking", "thinking": "", "signature": ""},
        (*deltas, signed),
        {"type": "thinking", "thinking": "".join(shown), "signature": signature},
    )


def _tool_use(draft: _Draft, taken: list[str], *, cut: bool) -> Block:
    opening = {"type": "tool_use", "id": draft.ident, "name": draft.name, "input": {}, "caller": {"type": "direct"}}
    first = Delta({"type": "input_json_delta", "partial_json": ""}, 0)
    if draft.text == "{}":
        return Block(opening, (replace(first, tokens=1),), opening)
    made = jiter.from_json("".join(taken).encode(), partial_mode=cut)
    deltas = _steps("input_json_delta", "partial_json", taken)
    return Block(opening, (first, *deltas), {**opening, "input": made}, closed=not cut)


def _input_usage(request: MessagesRequest) -> dict[str, Any]:
    """
    Return what the request costs: a first message fills the cache, a later one reads from it.
    """
    filled = request.cached_tokens if len(request.turn.origin) == 1 else 0
    ttls = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    return {
        "input_tokens": request.input_tokens - request.cached_tokens,
        "cache_creation_input_tokens": filled,
        "cache_read_input_tokens": request.cached_tokens - filled,
        "cache_creation": ttls | {f"ephemeral_{request.cache_ttl}_input_tokens": filled},
    }

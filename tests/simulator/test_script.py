"""A seed and a request decide the whole answer."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from streamkeep.simulator import request
from streamkeep.simulator.answer import Answer, message
from streamkeep.simulator.refusals import Refused
from streamkeep.simulator.script import MAX_TOOL_USES, identifier, script
from tests.simulator.asking import GET_TIDES, NO_INPUT, asked, body, turns


def answer(prompt: str = "hello", seed: int = 0, **more: Any) -> Answer:
    return script(asked(prompt, **more), seed)


def to(messages: list[dict[str, Any]], seed: int = 0, **more: Any) -> Answer:
    return script(request.read(body() | {"messages": messages} | more), seed)


def types(given: Answer) -> list[str]:
    return [block.opening["type"] for block in given.blocks]


def text(given: Answer) -> str:
    return "".join(block.whole["text"] for block in given.blocks if block.opening["type"] == "text")


def deltas(given: Answer, member: str) -> Iterator[str]:
    return (delta.payload[member] for block in given.blocks for delta in block.deltas if member in delta.payload)


# ---------------------------------------------------------------------------------------------------------------------
# What follows from what


@pytest.mark.parametrize("prompt", ["hello", "think, then use a tool", "cite", "refuse bio"])
def test_the_same_seed_and_request_give_the_same_answer(prompt: str) -> None:
    """Ids and signatures included."""
    assert answer(prompt) == answer(prompt)
    assert answer(prompt).message_id != answer(prompt, seed=1).message_id


def test_seeds_give_different_answers() -> None:
    """The same question is not always answered alike."""
    assert len({text(answer(seed=seed)) for seed in range(10)}) > 5


def test_the_text_does_not_depend_on_the_model() -> None:
    """Another model can go on from it; its message has an id of its own."""
    first, second = answer(), answer(model="simulated-1-fast")

    assert text(first) == text(second)
    assert first.message_id != second.message_id
    assert ("simulated-1", "simulated-1-fast") == (first.model, second.model)


def test_any_model_is_echoed_without_its_options() -> None:
    """The message names the model, not how it was asked to behave."""
    assert "claude-next" == answer(model="claude-next?seed=3").model


def test_ids_have_the_apis_form() -> None:
    """A prefix, a version, 22 letters and digits."""
    made = identifier("msg", Random(0))

    assert made.startswith("msg_01")
    assert made[6:].isalnum()
    assert 28 == len(made)


@pytest.mark.parametrize(
    "prompt", ["hello", "think, use a tool, list", "cite", "emoji, arabic, hindi", "json", "echo: a"]
)
def test_the_deltas_joined_are_the_blocks(prompt: str) -> None:
    """A stream and a message of one request have the same content."""
    for block in answer(prompt).blocks:
        for member in ("text", "thinking", "signature"):
            if member in block.whole:
                assert block.whole[member] == "".join(d.payload.get(member, "") for d in block.deltas)
        if "input" in block.whole:
            joined = "".join(d.payload["partial_json"] for d in block.deltas)
            assert block.whole["input"] == json.loads(joined or "{}")
        if "citations" in block.whole:
            assert block.whole["citations"] == [d.payload["citation"] for d in block.deltas if "citation" in d.payload]


# ---------------------------------------------------------------------------------------------------------------------
# Steering


def test_an_ordinary_answer_is_one_text() -> None:
    """It ends because it is finished."""
    given = answer()

    assert (["text"], "end_turn", None, None) == (
        types(given),
        given.stop_reason,
        given.stop_sequence,
        given.stop_details,
    )
    assert 200 < given.output_tokens < 900


def test_an_empty_echo_is_an_empty_answer() -> None:
    """No block, no token, and a good end."""
    given = answer("echo:")

    assert ((), 0, "end_turn") == (given.blocks, given.output_tokens, given.stop_reason)


def test_long_is_long() -> None:
    """At least 1,500 tokens, whatever the seed."""
    assert all(1500 <= answer("long", seed=seed).output_tokens < 3500 for seed in range(8))


@pytest.mark.parametrize(
    "prompt, more",
    [
        ("think", {}),
        ("hello", {"thinking": {"type": "adaptive"}}),
        ("hello", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("hello", {"model": "simulated-1-thinking"}),
    ],
)
def test_thinking_comes_first_and_is_signed(prompt: str, more: dict[str, Any]) -> None:
    """Asked for in words, in the request, or by the model."""
    given = answer(prompt, **more)

    assert ["thinking", "text"] == types(given)
    assert ["thinking_delta", "signature_delta"] == [delta.payload["type"] for delta in given.blocks[0].deltas[-2:]]
    assert len(given.blocks[0].whole["signature"]) > 200


def test_thinking_can_be_forbidden() -> None:
    """The request's word is stronger than the prompt's and the model's."""
    assert ["text"] == types(answer("think", model="simulated-1-thinking", thinking={"type": "disabled"}))


def test_omitted_thinking_is_only_signed() -> None:
    """It still takes its tokens."""
    shown = answer(thinking={"type": "adaptive"}).blocks[0]
    hidden = answer(thinking={"type": "adaptive", "display": "omitted"}).blocks[0]

    assert ["signature_delta"] == [delta.payload["type"] for delta in hidden.deltas]
    assert "" == hidden.whole["thinking"]
    assert shown.tokens == hidden.tokens > 20


def test_without_tools_a_default_one_is_used() -> None:
    """So that a tool block can be seen without writing a schema."""
    given = answer("use a tool")

    assert (["text", "tool_use"], "tool_use") == (types(given), given.stop_reason)
    assert "get_weather" == given.blocks[1].whole["name"]
    assert given.blocks[1].whole["input"]["unit"] in ("celsius", "fahrenheit")


@pytest.mark.parametrize("prompt", ["use a tool", "ask get_tides about it"])
def test_a_tools_input_fits_its_schema(prompt: str) -> None:
    """Whether it is called by name or not."""
    given = answer(prompt, tools=[GET_TIDES, NO_INPUT]).blocks[1].whole

    assert "get_tides" == given["name"]
    assert given["input"]["harbour"] in ("Brest", "Saint-Malo")
    assert 1 <= given["input"]["days"] <= 7


def test_a_tools_input_comes_in_pieces() -> None:
    """An empty one first, as recorded."""
    found = list(deltas(answer("get_tides", tools=[GET_TIDES]), "partial_json"))

    assert "" == found[0]
    assert len(found) > 5


def test_a_tool_without_input_gets_one_empty_piece() -> None:
    """As recorded: its input is an empty object."""
    given = answer("now", tools=[NO_INPUT])

    assert [""] == list(deltas(given, "partial_json"))
    assert {} == given.blocks[-1].whole["input"]


def test_several_named_tools_are_called_in_order() -> None:
    """Up to a bound (I10)."""
    many = [{**NO_INPUT, "name": f"t{n}"} for n in range(MAX_TOOL_USES + 5)]

    assert ["text", "tool_use", "tool_use"] == types(answer("now and get_tides", tools=[GET_TIDES, NO_INPUT]))
    assert MAX_TOOL_USES == types(answer(" ".join(t["name"] for t in many), tools=many)).count("tool_use")


@pytest.mark.parametrize(
    "choice, expected",
    [
        ({"type": "any"}, ["tool_use"]),
        ({"type": "tool", "name": "now"}, ["tool_use"]),
        ({"type": "auto"}, ["text"]),
        ({"type": "none"}, ["text"]),
        ({"type": "tool", "name": "missing"}, ["text"]),
    ],
)
def test_a_tool_choice_is_obeyed(choice: dict[str, str], expected: list[str]) -> None:
    """A forced tool comes without words."""
    assert expected == types(answer("hello", tools=[NO_INPUT], tool_choice=choice))
    assert "tool_use" not in types(answer("use a tool", tools=[NO_INPUT], tool_choice={"type": "none"}))


@pytest.mark.parametrize("schema", [{"type": "array", "minItems": "x"}, {"minimum": "x", "type": "integer"}])
def test_a_schema_that_is_none_is_refused(schema: dict[str, Any]) -> None:
    """The caller's mistake is told as one."""
    broken = {"name": "t", "input_schema": {"properties": {"a": schema}}}
    with pytest.raises(Refused, match=r"tools\.t\.input_schema: JSON schema is invalid"):
        answer("use a tool", tools=[broken])


def test_a_tools_input_is_always_an_object() -> None:
    """Even where its schema says otherwise."""
    assert {} == answer("t", tools=[{"name": "t", "input_schema": {"type": "string"}}]).blocks[-1].whole["input"]


def test_tool_results_are_answered_in_text() -> None:
    """The turn after a tool use goes on from what the tool said."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "high water at 04:43"}

    assert "The tool says: high water at 04:43" in text(to(turns("now", [use], [result]), tools=[NO_INPUT]))


def test_citations_point_into_the_document() -> None:
    """The cited text is what stands at the place that is named."""
    source = "Lit in 1611. Rebuilt in 1790! Still manned"
    document = {"type": "document", "title": "Cordouan", "source": {"type": "text", "data": source}}
    given = to(turns([document, {"type": "text", "text": "cite it"}]))
    found = list(deltas(given, "citation"))

    assert 3 == len(found)
    assert all(source[each["start_char_index"] : each["end_char_index"]] == each["cited_text"] for each in found)  # type: ignore[index]
    assert {"Cordouan"} == {each["document_title"] for each in found}  # type: ignore[index]


@pytest.mark.parametrize("data", [None, " \n"])
def test_without_a_document_a_built_in_one_is_cited(data: str | None) -> None:
    """So that citations can be seen without writing a document."""
    document = {"type": "document", "source": {"type": "text", "data": data}}
    content: Any = "cite" if data is None else [document, {"type": "text", "text": "cite"}]

    assert "Eddystone" in text(to(turns(content)))


@pytest.mark.parametrize("prompt, category", [("refuse", None), ("refuse cyber", "cyber")])
def test_a_model_can_decline(prompt: str, category: str | None) -> None:
    """A stop reason with details, and no tool."""
    given = answer(prompt + ", use a tool, think")

    assert (["text"], "refusal") == (types(given), given.stop_reason)
    assert given.stop_details is not None
    assert ("refusal", category) == (given.stop_details["type"], given.stop_details["category"])


def test_an_output_schema_decides_the_text() -> None:
    """It is one JSON document of the required form."""
    schema = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}

    assert ["days"] == list(
        json.loads(text(answer(output_config={"format": {"type": "json_schema", "schema": schema}})))
    )


def test_words_beside_a_tool_are_said() -> None:
    """A content that was asked for comes before the tool."""
    assert "1, 2, 3" == text(answer("count to 3 and use a tool"))


# ---------------------------------------------------------------------------------------------------------------------
# Ending early


@pytest.mark.parametrize("budget", range(1, 40))
def test_max_tokens_cuts_anywhere(budget: int) -> None:
    """What is there is a beginning of the whole; the cost is the budget."""
    given, whole = answer("think, use a tool", max_tokens=budget, seed=2), answer("think, use a tool", seed=2)

    assert ("max_tokens", budget) == (given.stop_reason, given.output_tokens)
    assert types(whole)[: len(given.blocks)] == types(given)


@pytest.mark.parametrize("budget", range(1, 60))
def test_a_cut_tool_input_keeps_what_was_whole(budget: int) -> None:
    """The message shows the members that a partial parser finds; only the cut block stays open."""
    given = answer("ask get_tides", tools=[GET_TIDES], max_tokens=budget)
    whole = answer("ask get_tides", tools=[GET_TIDES])
    inputs = [block.whole["input"] for block in given.blocks if "input" in block.whole]

    assert all(found.keys() <= whole.blocks[-1].whole["input"].keys() for found in inputs)
    assert [block.closed for block in given.blocks if "input" in block.whole] == (
        [given.stop_reason == "tool_use"] if inputs else []
    )


def test_a_budget_that_is_just_enough_cuts_nothing() -> None:
    """`max_tokens` means that there was more."""
    whole = answer("echo: one two three")

    assert "end_turn" == answer("echo: one two three", max_tokens=whole.output_tokens).stop_reason
    assert "max_tokens" == answer("echo: one two three", max_tokens=whole.output_tokens - 1).stop_reason


def test_a_stop_sequence_ends_the_answer_before_itself() -> None:
    """The first of them to appear counts, and is named."""
    given = answer("count to 30, use a tool", stop_sequences=["9", ", 5", "absent"])

    assert "1, 2, 3, 4" == text(given)
    assert ("stop_sequence", ", 5") == (given.stop_reason, given.stop_sequence)


def test_a_budget_may_end_before_the_stop_sequence() -> None:
    """Then the stop sequence was not met."""
    given = answer("count to 30", stop_sequences=["25"], max_tokens=5)

    assert ("max_tokens", None) == (given.stop_reason, given.stop_sequence)


# ---------------------------------------------------------------------------------------------------------------------
# Going on


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("prompt", ["hello", "think, long", "cite"])
def test_a_prefill_gets_exactly_the_rest(prompt: str, share: float) -> None:
    """The two parts joined are the answer that was not interrupted."""
    whole = text(answer(prompt))
    partial = whole[: int(len(whole) * share)].rstrip()
    rest = to(turns(prompt, partial))

    assert whole == partial + text(rest)
    assert "thinking" not in types(rest)


def test_the_documented_user_turn_gets_exactly_the_rest() -> None:
    """With the partial answer before it, or only its end quoted."""
    whole = text(answer("hello"))
    partial = whole[:200].rstrip()
    go_on = f"Your previous response was interrupted and ended with {partial[-60:]}. Continue from where you left off."
    alone = [*turns("hello"), {"role": "user", "content": go_on}]

    assert whole == partial + text(to(turns("hello", partial, go_on)))
    assert whole == partial + text(to(alone))


def test_a_tool_use_is_made_again_after_its_text() -> None:
    """What follows the partial text comes whole."""
    given = to(turns("use a tool", "I will look that up for you."))

    assert ["tool_use"] == types(given)


def test_a_partial_that_does_not_fit_gets_a_whole_answer() -> None:
    """Another model's beginning cannot be gone on from."""
    assert text(answer("hello")) == text(to(turns("hello", "Something else entirely")))


# ---------------------------------------------------------------------------------------------------------------------
# Usage


def test_the_cache_is_filled_and_then_read() -> None:
    """A first message with a mark fills it, a later one reads from it; the total stays."""
    marked = [{"type": "text", "text": "hi" * 300, "cache_control": {"type": "ephemeral"}}]
    first, later = message(to(turns(marked)))["usage"], message(to(turns(marked, "ho", "and?")))["usage"]

    assert first["cache_creation_input_tokens"] == first["cache_creation"]["ephemeral_5m_input_tokens"] > 0
    assert (0, 0) == (first["cache_read_input_tokens"], later["cache_creation_input_tokens"])
    assert later["cache_read_input_tokens"] > 0
    assert "standard" == first["service_tier"]

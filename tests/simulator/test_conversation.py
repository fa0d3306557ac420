"""Messages are checked as the Messages API checks them, and lead to one question."""

from typing import Any

import pytest

from streamkeep.simulator import conversation
from streamkeep.simulator.refusals import Refused
from tests.simulator.asking import turns

USE = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}
INTERRUPTED = 'Your previous response was interrupted and ended with "the lamp goes". Continue from where you left off.'


@pytest.mark.parametrize(
    "messages",
    [
        turns("hi"),
        turns("hi", "ho", [{"type": "text", "text": "and?"}]),
        turns("hi", ""),
        turns("hi", "The answer is"),
        turns("hi", [USE], [RESULT]),
        turns("hi", [USE], [RESULT, {"type": "text", "text": "and?"}]),
        turns([{"type": "image", "source": {}}]),
    ],
)
def test_good_messages_pass(messages: Any) -> None:
    """What the API takes is taken."""
    conversation.check(messages)


@pytest.mark.parametrize(
    "messages, words",
    [
        ("hi", "messages: Input should be a valid list"),
        ([], "messages: at least one message is required"),
        (["hi"], "messages.0: Input should be a valid dictionary"),
        ([{"role": "system", "content": "x"}], "messages.0.role: Input should be 'user' or 'assistant'"),
        ([{"role": "user"}], "messages.0.content: Field required"),
        ([{"role": "user", "content": 1}], "messages.0.content: Input should be a valid list"),
        (turns(""), "messages.0: all messages must have non-empty content"),
        (turns("hi", "", "ho"), "messages.1: all messages must have non-empty content"),
        (turns(["hi"]), "messages.0.content.0: Input should be a valid dictionary"),
        (turns([{"text": "hi"}]), "messages.0.content.0.type: Field required"),
        (turns([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
        (turns([{"type": "text", "text": ""}]), "messages: text content blocks must be non-empty"),
        (turns("hi", "ends in space "), "messages: final assistant content cannot end with trailing whitespace"),
        (turns("hi", "ho")[1:], 'messages: first message must use the "user" role'),
        (turns("hi", [USE], "and?"), "messages.1: `tool_use` ids were found without `tool_result` blocks"),
        (turns("hi", "ho", [RESULT]), "messages.2: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1"),
        ([{"role": "user", "content": "x"}] * (conversation.MAX_MESSAGES + 1), "messages: List should have at most"),
    ],
)
def test_bad_messages_are_refused_by_place(messages: Any, words: str) -> None:
    """The API's words name what is wrong."""
    with pytest.raises(Refused) as refused:
        conversation.check(messages)

    assert refused.value.refusal.message.startswith(words)


def test_a_question_is_its_own_origin() -> None:
    """Nothing partial, all texts of the last message."""
    messages = turns("hi", "ho", [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}])

    assert conversation.Turn("a\nb", (), "", False, tuple(messages)) == conversation.read(messages)


@pytest.mark.parametrize("content", ["noon", [{"type": "text", "text": "noon"}]])
def test_tool_results_are_read(content: Any) -> None:
    """As text or as blocks."""
    turn = conversation.read(turns("hi", [USE], [{**RESULT, "content": content}, {"type": "tool_result"}]))

    assert ("noon", "") == turn.results


def test_a_prefill_leads_back_to_the_question() -> None:
    """The trailing assistant message is the partial answer."""
    turn = conversation.read(turns("hi", "The lamp goes"))

    assert ("hi", "The lamp goes", False) == (turn.prompt, turn.partial, turn.is_tail)
    assert tuple(turns("hi")) == turn.origin


def test_an_interrupted_answer_leads_back_to_the_question() -> None:
    """The documented user turn goes on from the assistant message before it."""
    turn = conversation.read(turns("hi", "First, the lamp goes", INTERRUPTED))

    assert ("hi", "First, the lamp goes", False) == (turn.prompt, turn.partial, turn.is_tail)
    assert tuple(turns("hi")) == turn.origin


def test_a_tail_is_enough() -> None:
    """Without an assistant message the quoted end is all that is known of the partial answer."""
    turn = conversation.read([*turns("hi"), {"role": "user", "content": INTERRUPTED}])

    assert ("hi", "the lamp goes", True) == (turn.prompt, turn.partial, turn.is_tail)


def test_the_words_alone_are_a_question() -> None:
    """Nothing was interrupted where nothing went before."""
    assert INTERRUPTED == conversation.read(turns(INTERRUPTED)).prompt

"""An answer shown while it comes."""

import json
from typing import Any

import pytest

from streamkeep.entry import Entry
from streamkeep.terminal.answer import Answer

pytestmark = pytest.mark.anyio


class Paper:
    """Takes down what a screen would show."""

    def __init__(self) -> None:
        self.answer = ""
        self.asides: list[str] = []

    async def write(self, text: str) -> None:
        self.answer += text

    def aside(self, text: str) -> None:
        self.asides.append(text)

    def note(self, text: str) -> None:
        self.asides.append(text)


def block(name: str, index: int, **members: Any) -> Entry:
    return Entry(1, 0.0, f"content_block_{name}", json.dumps({"index": index, **members}).encode())


LOG = [
    Entry(1, 0.0, "stream.accepted", b"{}"),
    block("start", 0, content_block={"type": "thinking", "thinking": ""}),
    block("delta", 0, delta={"type": "thinking_delta", "thinking": "Hm."}),
    block("delta", 0, delta={"type": "signature_delta", "signature": "s"}),
    block("stop", 0),
    block("start", 1, content_block={"type": "text", "text": "An"}),
    block("delta", 1, delta={"type": "text_delta", "text": "swer."}),
    block("stop", 1),
    block("start", 2, content_block={"type": "tool_use", "name": "look", "input": {}}),
    block("delta", 2, delta={"type": "input_json_delta", "partial_json": '{"a":'}),
    block("delta", 2, delta={"type": "input_json_delta", "partial_json": " 1}"}),
    block("stop", 2),
    Entry(2, 0.0, "stream.completed", b"{}"),
]


async def shown(log: list[Entry], **options: Any) -> tuple[Answer, Paper]:
    paper = Paper()
    answer = Answer(paper, **options)  # type: ignore[arg-type]
    for entry in log:
        await answer.add(entry)
    return answer, paper


async def test_text_is_the_answer_and_all_else_an_aside() -> None:
    """Thinking as it comes, a tool once it is whole."""
    answer, paper = await shown(LOG)

    assert "Answer." == paper.answer
    assert ["Hm.", '[tool look {"a": 1}]'] == paper.asides
    assert (True, {"state": "completed"}) == (answer.shown, answer.told())


async def test_thinking_can_be_hidden_and_all_of_it() -> None:
    """Silent, an answer only notes how it ends."""
    _, without = await shown(LOG, thinking=False)
    answer, silent = await shown(LOG, silent=True)

    assert ['[tool look {"a": 1}]'] == without.asides
    assert ("", []) == (silent.answer, silent.asides)
    assert {"state": "completed"} == answer.told()


async def test_a_log_that_is_entered_in_its_middle_is_shown() -> None:
    """Behind a cursor the block's beginning is not there."""
    _, paper = await shown(LOG[6:7] + LOG[9:])

    assert ("swer.", []) == (paper.answer, paper.asides)


async def test_an_answer_that_begins_again_says_so() -> None:
    """What was printed cannot be taken back; a seam that goes on is not seen."""
    again = Entry(3, 0.0, "stream.seam", b'{"rewind_to": 2}')
    goes_on = Entry(3, 0.0, "stream.seam", b"{}")

    assert "begins again" in (await shown([again]))[1].asides[0]
    assert [] == (await shown([goes_on]))[1].asides


async def test_how_it_broke_is_kept() -> None:
    """With nothing shown there is nothing to read again."""
    failed = Entry(2, 0.0, "stream.failed", b'{"error": {"code": "x", "message": "y"}}')

    answer, _ = await shown([failed])

    assert {} == (await shown([]))[0].told()
    assert (False, {"state": "failed", "error": {"code": "x", "message": "y"}}) == (answer.shown, answer.told())

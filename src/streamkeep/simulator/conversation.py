"""
Check the messages of a request as the Messages API does, and tell what the model has to answer.

Most requests end with a person's question. Some go on from a partial answer: with the partial as a trailing assistant
message (a prefill), or with the documented user turn "Your previous response was interrupted and ended with … Continue
from where you left off." Both lead back to the question before, the `origin`, so that the second part fits the first.

Pure: no I/O, no clock.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamkeep.simulator.refusals import invalid

MAX_MESSAGES: Final = 100_000
"""Messages of one request: the Messages API's own limit."""

Message = dict[str, Any]

_INTERRUPTED: Final = re.compile(
    r"interrupted and ended with (?P<tail>.*)\s*continue from where you left off", re.IGNORECASE | re.DOTALL
)
_QUOTES: Final = " \n\"'`“”[]"


@dataclass(frozen=True, slots=True)
class Turn:
    """
    What the model is asked.

    Attributes:
        prompt: the text of the person's last message.
        results: the texts of the tool results in it.
        partial: the part of the answer that exists already; "" for none.
        is_tail: `partial` is only the end of that part.
        origin: the messages up to the question, without the partial answer.
    """

    prompt: str
    results: tuple[str, ...]
    partial: str
    is_tail: bool
    origin: tuple[Message, ...]


def blocks(content: object) -> list[Message]:
    """
    Return a message's content as blocks, also where it was given as a text.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def text_of(content: object) -> str:
    """
    Return the text blocks of a content, joined by line ends.
    """
    return "\n".join(str(block.get("text", "")) for block in blocks(content) if block.get("type") == "text")


def check(messages: object) -> None:
    """
    Refuse what the Messages API refuses in `messages`.

    Raises:
        Refused: 400, naming the place.
    """
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise invalid(f"messages: List should have at most {MAX_MESSAGES} items")
    for at, message in enumerate(messages):
        _check_one(at, message, last=at == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    _check_tool_results(messages)


def _check_one(at: int, message: object, *, last: bool) -> None:
    if not isinstance(message, dict):
        raise invalid(f"messages.{at}: Input should be a valid dictionary")
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant"):
        raise invalid(f"messages.{at}.role: Input should be 'user' or 'assistant'")
    if not isinstance(content, str | list):
        raise invalid(
            f"messages.{at}.content: {'Field required' if content is None else 'Input should be a valid list'}"
        )
    if not content and not (last and role == "assistant"):
        raise invalid(
            f"messages.{at}: all messages must have non-empty content except for the optional final assistant message"
        )
    if isinstance(content, list):
        _check_blocks(at, content)
    if last and role == "assistant" and text_of(content) != text_of(content).rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def _check_blocks(at: int, content: Sequence[object]) -> None:
    for nth, block in enumerate(content):
        if not isinstance(block, dict):
            raise invalid(f"messages.{at}.content.{nth}: Input should be a valid dictionary")
        if not isinstance(block.get("type"), str):
            raise invalid(f"messages.{at}.content.{nth}.type: Field required")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise invalid(f"messages.{at}.content.{nth}.text.text: Field required")
        if block["type"] == "text" and not block["text"]:
            raise invalid("messages: text content blocks must be non-empty")


def _check_tool_results(messages: Sequence[Message]) -> None:
    """
    Refuse a tool use that the next message does not answer, and an answer to a tool use that was not made.
    """
    asked: set[str] = set()
    for at, message in enumerate(messages):
        content = blocks(message["content"])
        given = {str(block.get("tool_use_id")) for block in content if block["type"] == "tool_result"}
        if given - asked:
            raise invalid(
                f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {min(given - asked)}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if asked - given:
            raise invalid(
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{min(asked - given)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        asked = {str(block.get("id")) for block in content if block["type"] == "tool_use"}


def read(messages: Sequence[Message]) -> Turn:
    """
    Return what checked messages ask for.
    """
    origin = list(messages)
    partial, is_tail = "", False
    interrupted = _INTERRUPTED.search(text_of(origin[-1]["content"])) if len(origin) > 1 else None
    if origin[-1]["role"] == "assistant":
        partial = text_of(origin.pop()["content"])
    elif interrupted:
        partial, is_tail = interrupted["tail"].strip(_QUOTES).removesuffix(".").strip(_QUOTES), True
        origin.pop()
        if origin[-1]["role"] == "assistant" and len(origin) > 1:
            partial, is_tail = text_of(origin.pop()["content"]) or partial, False
    return _turn(origin, partial, is_tail)


def _turn(origin: list[Message], partial: str, is_tail: bool) -> Turn:
    asked = origin[-1]["content"] if origin[-1]["role"] == "user" else ""
    results = tuple(_result(block) for block in blocks(asked) if block["type"] == "tool_result")
    return Turn(text_of(asked), results, partial, is_tail, tuple(origin))


def _result(block: Message) -> str:
    content = block.get("content", "")
    return content if isinstance(content, str) else text_of(content)

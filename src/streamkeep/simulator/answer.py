"""
Hold a whole answer: blocks of deltas, why it stopped, what it cost; and give it as one message.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """
    One step of a block.

    Attributes:
        payload: the `delta` member of its event.
        tokens: what it takes of the model's time; 0 for what comes along with the step before.
    """

    payload: Mapping[str, Any]
    tokens: int


@dataclass(frozen=True, slots=True)
class Block:
    """
    A content block, in its steps and whole.

    Attributes:
        opening: the block as its start event shows it.
        deltas: its steps.
        whole: the block as a message shows it.
        closed: False where `max_tokens` cut a tool's input: no stop event comes, as from the Messages API.
    """

    opening: Mapping[str, Any]
    deltas: tuple[Delta, ...]
    whole: Mapping[str, Any]
    closed: bool = True

    @property
    def tokens(self) -> int:
        """
        What the block costs.
        """
        return sum(delta.tokens for delta in self.deltas)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A whole answer.

    Attributes:
        message_id: `msg_01…`.
        model: its name.
        blocks: the content.
        stop_reason: why it ended.
        stop_sequence: the text that ended it, for that reason.
        stop_details: more about a refusal.
        input_usage: what the request cost, as the start event shows it.
    """

    message_id: str
    model: str
    blocks: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None
    stop_details: Mapping[str, Any] | None
    input_usage: Mapping[str, Any]

    @property
    def output_tokens(self) -> int:
        """
        What the answer cost, thinking included.
        """
        return sum(block.tokens for block in self.blocks)

    def output_usage(self) -> dict[str, Any]:
        """
        Return the counts that are known when the answer is finished.
        """
        usage: dict[str, Any] = {"output_tokens": self.output_tokens}
        thought = sum(block.tokens for block in self.blocks if block.opening["type"] == "thinking")
        if thought:
            usage["output_tokens_details"] = {"thinking_tokens": thought}
        return usage

    def ending(self) -> dict[str, Any]:
        """
        Return why the answer ended: the `delta` member of the `message_delta` event.
        """
        return {
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
        }


def head(answer: Answer) -> dict[str, Any]:
    """
    Return the message of the `message_start` event: no content yet, and a first token counted.
    """
    return {
        "model": answer.model,
        "id": answer.message_id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            **answer.input_usage,
            "output_tokens": 1,
            "service_tier": "standard",
            "inference_geo": "not_available",
        },
    }


def message(answer: Answer) -> dict[str, Any]:
    """
    Return the answer as one message: what a request without `stream` is given.
    """
    whole = head(answer)
    whole["content"] = [block.whole for block in answer.blocks]
    whole |= answer.ending()
    whole["usage"] |= answer.output_usage()
    return whole

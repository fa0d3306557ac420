"""An answer is one message, and knows what it cost."""

from streamkeep.simulator.answer import Answer, Block, Delta, head, message

THOUGHT = Block(
    {"type": "thinking", "thinking": "", "signature": ""},
    (Delta({"type": "thinking_delta", "thinking": "Hm"}, 1), Delta({"type": "signature_delta", "signature": "s"}, 0)),
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
)
TEXT = Block(
    {"type": "text", "text": ""},
    (Delta({"type": "text_delta", "text": "Hel"}, 1), Delta({"type": "text_delta", "text": "lo"}, 1)),
    {"type": "text", "text": "Hello"},
)


def answer(*blocks: Block) -> Answer:
    return Answer("msg_01x", "simulated-1", blocks, "end_turn", None, None, {"input_tokens": 7})


def test_the_head_has_no_content_yet() -> None:
    """What `message_start` shows: the input's cost, and one token of output."""
    shown = head(answer(TEXT))

    assert ([], None) == (shown["content"], shown["stop_reason"])
    assert (7, 1) == (shown["usage"]["input_tokens"], shown["usage"]["output_tokens"])


def test_a_message_is_the_head_completed() -> None:
    """The same members, with content, ending and the whole cost."""
    whole = message(answer(THOUGHT, TEXT))

    assert head(answer()).keys() == whole.keys()
    assert [THOUGHT.whole, TEXT.whole] == whole["content"]
    assert "end_turn" == whole["stop_reason"]
    assert (7, 3) == (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"])


def test_thinking_is_counted_apart() -> None:
    """Only where there was any."""
    assert {"output_tokens": 2} == answer(TEXT).output_usage()
    assert {"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 1}} == answer(THOUGHT, TEXT).output_usage()

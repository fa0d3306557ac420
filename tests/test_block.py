"""One block of a message: what each type takes, what it shows, and what its digest is over."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep import block
from streamkeep.block import (
    Block,
    CitationsDelta,
    CompactionDelta,
    Delta,
    InputJsonDelta,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    begin,
)
from streamkeep.entry import Entry

DELTAS: list[Delta] = [
    TextDelta("t"),
    ThinkingDelta("t"),
    InputJsonDelta("{}"),
    CitationsDelta({"type": "c"}),
    SignatureDelta("s"),
    CompactionDelta("c", "e"),
]

TAKES = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "mcp_tool_use": {"input_json_delta"},
    "compaction": {"compaction_delta"},
    "fallback": set(),
    "redacted_thinking": set(),
    "web_search_tool_result": set(),
    "hologram": set(),
}
"""What can be written into which type of block."""


def of_type(name: str, **members: Any) -> Block:
    """Begin a block whose start event is the bytes `start`."""
    return begin({"type": name, "to": {"model": "m"}, **members}, Entry(7, 0.0, "content_block_start", b"start"))


def written(name: str, *deltas: Delta, **members: Any) -> Block:
    """Begin a block and write into it."""
    made = of_type(name, **members)
    for each in deltas:
        made.take(each)
    return made


def sha256(content: bytes) -> dict[str, Any]:
    """Give what a digest says of some content, but for the type."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("name", TAKES)
def test_takes_what_belongs_into_it(name: str) -> None:
    """A block takes the deltas of its type, and others change nothing."""
    for each in DELTAS:
        made = of_type(name)
        before = (made.snapshot(), made.digest())
        expected = each.__struct_config__.tag in TAKES[name]
        assert expected == made.take(each)
        assert expected == ((made.snapshot(), made.digest()) != before)


def test_every_delta_type_is_known_by_name() -> None:
    """`DELTA_TYPES` names what the API's types name."""
    assert {str(each.__struct_config__.tag) for each in DELTAS} == block.DELTA_TYPES


@pytest.mark.parametrize("name", TAKES)
def test_remembers_where_it_began(name: str) -> None:
    """A block knows its type and the entry that began it."""
    assert (name, 7) == (of_type(name).type, of_type(name).seq)


@pytest.mark.parametrize("member", ["text", "thinking"])
def test_text_continues_what_the_start_brought(member: str) -> None:
    """Deltas are appended to the text of the start; null and nothing are an empty one."""
    delta: Delta = TextDelta("b") if member == "text" else ThinkingDelta("b")
    assert "ab" == written(member, delta, **{member: "a"}).snapshot()[member]
    assert "b" == written(member, delta, **{member: None}).snapshot()[member]
    assert "" == written(member).snapshot()[member]
    assert {"type": member, **sha256(b"ab")} == written(member, delta, **{member: "a"}).digest()


def test_a_citation_is_appended() -> None:
    """Citations follow those of the start."""
    first, second = {"type": "c", "at": [1]}, {"type": "c", "at": [2]}
    made = written("text", CitationsDelta(second), citations=[first])
    assert [first, second] == made.snapshot()["citations"]


@pytest.mark.parametrize("members", [{}, {"citations": None}, {"citations": []}])
def test_without_citations_the_member_stays(members: dict[str, Any]) -> None:
    """Absent, null and empty stay what they were."""
    assert {"type": "text", "text": "t", "to": {"model": "m"}, **members} == written(
        "text", TextDelta("t"), **members
    ).snapshot()


def test_a_signature_replaces_the_one_before() -> None:
    """Signatures are set, not joined."""
    assert "b" == written("thinking", SignatureDelta("a"), SignatureDelta("b")).snapshot()["signature"]


def test_a_compaction_is_replaced_whole() -> None:
    """The last delta says both members."""
    made = written("compaction", CompactionDelta("a", "e"), CompactionDelta("b"))
    assert ("b", None) == (made.snapshot()["content"], made.snapshot()["encrypted_content"])


def test_a_fallback_names_the_model() -> None:
    """Only a fallback block changes the model."""
    models = {name: of_type(name).serving_model for name in TAKES}
    assert {"fallback": "m"} == {name: model for name, model in models.items() if model is not None}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", {"begun": 1}),
        (" \n", {"begun": 1}),
        ("{", {}),
        ('{"a": [1, {"b": "c"}', {"a": [1, {"b": "c"}]}),
        ('{"a": "cut o', {}),
        ('{"a": 1, "b": tr', {"a": 1}),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        ('{"a": nope}', {"INVALID_JSON": '{"a": nope}'}),
        ('{"a": Infinity}', {"INVALID_JSON": '{"a": Infinity}'}),
        ('{"a": [1.5, -1e999]}', {"INVALID_JSON": '{"a": [1.5, -1e999]}'}),
        ('{"a":' * 500, {"INVALID_JSON": '{"a":' * 500}),
    ],
)
def test_tool_json_is_parsed_as_far_as_it_goes(text: str, expected: dict[str, Any]) -> None:
    """The finished part is given; what can never be parsed is kept as text (law 2)."""
    assert expected == written("tool_use", InputJsonDelta(text), input={"begun": 1}).snapshot()["input"]


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": {}}])
def test_an_input_is_never_missing(members: dict[str, Any]) -> None:
    """A tool that nothing was written to has the input {}."""
    assert {} == of_type("tool_use", **members).snapshot()["input"]


@given(st.lists(st.text()))
def test_any_tool_json_is_kept(pieces: list[str]) -> None:
    """No tool JSON raises, and the digest is over the pieces as they came; empty, it is over the start event."""
    made = written("tool_use", *map(InputJsonDelta, pieces))
    assert "input" in made.snapshot()
    assert {"type": "tool_use", **sha256("".join(pieces).encode() or b"start")} == made.digest()


@pytest.mark.parametrize("name", ["compaction", "fallback", "redacted_thinking", "web_search_tool_result", "hologram"])
def test_the_digest_of_a_whole_block_is_over_its_start(name: str) -> None:
    """What has neither text, thinking nor tool JSON is hashed as it was received (law 3)."""
    assert {"type": name, **sha256(b"start")} == written(name, *DELTAS).digest()


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"type": 1},
        {"type": "text", "text": 1},
        {"type": "text", "citations": {}},
        {"type": "thinking", "thinking": []},
        {"type": "fallback"},
        {"type": "fallback", "to": {"model": None}},
    ],
)
def test_a_shape_that_deltas_cannot_build_on_is_refused(shape: dict[str, Any]) -> None:
    """A member of a known type that is not what the API promises is a ValueError, not a surprise later."""
    with pytest.raises(ValueError, match=r"Expected|missing"):
        begin(shape, Entry(1, 0.0, "content_block_start", b""))


def test_copies_share_nothing() -> None:
    """Neither the caller's shape nor a snapshot is the block's own."""
    shape = {"type": "x", "list": [{"a": 1}]}
    made = begin(shape, Entry(1, 0.0, "content_block_start", b""))
    shape["list"] = []
    made.snapshot()["list"].append(2)
    assert {"type": "x", "list": [{"a": 1}]} == made.snapshot()


def test_nesting_is_bounded() -> None:
    """`MAX_DEPTH` levels are copied, one more is refused, and the error says so (I10)."""
    deep: Any = 1
    for _ in range(block.MAX_DEPTH):
        deep = [deep]
    assert deep == block.copy_json(deep)
    with pytest.raises(ValueError, match=f"deeper than {block.MAX_DEPTH} levels"):
        block.copy_json({"a": deep})


def test_integers_are_bounded() -> None:
    """What fits 64 bits is copied, more is refused: not every encoder could write it again (I10)."""
    fitting = [-(2**63), 2**64 - 1]
    assert fitting == block.copy_json(fitting)
    for huge in (-(2**63) - 1, 2**64):
        with pytest.raises(ValueError, match="more than 64 bits"):
            block.copy_json({"a": [huge]})

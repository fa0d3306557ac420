"""Leaving thinking blocks out: what goes, what stays as it is, and what gets another index."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep import thinking
from streamkeep.entry import Entry
from streamkeep.testing.check_wire import hostile_logs
from streamkeep.thinking import HIDDEN_TYPES, ThinkingFilter
from tests.recordings import Recording, anthropic_recordings

TYPES = ["text", "thinking", "redacted_thinking", "tool_use", "new_block"]


def entry(name: str, **members: Any) -> Entry:
    """Make a block event; only its index counts."""
    return Entry(1, 0.0, f"content_block_{name}", json.dumps({"type": f"content_block_{name}", **members}).encode())


def start(index: int, kind: str) -> Entry:
    """Begin a block."""
    return entry("start", index=index, content_block={"type": kind})


def shown(log: list[Entry], *, renumber: bool) -> list[Entry]:
    """Filter a log."""
    blocks = ThinkingFilter(renumber=renumber)
    return [kept for each in log if (kept := blocks.keep(each)) is not None]


def block(index: int, kind: str) -> list[Entry]:
    """Make a block with two deltas."""
    deltas = [entry("delta", index=index, delta={"type": f"{kind}_delta", "n": n}) for n in (1, 2)]
    return [start(index, kind), *deltas, entry("stop", index=index)]


@given(st.lists(st.sampled_from(TYPES), max_size=12))
def test_hidden_blocks_are_gone_and_the_rest_closes_up(kinds: list[str]) -> None:
    """A log is what it would be had the blocks never been; without renumbering it is a part of the log."""
    log = [each for index, kind in enumerate(kinds) for each in block(index, kind)]
    kept = [kind for kind in kinds if kind not in HIDDEN_TYPES]
    never = [each for index, kind in enumerate(kept) for each in block(index, kind)]

    assert [each.json() for each in never] == [each.json() for each in shown(log, renumber=True)]
    visible = [index for index, kind in enumerate(kinds) if kind not in HIDDEN_TYPES]
    assert [each for each in log if each.json()["index"] in visible] == shown(log, renumber=False)


@pytest.mark.parametrize("log", hostile_logs(), ids=lambda log: log[0].name)
@pytest.mark.parametrize("renumber", [False, True])
def test_what_is_not_understood_passes_unchanged(log: list[Entry], renumber: bool) -> None:
    """Law 1: nothing raises, and nothing that is no block event is touched."""
    for each in log:
        kept = ThinkingFilter(renumber=renumber).keep(each)

        assert kept is each or kept is None
        if kept is None:
            assert each.json()["content_block"]["type"] in HIDDEN_TYPES


@pytest.mark.parametrize("index", ['"x"', "-1", "null", "true", "1.5", str(2**31), str(10**30)])
def test_an_index_that_is_none_passes_unchanged(index: str) -> None:
    """Law 1: also after something was hidden."""
    odd = Entry(1, 0.0, "content_block_stop", b'{"type":"content_block_stop","index":%b}' % index.encode())

    assert [odd] == shown([start(0, "thinking"), odd], renumber=True)


def test_an_event_that_moves_keeps_every_byte_but_its_index() -> None:
    """Numbers have no other exact form, and a member given twice counts once."""
    data = (
        b'{ "type":"content_block_start","index": 2 ,"content_block":{"type":"x","n":[1e999, 1.50, %b]}, "u":"\\u00e9"}'
        % (b"9" * 40)
    )
    moved = (
        b'{"type":"content_block_start","index":1,"content_block":{"type":"x","n":[1e999, 1.50, %b]},"u":"\\u00e9"}'
        % (b"9" * 40)
    )

    log = [start(0, "text"), start(1, "thinking"), Entry(7, 3.5, "content_block_start", data)]

    assert Entry(7, 3.5, "content_block_start", moved) == shown(log, renumber=True)[-1]


def test_an_event_that_stays_is_the_same_object() -> None:
    """Before the first hidden block nothing costs a copy."""
    first = start(0, "text")

    assert shown([first], renumber=True)[0] is first


def test_a_block_takes_the_place_of_a_hidden_one() -> None:
    """Law 2: an answer that begins again begins its blocks again."""
    again = [start(0, "thinking"), start(1, "text"), start(0, "text"), start(1, "thinking"), start(2, "text")]

    assert [0, 0, 1] == [each.json()["index"] for each in shown(again, renumber=True)]
    assert [0] == [
        each.json()["index"] for each in shown([start(0, "thinking")] * 2 + [start(0, "text")], renumber=True)
    ]


def test_a_new_kind_of_block_event_belongs_to_its_block() -> None:
    """The API may add events; those of a hidden block are hidden too."""
    log = [start(0, "thinking"), entry("note", index=0), entry("note", index=1)]

    assert [{"type": "content_block_note", "index": 0}] == [each.json() for each in shown(log, renumber=True)]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: of very many hidden blocks the oldest are only counted; what comes after them is still right."""
    monkeypatch.setattr(thinking, "MAX_HIDDEN_BLOCKS", 3)
    blocks = ThinkingFilter(renumber=True)
    for index in range(10):
        assert blocks.keep(start(index, "thinking")) is None

    kept = blocks.keep(start(10, "text"))

    assert kept is not None
    assert 0 == kept.json()["index"]
    assert blocks.keep(entry("delta", index=9)) is None
    assert 3 == len(blocks._hidden)
    early = entry("delta", index=2)
    assert blocks.keep(early) is early


REAL = [each for each in anthropic_recordings() if not each.synthetic]


@pytest.mark.parametrize("recording", REAL, ids=str)
def test_a_recorded_answer_closes_up(recording: Recording) -> None:
    """The indexes of what is shown have no gap, nothing shown is thinking, and all else is there."""
    log = [Entry(1, 0.0, json.loads(payload)["type"], payload) for payload in recording.payloads()]

    starts = [each.json() for each in shown(log, renumber=True) if each.name == "content_block_start"]

    kinds = [each.json()["content_block"]["type"] for each in log if each.name == "content_block_start"]
    assert list(range(len(starts))) == [each["index"] for each in starts]
    assert [kind for kind in kinds if kind not in HIDDEN_TYPES] == [each["content_block"]["type"] for each in starts]

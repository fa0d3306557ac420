"""Cursors: their text, and which of them are positions of a log."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamkeep.cursor import EPOCH_CHARACTERS, EPOCH_LENGTH, MAX_SEQ, START, Cursor, check, epoch_at
from streamkeep.errors import BadRequest, CursorError
from tests.recordings import ROOT

VECTORS = [
    pytest.param(vector, id=f"{path.stem}:{vector['name']}")
    for path in sorted((ROOT / "spec" / "vectors" / "cursor").glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
]

ORIGIN_SAFE = re.compile(r"[A-Za-z0-9._:-]{1,128}")

epoch_names = st.text(EPOCH_CHARACTERS, min_size=EPOCH_LENGTH, max_size=EPOCH_LENGTH)
cursors = st.builds(Cursor, st.just("") | epoch_names, st.integers(0, MAX_SEQ))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Draw what happened: each writer's epoch, and how many entries it wrote that its successor saw."""
    names = draw(st.lists(epoch_names, min_size=1, max_size=6, unique=True))
    return [(name, draw(st.integers(0, 5))) for name in names]


def log_of(history: Sequence[tuple[str, int]]) -> tuple[list[tuple[int, str]], list[str]]:
    """Write the log: its epochs, and entry by entry which epoch wrote it."""
    epochs: list[tuple[int, str]] = []
    writers: list[str] = []
    for name, count in history:
        epochs.append((len(writers) + 1, name))
        writers += [name] * count
    return epochs, writers


def refusal(text: str, epochs: list[tuple[int, str]], last_seq: int) -> str | None:
    """Name the code with which a cursor is refused, if it is."""
    try:
        check(Cursor.parse(text), epochs, last_seq)
    except (BadRequest, CursorError) as error:
        return error.code
    return None


@pytest.mark.parametrize("vector", VECTORS)
def test_a_vector_is_accepted_or_refused(vector: dict[str, Any]) -> None:
    """I7: foreign, ahead and malformed cursors have names of their own; the rest is a position."""
    epochs = [(first, name) for first, name in vector["epochs"]]

    assert vector.get("error") == refusal(vector["cursor"], epochs, vector["last_seq"])


@given(cursors)
def test_the_text_form_is_read_again(cursor: Cursor) -> None:
    """Law 1: text and cursor are one, and the text is safe in a `Last-Event-ID` across origins."""
    text = str(cursor)

    assert cursor == Cursor.parse(text)
    assert ORIGIN_SAFE.fullmatch(text)


def test_the_beginning_has_a_text_form_too() -> None:
    """An absent header and a bare 0 are the same place."""
    assert START == Cursor.parse("") == Cursor.parse("0") == Cursor("", 0)


@given(st.text() | st.from_regex(r"[a-z0-9]{1,17}\.[0-9]{1,17}", fullmatch=True))
@example("1" * 65_536)
@example("aaaaaa.1\n")
def test_any_text_is_an_exact_number_or_a_named_refusal(text: str) -> None:
    """I7: there is no third way out of the parser, whatever a client sends."""
    try:
        cursor = Cursor.parse(text)
    except BadRequest:
        return

    assert 0 <= cursor.seq <= MAX_SEQ
    assert cursor == Cursor.parse(str(cursor))


def test_a_malformed_cursor_is_not_repeated_to_its_sender() -> None:
    """I10: the refusal says what a cursor looks like, and is short however long the text was."""
    with pytest.raises(BadRequest, match=r"<epoch>\.<number>") as caught:
        Cursor.parse("secret" * 10_000)

    assert "secret" not in str(caught.value)
    assert Cursor("k3f7x2", 417) == Cursor.parse("k3f7x2.417")
    assert "k3f7x2.417" in str(caught.value)


@given(histories())
def test_each_entry_has_the_epoch_of_its_writer(history: list[tuple[str, int]]) -> None:
    """The cursor of an entry names who wrote it, also when some writers wrote nothing."""
    epochs, writers = log_of(history)

    assert writers == [epoch_at(epochs, seq) for seq in range(1, len(writers) + 1)]


@given(histories(), st.data())
def test_a_position_that_was_given_out_stays_good(history: list[tuple[str, int]], data: st.DataObject) -> None:
    """I7: what a reader was told while the log grew is accepted ever after, whoever took the log since."""
    epochs, writers = log_of(history)
    seq = data.draw(st.integers(0, len(writers)))

    check(Cursor(epoch_at(epochs, seq), seq), epochs, len(writers))


@given(histories(), epoch_names, st.integers(0, 40))
def test_a_cursor_is_good_if_and_only_if_what_it_read_is_a_prefix(
    history: list[tuple[str, int]], epoch: str, seq: int
) -> None:
    """I7: compared with a model that keeps, for each writer, how far the log that it knew still agrees with ours."""
    epochs, writers = log_of(history)
    head = len(writers)
    ends = [first - 1 for first, _ in epochs[1:]] + [head]
    agrees = {"": head} | {name: end for (_, name), end in zip(epochs, ends, strict=True)}

    for name in [*agrees, epoch]:
        refused = "cursor_ahead" if name in agrees else "cursor_foreign"
        good = seq <= agrees.get(name, 0)
        assert (None if good else refused) == refusal(str(Cursor(name, seq)), epochs, head)


@pytest.mark.parametrize("cursor", ["zzzzzz.2", "bbbbbb.9", "aaaaaa.3", "9"])
def test_a_refusal_says_where_the_log_stands(cursor: str) -> None:
    """I7: the error carries the head, and its text tells what to do."""
    with pytest.raises(CursorError, match="read again from the start") as caught:
        check(Cursor.parse(cursor), [(1, "aaaaaa"), (3, "bbbbbb")], 5)

    assert "bbbbbb.5" == caught.value.head
    assert "bbbbbb.5" in str(caught.value)


def test_an_epoch_is_fit_for_the_text_form() -> None:
    """Law 1: what writers mint is what the parser takes."""
    assert Cursor(EPOCH_CHARACTERS[:16], 1) == Cursor.parse(f"{EPOCH_CHARACTERS[:16]}.1")
    assert Cursor(EPOCH_CHARACTERS[16:], 1) == Cursor.parse(f"{EPOCH_CHARACTERS[16:]}.1")

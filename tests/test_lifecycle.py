"""The grammar of a log: the vectors, every cell of the table, and one ending whatever is tried."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep import entry, lifecycle
from streamkeep.errors import StreamClosed
from streamkeep.lifecycle import PROVIDER_EVENT, TABLE, IllegalEntry, State, step
from tests.recordings import ROOT

VECTORS = [
    pytest.param(vector, id=f"{path.stem}:{vector['name']}")
    for path in sorted((ROOT / "spec" / "vectors" / "lifecycle").glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
]

REFUSALS: dict[str, type[Exception]] = {"stream_closed": StreamClosed, "illegal_entry": IllegalEntry}

OWN_NAMES = sorted(
    value
    for value in vars(entry).values()
    if isinstance(value, str) and value.startswith("stream.") and "\n" not in value
)

NAMES = [*OWN_NAMES, "message_start", "content_block_delta", "message_stop", PROVIDER_EVENT, "stream.unknown", ""]


@pytest.mark.parametrize("vector", VECTORS)
def test_a_vector_ends_in_its_state_or_is_refused(vector: dict[str, Any]) -> None:
    """The written sequences, refusals included; a refusal leaves the state as it was."""
    names, refused = list(vector["entries"]), vector.get("error")
    last = names.pop() if refused else ""
    state = State.NEW
    for name in names:
        state = step(state, name)

    assert State(vector["state"]) == state
    if refused:
        with pytest.raises(REFUSALS[refused]):
            step(state, last)


@pytest.mark.parametrize("name", [*OWN_NAMES, "content_block_delta", "stream.unknown"])
@pytest.mark.parametrize("state", State)
def test_the_table_decides_every_cell(state: State, name: str) -> None:
    """Rule 1: what has a key is legal and leads there, what has none is refused; ended states refuse as closed."""
    key = name if name.startswith("stream.") else PROVIDER_EVENT
    expected = TABLE[state].get(key)

    if expected is not None:
        assert expected == step(state, name)
    else:
        with pytest.raises(StreamClosed if state.ended else IllegalEntry):
            step(state, name)


def test_the_vectors_visit_every_cell() -> None:
    """Whoever writes the table again in another language is held to all of it by the vectors alone."""
    visited = set()
    for parameter in VECTORS:
        vector: Any = parameter.values[0]
        state = State.NEW
        for name in vector["entries"]:
            key = name if name.startswith("stream.") else PROVIDER_EVENT
            visited.add((state, key))
            state = TABLE[state].get(key, state)

    assert {(state, name) for state in State for name in [*OWN_NAMES, PROVIDER_EVENT]} <= visited


def test_the_table_names_every_state_and_every_own_name() -> None:
    """A new name in entry.py that the grammar does not know is noticed here."""
    assert set(State) == set(TABLE)
    assert {*OWN_NAMES, PROVIDER_EVENT} == {name for row in TABLE.values() for name in row}


def test_a_state_has_ended_exactly_if_nothing_can_follow() -> None:
    """I3: the ended states are those that the endings lead to, and their rows are empty."""
    ended = {state for state in State if state.ended}

    assert {state for state, row in TABLE.items() if not row} == ended
    assert {row[name] for row in TABLE.values() for name in row if name in entry.TERMINALS} == ended
    assert {name for row in TABLE.values() for name in row if row[name].ended} == entry.TERMINALS


@given(st.lists(st.sampled_from(NAMES) | st.text(max_size=12), max_size=40))
def test_no_sequence_has_two_endings_or_anything_after_one(names: list[str]) -> None:
    """I3, I14: whatever is tried, what is accepted begins with `stream.accepted`, and its one ending is last."""
    state, accepted = State.NEW, []
    for name in names:
        try:
            state = step(state, name)
        except (StreamClosed, IllegalEntry):
            continue
        accepted.append(name)

    endings = [name for name in accepted if name in entry.TERMINALS]
    assert [entry.ACCEPTED] * bool(accepted) == accepted[:1]
    assert accepted.count(entry.ACCEPTED) <= 1
    assert endings == (accepted[-1:] if state.ended else [])


@given(st.lists(st.sampled_from([name for name in NAMES if name != entry.CANCEL_REQUESTED]), max_size=30))
def test_nothing_is_cancelled_that_nobody_asked_to_stop(names: list[str]) -> None:
    """I14: the seal follows a request."""
    state = State.NEW
    for name in names:
        try:
            state = step(state, name)
        except (StreamClosed, IllegalEntry):
            continue

    assert state not in (State.CANCELLING, State.CANCELLED)


def test_the_drawing_shows_every_state() -> None:
    """The head of the file is the picture that people look at."""
    assert [] == [state.name for state in State if state.name not in str(lifecycle.__doc__)]

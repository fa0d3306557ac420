"""The bare text: its vectors, its checker, and recordings whose text is all that is sent."""

import pytest

from streamkeep.entry import CANCELLED, COMPLETED, FAILED
from streamkeep.message import fold
from streamkeep.testing.check_wire import check_wire
from streamkeep.wire.base import Options
from streamkeep.wire.text import WIRE
from tests.recordings import Recording, anthropic_recordings
from tests.wire.logs import WireVector, frames, recorded_log, vectors

VECTORS = vectors("text")


@pytest.mark.parametrize("vector", VECTORS)
def test_a_log_gives_the_frames_of_its_vector(vector: WireVector) -> None:
    """I5: the bytes are fixed, for every implementation."""
    assert vector.frames == frames(WIRE, vector.log, vector.options, vector.epoch)
    if vector.ends_cleanly is not None:
        assert vector.ends_cleanly == WIRE.ends_cleanly(vector.log[-1].name)


def test_it_keeps_the_promises_of_a_wire() -> None:
    """I5, I12: what every wire promises, over the logs of the vectors and hostile ones."""
    check_wire(WIRE, [each.values[0].log for each in VECTORS])


@pytest.mark.parametrize("hide_thinking", [False, True])
@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_a_recorded_answers_text_is_all_that_is_sent(recording: Recording, hide_thinking: bool) -> None:
    """No thinking, no tool input, no framing: the text of the message, in UTF-8."""
    log = recorded_log(recording)

    sent = WIRE.opening + b"".join(frames(WIRE, log, Options(hide_thinking=hide_thinking)))

    assert fold(log).text() == sent.decode()


def test_only_success_ends_well_formed() -> None:
    """I12: the dialect has no word for failure, so every other ending cuts the connection."""
    assert [True, False, False] == [WIRE.ends_cleanly(ending) for ending in (COMPLETED, FAILED, CANCELLED)]


def test_it_has_no_way_to_say_nothing() -> None:
    """Every byte is text, so there is no opening and no heartbeat."""
    assert (b"", b"") == (WIRE.opening, WIRE.heartbeat)

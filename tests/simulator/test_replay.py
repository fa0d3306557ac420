"""A recording is played byte for byte, however it is cut."""

from pathlib import Path
from random import Random

import pytest

from streamkeep.errors import BadRequest
from streamkeep.simulator.pace import Frame
from streamkeep.simulator.replay import MAX_RECORDING_BYTES, Chunking, Recording, frames, load
from tests.recordings import RECORDINGS, anthropic_recordings, recordings_folder
from tests.recordings import Recording as Recorded

SSE = 'event: a\ndata: {"type":"a"}\n\nevent: b\ndata: {"type":"b","text":"né 👩🏽‍🚀"}\n\n'.encode()


def played(recording: Recording, chunking: Chunking, seed: int = 0, **more: float) -> list[Frame]:
    after = more.get("after")
    pace = {"ttft_s": more.get("ttft_s", 0.0), "events_per_s": more.get("events_per_s", 0.0)}
    return list(frames(recording, chunking, Random(seed), **pace, after=None if after is None else int(after)))


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


FRAMED = [each for each in RECORDINGS if each.api in ("anthropic-messages", "openai-chat", "openai-responses")]


@pytest.mark.parametrize("recorded", FRAMED, ids=str)
def test_recordings_are_read_as_their_index_says(recorded: Recorded) -> None:
    """Both forms, of the three APIs, framed by their kind where the framing was lost."""
    recording = load(recordings_folder() / recorded.file)

    if recorded.form == "sse" and recorded.file.endswith(".sse"):
        assert recorded.raw == recording.body
    else:
        assert recorded.sse_bytes() == recording.body


@pytest.mark.parametrize("chunking", Chunking)
@pytest.mark.parametrize("recorded", anthropic_recordings()[:12], ids=str)
def test_chunking_is_invisible(recorded: Recorded, chunking: Chunking) -> None:
    """I8: the chunks joined are the recording."""
    recording = load(recordings_folder() / recorded.file)
    cut = played(recording, chunking)

    assert recording.body == b"".join(frame.data for frame in cut)
    assert len(recording.events) == sum(frame.events for frame in cut)
    assert all(frame.data for frame in cut)


def test_each_chunking_cuts_in_its_way(tmp_path: Path) -> None:
    """Whole, by event, by byte, and at random, also inside a character."""
    recording = load(written(tmp_path, "two.sse", SSE))

    assert [SSE] == [frame.data for frame in played(recording, Chunking.WHOLE)]
    assert list(recording.events) == [frame.data for frame in played(recording, Chunking.EVENT)]
    assert {1} == {len(frame.data) for frame in played(recording, Chunking.BYTE)}
    assert len({tuple(frame.data for frame in played(recording, Chunking.RANDOM, seed)) for seed in range(9)}) > 1
    inside = [frame.data for seed in range(99) for frame in played(recording, Chunking.RANDOM, seed)]
    assert any(data[:1] and 0x80 <= data[0] < 0xC0 for data in inside)


def test_random_cuts_fall_between_cr_and_lf(tmp_path: Path) -> None:
    """I8: the hardest place of a line end."""
    recording = load(written(tmp_path, "two.sse", SSE), crlf=True)

    assert SSE.replace(b"\n", b"\r\n") == recording.body
    cut = [frame.data for seed in range(99) for frame in played(recording, Chunking.RANDOM, seed)]
    assert any(data.endswith(b"\r") for data in cut)


def test_a_chunk_is_due_with_the_event_that_it_begins_in(tmp_path: Path) -> None:
    """The pace counts events, whatever the chunks."""
    recording = load(written(tmp_path, "two.sse", SSE))
    by_byte = played(recording, Chunking.BYTE, ttft_s=1.0, events_per_s=2.0)
    first = len(recording.events[0])

    assert [1.0, 1.5] == [frame.due_s for frame in played(recording, Chunking.EVENT, ttft_s=1.0, events_per_s=2.0)]
    assert {1.0} == {frame.due_s for frame in by_byte[:first]}
    assert {1.5} == {frame.due_s for frame in by_byte[first:]}


def test_a_recording_can_be_played_in_part(tmp_path: Path) -> None:
    """So many whole events."""
    recording = load(written(tmp_path, "two.sse", SSE))

    assert recording.events[0] == b"".join(frame.data for frame in played(recording, Chunking.WHOLE, after=1))
    assert [] == played(recording, Chunking.WHOLE, after=0)


def test_a_body_is_left_as_it_is(tmp_path: Path) -> None:
    """Also one that breaks off; a text file in event-stream form gets its last blank line back."""
    cut = SSE[:-1]

    assert cut == load(written(tmp_path, "cut.sse", cut)).body
    assert SSE == load(written(tmp_path, "cut.txt", cut)).body
    assert SSE == load(written(tmp_path, "whole.txt", SSE)).body


def test_payloads_are_framed_by_their_kind(tmp_path: Path) -> None:
    """Under their type; without a type as chat completions, with their last line."""
    typed = load(written(tmp_path, "a.chunks.txt", b'{"type":"ping"}\n\n{"type":"cut","x":{\n')).body
    plain = load(written(tmp_path, "b.chunks.txt", b'{"choices":[]}\n')).body

    assert b'event: ping\ndata: {"type":"ping"}\n\nevent: cut\ndata: {"type":"cut","x":{\n\n' == typed
    assert b'data: {"choices":[]}\n\ndata: [DONE]\n\n' == plain


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    """By the file's name, never by its folder."""
    with pytest.raises(BadRequest, match=r"notes\.txt is no event stream, and its line 2"):
        load(written(tmp_path, "notes.txt", b"{}\nhello\n"))
    with pytest.raises(BadRequest, match=r"missing\.sse cannot be read") as refused:
        load(tmp_path / "missing.sse")
    assert str(tmp_path) not in str(refused.value)


def test_a_recording_is_bounded(tmp_path: Path) -> None:
    """I10: the bound is in the error's text."""
    path = tmp_path / "huge.sse"
    with path.open("wb") as file:
        file.truncate(MAX_RECORDING_BYTES + 1)

    with pytest.raises(BadRequest, match=str(MAX_RECORDING_BYTES)):
        load(path)

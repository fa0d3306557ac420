"""The log's words: data stays the bytes it was, names are the relay's or the provider's, blocks come apart again."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep import entry
from streamkeep.entry import Entry, Event, event, pack, unpack
from tests.recordings import Recording, anthropic_recordings

entries = st.builds(
    Entry,
    seq=st.integers(1, 2**53 - 1),
    at=st.floats(0, 4e9),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    data=st.binary(max_size=200),
)

OWN_NAMES = {
    entry.ACCEPTED,
    entry.ATTEMPT,
    entry.SEAM,
    entry.CANCEL_REQUESTED,
    entry.COMPLETED,
    entry.FAILED,
    entry.CANCELLED,
}


@given(st.lists(entries, max_size=20), st.sampled_from([list, tuple]))
def test_a_block_comes_apart_into_the_entries_it_was_made_of(
    several: list[Entry], kind: type[list[Entry]] | type[tuple[Entry, ...]]
) -> None:
    """I2: what is stored is what was appended, in order, to the bit of `at` and the byte of `data`."""
    sequence: Sequence[Entry] = kind(several)

    assert several == unpack(pack(sequence))


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_a_providers_payload_is_kept_byte_for_byte(recording: Recording) -> None:
    """Law 1: padding, number forms and key order survive storage, which a JSON round trip would not grant."""
    payloads = recording.payloads()
    log = [Entry(seq, 1.5, "content_block_delta", data) for seq, data in enumerate(payloads, 1)]

    assert payloads == [each.data for each in unpack(pack(log))]


@given(st.lists(entries, min_size=1, max_size=5), st.data())
def test_a_damaged_block_is_an_error_and_never_fewer_entries(several: list[Entry], data: st.DataObject) -> None:
    """I2: a block that was cut short, by a crash or a full disk, is noticed."""
    block = pack(several)
    cut = data.draw(st.integers(0, len(block) - 1))

    with pytest.raises(msgspec.DecodeError):
        unpack(block[:cut])


@pytest.mark.parametrize(
    "block", [b"", b"\x00", b"\x93\x01", b"\xff" * 9, b"\x91\x91\x01", b"\x91\x94\x01\x02\xa1\xff\xc4\x00"]
)
def test_what_is_no_block_is_a_decode_error(block: bytes) -> None:
    """I2: bytes of another origin have one named error."""
    with pytest.raises(msgspec.DecodeError):
        unpack(block)


def test_a_later_versions_longer_entry_is_read_as_far_as_it_is_known() -> None:
    """A field added at the end does not make old readers lose the log."""
    block = msgspec.msgpack.encode([[1, 2.5, "message_stop", b"{}", "new"]])

    assert [Entry(1, 2.5, "message_stop", b"{}")] == unpack(block)


def test_data_is_decoded_on_demand() -> None:
    """Law 1: a view, made anew each time; what a caller does to it does not reach the log."""
    kept = Entry(1, 0.0, "content_block_delta", b'{"index": 0,  "delta":{"text":"\\u00e9"}}')

    kept.json()["index"] = 7

    assert {"index": 0, "delta": {"text": "é"}} == kept.json()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b'"text"', b"{", b'{"a":1}{', b"[DONE]", b'{"a":"\xff"}', b'{"a":' + b"[" * 100_000],
    ids=["empty", "array", "null", "string", "open", "two", "done", "no-utf-8", "deep"],
)
def test_data_that_is_no_json_object_is_a_decode_error(data: bytes) -> None:
    """A provider may send anything; who decodes learns of it by one error."""
    with pytest.raises(msgspec.DecodeError):
        Entry(1, 0.0, "content_block_delta", data).json()


def test_an_entry_cannot_be_changed() -> None:
    """I2: entry k never changes, not in memory either."""
    kept = Entry(1, 0.0, "message_stop", b"{}")

    with pytest.raises(AttributeError):
        kept.seq = 2  # type: ignore[misc]


def test_own_events_are_one_line_of_json_without_what_is_unknown() -> None:
    """The relay's own entries go over the same wires: no line end in them, and no members that say nothing."""
    made = event(entry.ATTEMPT, {"n": 1, "model": "a\nb", "why": None, "retries": 0, "note": ""})

    assert Event("stream.attempt", b'{"n":1,"model":"a\\nb","retries":0,"note":""}') == made


def test_every_own_name_begins_with_stream_and_no_visible_one_does() -> None:
    """Law 2: the relay's names and the providers' never meet."""
    assert all(name.startswith("stream.") for name in OWN_NAMES)
    assert not [name for name in entry.VISIBLE if name.startswith("stream.")]
    assert entry.TERMINALS < OWN_NAMES


@pytest.mark.parametrize(
    "name, data, text",
    [
        ("content_block_delta", b'{"index":0,"delta":{"type":"text_delta","text":"Gr\xc3\xbc\xc3\x9fe"}}', "Grüße"),
        ("content_block_start", b'{"index":0,"content_block":{"type":"text","text":"Al"}}', "Al"),
        ("content_block_start", b'{"index":0,"content_block":{"type":"tool_use","text":"x"}}', ""),
        ("content_block_delta", b'{"index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}', ""),
        ("content_block_delta", b'{"index":0,"delta":{"type":"text_delta","text":5}}', ""),
        ("content_block_delta", b'{"index":0,"delta":' + b"[" * 100_000, ""),
        ("content_block_start", b"{}", ""),
        ("message_stop", b'{"delta":{"type":"text_delta","text":"x"}}', ""),
    ],
    ids=["delta", "block", "tool", "thinking", "no text", "nested", "nothing", "another event"],
)
def test_an_entry_knows_the_text_it_adds(name: str, data: bytes, text: str) -> None:
    """One rule for every reader of text: what is no text adds none, and nothing raises."""
    assert text == Entry(1, 0.0, name, data).text()

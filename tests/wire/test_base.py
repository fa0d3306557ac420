"""What every wire needs to know of an entry."""

import pytest

from streamkeep.entry import Entry
from streamkeep.wire.base import Options, is_one_line


@pytest.mark.parametrize(
    "name, data", [("content_block_delta", b'{"a":"\xc3\xa9"}'), ("größe", b""), ("stream.failed", b"{}")]
)
def test_what_comes_by_itself_is_one_line(name: str, data: bytes) -> None:
    """Names and data of one line can be framed as they are."""
    assert is_one_line(Entry(1, 0.0, name, data))


@pytest.mark.parametrize(
    "name, data", [("a\nb", b"{}"), ("a\rb", b"{}"), ("a\0b", b"{}"), ("a", b"{\n}"), ("a", b"{\r}"), ("\ud800", b"{}")]
)
def test_what_would_break_a_frame_is_not(name: str, data: bytes) -> None:
    """Whatever a decoder could take for an end of line is found, in the name and in the data."""
    assert not is_one_line(Entry(1, 0.0, name, data))


def test_readers_with_the_same_options_share_an_encoder() -> None:
    """I5: options are compared and hashed by what they say."""
    assert {Options()} == {Options(hide_thinking=False), Options()}
    assert Options() != Options(hide_thinking=True)

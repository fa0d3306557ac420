"""Sealed rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep.stores.sqlite.seal import Damaged, open_block, open_parts, seal_block, seal_parts
from tests.stores.samples import run_of

PARTS = [(1, run_of(0, 2)), (7, run_of(4, 1))]


def test_what_was_sealed_comes_back() -> None:
    """A row gives what was put into it, an empty one nothing."""
    assert run_of(3, 5) == open_block(seal_block(run_of(3, 5)))
    assert PARTS == open_parts(seal_parts(PARTS))
    assert [] == open_parts(seal_parts([]))


@given(place=st.integers(0, len(seal_parts(PARTS)) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_is_noticed(place: int, flip: int) -> None:
    """I2: a row that is not what was written is never taken for it, wherever the byte."""
    data = bytearray(seal_parts(PARTS))
    data[place] ^= flip

    with pytest.raises(Damaged):
        open_parts(bytes(data))


@given(length=st.integers(0, len(seal_parts(PARTS)) - 1))
def test_a_torn_row_is_noticed(length: int) -> None:
    """I2: so is a row of which only the beginning was written."""
    with pytest.raises(Damaged):
        open_parts(seal_parts(PARTS)[:length])

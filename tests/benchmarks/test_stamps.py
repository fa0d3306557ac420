"""The mark that every delta bears."""

import pytest

from benchmarks.stamps import SIZE, Scanner, stamp

TEXT = b'data: {"text":"' + stamp(12) + b' the quick fox"}\n\n~' + stamp(3456789) + b"~t12~ " + stamp(7)


def test_a_stamp_has_its_size() -> None:
    """Prepared bytes leave exactly this much room."""
    assert SIZE == len(stamp(0)) == len(stamp(10**18))


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_each_stamp_is_found_once_wherever_the_bytes_are_cut(cut: int) -> None:
    """The reader must not lose or double a delta whose bytes came in two pieces."""
    scanner = Scanner()

    found = [int(digits) for piece in (TEXT[:cut], TEXT[cut:]) for digits in scanner.times(piece)]

    assert [12, 3456789, 7] == found


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_each_beginning_is_counted_once_wherever_the_bytes_are_cut(cut: int) -> None:
    """Counting agrees with itself for any two pieces; `~t12~` begins like a stamp and counts."""
    scanner = Scanner()

    assert 4 == scanner.count(TEXT[:cut]) + scanner.count(TEXT[cut:])


def test_single_bytes_are_enough() -> None:
    """The rest that is kept is joined as often as needed."""
    scanner = Scanner()

    assert [b"%019d" % 5] == [found for byte in stamp(5) for found in scanner.times(bytes([byte]))]

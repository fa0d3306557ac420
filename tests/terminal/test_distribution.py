"""Percentiles of many spans in little memory."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep.terminal.distribution import GROWTH, SLOTS, Distribution, spoken


def filled(*spans: float) -> Distribution:
    found = Distribution()
    for span in spans:
        found.add(span)
    return found


@given(st.lists(st.floats(2e-6, 1000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_right_to_one_slot(spans: list[float], percent: int) -> None:
    """As the sorted list has it (nearest rank), but for the width of a slot."""
    exact = sorted(spans)[math.ceil(len(spans) * percent / 100) - 1]

    found = filled(*spans).percentile(percent)

    assert found is not None
    assert exact / GROWTH <= found <= exact * GROWTH


def test_the_ends_are_exact() -> None:
    """No percentile lies beyond what was measured."""
    found = filled(0.0123, 0.0123, 0.0123)

    assert [0.0123] * 3 == [found.percentile(1), found.percentile(50), found.percentile(100)]
    assert (0.0123, 0.0123, 3) == (found.least, found.most, found.count)


def test_what_came_together_has_no_time_between() -> None:
    """Zero is a span like any other."""
    found = filled(0.0, 0.0, 1.0)

    assert (0.0, 0.0) == (found.percentile(1), found.percentile(50))
    assert found.percentile(99) == pytest.approx(1.0, rel=GROWTH - 1)


def test_nothing_measured_is_no_figure() -> None:
    """And no zero."""
    empty = Distribution()

    assert {"count": 0, "p50_ms": None, "p90_ms": None, "p99_ms": None, "max_ms": None} == empty.json()
    assert "-" == spoken(empty.percentile(50))


def test_the_memory_is_bounded() -> None:
    """I10: however many spans and however long, there are `SLOTS` slots and the one for zero."""
    draw = random.Random(1)
    found = filled(0.0, 1e9, *[10 ** draw.uniform(-7, 5) for _ in range(20_000)])

    assert len(list(found.slots())) <= SLOTS + 1
    assert found.count == sum(count for _, count in found.slots())
    assert 1e9 == found.most


def test_the_public_form_is_in_ms() -> None:
    """As the stream's own timing is."""
    told = filled(*[0.001 * number for number in range(1, 101)]).json()

    assert (100, 100.0) == (told["count"], told["max_ms"])
    assert [50, 90, 99] == pytest.approx([told["p50_ms"], told["p90_ms"], told["p99_ms"]], rel=GROWTH - 1)


@pytest.mark.parametrize(
    "seconds, said",
    [
        (0, "0.00 ms"),
        (0.000_123, "0.12 ms"),
        (0.009_99, "9.99 ms"),
        (0.009_996, "10 ms"),
        (0.0241, "24.1 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.254, "1.25 s"),
        (999.6, "1000 s"),
        (3600, "3600 s"),
    ],
)
def test_a_span_is_said_with_three_digits(seconds: float, said: str) -> None:
    """In ms below a second; a minute has seconds still, so that two spans can be compared."""
    assert said == spoken(seconds)

"""The arithmetic of the tables."""

import pytest

from benchmarks.figures import Spread, percentile, ratio, shown, slope, spread, table


@pytest.mark.parametrize("share, expected", [(0, 1), (0.5, 50), (0.99, 99), (1, 100)])
def test_a_percentile_is_one_of_the_values(share: float, expected: int) -> None:
    """The nearest rank, without interpolation."""
    assert expected == percentile(range(1, 101), share)


def test_a_percentile_of_nothing_is_nothing() -> None:
    """Scenarios that note no lag give 0 and not an error."""
    assert 0 == percentile([], 0.99)


def test_a_spread_is_the_median_and_the_range_of_what_is_known() -> None:
    """Turns without a figure are left out; without any there is none."""
    assert Spread(2, 1, 9) == spread([9, None, 1, 2])
    assert spread([None]) is None


def test_a_ratio_is_of_medians() -> None:
    """Without a base, or with an idle one, there is none."""
    assert 2.5 == ratio(Spread(5, 0, 9), Spread(2, 2, 2))
    assert ratio(Spread(5, 0, 9), Spread(0, 0, 0)) is None
    assert ratio(Spread(5, 0, 9), None) is None


def test_a_slope_is_what_one_more_costs() -> None:
    """First and last point decide; the scale turns seconds into microseconds."""
    assert 10 == slope([(1, 5), (10, 7), (101, 1005)])
    assert 1e7 == slope([(1, 5), (101, 1005)], 1e6)
    assert slope([(1, None), (10, 3)]) is None


def test_a_table_is_markdown() -> None:
    """Columns are as wide as their widest cell, and a missing figure is a dash."""
    drawn = table(["peer", "µs"], [["nginx", shown(1234.56, 1)], ["x", shown(None, 1)]])

    assert ["| peer  | µs      |", "| ----- | ------- |", "| nginx | 1,234.6 |", "| x     | -       |"] == drawn.split(
        "\n"
    )

"""
The arithmetic of the tables.

Pure: no I/O, no clock.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """One figure over all turns."""

    median: float
    low: float
    high: float


def percentile(in_order: Sequence[float], share: float) -> float:
    """
    Give the value below which `share` of the values lie, by the nearest rank; 0 of none.

    Args:
        in_order: The values, rising.
        share: 0 to 1.
    """
    return in_order[max(0, ceil(share * len(in_order)) - 1)] if in_order else 0.0


def spread(values: Iterable[float | None]) -> Spread | None:
    """Sum up the turns that have a value; None if none has."""
    known = [value for value in values if value is not None]
    return Spread(median(known), min(known), max(known)) if known else None


def ratio(value: Spread | None, base: Spread | None) -> float | None:
    """Divide the medians; None where one is missing or the base is nothing."""
    return value.median / base.median if value and base and base.median else None


def slope(points: Sequence[tuple[float, float | None]], scale: float = 1.0) -> float | None:
    """
    Give what one more costs, from the first and the last point.

    Args:
        points: `(count, total)`, rising by count.
        scale: Multiplies the result.
    """
    (low, start), (high, end) = points[0], points[-1]
    return None if start is None or end is None or high == low else (end - start) / (high - low) * scale


def shown(value: float | None, digits: int) -> str:
    """Write a figure; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], pad: Callable[[str, int], str] = str.ljust) -> str:
    """Draw a table in Markdown that also reads well in a terminal."""
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(pad(c, w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)

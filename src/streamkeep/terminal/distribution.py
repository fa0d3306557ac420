"""
Keep how spans of time are distributed, in little memory however many there are.

Pure: no I/O, no clock.

Strategy
    Slots whose bounds grow by 2 %, so that a percentile is right to 1 % from a microsecond to half an hour.
"""

import math
from collections.abc import Iterator
from typing import Any

GROWTH = 1.02
"""Upper bound of a slot over its lower one, without a unit: a percentile is right to half of the 2 %."""

FLOOR_S = 1e-6
"""Upper bound of the first slot, in seconds: what came in one read has no time between."""

SLOTS = 1100
"""Slots at most; `FLOOR_S * GROWTH**1100` is 48 minutes, and what is longer counts as that."""

PERCENTS = (50, 90, 99)
"""Percentiles that are told."""


class Distribution:
    """
    Spans of time.

    Attributes:
        count: How many.
        least: The shortest, in seconds.
        most: The longest, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.least = math.inf
        self.most = 0.0
        self._slots: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)
        slot = 0 if seconds <= FLOOR_S else min(SLOTS, 1 + int(math.log(seconds / FLOOR_S) / math.log(GROWTH)))
        self._slots[slot] = self._slots.get(slot, 0) + 1

    def slots(self) -> Iterator[tuple[float, int]]:
        """Yield the middle of each slot that is not empty, in seconds, and how many are in it; shortest first."""
        for slot in sorted(self._slots):
            middle = FLOOR_S * GROWTH ** (slot - 0.5) if slot else 0.0
            yield min(max(middle, self.least), self.most), self._slots[slot]

    def percentile(self, percent: float) -> float | None:
        """
        Give the span within which so many percent lie, in seconds; None if there are none.

        Args:
            percent: Above 0, up to 100.
        """
        wanted, seen = math.ceil(self.count * percent / 100), 0
        for middle, count in self.slots():
            seen += count
            if seen >= wanted:
                return middle
        return None

    def json(self) -> dict[str, Any]:
        """Give the public form, in ms."""
        told = {f"p{percent}_ms": _ms(self.percentile(percent)) for percent in PERCENTS}
        return {"count": self.count, **told, "max_ms": _ms(self.most if self.count else None)}


def spoken(seconds: float | None) -> str:
    """Say a span with three digits in the unit that fits: `0.12 ms`, `24.1 ms`, `1.25 s`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds >= 0.9995:
        return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"
    ms = seconds * 1000
    return f"{ms:.2f} ms" if ms < 9.995 else f"{ms:.3g} ms"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)

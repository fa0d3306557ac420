"""
Draw distributions as an SVG: one histogram under the other, time to the right on a logarithmic scale.

Pure: no I/O, no clock.

Strategy
    Text, lines and boxes only, so that every browser and viewer shows it, and a diff of two of them can be read.
"""

import math
from collections.abc import Mapping
from html import escape

from streamkeep.terminal.distribution import GROWTH, PERCENTS, Distribution, spoken

WIDTH, PANEL, MARGIN = 720, 190, 40
"""Width of the picture, height of one histogram and space at the sides, in pixels."""

HEAD = 44
"""Height of the title, in pixels."""

MOST_COLUMNS = 60
"""Columns of a histogram; narrower ones than 10 pixels cannot be told apart."""

SHORTEST_S = 1e-5
"""Left end of the scale, in seconds: zero has no place on a logarithmic one and stands here."""

_STEPS = (1, 2, 5)
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .tick { font-size: 11px; fill: #59636e; }
  .axis { stroke: #59636e; }
  .bar { fill: #4a7dbd; }
  .mark { stroke: #b35900; stroke-dasharray: 4 3; }
  .name { fill: #b35900; font-size: 12px; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14171a; }
    text { fill: #e6e8eb; }
    .tick { fill: #9ba3ac; }
    .name { fill: #f0a35e; }
    .mark { stroke: #f0a35e; }
  }
""".strip("\n")


def svg(title: str, panels: Mapping[str, Distribution]) -> str:
    """
    Draw distributions.

    Args:
        title: Stands above.
        panels: What is drawn, by name; an empty one says so.
    """
    height = HEAD + PANEL * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="{MARGIN}" y="28">{escape(title)}</text>',
    ]
    for place, (name, spans) in enumerate(panels.items()):
        parts += [f'<g transform="translate(0 {HEAD + PANEL * place})">', *_panel(name, spans), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def ticks(least: float, most: float) -> list[float]:
    """
    Choose the marks of a scale that holds two spans: 1, 2, 5 of each decade, or only its 1 if that were many.

    Args:
        least: In seconds; zero is taken for `SHORTEST_S`.
        most: In seconds, not less.
    """
    first, last = max(least, SHORTEST_S), max(most, SHORTEST_S)
    decades = range(math.floor(math.log10(first)), math.floor(math.log10(last)) + 2)
    steps = (1,) if len(decades) > 4 else _STEPS
    marks = [step * 10.0**decade for decade in decades for step in steps]
    begin = max(place for place, mark in enumerate(marks) if mark <= first * 1.000001)
    end = min(place for place, mark in enumerate(marks) if mark >= last * 0.999999)
    return marks[begin : max(end, begin + 1) + 1]


def _panel(name: str, spans: Distribution) -> list[str]:
    if not spans.count:
        return [f'<text x="{MARGIN}" y="16">{escape(name)}: nothing was measured</text>']
    marks = ticks(spans.least, spans.most)
    low, high = math.log(marks[0]), math.log(marks[-1])
    bottom, right = PANEL - 40, WIDTH - MARGIN

    def share(seconds: float) -> float:
        return (math.log(max(seconds, marks[0])) - low) / (high - low)

    def x(seconds: float) -> float:
        return MARGIN + share(seconds) * (right - MARGIN)

    percentiles = {percent: spans.percentile(percent) or 0.0 for percent in PERCENTS}
    told = ", ".join(f"p{percent} {spoken(at)}" for percent, at in percentiles.items())
    columns = min(MOST_COLUMNS, max(1, round((high - low) / math.log(GROWTH))))
    return [
        f'<text x="{MARGIN}" y="16">{escape(name)}</text>',
        f'<text class="name" x="{right}" y="16" text-anchor="end">{told}</text>',
        *_bars([(share(at), count) for at, count in spans.slots()], columns, bottom),
        f'<line class="axis" x1="{MARGIN}" y1="{bottom}" x2="{right}" y2="{bottom}"/>',
        *[
            f'<text class="tick" x="{x(mark):.1f}" y="{bottom + 16}" text-anchor="middle">{_tick(mark)}</text>'
            for mark in marks
        ],
        *[
            f'<line class="mark" x1="{x(at):.1f}" y1="24" x2="{x(at):.1f}" y2="{bottom}"/>'
            for at in percentiles.values()
        ],
    ]


def _bars(slots: list[tuple[float, int]], columns: int, bottom: int) -> list[str]:
    """
    Draw the columns.

    Args:
        slots: Where each stands on the scale, from 0 to 1, and how many are in it.
        columns: How many there are.
        bottom: The scale's height, in pixels from the top.
    """
    counts = [0] * columns
    for share, count in slots:
        counts[min(int(share * columns), columns - 1)] += count
    width = (WIDTH - 2 * MARGIN) / columns
    return [
        f'<rect class="bar" x="{MARGIN + place * width:.1f}" y="{bottom - height:.1f}" width="{width - 1:.1f}"'
        f' height="{height:.1f}"><title>{count} of {sum(counts)}</title></rect>'
        for place, count in enumerate(counts)
        if (height := count / max(counts) * (bottom - 28))
    ]


def _tick(seconds: float) -> str:
    if seconds < 0.9999e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.0f} ms" if seconds < 0.9999 else f"{seconds:.0f} s"

"""Distributions as a picture."""

from xml.etree import ElementTree as ET

import pytest

from streamkeep.terminal.distribution import Distribution, spoken
from streamkeep.terminal.plot import MARGIN, SHORTEST_S, WIDTH, svg, ticks

SVG = "{http://www.w3.org/2000/svg}"


def filled(*spans: float) -> Distribution:
    found = Distribution()
    for span in spans:
        found.add(span)
    return found


def drawn(**panels: Distribution) -> ET.Element:
    return ET.fromstring(svg("One & <two>", panels))


def texts(picture: ET.Element) -> list[str]:
    return [each.text or "" for each in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "least, most, marks",
    [
        (0.012, 0.045, [0.01, 0.02, 0.05]),
        (0.01, 0.01, [0.01, 0.02]),
        (0.02, 0.02, [0.02, 0.05]),
        (0.0003, 3.0, [0.0001, 0.001, 0.01, 0.1, 1, 10]),
        (0.0, 0.0, [SHORTEST_S, 2 * SHORTEST_S]),
    ],
)
def test_a_scale_holds_what_it_shows(least: float, most: float, marks: list[float]) -> None:
    """Round marks from below the shortest span to above the longest; at least two, and few."""
    assert marks == pytest.approx(ticks(least, most))


def test_every_span_is_in_a_column() -> None:
    """The columns' counts add up, and all of them lie on the scale."""
    picture = drawn(Gap=filled(*[0.001 * number for number in range(1, 200)], 0.0))
    bars = [each for each in picture.iter(f"{SVG}rect") if each.get("class") == "bar"]
    counts = [int((each[0].text or "").partition(" of ")[0]) for each in bars]

    assert 200 == sum(counts)
    assert all(MARGIN <= float(each.get("x", 0)) < WIDTH - MARGIN for each in bars)


def test_the_percentiles_are_told_and_marked() -> None:
    """In order from left to right; the marks of the scale have units."""
    spans = filled(*[0.02] * 80, *[0.5] * 15, *[1.5] * 5)
    picture = drawn(Gap=spans)
    marks = [float(each.get("x1", 0)) for each in picture.iter(f"{SVG}line") if each.get("class") == "mark"]

    assert 3 == len(marks)
    assert sorted(marks) == marks
    assert ", ".join(f"p{each} {spoken(spans.percentile(each))}" for each in (50, 90, 99)) in texts(picture)
    assert {"20 ms", "100 ms", "1 s", "2 s"} <= set(texts(picture))


def test_short_spans_have_microseconds() -> None:
    """A scale that goes below a millisecond says so."""
    assert {"100 µs", "200 µs"} <= set(texts(drawn(Gap=filled(0.00015))))


def test_nothing_measured_is_said() -> None:
    """An empty distribution has no scale."""
    picture = drawn(TTFT=filled(), Gap=filled(0.02))

    assert "TTFT: nothing was measured" in texts(picture)


def test_what_is_named_cannot_break_the_picture() -> None:
    """Titles are text, whatever is in them; one histogram is as high as another."""
    one, two = drawn(a=filled(0.1)), drawn(a=filled(0.1), b=filled(0.1))

    assert "One & <two>" == one.findtext(f"{SVG}title") == one.get("aria-label")
    assert float(two.get("height", 0)) > float(one.get("height", 0))

"""
What is measured: one table of scenarios.

Strategy
    A scenario is one or more loads, done one after another on one freshly started server, and the columns of its
    table, each a function of what the loads gave.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import slope
from benchmarks.load import Join, Load
from benchmarks.run import Run

Runs = dict[str, Run]
"""Name of a load → what it gave."""


@dataclass(frozen=True)
class Column:
    """One figure of a table."""

    title: str
    of: Callable[[Runs], float | None]
    digits: int = 1


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One table."""

    key: str
    what: str
    loads: dict[str, Load]
    columns: tuple[Column, ...]
    """The first one orders the table and is what ratios are of."""
    turns: int = 99
    """No more turns than this, where a turn is long and its figure does not scatter."""
    of_kept_streams: bool = False
    """Only for peers whose streams others can join."""
    peers: tuple[str, ...] = ()
    """Only for these, if any are named."""


def us_per_delta(load: str = "") -> Column:
    """CPU of the server for one delta that a reader got, set-up included."""
    return Column(f"{load} µs/delta".strip(), lambda runs: runs[load].us_per_delta)


def figure(title: str, name: str, load: str = "", digits: int = 2) -> Column:
    """Show a figure of one load as it is."""
    return Column(title, lambda runs: getattr(runs[load], name), digits)


def missing(*loads: str) -> Column:
    """Readers that did not get everything."""
    return Column("not complete", lambda runs: sum(runs[load].not_complete for load in loads or ("",)), 0)


LAG = (figure("lag p50 ms", "lag_p50"), figure("lag p99 ms", "lag_p99", digits=1))
TTFT = (figure("TTFT p50 ms", "ttft_p50"), figure("TTFT p99 ms", "ttft_p99"))
WALL = figure("seconds", "wall_s", digits=1)

AUDIENCES = ("1", "10", "100", "1000")
POPULATIONS = ("10", "100", "1000", "5000")


def _audience(readers: int) -> Load:
    # The readers are all there before the first delta, and their arrival is not counted.
    ramp = readers / 500
    return Load(deltas=100, per_s=50, readers=readers, ramp_s=ramp, skip_s=ramp + 0.6, ttft_s=ramp + 1, join="before")


def _population(streams: int) -> Load:
    # Counted are five seconds in which all streams are open, none begins and none ends.
    ramp = streams / 250
    return Load(
        deltas=int(ramp) + 8, per_s=1, readers=streams, ramp_s=ramp, skip_s=ramp + 1, until_s=ramp + 6, timeout_s=60
    )


def _crowd(join: Join, query: str) -> Load:
    return Load(deltas=5000, per_s=0, readers=1000, ramp_s=1, join=join, query=query, timeout_s=60)


def _more(name: str, runs: Runs, loads: tuple[str, ...], scale: float) -> float | None:
    return slope([(float(load), getattr(runs[load], name)) for load in loads], scale)


CROWDS = {
    "ended, exact": _crowd("ended", ""),
    "ended, merged": _crowd("ended", "catchup=merged"),
    "live, exact": _crowd("live", ""),
    "live, merged": _crowd("live", "catchup=merged"),
}

SCENARIOS: dict[str, Scenario] = {
    each.key: each
    for each in (
        Scenario(
            key="T",
            what="30 short streams one after another: the time to the first delta",
            loads={"": Load(deltas=3, per_s=100, repeat=30)},
            columns=(*TTFT, figure("CPU ms per stream", "ms_per_stream"), missing()),
        ),
        Scenario(
            key="B",
            what="100 streams of 200 deltas at 50 a second: one wake-up, one read and one write each, as in life",
            loads={"": Load(deltas=200, per_s=50, readers=100, ramp_s=1)},
            columns=(us_per_delta(), *LAG, *TTFT, missing()),
        ),
        Scenario(
            key="A",
            what="one stream of 2,000 deltas as fast as possible, ten times: work per delta when reads coalesce",
            loads={"": Load(deltas=2000, per_s=0, repeat=10, timeout_s=30)},
            columns=(us_per_delta(), WALL, missing()),
        ),
        Scenario(
            key="C",
            what="500 streams of 80 deltas at 20 a second, all started within 1.5 s (5.5 s if nothing is late)",
            loads={"": Load(deltas=80, per_s=20, readers=500, ramp_s=1.5)},
            columns=(us_per_delta(), *TTFT, *LAG, WALL, missing()),
        ),
        Scenario(
            key="D",
            what="1,000 streams of 100 deltas at 50 a second (4.0 s for who keeps up)",
            loads={"": Load(deltas=100, per_s=50, readers=1000, ramp_s=2)},
            columns=(us_per_delta(), *TTFT, *LAG, WALL, missing()),
            turns=3,
        ),
        Scenario(
            key="S",
            what="500 short streams started within 1.5 s: what a start costs",
            loads={"": Load(deltas=2, per_s=10, readers=500, ramp_s=1.5)},
            columns=(figure("CPU ms per start", "ms_per_stream"), *TTFT, WALL, missing()),
        ),
        Scenario(
            key="M",
            what="50, then 1,000 streams at 1 delta a second on a fresh server: memory of an open stream",
            loads={
                "50": Load(deltas=8, per_s=1, readers=50, ramp_s=1),
                "1000": Load(deltas=8, per_s=1, readers=1000, ramp_s=4),
            },
            columns=(
                Column("KiB per open stream", lambda runs: _more("peak_rss_kib", runs, ("50", "1000"), 1)),
                Column("MiB at 50", lambda runs: runs["50"].peak_rss_kib / 1024, 0),
                Column("MiB at 1,000", lambda runs: runs["1000"].peak_rss_kib / 1024, 0),
                missing("50", "1000"),
            ),
            turns=1,
        ),
        Scenario(
            key="F",
            what="1, 10, 100 and 1,000 readers of one stream of 100 deltas at 50 a second",
            loads={each: _audience(int(each)) for each in AUDIENCES},
            columns=(
                Column("µs per delta and further reader", lambda runs: _more("cpu_s", runs, AUDIENCES, 1e6 / 100), 2),
                Column("KiB per further reader", lambda runs: _more("peak_rss_kib", runs, AUDIENCES, 1)),
                *(us_per_delta(each) for each in AUDIENCES),
                figure("1000 lag p50 ms", "lag_p50", "1000"),
                figure("1000 lag p99 ms", "lag_p99", "1000", 1),
                missing(*AUDIENCES),
            ),
            turns=3,
            of_kept_streams=True,
        ),
        Scenario(
            key="J",
            what="1,000 late readers of one stream of 5,000 deltas, ended or still live; all of it within ...",
            loads=CROWDS,
            columns=(
                *(figure(f"{each}: p50 ms", "whole_p50", each, 0) for each in CROWDS),
                *(figure(f"{each}: CPU ms each", "ms_per_stream", each) for each in CROWDS),
                missing(*CROWDS),
            ),
            turns=2,
            of_kept_streams=True,
            peers=("streamkeep-memory", "streamkeep-sqlite", "streamkeep-previous"),
        ),
        Scenario(
            key="G",
            what="10, 100, 1,000 and 5,000 streams open at 1 delta a second: CPU for a delta once all are open",
            loads={each: _population(int(each)) for each in POPULATIONS},
            columns=(
                us_per_delta("5000"),
                *(us_per_delta(each) for each in POPULATIONS[:-1]),
                figure("5000 lag p50 ms", "lag_p50", "5000"),
                figure("5000 lag p99 ms", "lag_p99", "5000", 1),
                figure("5000 TTFT p99 ms", "ttft_p99", "5000", 0),
                Column("MiB at 5,000", lambda runs: runs["5000"].peak_rss_kib / 1024, 0),
                missing(*POPULATIONS),
            ),
            turns=1,
            peers=("nginx", "aiohttp", "streamkeep-memory", "streamkeep-sqlite", "streamkeep-previous"),
        ),
    )
}
"""Key → scenario, in the order of the tables."""

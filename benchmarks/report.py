"""The tables: in the terminal, and in benchmarks/RESULTS.md."""

from pathlib import Path

import msgspec

from benchmarks.figures import Spread, ratio, shown, spread, table
from benchmarks.peers.base import ROOT, Peer
from benchmarks.run import Run
from benchmarks.scenarios import SCENARIOS, Column, Scenario

RESULTS = ROOT / "benchmarks" / "results.json"
"""The raw figures of each scenario's last measurement."""

BASES = ("nginx", "aiohttp")
"""Peers that the others are put in relation to."""

HEAD = """# Results

CPU of the server (its whole process tree, user and system) for one delta that a reader got, one process on one core.
All peers of one table took turns; each figure is the median of its turns, the first with its range. Loopback and plain
HTTP: no TLS, no real network. Times (TTFT, lag) suffer from whatever else the machine did; CPU hardly does.

`not complete` counts readers that did not get every delta (median of the turns).
"""


class Measured(msgspec.Struct, kw_only=True):
    """One scenario, measured."""

    date: str
    command: str
    machine: dict[str, str]
    turns: dict[str, list[dict[str, Run]]]
    """Peer → for each turn, what each load gave."""


def load(path: Path) -> dict[str, Measured]:
    """Read what was measured before, by scenario; nothing if there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Measured]) if path.exists() else {}


def save(path: Path, measured: dict[str, Measured]) -> None:
    """Keep what was measured; figures are rounded to what they are worth."""
    path.write_bytes(
        msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(measured))), indent=1) + b"\n"
    )


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def console(scenario: Scenario, measured: Measured) -> str:
    """Draw a scenario's table, the least first."""
    bases = [name for name in BASES if name in measured.turns]
    first, *others = scenario.columns
    keyed = sorted(measured.turns, key=lambda name: _median(first, measured.turns[name]))
    heads = ["peer", first.title, "range", *(f"x {name}" for name in bases), *(each.title for each in others)]
    rows = [_row(name, measured, scenario.columns, bases) for name in keyed]
    turns = max((len(each) for each in measured.turns.values()), default=0)
    return f"{table(heads, rows)}\n\n{turns} turn{'s' * (turns != 1)}; {_load_share(measured)}"


def _median(column: Column, turns: list[dict[str, Run]]) -> float:
    found = spread(column.of(runs) for runs in turns)
    return found.median if found else float("inf")


def _row(name: str, measured: Measured, columns: tuple[Column, ...], bases: list[str]) -> list[str]:
    def of(column: Column, peer: str = name) -> Spread | None:
        return spread(column.of(runs) for runs in measured.turns[peer])

    first, *others = columns
    main = of(first)
    low_high = f"{shown(main.low, first.digits)}–{shown(main.high, first.digits)}" if main else "-"
    ratios = [shown(ratio(main, of(first, base)), 2) for base in bases]
    medians = [(each, of(each)) for each in others]
    rest = [shown(found.median if found else None, each.digits) for each, found in medians]
    return [name, shown(main.median if main else None, first.digits), low_high, *ratios, *rest]


def _load_share(measured: Measured) -> str:
    shares = [run.load_share for turns in measured.turns.values() for runs in turns for run in runs.values()]
    return f"emitter and reader had at most {max(shares, default=0):.0%} of their core"


def write(peers: dict[str, Peer]) -> None:
    """Write RESULTS.md from all that is kept."""
    measured = load(RESULTS)
    parts = [HEAD, "\n".join(f"- **{peer.name}**: {peer.note}" for peer in peers.values())]
    for key, scenario in SCENARIOS.items():
        if key in measured:
            parts.append(_section(scenario, measured[key]))
    RESULTS.with_name("RESULTS.md").write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


def _section(scenario: Scenario, measured: Measured) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in measured.machine.items() if name != "machine")
    lines = [
        f"## {scenario.key}: {scenario.what}",
        f"`{measured.command}`",
        f"{measured.date}; {measured.machine['machine']}; {machine}.",
        console(scenario, measured),
    ]
    return "\n\n".join(lines)

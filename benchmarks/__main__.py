"""
Measure.

    python -m benchmarks [-s B,T] [-p streamkeep-sqlite,nginx] [-r 5] [--ref HEAD~1] [--quick] [--json FILE]
"""

import shlex
import sys
import time
from pathlib import Path

import click

from benchmarks.machine import describe
from benchmarks.peers import all_peers
from benchmarks.peers.base import ROOT, Peer
from benchmarks.process import Failed, allow_many_sockets
from benchmarks.report import RESULTS, Measured, console, load, save, write
from benchmarks.run import Run, measure
from benchmarks.scenarios import SCENARIOS, Scenario

BUSY = 0.7
"""Share of their core from which emitter and reader may be what is slow."""


def chosen(text: str, known: dict[str, object], what: str) -> list[str]:
    """
    Read a list of names.

    Raises:
        click.BadParameter: One is not known.
    """
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(known)}", param_hint=what)
    return names or list(known)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-s", "--scenarios", default="", help="Which ones, as in T,B; all of them unless said.")
@click.option("-p", "--peers", default="", help="Which servers, as in nginx,aiohttp; all of them unless said.")
@click.option("-r", "--repeat", default=5, show_default=True, type=click.IntRange(1, 50), help="Turns.")
@click.option("--ref", default="HEAD~1", show_default=True, help="The commit that streamkeep-previous is.")
@click.option("--quick", is_flag=True, help="A tenth of everything, once: shows that it runs; is not kept.")
@click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Where the raw figures go instead of benchmarks/."
)
@click.option("--list", "listing", is_flag=True, help="Name the scenarios and the peers, and end.")
def main(scenarios: str, peers: str, repeat: int, ref: str, quick: bool, file: Path | None, listing: bool) -> None:
    """Measure what a streamed token costs here and in other servers."""
    if not sys.platform.startswith("linux"):
        raise click.ClickException("CPU is read from /proc and processes are pinned to cores: this needs Linux.")
    known = all_peers()
    if listing:
        _list(known)
        return
    keys = chosen(scenarios, dict(SCENARIOS), "-s")
    names = chosen(peers, dict(known), "-p")
    allow_many_sockets()
    target = file or RESULTS
    present = _present([known[name] for name in names])
    for key in keys:
        started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        turns = _turns(SCENARIOS[key], present, 1 if quick else repeat, ref, quick)
        command = shlex.join(["python", "-m", "benchmarks", *_words(key, peers, repeat, ref)])
        measured = Measured(date=started, command=command, machine=describe(), turns=turns)
        click.echo(f"\n{key}: {SCENARIOS[key].what}\n\n{console(SCENARIOS[key], measured)}")
        if not quick:
            save(target, load(target) | {key: measured})
    if not quick and file is None:
        write(known)
        click.echo(f"\nwritten: {RESULTS.with_name('RESULTS.md').relative_to(ROOT)}, {RESULTS.relative_to(ROOT)}")


def _list(known: dict[str, Peer]) -> None:
    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.key:24} {scenario.what}")
    click.echo()
    for peer in known.values():
        click.echo(f"{peer.name:24} {peer.missing() or peer.note}")


def _words(key: str, peers: str, repeat: int, ref: str) -> list[str]:
    chosen_ref = [] if ref == "HEAD~1" else ["--ref", ref]
    return ["-s", key, *(["-p", peers] if peers else []), "-r", str(repeat), *chosen_ref]


def _present(peers: list[Peer]) -> list[Peer]:
    for peer in peers:
        if why := peer.missing():
            click.echo(f"skipped {peer.name}: {why}")
    return [peer for peer in peers if not peer.missing()]


def _turns(
    scenario: Scenario, peers: list[Peer], repeat: int, ref: str, quick: bool
) -> dict[str, list[dict[str, Run]]]:
    """Give every peer its turns, all of them once before any of them twice."""
    suited = [peer for peer in peers if _suits(peer, scenario)]
    loads = {name: each.quick() if quick else each for name, each in scenario.loads.items()}
    found: dict[str, list[dict[str, Run]]] = {peer.name: [] for peer in suited}
    rounds = min(repeat, scenario.turns)
    for turn in range(rounds):
        for peer in suited:
            head = f"{scenario.key} {turn + 1}/{rounds} {peer.name:24}"
            try:
                runs = measure(peer, loads, ref)
            except Failed as error:
                click.echo(f"{head} FAILED: {error}")
                continue
            found[peer.name].append(runs)
            for name, run in runs.items():
                click.echo(f"{head} {progress(name, run)}")
    return {name: turns for name, turns in found.items() if turns}


def _suits(peer: Peer, scenario: Scenario) -> bool:
    return (peer.keeps_streams or not scenario.of_kept_streams) and (not scenario.peers or peer.name in scenario.peers)


def progress(name: str, run: Run) -> str:
    """Sum up a run in one line."""
    each = run.us_per_delta
    parts = [
        f"{name:14}" if name else "",
        f"{each:8.1f} µs/delta" if each is not None else "   no deltas",
        f"{run.ms_per_stream:6.2f} ms/stream",
        f"lag {run.lag_p50:.2f} / {run.lag_p99:.1f} ms",
        f"TTFT {run.ttft_p50:.2f} / {run.ttft_p99:.1f} ms",
        f"{run.peak_rss_kib / 1024:4.0f} MiB",
        f"{run.wall_s:.1f} s",
        f"NOT COMPLETE {run.not_complete} of {run.readers} {run.error[:120]}" if run.not_complete else "",
        f"emitter and reader had {run.load_share:.0%} of their core" if run.load_share >= BUSY else "",
    ]
    return "  ".join(part for part in parts if part)


if __name__ == "__main__":
    main()

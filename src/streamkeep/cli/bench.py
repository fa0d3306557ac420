"""
Measure a server: many streams at once, and what their readers see.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamkeep.cli import base
from streamkeep.errors import ServerUnreachable, StreamkeepError, Unauthorized

if TYPE_CHECKING:
    from streamkeep.terminal.load import Load

MAX_STREAMS = 1000
"""Streams at once; more need more open files than most systems give a process."""

MAX_TOKENS = 10_000
"""Tokens of one answer; the simulated model counts no further."""

MAX_TOKENS_PER_S = 1_000_000
"""Pace that the simulated model can be asked for, in tokens a second."""

MAX_DURATION_S = 3600
"""Longest measurement, in seconds."""

PROGRESS_LINES = 30
"""Lines of progress at most; there is one a second while that is fewer."""

BUSY_SHARE = 0.9
"""CPU time per elapsed time from which this program is likely to have measured itself."""

SIMULATED = "simulated-1"
"""The simulated model's name; a server whose models have it costs nothing."""


@click.command()
@click.argument("url", envvar="STREAMKEEP_URL", required=False)
@click.option(
    "--api-key", envvar="STREAMKEEP_API_KEY", metavar="KEY", help="Sent to the server.  [env: STREAMKEEP_API_KEY]"
)
@click.option("--streams", type=click.IntRange(1, MAX_STREAMS), default=20, show_default=True, help="How many at once.")
@click.option(
    "--tokens", type=click.IntRange(1, MAX_TOKENS), default=200, show_default=True, help="Longest answer, in tokens."
)
@click.option(
    "--tokens-per-s",
    type=click.FloatRange(0, MAX_TOKENS_PER_S),
    default=50,
    show_default=True,
    help="The simulated model's pace; 0 is as fast as it can.",
)
@click.option(
    "--model", metavar="MODEL", help="Which model.  [default: the simulated one at that pace, or the server's own]"
)
@click.option("--prompt", metavar="TEXT", help="What to ask.  [default: to count]")
@click.option(
    "--duration",
    type=click.FloatRange(0.1, MAX_DURATION_S),
    default=60,
    show_default=True,
    help="Seconds after which what still runs is stopped.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw them, as SVG.")
@click.option("--yes", is_flag=True, help="Ask a model that is not simulated, which may cost money.")
def bench(url: str | None, as_json: bool, plot: Path | None, **options: Any) -> None:
    """
    Measure a server: many streams at once, and what their readers see.

    URL is the server's, by default http://127.0.0.1:8000. The time to the first token (TTFT) counts from the start's
    request, gaps are those between two tokens of a stream. Progress goes to stderr, the figures to stdout.

    Exit codes: 0 done, 1 a stream failed or nothing could be measured, 2 usage.
    """
    if plot is not None and not plot.parent.is_dir():
        raise click.UsageError(f"--plot: there is no folder {plot.parent}.")
    url = url or f"http://127.0.0.1:{os.environ.get('STREAMKEEP_PORT') or 8000}"
    base.run(_bench(url, as_json, plot, **options))


async def _bench(
    url: str,
    as_json: bool,
    plot: Path | None,
    *,
    api_key: str | None,
    duration: float,
    streams: int,
    yes: bool,
    **ask: Any,
) -> int:
    import json

    from streamkeep.terminal.load import Load
    from streamkeep.terminal.screen import Screen

    screen = Screen()
    simulated = await _is_simulated(url, api_key)
    if not simulated:
        screen.note(
            f"{url} asks a model that is not the simulated one: {streams} answers of up to {ask['tokens']} tokens."
        )
        if not yes:
            raise click.UsageError("That may cost money. Say --yes to go on.")
    load = Load(url, request(simulated, **ask), streams=streams, duration_s=duration, api_key=api_key)

    def tell(elapsed_s: float) -> None:
        if screen.watched:
            screen.note(progress(load, elapsed_s))

    await load.run(tell, every_s=max(1.0, duration / PROGRESS_LINES))
    if load.cpu_share > BUSY_SHARE:
        screen.note(
            "This program used a whole CPU: the figures may be its own. Measure with fewer streams, or from several."
        )
    click.echo(json.dumps(load.json()) if as_json else "\n".join(table(load)))
    drawn = plot is None or _draw(plot, load)
    return base.DONE if drawn and not load.errors else base.ERROR


def _draw(plot: Path, load: "Load") -> bool:
    from streamkeep.terminal.plot import svg

    panels = {"Time to the first token": load.ttft, "Gap between tokens": load.gap}
    try:
        plot.write_text(svg(title(load), panels), "utf-8")
    except OSError as error:
        click.echo(f"streamkeep: {plot} could not be written: {error.strerror}", err=True)
        return False
    return True


def request(
    simulated: bool, *, tokens: int, tokens_per_s: float, model: str | None, prompt: str | None
) -> dict[str, Any]:
    """
    Make the start that is measured.

    Args:
        simulated: The model is; it takes its pace from its name.
        tokens: Longest answer.
        tokens_per_s: The simulated model's pace.
        model: Asked for instead.
        prompt: Asked instead.
    """
    paced = f"{SIMULATED}?ttft_s=0&tokens_per_s={tokens_per_s:g}" if simulated else None
    asked = {"prompt": prompt or f"count to {tokens}", "max_tokens": tokens, "model": model or paced}
    return {name: value for name, value in asked.items() if value is not None}


async def _is_simulated(url: str, api_key: str | None) -> bool:
    """Tell whether the server's default model is the simulated one; one that does not say is taken for real."""
    from streamkeep.client.client import AsyncClient
    from streamkeep.client.reconnect import Reconnect

    async with AsyncClient(url, api_key=api_key, rules=lambda: Reconnect(max_tries=0)) as client:
        try:
            _, models = await client.ask("GET", "/v1/models")
        except (ServerUnreachable, Unauthorized):
            raise
        except StreamkeepError:
            return False
    listed = models.get("data")
    return isinstance(listed, list) and any(isinstance(each, dict) and each.get("id") == SIMULATED for each in listed)


def progress(load: "Load", elapsed_s: float) -> str:
    """Say how far a measurement is."""
    failed = load.errors.total()
    parts = [
        f"{elapsed_s:.0f} s",
        f"{load.running} running",
        f"{load.endings.total()} done",
        *([f"{failed} failed"] if failed else []),
        f"{load.events} events",
    ]
    return "  ".join(parts)


def title(load: "Load") -> str:
    """Say in a line what was measured."""
    return f"{load.streams} streams, {load.events} events in {load.elapsed_s:.1f} s"


def table(load: "Load") -> list[str]:
    """Give the figures as lines."""
    from streamkeep.terminal.distribution import PERCENTS, spoken

    heads = ["", *[f"p{percent}" for percent in PERCENTS], "max"]
    rows = [
        [
            name,
            *[spoken(spans.percentile(percent)) for percent in PERCENTS],
            spoken(spans.most if spans.count else None),
        ]
        for name, spans in (("TTFT", load.ttft), ("gap", load.gap))
    ]
    told = load.json()
    ended = ", ".join(f"{count} {how}" for how, count in sorted(load.endings.items())) or "none"
    failed = ", ".join(f"{count} {code}" for code, count in sorted(load.errors.items())) or "none"
    return [
        *[f"{row[0]:<8}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in (heads, *rows)],
        "",
        f"{'streams':<8}{ended}",
        f"{'errors':<8}{failed}",
        f"{'events':<8}{load.events} in {load.elapsed_s:.2f} s, {told['events_per_s']:.0f} a second",
        f"{'bytes':<8}{load.size}",
    ]


COMMAND = bench

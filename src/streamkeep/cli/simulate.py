"""
Run a model's API without a model, for trying and testing.
"""

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from streamkeep.simulator import Simulator

DEFAULT_PORT: Final = 8100
"""The port where nothing else is asked for; fixed, so that the printed line can be kept."""

EXAMPLE: Final = {
    "model": "simulated-1",
    "max_tokens": 1024,
    "stream": True,
    "messages": [{"role": "user", "content": "a table, some code and an emoji"}],
}
"""The request that is printed for trying."""


@click.command(name="simulate")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0 for a free one."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same answers.")
@click.option("--ttft", default=0.3, show_default=True, metavar="SECONDS", help="Time to the first token.")
@click.option("--tokens-per-s", default=60.0, show_default=True, metavar="RATE", help="Pace; 0 for as fast as it goes.")
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Answer every stream with this recording (.sse or .chunks.txt).",
)
@click.option(
    "--chunking",
    type=click.Choice(["whole", "event", "byte", "random"]),
    default="event",
    show_default=True,
    help="How the recording is cut into writes.",
)
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Take only this key; repeatable. Without: any key.")
def simulate(
    host: str,
    port: int,
    seed: int,
    ttft: float,
    tokens_per_s: float,
    replay: Path | None,
    chunking: str,
    keys: tuple[str, ...],
) -> None:
    """
    Run a model's API without a model.

    It speaks the Messages API: point ANTHROPIC_BASE_URL at it. The prompt says what is answered ("think", "use a
    tool", "count to 100", "a table", "echo: …"), the model's name how: simulated-1?tokens_per_s=5,
    simulated-1?refuse=429, simulated-1?refuse=reset-after:20.
    """
    from streamkeep.simulator import Simulator

    try:
        simulator = Simulator(
            seed=seed,
            ttft_s=ttft,
            tokens_per_s=tokens_per_s,
            host=host,
            port=port,
            keys=keys or None,
            replay=replay,
            chunking=chunking,
        )
        asyncio.run(_serve(simulator, with_keys=bool(keys)))
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port."
        ) from None


async def _serve(simulator: "Simulator", *, with_keys: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, stop.set)
    async with simulator:
        click.echo(_welcome(simulator.base_url, with_keys=with_keys))
        await stop.wait()
    counts = simulator.statistics()
    click.echo(f"Answered {counts.requests} requests, {counts.streams_finished} streams to the end.")


def _welcome(base_url: str, *, with_keys: bool) -> str:
    """
    Return what is printed at the start: where it listens, and two ways to use it.
    """
    key = "YOUR_KEY" if with_keys else "any"
    return "\n".join(
        [
            f"A simulated Messages API listens on {base_url}",
            "",
            f"  export ANTHROPIC_BASE_URL={base_url} ANTHROPIC_API_KEY={key}",
            "",
            f"  curl -N {base_url}/v1/messages \\",
            f"    -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \\",
            f"    -d '{json.dumps(EXAMPLE)}'",
            "",
            "Ctrl-C stops it.",
        ]
    )


COMMAND: Final = simulate

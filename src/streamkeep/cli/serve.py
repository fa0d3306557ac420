"""
Run the server.

Strategy
    Every setting is an option of the same name; what is not given on the command line comes from the environment,
    from `streamkeep.toml` or from its default.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from streamkeep.cli import base
from streamkeep.settings import Settings, read_settings

STARTED = time.perf_counter()
"""When this command was loaded."""

SIMULATED_HINT = "  (built in; set ANTHROPIC_API_KEY for a real one)"
"""Said where no key is set."""

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where the other commands look for a server."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that other machines cannot reach."""


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = field.annotation
    many = get_origin(kind) is list
    if choices := [str(choice) for choice in get_args(kind)] if not many else []:
        parsed: Any = click.Choice(choices)
    else:
        parsed = str if many else kind
    default = field.get_default(call_default_factory=True, validated_data={})
    shown = ", ".join(default) if many else str(default)
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=parsed,
        multiple=many,
        default=None,
        help=f"{field.description}  [default: {shown or 'none'}]",
    )


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, field in reversed(Settings.model_fields.items()):
        command = _option(name, field)(command)
    return command


@click.command()
@_with_settings
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="warning",
    show_default=True,
    help="What the log on stderr holds.",
)
def serve(log_level: str, **options: Any) -> None:
    """
    Run the server.

    Without a key of a provider (ANTHROPIC_API_KEY) it answers with a simulated model. Every option can also be set
    as STREAMKEEP_<NAME> in the environment, or by its name in streamkeep.toml.
    """
    from streamkeep.server import serving

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = read_settings(given(options))
    runner = asyncio.Runner(loop_factory=serving.loop_factory())
    with serving.listen(settings.host, settings.port) as listener, runner:
        runner.run(_serve(settings, listener))


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Give the options that were on the command line."""
    named = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {name: value for name, value in named.items() if value is not None and value != []}


async def _serve(settings: Settings, listener: socket.socket) -> None:
    from streamkeep.embedded import Relay
    from streamkeep.server import create_app, serving

    relay = Relay.from_settings(settings)
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    async with relay:  # Before the server, which has no words of its own for a store that cannot be opened.
        app = create_app(relay, settings)
        await serving.serve(app, listener, ready=lambda: click.echo(welcome(settings, list(relay.sources), url)))


def welcome(settings: Settings, sources: list[str], url: str) -> str:
    """
    Say what is there and what to try.

    Args:
        settings: The server's.
        sources: Names of the providers that are set up, the default one first.
        url: The server's address.
    """
    lines = [
        f"streamkeep {version('streamkeep')}  ready in {(time.perf_counter() - STARTED) * 1000:.0f} ms",
        f"  page    {url}/          docs  {url}/docs",
        f"  model   {', '.join(sources)}{SIMULATED_HINT if sources == ['simulated'] else ''}",
        f"  store   {settings.store}{f' ({settings.synchronous})' if settings.store.startswith('sqlite') else ''}",
        "",
        "Try, from another terminal:",
        f"  curl -N {url}/v1/streams -H 'content-type: application/json' \\",
        """       -d '{"prompt": "Write a haiku about rivers", "stream": true}'""",
        f"  {base.program()} ask 'Explain WAL in two sentences'{'' if url == DEFAULT_URL else f' --url {url}'}",
        "",
        "  # pip install anthropic; then, in Python:",
        "  from anthropic import Anthropic",
        f'  client = Anthropic(base_url="{url}", api_key="any")',
        '  prompt = {"role": "user", "content": "Hi"}',
        '  with client.messages.stream(model="simulated-1", max_tokens=500, messages=[prompt]) as answer:',
        "      print(answer.get_final_text())",
        "",
        "Ctrl-C ends it; running answers may finish first.",
    ]
    if settings.host not in LOOPBACK and not settings.api_keys:
        lines.append(f"Warning: anybody who reaches {settings.host} can use this server. Set --api-keys.")
    return "\n".join(lines)


COMMAND = serve

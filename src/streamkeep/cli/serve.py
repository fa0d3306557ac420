"""
Run the server.

Strategy
    Every setting is an option of the same name; what is not given on the command line comes from the environment,
    from `streamkeep.toml` or from its default.
"""

import asyncio
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from streamkeep.errors import BadRequest
from streamkeep.settings import Settings

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
        type: Any = click.Choice(choices)
    else:
        type = str if many else kind
    default = field.get_default(call_default_factory=True, validated_data={})
    shown = ", ".join(default) if many else str(default)
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=type,
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
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="warning", show_default=True)
def serve(log_level: str, **options: Any) -> None:
    """
    Run the server.

    Without a key of a provider (ANTHROPIC_API_KEY) it answers with a simulated model. Every option can also be set
    as STREAMKEEP_<NAME> in the environment, or by its name in streamkeep.toml.
    """
    from streamkeep.server import serving  # noqa: PLC0415 - the server's imports cost 0.3 s that --help need not pay

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = read_settings(options)
    listener = serving.listen(settings.host, settings.port)
    with asyncio.Runner(loop_factory=serving.loop_factory()) as runner:
        runner.run(_serve(settings, listener))


def read_settings(options: dict[str, Any]) -> Settings:
    """
    Read the settings, with the options that were given on top.

    Raises:
        BadRequest: One of them is not as it should be.
    """
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items() if value}
    given |= {name: value for name, value in options.items() if value == 0 and value is not False}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"setting {where}: {first['msg']}") from error


async def _serve(settings: Settings, listener: socket.socket) -> None:
    from streamkeep.embedded import Relay  # noqa: PLC0415 - as above
    from streamkeep.server import create_app, serving  # noqa: PLC0415 - as above

    relay = Relay.from_settings(settings)
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
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
        f"  {command()} ask 'Explain WAL in two sentences'{'' if url == DEFAULT_URL else f' --url {url}'}",
        "",
        "  from anthropic import Anthropic",
        f'  client = Anthropic(base_url="{url}", api_key="any")',
        '  with client.messages.stream(model="simulated-1", max_tokens=500, messages=[{"role": "user", "content": "Hi"}]) as s:',
        '      print(s.get_final_text())',
        "",
        "Ctrl-C ends it; running answers may finish first.",
    ]
    if settings.host not in LOOPBACK and not settings.api_keys:
        lines.append(f"Warning: anybody who reaches {settings.host} can use this server. Set --api-keys.")
    return "\n".join(lines)


def command() -> str:
    """Give the words with which this program was started, for copying."""
    program = Path(sys.argv[0])
    if program.name == "streamkeep" and shutil.which("streamkeep") != str(program):
        return os.path.relpath(program)
    return "streamkeep" if program.name == "streamkeep" else f"{sys.executable} -m streamkeep"


COMMAND = serve

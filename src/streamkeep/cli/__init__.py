"""
The command `streamkeep`: one file per command.

Strategy
    A command is a file here that ends in `COMMAND`. It is imported when it is asked for, and no list is edited; the
    overview takes each command's line from the first line of its file, so that `--help` imports none of them.
"""

import ast
import pkgutil
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from streamkeep.cli import base
from streamkeep.errors import BadRequest, StreamkeepError


class Commands(click.Group):
    """The commands in this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the files."""
        return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").COMMAND
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(name)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what went wrong on purpose becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except StreamkeepError as error:
            click.echo(f"streamkeep: {error.message} ({error.code})", err=True)
            sys.exit(base.USAGE if isinstance(error, BadRequest) else base.ERROR)
        except KeyboardInterrupt:
            sys.exit(base.STOPPED)


def _first_line(name: str) -> str:
    spec = find_spec(f"{__name__}.{name}")
    source = spec.loader.get_source(spec.name) if spec and spec.loader else None  # type: ignore[attr-defined]
    return (ast.get_docstring(ast.parse(source or "")) or "").partition("\n")[0]


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streamkeep", message="%(prog)s %(version)s")
def main() -> None:
    """Keep LLM responses: durable, resumable, stoppable streams."""

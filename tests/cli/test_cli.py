"""The command itself: its overview, its speed, and what it does with errors."""

import ast
import statistics
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import streamkeep.cli
from streamkeep.cli import base, main
from streamkeep.errors import BadRequest, StreamkeepError, StreamNotFound

FILES = sorted(path for path in Path(str(streamkeep.cli.__file__)).parent.glob("*.py") if path.stem[0] != "_")
COMMANDS = [path.stem for path in FILES if path.stem != "base"]

HELP_S = 0.15
"""Seconds for `--help`: what feels instant."""

HEAVY = ("aiohttp", "fastapi", "pydantic", "uvicorn", "rich", "msgspec", "asyncio")


def test_each_file_is_a_command_with_its_first_line_as_overview() -> None:
    """A command is one new file and no edit elsewhere; its line is its file's first sentence."""
    shown = CliRunner().invoke(main, ["--help"], terminal_width=200).output

    for path in FILES:
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        assert (path.stem != "base") == (f"  {path.stem} " in shown and first in shown)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_help(name: str) -> None:
    """Every option of every command says what it does; arguments are told by the command's text."""
    command = import_module(f"streamkeep.cli.{name}").COMMAND

    assert command.help
    silent = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert [] == silent


def test_an_unknown_command_is_a_wrong_use() -> None:
    """Exit code 2; the file of shared things is no command."""
    for name in ("sing", "base"):
        result = CliRunner().invoke(main, [name])

        assert 2 == result.exit_code
        assert f"No such command '{name}'" in result.output


@pytest.mark.parametrize(
    "error, code",
    [
        (BadRequest("It is wrong."), base.USAGE),
        (StreamNotFound("It is not there."), base.ERROR),
        (StreamkeepError("It broke."), base.ERROR),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error: StreamkeepError, code: int) -> None:
    """What happened and its code, on stderr; no stack trace."""

    @click.command()
    def broken() -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamkeep.cli.Commands, "get_command", lambda *_: broken)
        result = CliRunner().invoke(main, ["broken"])

    assert (code, "") == (result.exit_code, result.stdout)
    assert f"streamkeep: {error.message} ({error.code})\n" == result.stderr


def test_ctrl_c_has_its_exit_code() -> None:
    """130, also where a command has not come to heed it yet."""

    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamkeep.cli.Commands, "get_command", lambda *_: interrupted)
        result = CliRunner().invoke(main, ["interrupted"])

    assert 130 == result.exit_code


def test_help_imports_nothing_heavy() -> None:
    """The overview loads no command, no HTTP library and no validation."""
    script = "import sys; from streamkeep.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    modules = set(loaded.splitlines()[-1].split())

    assert set() == modules & set(HEAVY)
    assert set() == modules & {f"streamkeep.cli.{name}" for name in COMMANDS}


@pytest.mark.e2e
def test_help_is_instant() -> None:
    """The median of five; on a busy machine the processor's time counts, not the wall's."""
    spent = [_cpu_s("-m", "streamkeep", "--help") for _ in range(5)]

    assert statistics.median(spent) < HELP_S


def _cpu_s(*arguments: str) -> float:
    import resource

    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return min(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

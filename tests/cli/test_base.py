"""What the commands share."""

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streamkeep.cli import base
from streamkeep.lifecycle import State
from tests.cli.running import run, served, together


def test_the_states_are_those_of_the_lifecycle() -> None:
    """What `--state` takes is every state that is stored."""
    assert [state.value for state in State if state is not State.NEW] == list(base.STATES)


def test_a_command_leaves_with_its_exit_code() -> None:
    """The number that the command gives is the process's."""

    async def command() -> int:
        return base.CANCELLED

    with pytest.raises(SystemExit) as left:
        base.run(command())

    assert base.CANCELLED == left.value.code


@pytest.mark.parametrize("variables", [{}, {"STREAMKEEP_URL": "http://b", "STREAMKEEP_API_KEY": "k"}])
def test_where_comes_from_options_or_the_environment(variables: dict[str, str]) -> None:
    """An option wins over its variable; without both there is none."""

    @click.command()
    @base.where
    def command(url: str | None, api_key: str | None) -> None:
        click.echo(f"{url} {api_key}")

    assert f"{variables.get('STREAMKEEP_URL')} {variables.get('STREAMKEEP_API_KEY')}\n" == _output(
        command, [], variables
    )
    assert "http://a x\n" == _output(command, ["--url", "http://a", "--api-key", "x"], variables)


def _output(command: click.Command, arguments: list[str], variables: dict[str, str]) -> str:
    return CliRunner().invoke(command, arguments, env=variables).output


@pytest.mark.parametrize(
    "started, words",
    [
        ("/nowhere/bin/streamkeep", "streamkeep"),
        (str(Path(sys.prefix) / "lib/streamkeep/__main__.py"), "-m streamkeep"),
    ],
)
def test_advice_can_be_copied(started: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins with the words with which this program was started, and names the server."""
    monkeypatch.setattr(sys, "argv", [started])

    advice = base.advice("show", "st_1", url="http://a")

    assert advice.endswith(f"{words} show st_1 --url http://a")
    assert base.advice("show", "st_1").endswith("show st_1")


@pytest.mark.e2e
def test_a_key_is_sent_to_a_server_that_wants_one(tmp_path: Path) -> None:
    """Without it the server's refusal is told; by option or variable it lets in. It is shown nowhere."""
    with served(tmp_path, STREAMKEEP_API_KEYS="right, other") as server:
        refused, wrong = together(["ls"], ["ls", "--api-key", "hunter2"], env=server.env)
        right = run("ls", env={**server.env, "STREAMKEEP_API_KEY": "right"})

    assert (1, 1, 0) == (refused.returncode, wrong.returncode, right.returncode)
    assert "needs a key" in refused.stderr
    assert "hunter2" not in wrong.stdout + wrong.stderr
    assert "right" not in server.welcome

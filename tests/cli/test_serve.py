"""The server from the command line: its settings, its welcome, and its way down."""

import re
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamkeep.cli import main
from streamkeep.cli.serve import COMMAND, given, welcome
from streamkeep.settings import Settings
from tests.cli.running import SLOW, Running, environment, run, served


def test_each_setting_is_an_option_with_its_default() -> None:
    """No setting is left out, and each shows what it is without being set."""
    options = {each.name: getattr(each, "help", "") for each in COMMAND.params}

    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = (", ".join(default) if isinstance(default, list) else str(default)) or "none"
        assert f"{field.description}  [default: {shown}]" == options[name]


def test_a_number_says_its_unit() -> None:
    """Each time is in seconds, each size in bytes, and the text says so; the others count things."""
    counts = {"port", "max_streams", "max_readers", "retries"}
    numbers = {name: field for name, field in Settings.model_fields.items() if field.annotation in (int, float)}

    assert counts <= set(numbers)
    silent = [
        name for name, field in numbers.items() if not re.search("seconds|bytes", (field.description or "").lower())
    ]
    assert counts == set(silent)


def test_only_what_was_on_the_command_line_is_given() -> None:
    """Zero and the empty text are values; an option that is not there is none."""
    assert {"drain": 0.0, "provider": "", "api_keys": ["a"]} == given(
        {"drain": 0.0, "provider": "", "api_keys": ("a",), "port": None, "allowed_hosts": ()}
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--port", "70000"], "--port: input should be less than or equal to 65535"),
        (["--port", "many"], "--port"),
        (["--heartbeat", "0"], "--heartbeat: input should be greater than 0"),
        (["--retries", "11"], "--retries"),
        (["--synchronous", "maybe"], "'normal', 'full'"),
        (["--store", "cassette://x", "--port", "0"], "cassette"),
        (["--store", "sqlite:///", "--port", "0"], "sqlite:///"),
        (["--provider", "nobody", "--port", "0"], "nobody"),
        (["--log-level", "loud"], "warning"),
    ],
)
def test_a_value_that_cannot_be_is_a_wrong_use(arguments: list[str], words: str) -> None:
    """Exit code 2, and the text names the setting or shows the value."""
    result = CliRunner().invoke(main, ["serve", *arguments])

    assert 2 == result.exit_code
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_taken_port_is_told_with_what_to_do() -> None:
    """One line that names address and option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["serve", "--port", str(port), "--store", "memory://"])

    assert 2 == result.exit_code
    assert f"Cannot listen on 127.0.0.1:{port}" in result.output
    assert "Choose another --port" in result.output


def test_the_welcome_warns_of_an_open_door() -> None:
    """Who listens to the network without keys is told so."""
    url = "http://127.0.0.1:8000"
    warned = welcome(Settings(host="0.0.0.0"), ["simulated"], url)
    locked = welcome(Settings(host="0.0.0.0", api_keys=["k"]), ["simulated"], url)

    assert "Warning" in warned
    assert "Warning" not in locked + welcome(Settings(), ["simulated"], url)


@pytest.mark.e2e
def test_sigterm_lets_answers_finish_and_ends_well(tmp_path: Path) -> None:
    """What runs is finished within the drain, its reader gets all of it, and the exit code is 0."""
    with served(tmp_path) as server:
        asking = Running("ask", "count to 20", "-m", SLOW, "--id", "last", env=server.env)
        asking.read(4)

        assert 0 == server.stop(signal.SIGTERM)
        code, rest, errors = asking.end()

    assert rest.endswith("20\n")
    state = run("show", "last", env=environment(tmp_path)).stderr
    assert "completed" in state
    assert (0, "") == (code, errors)


@pytest.mark.e2e
def test_settings_come_from_flag_then_environment_then_file(tmp_path: Path) -> None:
    """`streamkeep.toml` in the working directory sets what nothing above it sets. Ctrl-C ends the server well."""
    (tmp_path / "streamkeep.toml").write_text('store = "sqlite:///file.db"\ndefault_model = "from-file"\n')
    with served(tmp_path, "--heartbeat", "7", STREAMKEEP_STORE="sqlite:///variable.db", STREAMKEEP_URL="x") as server:
        assert "sqlite:///variable.db" in server.welcome
        run("ask", "count to 3", "--id", "x", "--url", server.url, env=server.env)
        assert "from-file" in run("show", "x", env=server.env).stderr
        assert 0 == server.stop(signal.SIGINT)
    assert (tmp_path / "variable.db").exists()


@pytest.mark.e2e
def test_the_welcome_can_be_tried(tmp_path: Path) -> None:
    """The address, the store and the model are told, and the line with `ask` works as it stands."""
    with served(tmp_path) as server:
        line = next(line for line in server.welcome.splitlines() if " ask " in line)
        done = run("ask", "count to 3", *line.split("'")[2].split(), env=environment(tmp_path))

    assert (0, True) == (done.returncode, bool(done.stdout))
    assert f"sqlite:///{tmp_path}/streamkeep/streams.db (normal)" in server.welcome
    assert "simulated  (built in; set ANTHROPIC_API_KEY" in server.welcome

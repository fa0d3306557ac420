"""The simulator runs from the command line."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anthropic
import pytest
from click.testing import CliRunner

from streamkeep.cli import main


@pytest.mark.e2e
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(stop: signal.Signals) -> None:
    """It prints where it listens, answers there, and ends cleanly on a signal."""
    command = [
        sys.executable,
        "-m",
        "streamkeep",
        "simulate",
        "--port",
        "0",
        "--ttft",
        "0",
        "--tokens-per-s",
        "0",
        "--key",
        "right",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        welcome = "".join(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        found = re.search(r"http://127\.0\.0\.1:\d+", welcome)
        assert found, process.stderr.read()
        client = anthropic.Anthropic(base_url=found[0], api_key="right", max_retries=0)
        message = client.messages.create(
            model="simulated-1", max_tokens=99, messages=[{"role": "user", "content": "count to 3"}]
        )
        client.close()
        process.send_signal(stop)
        printed, errors = process.communicate(timeout=10)

    assert "1, 2, 3" == message.content[0].text  # type: ignore[union-attr]
    assert (0, "") == (process.returncode, errors)
    assert "Answered 1 requests, 0 streams to the end.\n" == printed
    assert f"export ANTHROPIC_BASE_URL={found[0]} ANTHROPIC_API_KEY=YOUR_KEY" in welcome
    assert f"curl -N {found[0]}/v1/messages" in welcome
    assert "right" not in welcome


def test_a_taken_port_is_told_with_what_to_do() -> None:
    """One line, no stack trace."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(main, ["simulate", "--port", str(taken.getsockname()[1])])

    assert 1 == result.exit_code
    assert "Choose another with --port" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--ttft", "-1"], "ttft_s: '-1.0' is not a number from 0 to 600"),
        (["--chunking", "big"], "whole"),
        (["--port", "70000"], "65535"),
        (["--replay", "missing.sse"], "missing.sse"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], words: str) -> None:
    """By their bounds, before anything runs."""
    result = CliRunner().invoke(main, ["simulate", *arguments])

    assert 2 == result.exit_code
    assert words in result.output


def test_a_file_that_is_no_recording_is_told(tmp_path: Path) -> None:
    """By its name."""
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    result = CliRunner().invoke(main, ["simulate", "--replay", str(path)])

    assert 2 == result.exit_code
    assert "notes.txt is no event stream" in result.output

"""A server, measured."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from streamkeep.cli.bench import progress, request, table
from streamkeep.terminal.load import Load
from tests.cli.running import Running, Served, Terminal, run, served, together

QUICK = ("--streams", "3", "--tokens", "12", "--tokens-per-s", "0")


def measured() -> Load:
    """Make a load that has run."""
    load = Load("http://127.0.0.1:1", {}, streams=4, duration_s=1)
    for ms in (10, 20, 30):
        load.ttft.add(ms / 1000)
    load.endings["completed"], load.errors["upstream_timeout"] = 2, 1
    load.events, load.size, load.elapsed_s = 100, 4000, 2.0
    return load


def test_the_simulated_model_takes_its_pace_from_its_name() -> None:
    """A real one gets no such name, and no more tokens than were asked for; what the caller names comes first."""
    options: dict[str, Any] = {"tokens": 30, "tokens_per_s": 50.0, "model": None, "prompt": None}

    paced = {"model": "simulated-1?ttft_s=0&tokens_per_s=50", "prompt": "count to 30", "max_tokens": 30}
    assert paced == request(True, **options)
    assert {"prompt": "count to 30", "max_tokens": 30} == request(False, **options)
    named = request(True, **{**options, "model": "simulated-1-fast", "prompt": "Sing"})
    assert {"model": "simulated-1-fast", "prompt": "Sing", "max_tokens": 30} == named


def test_the_table_says_each_figure_once() -> None:
    """Percentiles in columns under their heads; endings, errors and rates in lines; what is not known is a dash."""
    lines = {line.split()[0]: line.split()[1:] for line in table(measured())[1:] if line}

    assert ["p50", "p90", "p99", "max"] == table(measured())[0].split()
    assert (8, "30") == (len(lines["TTFT"]), lines["TTFT"][-2])
    assert ["-"] * 4 == lines["gap"]
    assert ["2", "completed"] == lines["streams"]
    assert ["1", "upstream_timeout"] == lines["errors"]
    assert ["100", "in", "2.00", "s,", "50", "a", "second"] == lines["events"]


def test_progress_is_a_line() -> None:
    """How long, how many still run, how many are done and failed, and what came."""
    assert "7 s  1 running  2 done  1 failed  100 events" == progress(measured(), 7.4)


@pytest.mark.e2e
def test_a_server_with_the_simulated_model_is_measured(server: Served, tmp_path: Path) -> None:
    """A table, or JSON for programs; a picture where one is wanted; nothing on stderr but a terminal's progress."""
    plot = tmp_path / "plot.svg"

    as_table, as_json = together(
        ("bench", server.url, *QUICK, "--plot", str(plot)), ("bench", server.url, *QUICK, "--json"), env=server.env
    )
    terminal = Terminal("bench", *QUICK, env=server.env)
    code = terminal.end()

    told = json.loads(as_json.stdout)
    assert (0, 0, 0) == (as_table.returncode, as_json.returncode, code)
    assert ("", "") == (as_table.stderr, as_json.stderr)
    assert "3 completed" in as_table.stdout
    assert ({"completed": 3}, {}, 3) == (told["endings"], told["errors"], told["ttft"]["count"])
    assert 0 < told["ttft"]["p50_ms"] <= told["ttft"]["p99_ms"] <= told["ttft"]["max_ms"]
    assert plot.read_text("utf-8").startswith("<svg ")
    assert "0 running  3 done" in terminal.shown
    assert "p50" in terminal.shown


@pytest.mark.e2e
def test_failures_are_told_by_code_and_by_the_exit_code(server: Served, tmp_path: Path) -> None:
    """1 if a stream failed, if the figures could not be drawn, or if nobody is there; 2 if it cannot be meant so."""
    lost = tmp_path / "plot.svg"
    lost.mkdir()
    refused, unreachable, nowhere, occupied = together(
        ("bench", server.url, *QUICK, "--model", "simulated-1?refuse=400"),
        ("bench", "http://127.0.0.1:1"),
        ("bench", server.url, "--plot", str(tmp_path / "nowhere" / "plot.svg")),
        ("bench", server.url, "--plot", str(lost)),
        env=server.env,
    )

    assert (1, 1, 2, 2) == tuple(each.returncode for each in (refused, unreachable, nowhere, occupied))
    assert "3 upstream_refused" in refused.stdout
    assert "server_unreachable" in unreachable.stderr
    assert "there is no folder" in nowhere.stderr


@pytest.mark.e2e
def test_a_picture_that_cannot_be_written_costs_no_figures(server: Served, tmp_path: Path) -> None:
    """The table is printed all the same."""
    found = run("bench", server.url, *QUICK, "--plot", str(tmp_path / ("x" * 300)), env=server.env)

    assert 1 == found.returncode
    assert "3 completed" in found.stdout
    assert "could not be written" in found.stderr


@pytest.mark.e2e
def test_a_model_that_may_cost_money_is_not_asked_without_a_yes(tmp_path: Path) -> None:
    """A server that does not list the simulated model is taken for one with a real one."""
    with served(tmp_path, ANTHROPIC_BASE_URL="http://127.0.0.1:1", ANTHROPIC_API_KEY="none") as real:
        without, with_yes = together(
            ("bench", real.url, *QUICK), ("bench", real.url, *QUICK, "--yes", "--duration", "0.3"), env=real.env
        )
        listed = run("ls", "--json", env=real.env)

    assert (2, "") == (without.returncode, without.stdout)
    assert "3 answers of up to 12 tokens" in without.stderr
    assert "--yes" in without.stderr
    assert 1 == with_yes.returncode
    assert "3 answers of up to 12 tokens" in with_yes.stderr
    assert 3 == len(listed.stdout.splitlines())


@pytest.mark.e2e
@pytest.mark.parametrize("by", ["the time that it was given", "Ctrl-C"])
def test_what_still_runs_at_the_end_is_stopped(server: Served, by: str) -> None:
    """Nothing goes on in the server when the measurement has ended, whichever way."""
    slow = ("bench", server.url, "--streams", "2", "--tokens", "5000", "--json")
    limit = "0.5" if by != "Ctrl-C" else "30"
    running = Running(*slow, "--duration", limit, env=server.env)
    if by == "Ctrl-C":
        until = time.monotonic() + 10
        while not live(server):
            assert time.monotonic() < until
        running.process.send_signal(signal.SIGINT)

    code, out, _ = running.end()

    assert [] == live(server)
    assert (130 if by == "Ctrl-C" else 0) == code
    if by != "Ctrl-C":
        assert {"stopped": 2} == json.loads(out)["endings"]


def live(server: Served) -> list[str]:
    """Give the ids of measured streams that have not ended."""
    found = run("ls", "--json", "--limit", "1000", "--state", "open", "--state", "cancelling", env=server.env)
    ids = [json.loads(line)["id"] for line in found.stdout.splitlines()]
    return [id for id in ids if id.startswith("bench_")]

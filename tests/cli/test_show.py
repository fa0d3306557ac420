"""One stream, looked at."""

import json

import pytest

from streamkeep.cli.show import facts
from tests.cli.running import COUNTED, FAST, Served, environment, run, together

STREAM = {
    "id": "st_1",
    "state": "failed",
    "provider": "anthropic",
    "model": "claude",
    "created_at": "2026-11-20T12:00:00.000Z",
    "ended_at": None,
    "cursor": "abc234.431",
    "usage": {"input_tokens": 14, "service_tier": "standard"},
    "timing": None,
    "attempts": 3,
    "error": {"code": "upstream_timeout", "message": "It took too long."},
}


def test_the_facts_are_lines() -> None:
    """State, model, times, cursor, usage and error, each on a line that begins with its name."""
    told = {line.split()[0]: line for line in facts(STREAM)[1:]}

    assert ["state", "model", "started", "cursor", "usage", "error"] == list(told)
    assert told["model"].endswith("claude of anthropic, 3 attempts")
    assert told["usage"].endswith("  14 input tokens")
    assert told["error"].endswith("It took too long. (upstream_timeout)")


@pytest.mark.e2e
def test_a_stream_is_shown_in_each_form(server: Served) -> None:
    """The message on stdout and the facts on stderr, with and without a server; JSON and the log on request."""
    run("ask", "think, then count to 20", "-m", FAST, "--id", "seen", env=server.env)
    forms = [("show", "seen", *form) for form in ((), ("--thinking",), ("--json",), ("--events",))]
    plain, with_thinking, as_json, events = together(*forms, env=server.env)
    in_store = run("show", "seen", env=environment(server.folder))
    stream, log = json.loads(as_json.stdout), events.stdout.splitlines()

    assert (0, f"{COUNTED}\n") == (plain.returncode, plain.stdout)
    assert (plain.stdout, plain.stderr) == (in_store.stdout, in_store.stderr)
    assert "characters; --thinking shows them]" in plain.stderr
    assert "state    completed (end_turn)" in plain.stderr
    thinking, text = stream["message"]["content"]
    assert thinking["thinking"] in with_thinking.stderr
    assert COUNTED == text["text"]
    assert int(stream["cursor"].partition(".")[2]) == len(log)
    assert ("stream.accepted" in log[0], "stream.completed" in log[-1]) == (True, True)


@pytest.mark.e2e
def test_a_tool_call_is_shown_with_its_input(server: Served) -> None:
    """Its name and its input as JSON."""
    run("ask", "use a tool", "-m", FAST, "--id", "tool", env=server.env)

    line = run("show", "tool", env=server.env).stdout.splitlines()[-1]

    name, _, given = line.partition(" ")
    assert name.isidentifier()
    assert isinstance(json.loads(given), dict)


@pytest.mark.e2e
def test_a_stream_that_is_not_there(server: Served) -> None:
    """One line, exit code 1."""
    done = run("show", "nowhere", env=environment(server.folder))

    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert "stream_not_found" in done.stderr

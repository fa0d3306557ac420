"""A question from the command line, with a server and without one, to each of its ends."""

import json
import os
import signal
from pathlib import Path

import click
import pytest

from streamkeep.cli.ask import joined
from tests.cli.running import COUNTED, FAST, SLOW, Cutter, Running, Served, Terminal, environment, run, served

pytestmark = pytest.mark.e2e

COUNT = ("ask", "count to 20", "-m", FAST)
LONG = ("ask", "count to 2000", "-m", SLOW)
STOPPED = "stopped at ~"


def shown(id: str, env: dict[str, str]) -> dict[str, object]:
    """Give a stream as JSON."""
    found: dict[str, object] = json.loads(run("show", id, "--json", env=env).stdout)
    return found


def test_the_answer_and_nothing_else_goes_to_stdout(server: Served) -> None:
    """Piped, the text is bare and stderr stays empty."""
    done = run(*COUNT, env=server.env)

    assert (0, f"{COUNTED}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_without_a_server_the_store_of_serve_is_used(tmp_path: Path) -> None:
    """The relay runs in this process, and what it kept is found again."""
    env = environment(tmp_path)

    done = run(*COUNT, "--id", "here", env=env)

    assert (0, f"{COUNTED}\n", "") == (done.returncode, done.stdout, done.stderr)
    assert (tmp_path / "streamkeep" / "streams.db").exists()
    assert f"{COUNTED}\n" == run("show", "here", env=env).stdout


def test_what_is_piped_in_follows_the_argument(server: Served) -> None:
    """The argument, a blank line, stdin; stdin alone will do."""
    both = run("ask", "echo: first", "-m", FAST, env=server.env, piped="second")
    alone = run("ask", "-m", FAST, env=server.env, piped="echo: only\n")

    assert ("first\n\nsecond\n", "only\n") == (both.stdout, alone.stdout)


def test_no_prompt_is_a_wrong_use(tmp_path: Path) -> None:
    """It is told before anything is started."""
    done = run("ask", "  ", env=environment(tmp_path), piped="\n")

    assert 2 == done.returncode
    assert "There is no prompt" in done.stderr
    assert not (tmp_path / "streamkeep").exists()


def test_json_is_the_ended_stream(server: Served) -> None:
    """One line with state and message, in place of the text."""
    done = run(*COUNT, "--json", "--id", "as-json", env=server.env)

    stream = json.loads(done.stdout)
    assert (0, "completed", "as-json") == (done.returncode, stream["state"], stream["id"])
    assert COUNTED == stream["message"]["content"][0]["text"]


def test_the_same_id_and_prompt_give_the_same_answer(server: Served) -> None:
    """I15: a repeated start finds the first; another prompt under its id is refused."""
    first = run("ask", "a poem", "-m", FAST, "--id", "again", env=server.env)
    second = run("ask", "a poem", "-m", FAST, "--id", "again", env=server.env)
    other = run("ask", "a table", "-m", FAST, "--id", "again", env=server.env)

    assert first.stdout == second.stdout
    assert (1, "") == (other.returncode, other.stdout)
    assert "stream_exists" in other.stderr


@pytest.mark.parametrize("place", ["server", "store"])
def test_an_answer_that_breaks_is_printed_as_far_as_it_got(place: str, server: Served, tmp_path: Path) -> None:
    """Exit code 3, what broke, and how to read it again."""
    env = server.env if place == "server" else environment(tmp_path)

    done = run("ask", "count to 200", "-m", f"{FAST}&refuse=reset-after:30", "--id", f"broken-{place}", env=env)

    assert 3 == done.returncode
    assert done.stdout.startswith("1, 2, 3")
    assert "upstream_" in done.stderr
    assert f"show broken-{place}" in done.stderr


def test_a_refused_question_is_an_error(server: Served) -> None:
    """Exit code 1 in one line, for nothing was shown; 2 where the request itself is wrong."""
    refused = run("ask", "hi", "-m", f"{FAST}&refuse=401", env=server.env)
    wrong = run("ask", "hi", "--id", "no spaces", env=server.env)

    assert (1, "", 1) == (refused.returncode, refused.stdout, refused.stderr.count("\n"))
    assert (2, "") == (wrong.returncode, wrong.stdout)
    assert "id: 1 to 64" in wrong.stderr


def test_an_answer_that_somebody_else_stops(server: Served) -> None:
    """Exit code 4, and the partial answer was printed."""
    asking = Running(*LONG, "--id", "theirs", env=server.env)
    begun = asking.read(10)

    assert 0 == run("cancel", "theirs", env=server.env).returncode
    code, rest, errors = asking.end()

    assert 4 == code
    assert "somebody else stopped the answer" in errors
    message = shown("theirs", server.env)["message"]
    assert begun + rest == message["content"][0]["text"] + "\n"  # type: ignore[index]


@pytest.mark.parametrize("place", ["server", "store"])
def test_ctrl_c_stops_the_answer_and_keeps_it(place: str, server: Served, tmp_path: Path) -> None:
    """I14: the model is stopped, what was printed is what is kept, and the exit code is 130."""
    env = server.env if place == "server" else environment(tmp_path)
    asking = Running(*LONG, "--id", f"stopped-{place}", env=env)
    begun = asking.read(10)

    asking.interrupt()
    code, rest, errors = asking.end()

    assert 130 == code
    assert STOPPED in errors
    assert f"show stopped-{place}" in errors
    stream = shown(f"stopped-{place}", env)
    assert "cancelled" == stream["state"]
    assert begun + rest == stream["message"]["content"][0]["text"] + "\n"  # type: ignore[index]


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    """A server that does not answer holds nobody up, and the way back is told."""
    with served(tmp_path) as server:
        asking = Running(*LONG, "--id", "hung", "--url", server.url, env=server.env)
        asking.read(10)
        os.kill(server.process.pid, signal.SIGSTOP)

        asking.interrupt()
        asking.wait_for_error("stopping")
        asking.interrupt()
        code, _, errors = asking.end()

    assert 130 == code
    assert "tail hung --after " in errors
    assert f"--url {server.url}" in errors


def test_a_reader_that_has_enough_is_no_error(server: Served) -> None:
    """I6: `| head` ends the command quietly, and the server's stream goes on."""
    asking = Running(*LONG, "--id", "headed", env=server.env)
    asking.read(10)

    asking.leave()
    code, _, errors = asking.end()

    assert (0, "") == (code, errors)
    assert "open" == shown("headed", server.env)["state"]
    run("cancel", "headed", env=server.env)


def test_a_reader_that_has_enough_stops_what_runs_in_this_process(tmp_path: Path) -> None:
    """Without a server nobody could read on, so the model is stopped."""
    asking = Running(*LONG, "--id", "headed", env=environment(tmp_path))
    asking.read(10)

    asking.leave()
    code, _, errors = asking.end()

    assert (0, "") == (code, errors)
    assert "cancelled" == shown("headed", environment(tmp_path))["state"]


def test_a_cut_connection_is_not_seen(server: Served) -> None:
    """I5, I12: three cuts in the middle of the answer, and each token is printed once."""
    cutter = Cutter(server.port, after=3000, times=3)
    done = run("ask", "count to 60", "-m", FAST, "--url", cutter.url, env=server.env)
    cutter.close()

    assert (0, 3) == (done.returncode, cutter.cuts)
    assert ", ".join(map(str, range(1, 61))) + "\n" == done.stdout


def test_no_server_where_one_was_named(tmp_path: Path) -> None:
    """It is told at once, with what to do; the store is not used in its place."""
    done = run("ask", "hi", "--url", "http://127.0.0.1:9", env=environment(tmp_path))

    assert (1, "") == (done.returncode, done.stdout)
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "streamkeep serve" in done.stderr


def test_a_store_in_use_is_told(server: Served) -> None:
    """Another process writes it and does not answer on the usual address: the text names it and the way out."""
    done = run("ask", "hi", env=environment(server.folder))

    assert (1, "") == (done.returncode, done.stdout)
    assert f"pid {server.process.pid}" in done.stderr
    assert "--url" in done.stderr


def test_a_terminal_gets_thinking_and_figures_dim(server: Served) -> None:
    """The answer is plain; its thinking comes before, on lines of its own, and the figures after."""
    terminal = Terminal("ask", "think, then count to 20", "-m", FAST, "--id", "on-terminal", env=server.env)

    assert 0 == terminal.end()
    assert terminal.shown.startswith("\x1b[2m")
    assert f"\x1b[22m\n{COUNTED}\n\x1b[2m[on-terminal  ttft " in terminal.shown
    assert terminal.shown.endswith(" tok]\x1b[22m\n")


@pytest.mark.parametrize("variable, colours", [("NO_COLOR", False), ("FORCE_COLOR", True)])
def test_colour_is_as_the_user_wants_it(variable: str, colours: bool, server: Served) -> None:
    """`NO_COLOR` and `FORCE_COLOR` are heeded, the first on a terminal, the second without one."""
    env = {**server.env, variable: "1"}
    if variable == "NO_COLOR":
        terminal = Terminal(*COUNT, env=env)
        terminal.end()
        shown = terminal.shown
    else:
        shown = run(*COUNT, "--verbose", env=env).stderr

    assert "tok]" in shown
    assert colours == ("\x1b[" in shown)


def test_thinking_goes_to_stderr_or_nowhere(server: Served) -> None:
    """What is piped on is the same with and without it."""
    with_it = run("ask", "think, then count to 20", "-m", FAST, env=server.env)
    without = run("ask", "think, then count to 20", "-m", FAST, "--thinking", "hide", env=server.env)

    assert with_it.stdout == without.stdout
    assert with_it.stderr.strip()
    assert "" == without.stderr


def test_ctrl_c_on_a_terminal(server: Served) -> None:
    """The key itself stops the answer, and the line that tells it stands on its own."""
    terminal = Terminal(*LONG, "--id", "by-key", env=server.env)
    terminal.wait_for(" ")
    terminal.press(b"\x03")

    assert 130 == terminal.end()
    assert STOPPED in terminal.shown.splitlines()[-1]
    assert "cancelled" == shown("by-key", server.env)["state"]


def test_what_a_model_says_does_not_steer_the_terminal(server: Served) -> None:
    """Control characters are taken out on a terminal and kept in a pipe."""
    said = "echo: red \x1b[31mred\x07"
    terminal = Terminal("ask", said, "-m", FAST, env={**server.env, "NO_COLOR": "1"})
    terminal.end()

    assert "red [31mred" in terminal.shown
    assert "\x1b[31mred\x07" in run("ask", said, "-m", FAST, env=server.env).stdout


def test_the_parts_of_a_prompt_are_joined() -> None:
    """The argument, a blank line, what is piped in; a part of blanks is none."""
    assert ("a\n\nb\n", "a", "b") == (joined("a", "b\n"), joined("a", " \n"), joined("", "b"))
    with pytest.raises(click.UsageError):
        joined(" ", "")


def test_what_is_piped_in_must_be_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused and not sent."""
    env = environment(tmp_path)
    done = run("ask", "what is this", env=env, piped=b"\xff\xfe".decode("utf-8", "surrogateescape"))

    assert 2 == done.returncode
    assert "no UTF-8 text" in done.stderr

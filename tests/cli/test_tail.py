"""Following a stream from the command line, beside a server and beside another process's store."""

import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.running import COUNTED, FAST, SLOW, Running, Served, environment, run, served, together

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def counted(server: Served) -> str:
    """Give the id of a stream that has ended."""
    assert 0 == run("ask", "think, then count to 20", "-m", FAST, "--id", "counted", env=server.env).returncode
    return "counted"


def elsewhere(server: Served) -> dict[str, str]:
    """Give the environment of somebody who has the server's files and does not find the server."""
    return environment(server.folder)


def test_text_goes_to_stdout_and_thinking_to_stderr(server: Served, counted: str) -> None:
    """As `ask` printed it; thinking can be hidden."""
    done, hidden = together(["tail", counted], ["tail", counted, "--thinking", "hide"], env=server.env)

    assert (0, f"{COUNTED}\n") == (done.returncode, done.stdout)
    assert done.stderr.strip()
    assert (f"{COUNTED}\n", "") == (hidden.stdout, hidden.stderr)


@pytest.mark.parametrize(
    "wire, place", [("native", "server"), ("native", "store"), ("anthropic", "server"), ("text", "store")]
)
def test_a_wire_is_the_very_bytes_of_the_server(wire: str, place: str, server: Served, counted: str) -> None:
    """I5: the frames made here, from the server and from the store, are those that `curl` gets."""
    with urlopen(f"{server.url}/v1/streams/{counted}/events?wire={wire}") as reply:
        sent = reply.read().decode()

    env = server.env if place == "server" else elsewhere(server)
    assert sent == run("tail", counted, "--wire", wire, env=env).stdout


def test_json_lines_carry_what_a_program_needs(server: Served, counted: str) -> None:
    """One object per entry, in order; `at` where the log itself is read."""
    far = [json.loads(line) for line in run("tail", counted, "--json", env=server.env).stdout.splitlines()]
    near = [json.loads(line) for line in run("tail", counted, "--jsonl", env=elsewhere(server)).stdout.splitlines()]

    assert list(range(1, len(far) + 1)) == [each["seq"] for each in far]
    assert ("stream.accepted", "stream.completed") == (far[0]["name"], far[-1]["name"])
    assert all(isinstance(each.pop("at"), float) for each in near)
    assert far == near


@pytest.mark.parametrize("form", ["cursor", "seq"])
def test_after_gives_the_exact_rest(form: str, server: Served, counted: str) -> None:
    """I5: what comes behind a cursor, or a number, is the end of the whole."""
    whole = [json.loads(line) for line in run("tail", counted, "--jsonl", env=server.env).stdout.splitlines()]

    done = run("tail", counted, "--jsonl", "--after", str(whole[9][form]), env=server.env)

    assert whole[10:] == [json.loads(line) for line in done.stdout.splitlines()]


def test_all_of_an_ended_stream_is_nothing_more(server: Served, counted: str) -> None:
    """I12: behind its last entry there is nothing, and that is no error."""
    last = json.loads(run("tail", counted, "--jsonl", env=server.env).stdout.splitlines()[-1])["cursor"]

    done = run("tail", counted, "--after", last, env=server.env)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_a_live_stream_is_followed_to_its_end(server: Served) -> None:
    """I4: one reader at the server and one at its file see the same, to the end."""
    asking = Running("ask", "count to 30", "-m", SLOW, "--id", "live", env=server.env)
    asking.read(4)
    readers = [Running("tail", "live", env=env) for env in (server.env, elsewhere(server))]

    whole = ", ".join(map(str, range(1, 31))) + "\n"
    assert [(0, whole, ""), (0, whole, "")] == [reader.end() for reader in readers]
    asking.end()


def test_no_follow_gives_what_is_there(server: Served) -> None:
    """It ends at the log's present end, and the stream goes on."""
    asking = Running("ask", "a long answer", "-m", SLOW, "--id", "going", env=server.env)
    begun = asking.read(20)

    done = run("tail", "going", "--no-follow", env=server.env)

    assert 0 == done.returncode
    assert done.stdout.startswith(begun)
    run("cancel", "going", env=server.env)
    asking.end()


def test_ctrl_c_leaves_and_the_stream_goes_on(server: Served) -> None:
    """I6: exit code 130, the way back is told, and with it nothing is lost or repeated."""
    asking = Running("ask", "a long answer", "-m", SLOW, "--id", "left", env=server.env)
    asking.read(4)
    reader = Running("tail", "left", "--jsonl", env=server.env)
    begun = reader.read(2000)

    reader.interrupt()
    code, more, errors = reader.end()
    again = errors.split("Come back: ")[1].split()
    assert "open" == json.loads(run("show", "left", "--json", env=server.env).stdout)["state"]
    run("cancel", "left", env=server.env)
    rest = run(*again[again.index("tail") :], "--jsonl", env=server.env)
    asking.end()

    assert (130, 4) == (code, rest.returncode)
    seen = [json.loads(line)["seq"] for line in (begun + more + rest.stdout).splitlines()]
    assert list(range(1, len(seen) + 1)) == seen


def test_how_it_ended_is_the_exit_code(server: Served) -> None:
    """3 for an answer that broke; 4 for one that was stopped stands above."""
    run("ask", "count to 200", "-m", f"{FAST}&refuse=reset-after:30", "--id", "broken", env=server.env)

    done = run("tail", "broken", env=server.env)

    assert 3 == done.returncode
    assert done.stdout.startswith("1, 2, 3")
    assert "the answer broke off" in done.stderr


@pytest.mark.parametrize(
    "place, arguments, code, words",
    [
        ("store", ("nowhere",), 1, "stream_not_found"),
        ("server", ("counted", "--after", "not a cursor"), 2, "cursor_malformed"),
        ("server", ("counted", "--after", "aaaaaa.3"), 1, "cursor_foreign"),
        ("server", ("counted", "--after", "99999"), 1, "cursor_ahead"),
        ("store", ("counted", "--wire", "morse"), 2, "morse"),
        ("store", ("counted", "--wire", "native", "--json"), 2, "either"),
    ],
)
def test_what_cannot_be_followed_is_told(
    place: str, arguments: tuple[str, ...], code: int, words: str, server: Served, counted: str
) -> None:
    """I7: by its code, without a stack trace, at the server and at the store alike."""
    done = run("tail", *arguments, env=server.env if place == "server" else elsewhere(server))

    assert (code, "") == (done.returncode, done.stdout)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_died_and_came_back_is_followed_on(tmp_path: Path) -> None:
    """I7, I12: the reader survives `kill -9` and is told the ending that the next server wrote."""
    with served(tmp_path) as first:
        asking = Running("ask", "a long answer", "-m", SLOW, "--id", "survivor", "--url", first.url, env=first.env)
        asking.read(10)
        first.process.kill()
        first.process.communicate()
        with served(tmp_path, "--port", str(first.port)) as second:
            code, _, errors = asking.end()
            assert "failed" == json.loads(run("show", "survivor", "--json", env=second.env).stdout)["state"]

    assert 3 == code
    assert "producer_lost" in errors

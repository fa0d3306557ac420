"""A stop from the command line, and its receipt."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.running import SLOW, Running, Served, environment, run, together

pytestmark = pytest.mark.e2e


def test_the_receipt_says_what_was_done(server: Served) -> None:
    """I14: requested, closed, sealed; and the second stop says the same."""
    asking = Running("ask", "a long answer", "-m", SLOW, "--id", "receipt", env=server.env)
    asking.read(10)

    first = run("cancel", "receipt", env=server.env)
    second = run("cancel", "receipt", "--json", env=server.env)
    asking.end()

    told = re.fullmatch(r"Stopped at entry (\d+): upstream closed after \d+ ms, sealed (\S+Z)\.\n", first.stdout)
    assert told, first
    receipt = json.loads(second.stdout)
    assert ("cancelled", told[2]) == (receipt["state"], receipt["sealed_at"])
    assert receipt["cursor"].endswith(f".{told[1]}")


def test_a_stop_before_the_start_is_remembered_by_a_server(server: Served) -> None:
    """I14: it says for how long, and the start that comes finds itself stopped."""
    early, as_json = together(["cancel", "early"], ["cancel", "early", "--json"], env=server.env)
    late = run("ask", "count to 3", "--id", "early", env=server.env)

    assert 0 == early.returncode
    assert "If it is started within 60 s" in early.stdout
    assert 60 == json.loads(as_json.stdout)["remembered_s"]
    assert (4, "") == (late.returncode, late.stdout)


def test_a_store_has_nobody_who_could_start_it(tmp_path: Path) -> None:
    """There an unknown id is an error."""
    done = run("cancel", "nowhere", env=environment(tmp_path))

    assert (1, "") == (done.returncode, done.stdout)
    assert "stream_not_found" in done.stderr

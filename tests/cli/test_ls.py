"""The list of streams, for people and for programs."""

import json
from pathlib import Path

import pytest

from streamkeep.cli.ls import COLUMNS, fitting, row
from tests.cli.running import FAST, Terminal, environment, run, together

STREAM = {
    "id": "st_1",
    "state": "completed",
    "created_at": "2026-11-20T12:00:00.000Z",
    "model": "claude",
    "cursor": "abc234.431",
    "timing": {"ttft_ms": 412.4, "output_tokens_per_s": 62.13},
    "stop_reason": "end_turn",
    "error": None,
}
NOON = 1795176000.0


def test_a_row_says_what_its_column_promises() -> None:
    """Figures are rounded for people; what is not known is a dash."""
    live = {**STREAM, "state": "open", "timing": None, "stop_reason": None}
    failed = {**STREAM, "state": "failed", "error": {"code": "upstream_timeout"}}

    assert len(COLUMNS) == len(row(STREAM, NOON))
    assert ("st_1", "completed", "2 min", "claude", "431", "412 ms", "62.1", "end_turn") == row(STREAM, NOON + 150)
    assert ("-", "-", "-") == row(live, NOON)[5:]
    assert "upstream_timeout" == row(failed, NOON)[-1]


def test_a_narrow_terminal_gets_fewer_columns_and_whole_cells() -> None:
    """An id that is cut short cannot be copied: columns go, cells stay whole."""
    rows = [row({**STREAM, "id": "st_" + 32 * "0", "model": "claude-sonnet-4-5"}, NOON)]

    assert list(COLUMNS) == fitting(rows, 160)
    assert [name for name in COLUMNS if name != "MODEL"] == fitting(rows, 90)
    assert ["ID", "STATE", "AGE", "EVENTS", "TTFT", "END"] == fitting(rows, 80)
    assert ["ID", "STATE", "AGE"] == fitting(rows, 20)


@pytest.mark.e2e
def test_the_list_of_a_store(tmp_path: Path) -> None:
    """Newest first, aligned in a pipe, whole ids on a terminal, filtered, and one JSON object a line."""
    env = environment(tmp_path)
    empty = run("ls", env=env)
    run("ask", "count to 3", "-m", FAST, "--id", "first", env=env)
    run("ask", "count to 3", "-m", f"{FAST}&refuse=401", "--id", "second", env=env)

    terminal = Terminal("ls", env={**env, "COLUMNS": "80"})
    forms = ((), ("--json", "--limit", "1"), ("--state", "completed", "--state", "open"), ("--state", "open"))
    piped, as_json, filtered, none = together(*[("ls", *form) for form in forms], env=env)
    lines = [json.loads(line) for line in as_json.stdout.splitlines()]

    assert (0, "") == (empty.returncode, empty.stdout)
    assert "No streams yet" in empty.stderr
    head, *rows = piped.stdout.splitlines()
    assert list(COLUMNS) == head.split()
    assert ["second", "first"] == [each.split()[0] for each in rows]
    assert [head.index("STATE")] * 2 == [rows[0].index("failed"), rows[1].index("completed")]
    assert ["second"] == [each["id"] for each in lines]
    assert 0 == terminal.end()
    assert "second" in terminal.shown
    assert ["first"] == [each.split()[0] for each in filtered.stdout.splitlines()[1:]]
    assert "No streams in that state" in none.stderr

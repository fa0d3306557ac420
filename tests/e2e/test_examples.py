"""Every example runs as its docstring says, on the simulated model."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 60
"""Seconds for one example; the longest answers take ten."""


def run(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )


def test_a_plain_script_prints_the_answer_and_what_it_cost(tmp_path: Path) -> None:
    """A few lines stream an answer, and leave it in the store."""
    printed = run("plain_script", tmp_path, "count to 5").stdout

    assert printed.startswith("1, 2, 3, 4, 5\n\nst_")
    assert printed.endswith(" tokens, completed\n")
    assert (tmp_path / "streams.db").exists()


def test_an_answer_is_stopped_where_its_sentinel_appears(tmp_path: Path) -> None:
    """I14: stopping at a text closes the upstream, also where the text is cut over two pieces."""
    text, _, receipt = run("early_stop", tmp_path).stdout.partition("\n")

    assert text == "1, 2, 3, 4, 5, 6, 7, 8"
    assert receipt.startswith("cancelled, upstream closed after ")


def test_json_is_parsed_once_when_it_is_whole(tmp_path: Path) -> None:
    """Progress goes to stderr, the document to stdout."""
    done = run("json_progress", tmp_path)

    assert isinstance(json.loads(done.stdout), dict)
    assert set(done.stderr) == {".", "\n"}


def test_a_pipeline_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """I15: a second run with the same keys reads the finished steps from the log, word for word."""
    first = run("pipeline", tmp_path, "tour-9").stdout
    again = run("pipeline", tmp_path, "tour-9").stdout

    assert first == again
    assert first.strip()


@pytest.mark.anyio
async def test_the_routes_live_in_an_application_of_yours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I6: what `/ask` began can be read again at the mounted routes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    app = import_module("fastapi_mount").app
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app") as client,
    ):
        asked = await client.post("/ask", params={"question": "count to 4"})
        kept = await client.get(f"/ai/v1/streams/{asked.headers['x-stream-id']}")

    assert asked.text == "1, 2, 3, 4"
    assert kept.json()["message"]["content"] == [{"type": "text", "text": "1, 2, 3, 4"}]

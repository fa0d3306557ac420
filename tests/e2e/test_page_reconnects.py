"""The page in a real browser: what it does when connections, servers and cursors fail."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.browsing import (
    SLOW,
    Window,
    answer,
    ask,
    cutter_before,
    has_written,
    note_phases,
    reaches,
    running_chromium,
    text_of,
)
from tests.e2e.conftest import Serve
from tests.e2e.processes import ServerProcess
from tests.programs import needs

pytestmark = [pytest.mark.e2e, pytest.mark.browser, needs("chromium")]

VECTORS = Path(__file__).resolve().parent.parent.parent / "spec" / "vectors" / "sse"


@pytest.fixture(scope="module")
def server(serve: Serve) -> ServerProcess:
    """Give a server with the simulated model that is built in."""
    return serve()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def window(chromium: Browser) -> Iterator[Window]:
    window = Window(chromium)
    yield window
    window.context.close()


# ---------------------------------------------------------------------------------------------------------------------
# Coming back


def test_a_reload_keeps_every_character(server: ServerProcess, window: Window) -> None:
    """I13, I5: after a reload in mid-sentence everything is there at once, nothing twice, and it goes on."""
    page = window.tab(server.url)
    id = ask(page, "count to 100", SLOW)
    has_written(page, 40)
    before = answer(page)
    page.reload()
    has_written(page, len(before))

    assert answer(page).startswith(before)
    reaches(page, "done")
    assert text_of(server, id) == answer(page)
    assert page.inner_text(".question") == "count to 100"


def test_a_second_tab_sees_the_same_and_its_stop_is_seen(server: ServerProcess, window: Window) -> None:
    """I14: two tabs follow one stream; a stop in one is a stop in both, at the same character, in honest words."""
    first = window.tab(server.url)
    id = ask(first, "count to 400", SLOW)
    second = window.tab(f"{server.url}/#{id}")
    has_written(first, 30)
    has_written(second, 30)
    second.click("#stop")
    reaches(second, "stopped")
    reaches(first, "stopped")

    assert text_of(server, id) == answer(first) == answer(second)
    expect(second.locator("#word")).to_have_text("stopped by you")
    expect(first.locator("#word")).to_have_text("stopped from elsewhere")
    assert [] == window.problems


def test_a_stop_may_overtake_its_start(server: ServerProcess, window: Window) -> None:
    """I14: Escape before the start has arrived stops it; the page waits for the server's word."""
    page = window.tab(server.url)
    held: list[Route] = []
    page.route(
        "**/v1/streams", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    with page.expect_response(re.compile(r"/cancel$")) as stopped:
        ask(page, "count to 400", SLOW)
        page.keyboard.press("Escape")
    assert stopped.value.status == 202
    reaches(page, "stopping")
    held[0].continue_()

    reaches(page, "stopped")
    expect(page.locator("#word")).to_have_text("stopped by you")
    assert answer(page) == ""


def test_a_start_that_was_lost_is_sent_again(server: ServerProcess, window: Window) -> None:
    """I15: the answer to the start never came; the page repeats it under the same key, and it is one stream."""
    page = window.tab(server.url)
    keys: list[str | None] = []

    def lose_the_first(route: Route) -> None:
        if route.request.method == "GET":
            return route.continue_()
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) > 1:
            return route.continue_()
        route.fetch()
        return route.abort()

    page.route("**/v1/streams", lose_the_first)
    id = ask(page, "count to 20")
    reaches(page, "done")

    assert [id, id] == keys
    assert text_of(server, id) == answer(page)


def test_a_cut_connection_is_mended_in_place(server: ServerProcess, window: Window) -> None:
    """I5, I6: the connection is cut three times; the page goes on where it was and loses nothing."""
    with cutter_before(server) as cutter:
        page = window.tab(cutter.url)
        note_phases(page)
        id = ask(page, "count to 120", SLOW)
        for cuts in (1, 2, 3):
            has_written(page, 60 * cuts)
            cutter.cut()
            page.wait_for_function("n => phases.filter((each) => each === 'reconnecting').length === n", arg=cuts)
            reaches(page, "streaming")
        reaches(page, "done")

        assert text_of(server, id) == answer(page)


def test_a_silent_connection_is_given_up(server: ServerProcess, window: Window) -> None:
    """I10: 45 s without a byte, not even a heartbeat, and the page connects anew."""
    with cutter_before(server) as cutter:
        page = window.context.new_page()
        page.clock.install()
        page.goto(cutter.url)
        id = ask(page, "count to 60", SLOW)
        has_written(page, 30)
        cutter.silence()
        page.clock.fast_forward(46_000)
        reaches(page, "done")

        assert text_of(server, id) == answer(page)


def test_a_killed_server_is_not_taken_for_an_ending(serve: Serve, window: Window) -> None:
    """I1, I3: the server dies in mid-sentence: "reconnecting", and then what the restarted server says, text kept."""
    with serve() as server:
        page = window.tab(server.url)
        id = ask(page, "count to 400", SLOW)
        has_written(page, 60)
        server.kill()
        reaches(page, "reconnecting")
        before = answer(page)
        server.start()
        page.dispatch_event("#reconnect", "click")
        reaches(page, "failed")

        assert text_of(server, id) == answer(page)
        assert answer(page).startswith(before)
        expect(page.locator("#word")).to_have_text(re.compile(r"^failed: .+"))
        expect(page.locator(".remark")).to_have_text("The answer breaks off here. What came before is kept.")


# ---------------------------------------------------------------------------------------------------------------------
# The reader, answered by a script


def entry(seq: int, name: str, epoch: str = "e1", **data: Any) -> str:
    return f"id: {epoch}.{seq}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def writes(seq: int, text: str, epoch: str = "e1") -> str:
    return entry(seq, "content_block_delta", epoch, index=0, delta={"type": "text_delta", "text": text})


def opening(epoch: str = "e1") -> str:
    begun = entry(2, "content_block_start", epoch, index=0, content_block={"type": "text", "text": ""})
    return "retry: 100\n\n" + entry(1, "stream.accepted", epoch, id="told") + begun


def told(window: Window, server: ServerProcess, *replies: tuple[int, str]) -> tuple[Page, list[str | None]]:
    """Open a stream whose connections are answered with these statuses and bodies; give the cursors they came with."""
    page = window.tab(server.url)
    cursors: list[str | None] = []

    def reply(route: Route) -> None:
        status, body = replies[min(len(cursors), len(replies) - 1)]
        cursors.append(route.request.headers.get("last-event-id"))
        kind = "text/event-stream" if status == 200 else "application/json"
        route.fulfill(status=status, body=body, content_type=kind)

    page.route(re.compile(r"/v1/streams/told/events"), reply)
    page.evaluate("location.hash = '#told'")
    return page, cursors


def error(code: str) -> str:
    return json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": "no", "code": code}})


DONE = entry(4, "stream.completed", stop_reason="end_turn", usage={"output_tokens": 2})


def test_a_body_without_an_ending_is_a_broken_connection(server: ServerProcess, window: Window) -> None:
    """I3: the page comes back with the cursor of the last entry that it showed; what comes twice is shown once."""
    page, cursors = told(window, server, (200, opening() + writes(3, "ab")), (200, writes(3, "ab") + DONE))
    reaches(page, "done")

    assert answer(page) == "ab"
    assert [None, "e1.3"] == cursors


@pytest.mark.parametrize("code", ["cursor_foreign", "cursor_ahead"])
def test_a_refused_cursor_leads_back_to_the_start(server: ServerProcess, window: Window, code: str) -> None:
    """I7: the log is another one now: what was shown is taken back, and the new log read whole."""
    again = opening("e2") + writes(3, "new", "e2") + DONE.replace("e1", "e2")
    page, cursors = told(window, server, (200, opening() + writes(3, "old")), (409, error(code)), (200, again))
    reaches(page, "done")

    assert answer(page) == "new"
    assert [None, "e1.3", None] == cursors


def test_a_gap_is_not_shown_over(server: ServerProcess, window: Window) -> None:
    """I2: a number that is missing after a reconnect means reading again from the start."""
    whole = opening() + writes(3, "ab") + writes(4, "cd") + DONE.replace("e1.4", "e1.5")
    gap = DONE.replace("e1.4", "e1.5")
    page, cursors = told(window, server, (200, opening() + writes(3, "ab")), (200, gap), (200, whole))
    reaches(page, "done")

    assert answer(page) == "abcd"
    assert [None, "e1.3", None] == cursors


def test_a_rewind_takes_back_what_was_shown(server: ServerProcess, window: Window) -> None:
    """An attempt that starts again says where to; what came after is gone, what nobody knows changes nothing."""
    seam = entry(4, "stream.seam", rewind_to=1) + entry(5, "something.new", index=0, text="x")
    again = entry(6, "content_block_start", index=0, content_block={"type": "text", "text": ""}) + writes(7, "better")
    page, _ = told(window, server, (200, opening() + writes(3, "bad") + seam + again + DONE.replace("e1.4", "e1.8")))
    reaches(page, "done")

    assert answer(page) == "better"


@pytest.mark.parametrize(
    "status, code, words", [(404, "stream_not_found", "not found"), (410, "stream_expired", "expired")]
)
def test_a_stream_that_is_not_there_is_said_so(
    server: ServerProcess, window: Window, status: int, code: str, words: str
) -> None:
    """I7: an unknown and a forgotten stream are two things, and neither is waited for."""
    page, cursors = told(window, server, (status, error(code)))
    reaches(page, "gone")

    expect(page.locator("#word")).to_contain_text(words)
    assert [None] == cursors


def vectors() -> Iterator[Any]:
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]:
            if not vector.keys() & {"error", "max_line", "max_message", "steps"}:
                yield vector


def test_the_decoder_reads_as_the_vectors_say(server: ServerProcess, window: Window) -> None:
    """I8: whole, at every cut in two and byte by byte, the messages are the same."""
    page = window.tab(server.url)
    script = """async (vectors) => {
        const { SseDecoder } = await import("/page/sse.js");
        const wrong = [];
        for (const vector of vectors) {
            const bytes = vector.input_base64 === undefined
                ? new TextEncoder().encode(vector.input)
                : Uint8Array.from(atob(vector.input_base64), (each) => each.charCodeAt(0));
            const wanted = JSON.stringify([vector.messages.map((m) => [m.event, m.data, m.id]), vector.retry]);
            const cuts = [...bytes.keys()].map((at) => [bytes.subarray(0, at), bytes.subarray(at)]);
            for (const chunks of [[bytes], [...bytes].map((each) => Uint8Array.of(each)), ...cuts]) {
                const decoder = new SseDecoder();
                const messages = chunks.flatMap((chunk) => decoder.feed(chunk)).map((m) => [m.event, m.data, m.id]);
                const got = JSON.stringify([messages, vector.retry === undefined ? undefined : decoder.retry]);
                if (got !== wanted) { wrong.push([vector.name, got, wanted]); break; }
            }
        }
        return wrong;
    }"""
    checked = list(vectors())

    assert len(checked) > 50
    assert [] == page.evaluate(script, checked)

"""The page in a real browser: asking, watching, and how it looks."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import (
    SLOW,
    Window,
    answer,
    ask,
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


def test_a_question_is_answered_in_sight(server: ServerProcess, window: Window) -> None:
    """The answer grows on the page, ends as "done" with its figures, and is letter by letter what the server has."""
    page = window.tab(server.url)
    note_phases(page)
    id = ask(page, "count to 60")
    reaches(page, "done")

    assert text_of(server, id) == answer(page)
    assert ["waiting", "streaming", "done"] == page.evaluate("phases")
    assert page.evaluate("document.activeElement.id") == "prompt"
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#announcer")).to_contain_text(re.compile(r"^Answer finished, \d+ tokens\.$"))
    for figure in ("#ttft", "#pace", "#tokens", "#duration"):
        expect(page.locator(figure)).to_have_text(re.compile(r"^\d"))
    assert [] == window.problems


def test_enter_sends_and_shift_enter_breaks_the_line(server: ServerProcess, window: Window) -> None:
    """What every chat has taught people."""
    page = window.tab(server.url)
    page.fill("#prompt", "echo: one")
    page.press("#prompt", "Shift+Enter")
    page.type("#prompt", "two")

    assert page.input_value("#prompt") == "echo: one\ntwo"
    page.press("#prompt", "Enter")
    reaches(page, "done")
    assert answer(page) == "one\ntwo"


def test_the_list_leads_back_to_a_stream(server: ServerProcess, window: Window) -> None:
    """A new question hides the old answer; the list brings it back, with its question."""
    page = window.tab(server.url)
    ask(page, "echo: kept words")
    reaches(page, "done")
    page.click("#new")
    expect(page.locator("#welcome")).to_be_visible()
    page.locator("#recent a", has_text="echo: kept words").first.click()
    reaches(page, "done")

    assert answer(page) == "kept words"
    assert page.inner_text(".question") == "echo: kept words"


def test_markup_stays_text(server: ServerProcess, window: Window) -> None:
    """What a model writes neither runs nor loads: no element, no dialog, no request, no breach of the policy."""
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script><a href='javascript:alert(3)'>x</a>&lt;![CDATA["
    page = window.tab(server.url)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    id = ask(page, f"echo: {hostile}")
    reaches(page, "done")

    assert hostile == answer(page) == text_of(server, id)
    assert page.locator(".answer .prose *").count() == 0
    assert [] == [each for each in urls if not each.startswith(server.url) or each.endswith("/x")]
    assert [] == window.problems


def test_thinking_folds_when_the_answer_begins(server: ServerProcess, window: Window) -> None:
    """Thoughts are open while they are written, and give way to the answer."""
    page = window.tab(server.url)
    ask(page, "think, then count to 40", SLOW)
    expect(page.locator("details.thinking")).to_have_attribute("open", "")
    has_written(page, 1)

    expect(page.locator("details.thinking")).not_to_have_attribute("open", "")
    expect(page.locator("details.thinking summary")).to_have_text(re.compile(r"^Thought for \d+\.\d s$"))
    page.keyboard.press("Escape")
    reaches(page, "stopped")


def test_thinking_that_the_reader_opened_stays_open(server: ServerProcess, window: Window) -> None:
    """The reader's choice beats the page's."""
    page = window.tab(server.url)
    ask(page, "think, then count to 5", SLOW)
    page.click("details.thinking summary")
    page.click("details.thinking summary")
    reaches(page, "done")

    expect(page.locator("details.thinking")).to_have_attribute("open", "")


def test_a_tool_call_is_a_card(server: ServerProcess, window: Window) -> None:
    """Name, arguments as they came, and the truth about its state: the page runs no tools."""
    page = window.tab(server.url)
    id = ask(page, "use a tool")
    reaches(page, "done")
    content = server.call("GET", f"/v1/streams/{id}").json["message"]["content"]
    (call,) = [block for block in content if block["type"] == "tool_use"]

    expect(page.locator(".tool .name")).to_have_text(call["name"])
    expect(page.locator(".tool .state")).to_have_text("waiting for its result")
    assert call["input"] == json.loads(page.locator(".tool .arguments").text_content() or "")


def test_a_refusal_is_named(server: ServerProcess, window: Window) -> None:
    """A failure says what happened, with its code, and offers to ask again."""
    page = window.tab(server.url)
    ask(page, "refuse with 400")
    reaches(page, "failed")

    expect(page.locator("#word")).to_have_text(re.compile(r"^failed: .+"))
    expect(page.locator("#code")).to_have_text(re.compile(r"^[a-z_]+$"))
    expect(page.locator("#again")).to_be_visible()


def test_a_server_with_keys_can_be_used(serve: Serve, window: Window) -> None:
    """The page asks for the key, sends it with every request, and forgets it with the tab."""
    with serve("--api-keys", "a-long-key") as server:
        page = window.tab(server.url)
        page.fill("#key", "a-long-key")
        page.press("#key", "Enter")
        expect(page.locator("#unlock")).to_be_hidden()
        expect(page.locator("#model")).not_to_have_value("")
        ask(page, "echo: open")
        reaches(page, "done")
        page.reload()
        reaches(page, "done")

        assert answer(page) == "open"
        expect(window.tab(server.url).locator("#unlock")).to_be_visible()


# ---------------------------------------------------------------------------------------------------------------------
# Looks

SIZES = {"narrow": (360, 700), "wide": (1180, 780)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_sticks_out(server: ServerProcess, chromium: Browser, size: str, scheme: Any) -> None:
    """Nothing has to be scrolled sideways, and Stop and Send can be seen, in both schemes."""
    width, height = SIZES[size]
    window = Window(chromium, viewport={"width": width, "height": height}, color_scheme=scheme)
    page = window.tab(server.url)
    ask(page, f"echo: {'long' * 60} {'words ' * 200}", SLOW)
    has_written(page, 300)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for control in ("#stop", "#send", "#word"):
        expect(page.locator(control)).to_be_in_viewport(ratio=1)
    if folder := os.environ.get("PAGE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"page-{size}-{scheme}.png")
    page.keyboard.press("Escape")
    reaches(page, "stopped")
    window.context.close()

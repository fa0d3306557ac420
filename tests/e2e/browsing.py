"""What the tests of the page share: a proxy that cuts connections, and windows of a browser."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

from tests.e2e.processes import ServerProcess
from tests.programs import find

JOIN_S = 10.0
"""Seconds for a thread to end whose sockets are shut."""

WAIT_MS = 15_000
"""Milliseconds for anything to appear on the page."""

SLOW = "simulated-1?ttft_s=0.2&tokens_per_s=40"
FAST = "simulated-1?ttft_s=0.05&tokens_per_s=400"

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # without it Chromium does not run as root
    "--disable-gpu",
    # The others keep it from calling out.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Cutter:
    """A TCP proxy that can cut all connections, or let them hang in silence."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._streaming: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._run(self._accept)

    def _run(self, work: Callable[..., None], *args: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += (near, far)
                self._run(self._carry, near, far)
                self._run(self._carry, far, near)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if b"content-type: text/event-stream" in data.lower():
                    self._streaming.add(source)
                if source not in self._silent:
                    sink.sendall(data)
        if source not in self._silent:
            shut(sink)

    def cut(self) -> None:
        """Break what is connected now."""
        for each in self._sockets[1:]:
            shut(each)

    def silence(self) -> None:
        """Let the streams that are open now stand, without another byte, not even an end."""
        self._silent.update(self._streaming)

    def close(self) -> None:
        """End everything; only a shutdown wakes a thread that waits on its socket."""
        for each in self._sockets:
            shut(each)
        for thread in self._threads:
            thread.join(JOIN_S)
        for each in self._sockets:
            each.close()


def shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutter_before(server: ServerProcess) -> Iterator[Cutter]:
    cutter = Cutter(server.port)
    try:
        yield cutter
    finally:
        cutter.close()


def text_of(server: ServerProcess, id: str) -> str:
    """Give the text that the server has of a stream."""
    content = server.call("GET", f"/v1/streams/{id}").json["message"]["content"]
    return "\n\n".join(block["text"] for block in content if block["type"] == "text")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find("chromium"), args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class Window:
    """A browser's window and its tabs; remembers all that goes wrong in them."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(WAIT_MS)
        self.problems: list[str] = []

    def tab(self, url: str) -> Page:
        page = self.context.new_page()
        page.on("console", lambda message: self._noted(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._noted(f"error: {error}"))
        page.on("dialog", self._dismissed)
        page.goto(url)
        return page

    def _dismissed(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _noted(self, problem: str) -> None:
        if problem.startswith(("error", "warning")):
            self.problems.append(problem)


def ask(page: Page, prompt: str, model: str = FAST) -> str:
    """Ask, and give the stream's id."""
    page.fill("#model", model)
    page.fill("#prompt", prompt)
    page.press("#prompt", "Enter")
    page.wait_for_function("location.hash.length > 1")
    return page.evaluate("location.hash.slice(1)")  # type: ignore[no-any-return]


def reaches(page: Page, phase: str) -> None:
    expect(page.locator("#status")).to_have_attribute("data-phase", phase, timeout=WAIT_MS)


def answer(page: Page) -> str:
    return "\n\n".join(page.locator(".answer .prose").all_text_contents())


def has_written(page: Page, characters: int) -> None:
    script = "n => [...document.querySelectorAll('.answer .prose')].map(e => e.textContent).join('').length >= n"
    page.wait_for_function(script, arg=characters)


def note_phases(page: Page) -> None:
    """Keep the phases that the page goes through from now on, however short, in `phases`."""
    page.evaluate(
        """() => {
            const bar = document.getElementById("status");
            const note = () => { if (phases.at(-1) !== bar.dataset.phase) phases.push(bar.dataset.phase); };
            window.phases = [];
            new MutationObserver(note).observe(bar, { attributes: true });
        }"""
    )

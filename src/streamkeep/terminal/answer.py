"""
Show an answer while it comes: its text as the answer, its thinking and tools as asides.
"""

from typing import Any

from streamkeep.entry import SEAM, TERMINALS, Entry
from streamkeep.terminal.screen import Screen


class Answer:
    """
    The entries of one log, shown in order from anywhere.

    Args:
        screen: Where to.
        thinking: Show thinking, on stderr.
        silent: Show nothing; only note how it ends.

    Attributes:
        shown: True once some text of the answer was there.
        ending: The last entry, once it came.
    """

    def __init__(self, screen: Screen, *, thinking: bool = True, silent: bool = False) -> None:
        self.shown = False
        self.ending: Entry | None = None
        self._screen = screen
        self._thinking = thinking
        self._silent = silent
        self._tools: dict[int, tuple[str, list[str]]] = {}

    def told(self) -> dict[str, Any]:
        """Give what the ending tells, by the names of the stream as JSON: state, usage, timing, error; empty before."""
        if self.ending is None:
            return {}
        return {"state": self.ending.name.removeprefix("stream."), **self.ending.json()}

    async def add(self, entry: Entry) -> None:
        """
        Show the next entry.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        if entry.name in TERMINALS:
            self.ending = entry
        elif entry.name == "content_block_delta":
            event = entry.json()
            await self._piece(event["index"], event["delta"])
        elif entry.name == "content_block_start":
            event = entry.json()
            block = event["content_block"]
            if block["type"].endswith("tool_use"):
                self._tools[event["index"]] = (str(block.get("name", "")), [])
            await self._piece(event["index"], block)
        elif entry.name == "content_block_stop":
            self._finish(entry.json()["index"])
        elif entry.name == SEAM and entry.json().get("rewind_to") is not None:
            self._aside_line("[the answer begins again; what stands above this line is void]")

    async def _piece(self, index: int, piece: dict[str, Any]) -> None:
        if text := piece.get("text"):
            self.shown = True
            if not self._silent:
                await self._screen.write(text)
        elif (thinking := piece.get("thinking")) and self._thinking and not self._silent:
            self._screen.aside(thinking)
        elif (part := piece.get("partial_json")) and index in self._tools:
            self._tools[index][1].append(part)

    def _finish(self, index: int) -> None:
        if index in self._tools:
            name, parts = self._tools.pop(index)
            self.shown = True
            self._aside_line(f"[tool {name} {''.join(parts) or '{}'}]")

    def _aside_line(self, text: str) -> None:
        if not self._silent:
            self._screen.note(text)

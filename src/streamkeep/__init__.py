"""
Keep LLM responses: every answer becomes a durable stream that any number of readers follow from any position.

     station    upstream ──▶  sse  ──▶ providers/ ──▶ stores/ ──▶  wire/  ──▶ server/ ──▶ people
     carries     bytes      messages    events        entries     frames      bytes       browser, CLI, services
     nature      I/O        pure        pure          the log     pure        I/O
                 └────────────────────── relay/ turns the crank ─────────────────────┘

     entry.py and cursor.py are the words, lifecycle.py is the grammar.
     One thing travels right to left, cancel, and it is itself an entry appended to the log.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamkeep.client import AsyncClient
    from streamkeep.cursor import Cursor
    from streamkeep.embedded import Relay
    from streamkeep.entry import Entry, Event
    from streamkeep.errors import StreamkeepError
    from streamkeep.lifecycle import State
    from streamkeep.message import MessageFold, fold
    from streamkeep.relay import Stream
    from streamkeep.relay.policy import Policy, Timeouts
    from streamkeep.server import create_app, create_router
    from streamkeep.settings import Settings

_HOMES = {
    "AsyncClient": "client",
    "Cursor": "cursor",
    "Entry": "entry",
    "Event": "entry",
    "MessageFold": "message",
    "Policy": "relay.policy",
    "Relay": "embedded",
    "Settings": "settings",
    "State": "lifecycle",
    "Stream": "relay",
    "StreamkeepError": "errors",
    "Timeouts": "relay.policy",
    "create_app": "server",
    "create_router": "server",
    "fold": "message",
}

__all__ = [
    "AsyncClient",
    "Cursor",
    "Entry",
    "Event",
    "MessageFold",
    "Policy",
    "Relay",
    "Settings",
    "State",
    "Stream",
    "StreamkeepError",
    "Timeouts",
    "create_app",
    "create_router",
    "fold",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: whoever needs the client alone does not load the server."""
    if name not in _HOMES:
        raise AttributeError(f"module 'streamkeep' has no attribute {name!r}")
    return getattr(import_module(f"streamkeep.{_HOMES[name]}"), name)

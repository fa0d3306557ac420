"""
Check that a store keeps what `stores/base.py` promises.

Strategy
    One state machine (hypothesis) does to a store whatever writers, readers and time can do to it, does the same to
    a model made of plain lists, and compares the two after each step. Run it on a store of your own:

        @asynccontextmanager
        async def opened():
            store = MyStore(...)          # empty
            await store.open()
            yield store
            await store.close()

        def test_my_store_keeps_its_promises():
            check_store(opened)

    Time is an argument everywhere (`now`), so no step waits. A step that fails is shrunk to the shortest story.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import Phase, Verbosity
from hypothesis import settings as Settings

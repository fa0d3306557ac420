"""The front door: its names, and what walking in costs."""

import subprocess
import sys

import pytest

import streamkeep

HEAVY = ("fastapi", "aiohttp", "uvicorn", "pydantic", "starlette", "click", "rich", "asyncio")


@pytest.mark.parametrize("name", streamkeep.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    """What the front door lists is there."""
    assert getattr(streamkeep, name).__name__ == name


def test_nothing_else_is_promised() -> None:
    """`__all__` is sorted and is the whole list of what is imported on demand."""
    assert sorted(streamkeep.__all__) == streamkeep.__all__
    assert set(streamkeep._HOMES) == set(streamkeep.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """`hasattr` and tab completion work as with any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = streamkeep.nonsense


def test_walking_in_loads_nothing_heavy() -> None:
    """`import streamkeep` takes no server, no client and no event loop with it."""
    code = f"import sys, streamkeep; print([name for name in {HEAVY!r} if name in sys.modules])"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert "[]" == run.stdout.strip()


PURE = ("cursor", "sse", "entry", "lifecycle", "message", "merge", "thinking", "wire.native", "wire.anthropic")
WORLDLY = ("asyncio", "selectors", "socket", "sqlite3", "subprocess", "aiohttp", "anyio")


def test_the_pure_part_loads_nothing_of_the_world() -> None:
    """I9: what decides what a log means owns no loop, socket or disk, not even through what it imports."""
    imports = ", ".join(f"streamkeep.{name}" for name in PURE)
    code = (
        "import sys, msgspec, jiter; theirs = set(sys.modules);"
        f"import {imports}; print([name for name in {WORLDLY!r} if name in set(sys.modules) - theirs])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert "[]" == run.stdout.strip()

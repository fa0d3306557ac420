"""Programs of the system that some tests start: where they are, and the mark that skips a test by name without them."""

import os
import shutil

import pytest

PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "nginx": ("nginx",),
    "redis-server": ("redis-server",),
}
"""Our name for a program, and the commands it may be installed as."""

# Debian keeps servers in /usr/sbin, which is not on every user's PATH.
_SEARCH_PATH = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"


def find(program: str) -> str | None:
    """Return the absolute path of one of `PROGRAMS`, or None if it is not installed."""
    found = (shutil.which(command, path=_SEARCH_PATH) for command in PROGRAMS[program])
    return next((path for path in found if path), None)


def needs(program: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where the program is missing."""
    return pytest.mark.skipif(find(program) is None, reason=f"{program} is not installed")

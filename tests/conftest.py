"""What every test shares: the event loop, an environment without real keys, and a CI that skips nothing."""

import importlib.metadata
import importlib.util
import os
import platform
import sqlite3
from typing import Any

import pytest
from hypothesis import settings

from tests.programs import PROGRAMS, find
from tests.recordings import RECORDINGS, recordings_folder

VENDOR_VARIABLES = ("ANTHROPIC_", "OPENAI_")
OWN_VARIABLES = "STREAMKEEP_"
LOCATIONS = {"STREAMKEEP_RECORDINGS", "STREAMKEEP_SHARED"}

NAMED_VERSIONS = ("aiohttp", "fastapi", "uvicorn", "uvloop", "httptools", "anthropic", "openai")

# A deadline per example is wall-clock time, which a busy machine has little of; `timeout` bounds the whole test.
settings.register_profile("streamkeep", deadline=None)
settings.load_profile("streamkeep")


def pytest_configure() -> None:
    """Forget this machine's keys and settings: no test calls a paid API, and none depends on who runs it."""
    for name in list(os.environ):
        if name.startswith(VENDOR_VARIABLES) or (name.startswith(OWN_VARIABLES) and name not in LOCATIONS):
            del os.environ[name]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests on the loop that the server runs on."""
    return "asyncio", {"use_uvloop": importlib.util.find_spec("uvloop") is not None}


def pytest_report_header() -> list[str]:
    """Say what the result depends on, and what is missing."""
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in NAMED_VERSIONS)
    programs = ", ".join(f"{name} {'present' if find(name) else 'MISSING'}" for name in PROGRAMS)
    recordings = f"{len(RECORDINGS)} recordings" if RECORDINGS else f"recordings MISSING ({recordings_folder()})"
    return [
        f"streamkeep on Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}",
        f"programs: {programs}; {recordings}",
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run that skipped anything: there, nothing that a test needs may be missing."""
    if _skipped_in_ci(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped in CI."""
    skipped = _skipped_in_ci(terminalreporter.config)
    if skipped:
        terminalreporter.section("skipped, which CI counts as failed", red=True)
        for name in skipped:
            terminalreporter.write_line(name)


def _skipped_in_ci(config: pytest.Config) -> list[str]:
    if os.environ.get("CI") != "true":
        return []
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [report.nodeid for report in reporter.stats.get("skipped", [])] if reporter else []

"""What the end-to-end tests share: real servers, a simulated provider, and ways to reach both."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.processes import ServerProcess
from tests.e2e.simulated import SimulatorThread

KEY = "sk-ant-e2e-0123456789-abcdefghijkl-SECRETCANARY"
"""The key that a server started with `upstream=` has; nothing may ever show it."""


class Serve(Protocol):
    """Starts a server; it ends with the module, or earlier with `with`."""

    def __call__(
        self, *options: str, upstream: str | None = None, key: str = KEY, environment: dict[str, str] | None = None
    ) -> ServerProcess:
        """
        Start `streamkeep serve` with a store of its own, and wait until it is ready.

        Args:
            options: For the command, such as `"--drain", "2"`.
            upstream: The provider's base URL; None for the simulated model that is built in.
            key: The provider's key, if there is an upstream.
            environment: Further variables.
        """


FIGURES = pytest.StashKey[list[str]]()

Measured = Callable[[str], None]
"""Takes a line with figures; all of them are shown at the end of the run."""


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda line: figures.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured, seeds included: a failure can be had again with `STREAMKEEP_TEST_SEED`."""
    figures = terminalreporter.config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured")
        for line in figures:
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(
            *options: str, upstream: str | None = None, key: str = KEY, environment: dict[str, str] | None = None
        ) -> ServerProcess:
            folder: Path = tmp_path_factory.mktemp("server")
            vendor = {"ANTHROPIC_BASE_URL": upstream, "ANTHROPIC_API_KEY": key} if upstream else {}
            server = running.enter_context(ServerProcess(folder, options, {**vendor, **(environment or {})}))
            server.start()
            return server

        yield start


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="module")
def server(serve: Serve, simulator: SimulatorThread) -> ServerProcess:
    """Give a server with default settings whose provider is the simulator."""
    return serve(upstream=simulator.base_url)

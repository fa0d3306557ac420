"""One server for all commands."""

from collections.abc import Iterator

import pytest

from tests.cli.running import Served, served


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as server:
        yield server

"""
Requests made up from the server's own OpenAPI document, good and bad ones: it keeps what the document promises.

A stream that is followed lasts as long as the model talks, and a test that follows hundreds never ends; so every
request asks for what is there now (`follow=0`, `wait=0`, no `stream`), as the document allows.
"""

from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.conftest import Serve
from tests.e2e.processes import ServerProcess
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

EXAMPLES = 120
"""Requests made up for one operation; a request takes some 10 ms."""

HANG_S = 5.0
"""Seconds without an answer that count as a hang."""

Case = schemathesis.Case[Any]

KNOWN = "openapi-1"
"""A stream that has ended, for the requests that shall find one."""

CHECKS: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def documented(serve: Serve) -> Any:
    """Give a server whose model answers at once."""
    with SimulatorThread(ttft_s=0, tokens_per_s=0) as simulator:
        server = serve("--retries", "0", upstream=simulator.base_url)
        server.begin("simulated-1", "count to 5", id=KNOWN)
        server.ended(KNOWN)
        yield server


@pytest.fixture(scope="module")
def document(documented: ServerProcess) -> Any:
    """Give the server's OpenAPI document, as schemathesis reads it."""
    return schemathesis.openapi.from_url(f"{documented.url}/openapi.json")


def bounded(case: Case) -> Case:
    """Make a request one that ends: only what is there now."""
    if case.operation.path.endswith("/events"):
        case.query["follow"] = "0"
    if case.operation.path.endswith("/message"):
        case.query["wait"] = "0"
    if isinstance(case.body, dict):
        case.body.pop("stream", None)
    id = str(case.path_parameters.get("id", ""))
    if case.operation.method.upper() == "GET" and len(id) % 2:
        case.path_parameters["id"] = KNOWN
    return case


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_document_is_kept(document: Any, mode: GenerationMode) -> None:
    """I11: no request that can be written gets a 5xx; statuses, types and shapes are the ones that are documented."""
    operations = [result.ok() for result in document.get_all_operations()]
    for operation in operations:
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            _check(strategy)
        except (Unsatisfiable, SkipTest):
            assert mode is GenerationMode.NEGATIVE, f"{operation.label}: no good request can be made up"

    assert len(operations) >= 10


def _check(strategy: Any) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def check(case: Case) -> None:
        bounded(case).call_and_validate(checks=CHECKS, timeout=HANG_S, headers={"accept": "application/json"})

    check()


def test_the_server_is_well_afterwards(documented: ServerProcess) -> None:
    """After thousands of made-up requests the server is ready, and its log holds no mistake."""
    assert documented.ready()
    assert "Traceback" not in documented.log
    assert "completed" == documented.show(KNOWN)["state"]

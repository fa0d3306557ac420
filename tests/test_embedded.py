"""The relay in an application's own process."""

import asyncio
from typing import Any

import pytest

from streamkeep import Policy, Relay
from streamkeep.embedded import SIMULATED, SIMULATED_MODEL, sources_from
from streamkeep.errors import BadRequest, StoreUnavailable
from streamkeep.settings import Settings
from streamkeep.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

QUICK = "simulated-1?tokens_per_s=100000&ttft_s=0"


async def test_without_a_key_a_simulated_model_answers() -> None:
    """The first run needs nothing: real bytes over a real socket, and a whole answer at the end."""
    async with Relay(environment={}) as relay:
        stream = await relay.start({"prompt": "Say hello", "model": QUICK})
        text = "".join([piece async for piece in stream.text()])
        message = await stream.message()

        assert [SIMULATED] == list(relay.sources)
        assert message is not None
        assert text == "".join(block.get("text", "") for block in message["content"])
        assert "completed" == stream.json()["state"]
    assert SIMULATED_MODEL == relay.sources[SIMULATED].default_model


async def test_a_model_can_be_the_default() -> None:
    """A start that names none asks for the one that was set."""
    async with Relay(environment={}, default_model=QUICK) as relay:
        stream = await relay.start({"prompt": "Hi"})
        await stream.ended()

    assert QUICK == stream.head.record.model


def test_a_key_in_the_environment_sets_up_its_provider() -> None:
    """Keys and addresses are the vendors' own variables."""
    sources = sources_from({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://here/"}, None, "my-model")

    source = sources["anthropic"]
    assert ("http://here", "my-model", ("k",)) == (
        source.endpoint.base_url,
        source.default_model,
        source.endpoint.secrets,
    )


def test_a_moved_endpoint_may_need_no_key() -> None:
    """A model on this machine has none."""
    source = sources_from({"ANTHROPIC_BASE_URL": "http://here"}, None)["anthropic"]

    assert {} == source.endpoint.authorization


def test_the_named_provider_comes_first_and_needs_its_key() -> None:
    """What is missing is named: the variable to set."""
    with pytest.raises(BadRequest, match="set ANTHROPIC_API_KEY") as caught:
        sources_from({}, "anthropic")
    with pytest.raises(BadRequest, match="acme"):
        sources_from({}, "acme")

    assert "provider_without_key" == caught.value.code
    assert "anthropic" == next(iter(sources_from({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "anthropic")))
    assert {} == sources_from({"ANTHROPIC_API_KEY": "k"}, SIMULATED)


def test_with_a_key_nothing_is_simulated() -> None:
    """Who has a key means the real thing."""
    assert None is Relay(environment={"ANTHROPIC_API_KEY": "k"})._simulator
    assert None is Relay(environment={}, read_only=True)._simulator


async def test_settings_make_the_same_relay(tmp_path: Any) -> None:
    """A server's settings and an application's arguments are the same words."""
    settings = Settings(
        store=f"sqlite:///{tmp_path}/s.db", max_streams=3, retries=0, default_model=QUICK, provider=SIMULATED
    )
    async with Relay.from_settings(settings) as relay:
        stream = await relay.start({"prompt": "Hi"})
        await stream.ended()
    async with Relay.from_settings(settings, read_only=True) as reading:
        found = await reading.stream(stream.id)

        assert ("completed", Policy(retries=0, ttl=settings.ttl)) == (found.json()["state"], relay.policy)
        assert {} == reading.sources


async def test_a_relay_that_cannot_open_leaves_no_simulator() -> None:
    """A failed start holds no socket."""

    class Broken(MemoryStore):
        async def open(self) -> None:
            raise StoreUnavailable("no")

    relay = Relay(Broken(), environment={})
    with pytest.raises(StoreUnavailable):
        await relay.__aenter__()

    assert relay._simulator is not None
    host, port = relay._simulator.base_url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))

"""
The relay as an application embeds it: store by URL, providers from the environment, and without any key the simulated
model, in this process but over a real loopback socket.
"""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from streamkeep import registry, relay
from streamkeep.errors import BadRequest
from streamkeep.relay.policy import Policy
from streamkeep.relay.producer import Source
from streamkeep.settings import Settings
from streamkeep.upstream import Endpoint

if TYPE_CHECKING:
    from streamkeep.simulator import Simulator

SIMULATED = "simulated"
"""Name of the built-in model's source."""

SIMULATED_DIALECT = "anthropic"
"""The dialect it speaks."""

SIMULATED_MODEL = "simulated-1"
"""The model asked of it by starts that name none."""


class Relay(relay.Relay):
    """
    A relay in this process. Use as an async context manager.

    Args:
        store: URL such as `sqlite:///streams.db` or `memory://`, or a store.
        provider: Name of the default provider; None: the first one that has a key, else the simulated model.
        environment: Where keys and base URLs are looked up.
        **options: As `streamkeep.relay.Relay`.

    Example:
        async with Relay("sqlite:///streams.db") as relay:
            stream = await relay.start({"prompt": "Say hello"})
            async for piece in stream.text():
                print(piece, end="", flush=True)

    Raises:
        BadRequest: `provider` is not known or has no key.
    """

    def __init__(
        self,
        store: Any = "memory://",
        *,
        provider: str | None = None,
        default_model: str = "",
        environment: Mapping[str, str] = os.environ,
        policy: Policy = Policy(),
        **options: Any,
    ) -> None:
        read_only = options.get("read_only", False)
        sources = {} if read_only else sources_from(environment, provider, default_model)
        super().__init__(store, sources, policy=policy, **options)
        self._default_model = default_model
        self._simulator = None if sources or read_only else _simulator()

    @classmethod
    def from_settings(cls, settings: Settings, *, read_only: bool = False) -> Self:
        """
        Make the relay that a server or a command with these settings uses.

        Raises:
            BadRequest: The store or the provider is not known.
        """
        store = registry.store(settings.store).from_url(
            settings.store, synchronous=settings.synchronous, read_only=read_only
        )
        return cls(
            store,
            provider=settings.provider or None,
            default_model=settings.default_model,
            policy=settings.policy,
            max_streams=settings.max_streams,
            read_only=read_only,
        )

    async def __aenter__(self) -> Self:
        """Open; see `streamkeep.relay.Relay`."""
        if self._simulator is not None:
            await self._simulator.__aenter__()
            self.sources[SIMULATED] = Source(
                SIMULATED,
                registry.provider(SIMULATED_DIALECT),
                Endpoint(self._simulator.base_url, registry.provider(SIMULATED_DIALECT).authorization(SIMULATED)),
                self._default_model or SIMULATED_MODEL,
            )
        try:
            return await super().__aenter__()
        except BaseException:
            await self._close_simulator()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await super().__aexit__(kind, error, trace)
        await self._close_simulator()

    async def _close_simulator(self) -> None:
        if self._simulator is not None:
            await self._simulator.__aexit__(None, None, None)


def _simulator() -> "Simulator":
    from streamkeep.simulator import Simulator  # Its imports cost 40 ms that a relay with a key need not pay.

    return Simulator()


def sources_from(environment: Mapping[str, str], default: str | None, default_model: str = "") -> dict[str, Source]:
    """
    Set up every provider that has a key, or whose endpoint was moved, the default one first.

    Raises:
        BadRequest: `default` is not among them.
    """
    sources: dict[str, Source] = {}
    if default == SIMULATED:
        return sources
    for name in registry.names("providers"):
        provider = registry.provider(name)
        key = environment.get(provider.key_variable, "")
        moved = environment.get(provider.base_url_variable, "")
        if key or moved:
            endpoint = Endpoint((moved or provider.base_url).rstrip("/"), provider.authorization(key) if key else {})
            sources[name] = Source(name, provider, endpoint, default_model or provider.default_model)
    if default and default not in sources:
        variable = registry.provider(default).key_variable
        raise BadRequest(f"The provider {default} has no key: set {variable}.", code="provider_without_key")
    return dict(sorted(sources.items(), key=lambda item: item[0] != default)) if default else sources

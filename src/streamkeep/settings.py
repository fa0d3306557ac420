"""
Read the settings: flag, then environment (`STREAMKEEP_…`), then `streamkeep.toml`, then the default.

Every setting is one field; its description names the unit and becomes the help of `streamkeep serve`.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from streamkeep.relay.policy import Policy, Timeouts

CONFIG_FILE = "streamkeep.toml"
"""Read from the working directory unless `STREAMKEEP_CONFIG` names another file."""


def data_directory() -> Path:
    """Give the folder of the user's files: `$XDG_DATA_HOME/streamkeep`, usually `~/.local/share/streamkeep`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "streamkeep"


def default_store() -> str:
    """Give the URL of the store that `serve` and `ask` share."""
    return f"sqlite:///{data_directory() / 'streams.db'}"


class Settings(BaseSettings):
    """All settings of a server."""

    model_config = SettingsConfigDict(env_prefix="STREAMKEEP_", extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    store: str = Field(
        default_factory=default_store, description="Where streams are kept: sqlite:///PATH or memory://."
    )
    synchronous: Literal["normal", "full"] = Field(
        default="normal", description="What SQLite's log survives: normal, a killed process; full, a power cut."
    )
    provider: str = Field(
        default="", description="Provider for starts that name none; empty: the first that has a key."
    )
    default_model: str = Field(
        default="", description="Model for starts that name none; empty: the provider's own choice."
    )

    max_streams: int = Field(default=10_000, ge=1, description="Streams produced at once.")
    max_readers: int = Field(default=20_000, ge=1, description="Readers connected at once.")
    max_body: int = Field(default=32 * 1024 * 1024, ge=1024, description="Largest request body, in bytes.")

    retries: int = Field(default=2, ge=0, le=10, description="Further attempts while nothing of an answer is visible.")
    timeout_connect: float = Field(
        default=10, gt=0, description="Limit for a connection to the model's API, in seconds."
    )
    timeout_first_event: float = Field(default=180, gt=0, description="Limit for an answer's first event, in seconds.")
    timeout_idle: float = Field(default=60, gt=0, description="Limit between two bytes of an answer, in seconds.")
    timeout_content: float = Field(
        default=600, gt=0, description="Limit between two events that show something, in seconds."
    )
    timeout_total: float = Field(default=3600, gt=0, description="Limit for a whole answer, in seconds.")
    ttl: float = Field(default=7 * 86_400, ge=0, description="How long a stream is kept after its end, in seconds.")
    unwatched_grace: float = Field(
        default=60,
        gt=0,
        description="After this many seconds without a reader a stream begun by a vendor's SDK is stopped.",
    )

    heartbeat: float = Field(default=15, gt=0, description="Silence after which a reader gets a heartbeat, in seconds.")
    send_timeout: float = Field(
        default=30, gt=0, description="After this long without taking any, a reader is cut, in s."
    )
    first_word: float = Field(
        default=10, ge=0, description="How long /v1/messages waits, in seconds, to answer a refusal with its status."
    )
    drain: float = Field(default=20, ge=0, description="How long running answers may go on after SIGTERM, in seconds.")

    allowed_hosts: list[str] = Field(
        default=[],
        description="Host names that are answered; empty: those of loopback if that is listened on, else all.",
    )
    allowed_origins: list[str] = Field(
        default=[], description="Origins of other sites whose pages may call; none by default."
    )
    api_keys: list[str] = Field(default=[], description="Keys that callers must give, if any are set.", repr=False)

    @property
    def policy(self) -> Policy:
        """Give the policy of starts that say nothing."""
        return Policy(
            retries=self.retries,
            timeouts=Timeouts(
                connect=self.timeout_connect,
                first_event=self.timeout_first_event,
                idle=self.timeout_idle,
                content=self.timeout_content,
                total=self.timeout_total,
            ),
            ttl=self.ttl,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources."""
        path = Path(os.environ.get("STREAMKEEP_CONFIG", CONFIG_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)


def describe() -> list[tuple[str, Any, str]]:
    """List every setting as `(name, default, description)`."""
    return [
        (name, field.get_default(call_default_factory=True, validated_data={}), field.description or "")
        for name, field in Settings.model_fields.items()
    ]

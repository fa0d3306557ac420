"""
Read the settings: flag, then environment (`STREAMKEEP_…`), then `streamkeep.toml`, then the default.

Every setting is one field; its description names the unit and becomes the help of `streamkeep serve`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streamkeep.errors import BadRequest
from streamkeep.relay.policy import Policy, Timeouts

CONFIG_FILE = "streamkeep.toml"
"""Read from the working directory unless `STREAMKEEP_CONFIG` names another file."""


def config_path() -> Path:
    """Give the settings file; it need not be there unless `STREAMKEEP_CONFIG` names it."""
    return Path(os.environ.get("STREAMKEEP_CONFIG", CONFIG_FILE))


def data_directory() -> Path:
    """Give the folder of the user's files: `$XDG_DATA_HOME/streamkeep`, usually `~/.local/share/streamkeep`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "streamkeep"


def default_store() -> str:
    """Give the URL of the store that `serve` and `ask` share."""
    return f"sqlite:///{data_directory() / 'streams.db'}"


def _listed(value: object) -> object:
    """Take `a, b` for a list of two: how a variable of the environment says it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[list[str], NoDecode, BeforeValidator(_listed)]
"""Several texts; in the environment separated by commas."""


class Settings(BaseSettings):
    """All settings of a server."""

    model_config = SettingsConfigDict(env_prefix="STREAMKEEP_", env_ignore_empty=True, extra="forbid", frozen=True)

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
    send_timeout: float = Field(default=30, gt=0, description="Seconds after which a reader that takes nothing is cut.")
    first_word: float = Field(
        default=10, ge=0, description="How long /v1/messages waits, in seconds, to answer a refusal with its status."
    )
    drain: float = Field(default=20, ge=0, description="How long running answers may go on after SIGTERM, in seconds.")

    allowed_hosts: Listed = Field(
        default=[],
        description="Host names that are answered; empty: those of loopback if that is listened on, else all.",
    )
    allowed_origins: Listed = Field(
        default=[], description="Origins of other sites whose pages may call; none by default."
    )
    api_keys: Listed = Field(default=[], description="Keys that callers must give, if any are set.", repr=False)

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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_path())


def read_settings(given: Mapping[str, Any]) -> Settings:
    """
    Read the settings, with some given on top of environment and file.

    Raises:
        BadRequest: One of them is not as it should be; the text names it and where it comes from.
    """
    path = config_path()
    if "STREAMKEEP_CONFIG" in os.environ and not path.is_file():
        raise BadRequest(f"There is no settings file {path}; STREAMKEEP_CONFIG names it.", code="bad_setting")
    try:
        return Settings(**given)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"The settings file {path} is no TOML: {error}.", code="bad_setting") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"The settings file {path} cannot be read.", code="bad_setting") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise BadRequest(_complaint(first, given, path), code="bad_setting") from error


def _complaint(error: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> str:
    """Say which setting is wrong, where it was set, and how."""
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"There is no setting {name}, which {path} names. `streamkeep serve --help` lists them."
    variable = f"STREAMKEEP_{name.upper()}"
    if name in given:
        where = f"--{name.replace('_', '-')}"
    else:
        where = variable if variable in os.environ else f"{name} in {path}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}"

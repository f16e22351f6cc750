"""Settings of the control API: one YAML file, overridden by environment variables.

`CONTROL_API_KAFKA__BOOTSTRAP=host:9092` sets `kafka.bootstrap`; the environment wins over the file, the file over the
defaults below. Unknown keys are refused, so that a misspelt one is not silently ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource
from yaml import YAMLError

MIB = 1024 * 1024


class SettingsError(Exception):
    """The settings cannot be used; the message lists every wrong key."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """Where the brokers are."""

    bootstrap: str = "127.0.0.1:9092"
    """Comma-separated `host:port` list."""
    properties: dict[str, str | int | float | bool] = {}
    """Extra librdkafka properties for all clients, for example TLS and SASL."""


class ControlTopicSettings(_Section):
    """The control log."""

    name: str = "sluice.control"
    """Topic; one partition."""
    dialect: Literal["sluice", "pmml-1"] = "sluice"
    """`pmml-1` reads and writes the older enum of model types, where PMML is 1."""


class ArtifactSettings(_Section):
    """Uploads on disk."""

    dir: Path | None = None
    """Folder for uploads while they are received; null is the system's temporary folder."""


class Limits(_Section):
    """Bounds of what one request may cost."""

    inline_bytes: int = Field(default=16 * MIB, gt=0)
    """Largest model that travels inside its descriptor, in bytes; the topic's `max.message.bytes` must leave room."""
    followers: int = Field(default=32, gt=0)
    """Open event streams (`text/event-stream`) at one time; each holds a thread and, for topics, a Kafka consumer."""
    last_records: int = Field(default=1000, gt=0)
    """Most records that a reading of results or dead letters returns."""
    events_kept: int = Field(default=10_000, gt=0)
    """Control-log happenings kept for `Last-Event-ID`."""
    snapshot_records: int = Field(default=10_000, ge=0)
    """Records of the control log after which a snapshot of the state is written for new readers; 0: never."""
    snapshot_bytes: int = Field(default=19 * MIB, gt=0)
    """Largest snapshot, compressed; the topic's `max.message.bytes` must leave room."""


class Waits(_Section):
    """How long a request may wait, in seconds."""

    fold_seconds: float = Field(default=10.0, gt=0)
    """For this replica to read back a control-log offset."""
    publish_seconds: float = Field(default=10.0, ge=1)
    """For the brokers to acknowledge a record of the control log."""
    operation_seconds: float = Field(default=60.0, gt=0)
    """Upper bound of `?wait=` on operations."""
    shutdown_seconds: int = Field(default=5, gt=0)
    """For open requests when the process is asked to stop."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="CONTROL_API_", env_nested_delimiter="__", extra="forbid", frozen=True, yaml_file=None
    )

    host: str = "127.0.0.1"
    """Address to bind. The API has no users of its own: think before you open it beyond the machine."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port; 0 takes a free one, which the log line `api.listening` names."""
    kafka: KafkaSettings = KafkaSettings()
    control_topic: ControlTopicSettings = ControlTopicSettings()
    dead_letter_topic: str = "sluice.dead-letters"
    """Read by `/api/v1/dead-letters`, besides the topics that workers name."""
    redis_url: str | None = None
    """`redis://...` or `unix:///...`: where workers leave statistics; null answers 503 for statistics alone."""
    artifacts: ArtifactSettings = ArtifactSettings()
    limits: Limits = Limits()
    waits: Waits = Waits()
    write_token: SecretStr | None = None
    """If set, whatever changes something needs `Authorization: Bearer <token>`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe event that is logged."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings(path: Path | None = None) -> Settings:
    """Settings from the file at `path`, if any, under the environment.

    Raises:
        SettingsError: The file is missing or is no YAML, or a value is wrong.
    """
    if path is not None and not path.is_file():
        raise SettingsError(f"settings file {path} does not exist")
    config: SettingsConfigDict = {**Settings.model_config, "yaml_file": path}
    source = type("SettingsFromFile", (Settings,), {"model_config": config, "__module__": __name__})
    try:
        settings = source()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{path or 'the environment'}: {wrong}") from error
    except (YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: not usable as settings: {error}") from error
    assert isinstance(settings, Settings)
    return settings

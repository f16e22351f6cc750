"""The worker's settings: one YAML file, validated, with environment overrides.

A variable `SERVING_` + path, levels joined by `__`, overrides the file: `SERVING_KAFKA__BOOTSTRAP=broker:9092`. Unknown
names are refused, never ignored. Read once, in `__main__`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from serving.core.errors import SettingsError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,247}[A-Za-z0-9])?$")]


class Section(BaseModel):
    """A part of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kafka(Section):
    """How to reach Kafka."""

    bootstrap: str = "127.0.0.1:9092"
    """`host:port`, comma-separated."""
    properties: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further librdkafka properties for every client: TLS, SASL, time-outs."""


class ControlTopic(Section):
    """The control log."""

    name: Name = "sluice.control"
    """Topic; created with one partition and unlimited retention if it is not there."""
    dialect: Literal["sluice", "pmml-1"] = "sluice"
    """Numbers of `modeltype`: `sluice` has PMML = 2, as the tutorial and flink-modelServer; `pmml-1` is the older enum."""


class Metrics(Section):
    """The worker's own HTTP port: `/metrics`, `/healthz`, `/readyz`."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = Field(default=0, ge=0, le=65535)
    """0 takes a free port and logs it; null turns it off. With several processes, process i listens on port + i."""


class Artifacts(Section):
    """Where model bytes may come from, and where this node keeps them."""

    cache_dir: Path = Path(".sluice/artifacts")
    """Content-addressed cache, shared by all workers of a node."""
    cache_bytes: int = Field(default=1 << 30, gt=0)
    """Size bound; the least recently used artifacts go first."""
    file_roots: tuple[Path, ...] = ()
    """`file:` locations must lie under one of these. Empty: none is allowed."""
    http_hosts: tuple[str, ...] = ()
    """`http(s):` locations must name one of these hosts (`host` or `host:port`). Empty: none is allowed."""


class Engines(Section):
    """How models are computed."""

    fast_pmml: Literal["exact", "tolerant", "off"] = "exact"
    """Compute PMML models that are plain arithmetic in the worker's own process, where they were found to agree with the engine
    on thousands of rows, and go on comparing samples. `exact`: only models whose every number is the engine's bit for bit
    (linear models, trees, forests), so that it makes no difference to a replay which of them computed. `tolerant`: also models
    with `exp` or powers and small networks, whose numbers may differ in the last bits (1e-12). `off`: the engine computes
    all. `true` and `false` are `tolerant` and `off`."""

    @field_validator("fast_pmml", mode="before")
    @classmethod
    def _words_for_truth(cls, value: object) -> object:
        # YAML reads a bare `off` as false.
        word = str(value).lower()
        return {"true": "tolerant", "false": "off"}.get(word, word)


class Limits(Section):
    """What a model may cost; one over it is refused."""

    artifact_bytes: int = Field(default=256 << 20, gt=0)
    """Largest artifact after unpacking."""
    nodes: int = Field(default=200_000, gt=0)
    """Most graph nodes or document elements."""
    depth: int = Field(default=200, gt=0)
    """Deepest nesting of a document."""
    load_seconds: float = Field(default=60.0, gt=0)
    """Longest load, check and warm-up."""
    score_seconds: float = Field(default=10.0, gt=0)
    """Longest time for one batch."""


class ProtobufFormat(Section):
    """Records are protobuf messages of one type."""

    type: Literal["protobuf"]
    message: str
    """Full name, `package.Message`."""
    descriptor_set: Path | None = None
    """File written by `protoc --descriptor_set_out --include_imports`. Relative paths are relative to the settings file."""
    module: str | None = None
    """Importable generated module, instead of a descriptor set."""

    @model_validator(mode="after")
    def _one_source(self) -> ProtobufFormat:
        if (self.descriptor_set is None) == (self.module is None):
            raise ValueError("give either `descriptor_set` or `module`")
        return self


class JsonFormat(Section):
    """Records are JSON objects."""

    type: Literal["json"]


class Route(Section):
    """How a record's route key (its data type) is found. Exactly one."""

    field: str | None = None
    """A text field of the record."""
    record_key: bool = False
    """The Kafka key, as UTF-8 text."""
    header: str | None = None
    """A Kafka header, as UTF-8 text."""
    constant: str | None = None
    """The same for every record of the stream."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Route:
        given = [name for name in ("field", "record_key", "header", "constant") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give exactly one of field, record_key, header, constant; found {given or 'none'}")
        return self


class Entity(Section):
    """What a record is about: a machine, an account. All records of an entity are scored by one arm. Exactly one."""

    field: str | None = None
    """A text field of the record."""
    record_key: bool = False
    """The Kafka key; the default."""
    header: str | None = None
    """A Kafka header."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Entity:
        given = [name for name in ("field", "record_key", "header") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give exactly one of field, record_key, header; found {given or 'none'}")
        return self


class Results(Section):
    """Where a stream's results go."""

    topic: Name
    """Result topic; its key is the record's key."""
    dark_topic: Name | None = None
    """Topic of the results of dark versions, which nobody is to act on; null: the result topic's name and `.dark`."""
    format: Literal["protobuf", "json"] = "protobuf"
    """`modelserving.v1.ScoreResult`, or the same as a JSON object."""
    headers: Literal["none", "cloudevents", "passthrough"] = "none"
    """Headers cost about as much again as the record itself: none, CloudEvents 1.0 attributes, or the record's own."""

    @property
    def dark(self) -> str:
        """Topic of the results of dark versions."""
        return self.dark_topic or f"{self.topic}.dark"


class Stream(Section):
    """One data topic, how to read it, and where its results go."""

    name: Name
    """Name for people and for the REST API."""
    topic: Name
    """Data topic."""
    start: Literal["latest", "earliest"] = "latest"
    """Where a consumer group without committed offsets begins."""
    format: Annotated[ProtobufFormat | JsonFormat, Field(discriminator="type")]
    """How records are encoded."""
    route: Route
    """How the data type is found."""
    entity: Entity = Entity(record_key=True)
    """How the entity is found that keeps to one arm where a route has several."""
    features: tuple[str, ...] = ()
    """Numeric fields, in the order that models with a nameless vector get. Protobuf: default is all numeric fields, in
    field order. `a.b` reaches into messages and objects, `v[8]` takes an array of exactly eight."""
    texts: tuple[str, ...] = ()
    """Text fields that models may use as categories."""
    missing: Literal["reject", "model"] = "reject"
    """A record without a field: dead letter, or passed to the model as missing."""
    results: Results
    """Where results go."""

    @model_validator(mode="after")
    def _json_needs_features(self) -> Stream:
        if isinstance(self.format, JsonFormat) and not (self.features or self.texts):
            raise ValueError(f"stream {self.name}: JSON has no schema, so `features` must list the fields to read")
        return self


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="SERVING_", env_nested_delimiter="__")

    kafka: Kafka = Kafka()
    group: Name = "sluice"
    """Consumer group of the data topics: the workers of one group share the partitions."""
    worker_id: Name | None = None
    """A stable name makes the member static: a restart within the session time-out moves no partition."""
    control_topic: ControlTopic = ControlTopic()
    dead_letter_topic: Name = "sluice.dead-letters"
    redis_url: str | None = None
    """`redis://`, `rediss://` or `unix://` of the statistics store; null: statistics only at the metrics port."""
    placement: Literal["broadcast", "keyed"] = "broadcast"
    """`broadcast` loads every routed model on every worker; `keyed` only the models whose data type hashes (murmur2, as
    Kafka's own clients) to a partition that the worker holds."""
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    """`exactly_once`: results, dead letters and offsets are one transaction."""
    commit_interval_ms: int = Field(default=100, ge=10, le=10_000)
    """How often offsets are committed or a transaction ends: the most that a crash can make a worker repeat."""
    max_batch: int = Field(default=8_000, ge=1, le=20_000)
    """Records that one fetch hands out at most; from 4,000 on the cost a record hardly falls."""
    metrics: Metrics = Metrics()
    artifacts: Artifacts = Artifacts()
    engines: Engines = Engines()
    limits: Limits = Limits()
    streams: tuple[Stream, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        for kind, names in (
            ("stream name", [stream.name for stream in self.streams]),
            ("data topic", [stream.topic for stream in self.streams]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{kind} used twice: {', '.join(sorted(twice))}")
        inputs = {stream.topic for stream in self.streams} | {self.control_topic.name}
        outputs = {stream.results.topic for stream in self.streams} | {self.dead_letter_topic}
        outputs |= {stream.results.dark for stream in self.streams}
        if loops := inputs & outputs:
            raise ValueError(f"a worker would read what it writes: {', '.join(sorted(loops))}")
        return self

    _file: ClassVar[Path | None] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if cls._file is not None:
            sources += (YamlConfigSettingsSource(settings_cls, yaml_file=cls._file),)
        return sources


def read_settings(path: Path | None) -> Settings:
    """Read and check the settings file; the environment overrides it. Relative descriptor sets are made absolute.

    Raises:
        SettingsError: The file is missing or not YAML, or a setting is wrong; every wrong one is named.
    """
    if path is not None and not path.is_file():
        raise SettingsError(f"no settings file at {path}")
    source = type("FileSettings", (Settings,), {"_file": path, "__module__": __name__})
    try:
        settings: Settings = source()
    except ValidationError as error:
        raise SettingsError("\n".join([f"{path or 'environment'}:", *map(_line, error.errors())])) from None
    except Exception as error:  # the YAML parser's own errors carry line and column
        raise SettingsError(f"{path}: {error}") from error
    return _resolved(settings, path.parent if path is not None else Path.cwd())


def _line(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "settings"
    return f"  {where}: {error['msg']}"


def _resolved(settings: Settings, base: Path) -> Settings:
    def absolute(stream: Stream) -> Stream:
        form = stream.format
        if (
            isinstance(form, ProtobufFormat)
            and form.descriptor_set is not None
            and not form.descriptor_set.is_absolute()
        ):
            form = form.model_copy(update={"descriptor_set": (base / form.descriptor_set).resolve()})
        return stream.model_copy(update={"format": form})

    return settings.model_copy(update={"streams": tuple(absolute(stream) for stream in settings.streams)})


def engine_options(settings: Settings) -> dict[str, dict[str, object]]:
    """Model type -> arguments of its engine; see `EngineRegistry`."""
    fast = settings.engines.fast_pmml
    return {"PMML": {"fast": None if fast == "off" else fast}}

"""Registered models, their versions, and the routes that they serve: the rows of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from immutables import Map

from model_store.core.descriptor import Descriptor

ROUTE_HISTORY: Final = 100
"""How many versions a route remembers to have served, the current one included."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One announcement that was accepted, and the number it got.

    Attributes:
        version: Counted from 1 by model name, never reused, the same for every reader of the log.
        control_offset: Where it is on the control log; also the id of its operation.
        published_at_ms: Timestamp of its record, milliseconds since 1970 UTC.
        descriptor: What was announced.
    """

    version: int
    control_offset: int
    published_at_ms: int
    descriptor: Descriptor

    @property
    def model(self) -> str:
        """Registered model name."""
        return self.descriptor.name

    @property
    def data_type(self) -> str:
        """The data type that it was announced for."""
        return self.descriptor.data_type


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """All versions of one name.

    Attributes:
        name: The name.
        created_at_ms: When its first version was published, milliseconds since 1970 UTC.
        latest: The highest version number.
        versions: Number -> version.
    """

    name: str
    created_at_ms: int
    latest: int = 0
    versions: Map[int, ModelVersion] = field(default_factory=Map)

    @property
    def latest_version(self) -> ModelVersion:
        """The newest version; every registered model has one."""
        return self.versions[self.latest]

    def adding(self, version: ModelVersion) -> RegisteredModel:
        """The same model with one version more."""
        versions = self.versions.set(version.version, version)
        return RegisteredModel(self.name, self.created_at_ms, version.version, versions)


@dataclass(frozen=True, slots=True)
class Route:
    """Which model a data type is scored by.

    Attributes:
        data_type: The route key.
        history: What it was given to serve, newest first, at least one and at most `ROUTE_HISTORY`.
    """

    data_type: str
    history: tuple[ModelVersion, ...]

    @property
    def current(self) -> ModelVersion:
        """What the log says should serve. A worker that refuses it serves the newest of the others that it can."""
        return self.history[0]

    def turned_to(self, version: ModelVersion) -> Route:
        """The same route, served by another version from now on."""
        return Route(self.data_type, (version, *self.history[: ROUTE_HISTORY - 1]))


@dataclass(frozen=True, slots=True)
class Rejected:
    """An announcement that was none: it changed no route and took no version.

    Attributes:
        control_offset: Where it is on the control log.
        at_ms: Timestamp of its record, milliseconds since 1970 UTC.
        reason: A sentence that the publisher can act on.
        name: Model name, where it could be read.
        data_type: Data type, where it could be read.
        request_id: Request id, where it could be read.
    """

    control_offset: int
    at_ms: int
    reason: str
    name: str = ""
    data_type: str = ""
    request_id: str = ""

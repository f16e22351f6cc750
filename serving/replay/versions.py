"""From a version's place on the control log to a loaded model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model_store.cache import ArtifactCache
from model_store.core.commands import Command, RegisterVersion
from model_store.core.control_records import Announced, ControlRecord
from model_store.core.descriptor import Descriptor
from model_store.core.errors import ArtifactError, FetchFailedError, StoreFailedError
from model_store.core.jobs import VersionAt
from serving.core.errors import EngineUnavailableError, ModelRefusedError
from serving.fetching import control_record, fetcher
from serving.loader import Loaded, Loader
from serving.replay.errors import JobFailedError, JobRefusedError
from serving.scorers.base import LoadLimits
from serving.scorers.registry import EngineRegistry
from serving.settings import Settings, engine_options
from serving.streams import OpenedStream

_PASSING = (FetchFailedError, StoreFailedError, EngineUnavailableError)


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is ready to score the records of the job's stream.

    Attributes:
        at: Its name, number and place.
        descriptor: What was announced.
        loaded: The model; it is bound to the stream.
    """

    at: VersionAt
    descriptor: Descriptor
    loaded: Loaded


class Versions:
    """Loads the versions of one job, with engines of its own."""

    def __init__(self, settings: Settings, stream: OpenedStream) -> None:
        """Nothing is connected to."""
        self._settings, self._stream = settings, stream
        self._engines = EngineRegistry(engine_options(settings))
        cache = ArtifactCache(settings.artifacts.cache_dir, settings.artifacts.cache_bytes)
        limits = LoadLimits(**settings.limits.model_dump())
        self._loader = Loader(fetcher(settings, cache), self._engines.engine_for, [stream.fields], limits)
        self._open: list[Callable[[], None]] = []

    def load(self, at: VersionAt) -> LoadedVersion:
        """Find the descriptor, fetch, load, check and warm up. Blocks.

        Raises:
            JobRefusedError: There is no such version there, or it cannot score this stream's records.
            JobFailedError: It cannot be had now.
        """
        descriptor = self._descriptor(at.control_offset)
        if descriptor.name != at.model:
            raise JobRefusedError(
                f"control offset {at.control_offset} registers a version of {descriptor.name!r}, not of {at.model!r}"
            )
        try:
            loaded = self._loader.load(descriptor, at.control_offset)
        except _PASSING as error:
            raise JobFailedError(f"{at} cannot be loaded now: {error}") from error
        except (ArtifactError, ModelRefusedError) as error:
            raise JobRefusedError(
                f"{at} cannot score the records of stream {self._stream.settings.name}: {error}"
            ) from error
        self._open.append(loaded.scorer.close)
        return LoadedVersion(at, descriptor, loaded)

    def close(self) -> None:
        """Close all models, then the engines."""
        while self._open:
            self._open.pop()()
        self._engines.close()

    def _descriptor(self, control_offset: int) -> Descriptor:
        where = f"the record at {control_offset} of the control log {self._settings.control_topic.name!r}"
        try:
            found = control_record(self._settings, control_offset)
        except FetchFailedError as error:
            raise JobFailedError(f"{where} cannot be read: {error}") from error
        match found:
            case None:
                raise JobRefusedError(f"{where} is not there")
            case Announced(descriptor=descriptor) | Command(body=RegisterVersion(descriptor=descriptor)):
                return descriptor
        raise JobRefusedError(f"{where} registers no version: it is {_kind(found)}")


def _kind(record: ControlRecord) -> str:
    return (
        f"a command {type(record.body).__name__}"
        if isinstance(record, Command)
        else f"a record {type(record).__name__}"
    )

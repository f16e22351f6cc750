"""From a stream's settings to its pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model_store.core.control_records import StreamDeclared
from serving.core.deciders import Decider
from serving.core.errors import SettingsError
from serving.dispatch import Dispatch, EntityKind, RouteKind, StreamPlan
from serving.encoding import ResultEncoder
from serving.formats import open_format, open_result_format
from serving.formats.base import FieldSelection, RecordFormat
from serving.formats.headers import result_headers
from serving.live import LiveModels
from serving.loader import StreamFields
from serving.outputs import RowsTooLarge
from serving.pipeline import CountDeadLetters, Observe, ObserveDecider, Pipeline, nobody_counts
from serving.routing import Routing
from serving.settings import Entity, Route, Stream


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """A stream whose format is open and whose fields are known.

    Attributes:
        settings: As written.
        records: Decodes its records.
        plan: What its pipeline must know.
        fields: What it offers to models.
    """

    settings: Stream
    records: RecordFormat
    plan: StreamPlan
    fields: StreamFields

    @property
    def wants_headers(self) -> bool:
        """Whether its batches need the headers column."""
        needs = self.settings.route.header is not None or self.settings.entity.header is not None
        return needs or self.plan.keeps_headers

    def declared(self, dead_letter_topic: str) -> StreamDeclared:
        """What others are told of it."""
        stream, plan = self.settings, self.plan
        return StreamDeclared(
            stream.name,
            stream.topic,
            stream.results.topic,
            stream.results.format,
            dead_letter_topic,
            plan.dark_topic,
            plan.entity if plan.entity == "record_key" else f"{plan.entity}:{plan.entity_name}",
            plan.route if plan.route == "record_key" else f"{plan.route}:{plan.route_name}",
        )

    def pipeline(
        self,
        live: LiveModels,
        routing: Routing,
        worker: str,
        decider_of: Callable[[str], Decider | None],
        observe: Observe,
        count_dead_letters: CountDeadLetters,
        too_large: RowsTooLarge,
        observe_decider: ObserveDecider = nobody_counts,
    ) -> Pipeline:
        """Its pipeline, over what is loaded and what the routes say."""
        results = open_result_format(self.settings.results.format)
        headers = result_headers(
            self.settings.results.headers, stream=self.settings.name, content_type=results.content_type
        )
        dispatch = Dispatch(self.plan, routing, live)
        return Pipeline(
            self.plan,
            self.records,
            ResultEncoder(results, headers, self.plan.keeps_headers),
            dispatch,
            worker,
            decider_of,
            observe,
            count_dead_letters,
            too_large,
            observe_decider,
        )


def open_stream(stream: Stream, dead_letter_topic: str) -> OpenedStream:
    """Open the format and settle the fields.

    Raises:
        SettingsError: A field, a message or a file of the settings is not there; the stream is named.
    """
    kind, name = _route(stream.route)
    entity, entity_name = _entity(stream.entity)
    read = stream.texts
    if entity == "field" and entity_name not in read:
        read = (*read, entity_name)
    selection = FieldSelection(stream.features or None, read, name if kind == "field" else None, stream.missing)
    options = {key: None if value is None else str(value) for key, value in stream.format.model_dump().items()}
    try:
        records = open_format(options, selection)
    except SettingsError as error:
        raise SettingsError(f"stream {stream.name}: {error}") from error
    plan = StreamPlan(
        stream.name,
        kind,
        name,
        records.texts.index(name) if kind == "field" else -1,
        tuple(records.texts.index(text) for text in stream.texts),
        stream.results.topic,
        dead_letter_topic,
        stream.results.headers == "passthrough",
        stream.results.dark,
        entity,
        entity_name,
        records.texts.index(entity_name) if entity == "field" else -1,
        tuple(records.numbers),
        tuple(records.texts),
    )
    return OpenedStream(stream, records, plan, StreamFields(stream.name, records.numbers, stream.texts))


def _entity(entity: Entity) -> tuple[EntityKind, str]:
    if entity.field is not None:
        return "field", entity.field
    if entity.header is not None:
        return "header", entity.header
    return "record_key", ""


def _route(route: Route) -> tuple[RouteKind, str]:
    if route.field is not None:
        return "field", route.field
    if route.header is not None:
        return "header", route.header
    if route.constant is not None:
        return "constant", route.constant
    return "record_key", ""

"""From a stream's settings to its pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from model_store.core.control_records import StreamDeclared
from serving.core.errors import SettingsError
from serving.formats import open_format, open_result_format
from serving.formats.base import FieldSelection, RecordFormat
from serving.formats.headers import result_headers
from serving.live import LiveModels
from serving.loader import StreamFields
from serving.outputs import RowsTooLarge
from serving.pipeline import CountDeadLetters, Observe, Pipeline, RouteKind, StreamPlan
from serving.settings import Route, Stream


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
        return self.settings.route.header is not None or self.plan.keeps_headers

    def declared(self, dead_letter_topic: str) -> StreamDeclared:
        """What others are told of it."""
        stream = self.settings
        return StreamDeclared(stream.name, stream.topic, stream.results.topic, stream.results.format, dead_letter_topic)

    def pipeline(
        self,
        live: LiveModels,
        worker: str,
        observe: Observe,
        count_dead_letters: CountDeadLetters,
        too_large: RowsTooLarge,
    ) -> Pipeline:
        """Its pipeline, over what serves."""
        results = open_result_format(self.settings.results.format)
        headers = result_headers(
            self.settings.results.headers, stream=self.settings.name, content_type=results.content_type
        )
        return Pipeline(self.plan, self.records, results, headers, live, worker, observe, count_dead_letters, too_large)


def open_stream(stream: Stream, dead_letter_topic: str) -> OpenedStream:
    """Open the format and settle the fields.

    Raises:
        SettingsError: A field, a message or a file of the settings is not there; the stream is named.
    """
    kind, name = _route(stream.route)
    selection = FieldSelection(stream.features or None, stream.texts, name if kind == "field" else None, stream.missing)
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
    )
    return OpenedStream(stream, records, plan, StreamFields(stream.name, records.numbers, stream.texts))


def _route(route: Route) -> tuple[RouteKind, str]:
    if route.field is not None:
        return "field", route.field
    if route.header is not None:
        return "header", route.header
    if route.constant is not None:
        return "constant", route.constant
    return "record_key", ""

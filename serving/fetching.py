"""The bytes of a version: where the settings let them come from, and from the control log where they travelled on it."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException

from model_store.cache import ArtifactCache
from model_store.core.commands import Command
from model_store.core.control_records import Announced, ControlRecord
from model_store.core.descriptor import Descriptor
from model_store.core.errors import FetchFailedError
from model_store.core.wire import decode_record
from model_store.fetch import Fetched, fetch_verified
from model_store.policy import FetchPolicy
from serving.feed.log_record import read_record
from serving.settings import Settings

Fetch = Callable[[Descriptor, int], Fetched]
"""A descriptor and the control offset that it was announced at -> its bytes, checked. Blocks."""


def fetcher(settings: Settings, cache: ArtifactCache) -> Fetch:
    """Fetches what the settings allow, by way of the cache. Any thread but the loop's."""
    policy = FetchPolicy(settings.artifacts.file_roots, settings.artifacts.http_hosts, settings.limits.artifact_bytes)

    def fetch(descriptor: Descriptor, control_offset: int) -> Fetched:
        return fetch_verified(descriptor, policy, cache, inline=lambda: _payload(settings, control_offset))

    return fetch


def control_record(settings: Settings, control_offset: int) -> ControlRecord | None:
    """One record of the control log; `None` if the log no longer has it. Blocks, at most half a minute.

    Raises:
        FetchFailedError: Kafka does not give it now.
    """
    kafka, topic = settings.kafka, settings.control_topic
    try:
        record = read_record(kafka.bootstrap, topic.name, control_offset, kafka.properties)
    except KafkaException as error:
        raise FetchFailedError(f"{topic.name} at {control_offset}", error.args[0].str()) from error
    return None if record is None else decode_record(record.headers(), record.key(), record.value(), topic.dialect)


def _payload(settings: Settings, control_offset: int) -> bytes | None:
    found = control_record(settings, control_offset)
    return found.payload if isinstance(found, Announced | Command) else None

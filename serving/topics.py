"""The topics a worker writes to: made if they are not there, and what they take.

Data topics are not made: how many partitions they need is their owner's decision, and a worker that waits for a topic
says so. Result topics get the partitions of their data topic; the dead-letter topic takes records as large as Kafka's
brokers are usually allowed to hold, because a dead letter is larger than the record inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

log = structlog.get_logger(__name__)

DEAD_LETTER_BYTES = 20 << 20
_TIMEOUT_SECONDS = 30.0
_BROKER_DEFAULT_BYTES = 1_048_588  # Kafka's own default of max.message.bytes


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What the worker must know of a topic.

    Attributes:
        partitions: How many; 0 if the topic is not there.
        max_message_bytes: Largest record batch it takes.
    """

    partitions: int
    max_message_bytes: int


def prepare_topics(
    bootstrap: str, properties: Mapping[str, object], results: Mapping[str, str], dead_letters: str
) -> dict[str, TopicFacts]:
    """Make the result topics and the dead-letter topic where they are missing, and look at all of them. Blocks.

    Args:
        bootstrap: Kafka's `host:port` list.
        properties: Further librdkafka properties.
        results: Data topic -> result topic.
        dead_letters: Dead-letter topic.

    Returns:
        Facts of the data, result and dead-letter topics.

    Raises:
        KafkaException: Kafka cannot be reached, or it forbids to make or to look at a topic.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, **properties})
    partitions = _partitions(admin)
    wanted = [
        NewTopic(result, partitions.get(data) or 1, -1) for data, result in results.items() if result not in partitions
    ]
    if dead_letters not in partitions:
        wanted.append(NewTopic(dead_letters, 1, -1, config={"max.message.bytes": str(DEAD_LETTER_BYTES)}))
    _create(admin, wanted)
    for data in results:
        if data not in partitions:
            log.warning("stream.topic_missing", topic=data, advice="records are read as soon as someone makes the topic")
    partitions = _partitions(admin) if wanted else partitions
    names = [*results, *results.values(), dead_letters]
    sizes = _max_message_bytes(admin, [name for name in names if name in partitions])
    return {name: TopicFacts(partitions.get(name, 0), sizes.get(name, _BROKER_DEFAULT_BYTES)) for name in names}


def _partitions(admin: AdminClient) -> dict[str, int]:
    topics = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def _create(admin: AdminClient, topics: Sequence[NewTopic]) -> None:
    if not topics:
        return
    for name, future in admin.create_topics(list(topics), operation_timeout=_TIMEOUT_SECONDS).items():
        try:
            future.result()
            log.info("topic.created", topic=name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was quicker
                raise


def _max_message_bytes(admin: AdminClient, names: Sequence[str]) -> dict[str, int]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in dict.fromkeys(names)]
    if not resources:
        return {}
    found = admin.describe_configs(resources, request_timeout=_TIMEOUT_SECONDS)
    return {resource.name: int(future.result()["max.message.bytes"].value) for resource, future in found.items()}

"""The topics a worker writes to: made if they are not there.

Data topics are not made: how many partitions they need is their owner's decision, and a worker that waits for a topic
says so. Result topics get the partitions of their data topic; the dead-letter topic takes records as large as Kafka's
brokers are usually allowed to hold, because a dead letter is larger than the record inside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

log = structlog.get_logger(__name__)

DEAD_LETTER_BYTES = 20 << 20
_TIMEOUT_SECONDS = 30.0
_METADATA_SECONDS = 5.0
_RETRY_SECONDS = 2.0


def prepare_topics(
    bootstrap: str,
    properties: Mapping[str, object],
    results: Mapping[str, Sequence[str]],
    dead_letters: str,
    commands: str,
) -> dict[str, int]:
    """Make the result topics and the dead-letter topic where they are missing. Blocks.

    Args:
        bootstrap: Kafka's `host:port` list.
        properties: Further librdkafka properties.
        results: Data topic -> its result topic and its dark topic.
        dead_letters: Dead-letter topic.
        commands: The topic that Faust insists on.

    Returns:
        Data topic -> its number of partitions; 0 if it is not there yet.

    Raises:
        KafkaException: Kafka cannot be reached, or it forbids to make a topic.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, **properties})
    partitions = _partitions(admin)
    wanted = [
        NewTopic(result, partitions.get(data) or 1, -1)
        for data, each in results.items()
        for result in each
        if result not in partitions
    ]
    if dead_letters not in partitions:
        wanted.append(NewTopic(dead_letters, 1, -1, config={"max.message.bytes": str(DEAD_LETTER_BYTES)}))
    if commands not in partitions:
        wanted.append(NewTopic(commands, 1, -1))
    _create(admin, wanted)
    for data in results:
        if data not in partitions:
            log.warning(
                "stream.topic_missing", topic=data, advice="records are read as soon as someone makes the topic"
            )
    return {data: partitions.get(data, 0) for data in results}


def wait_for_kafka(prepare: Callable[[], Mapping[str, int]]) -> Mapping[str, int]:
    """Call `prepare` until Kafka answers, and say so each time that it does not. Blocks.

    Raises:
        KafkaException: Kafka answered, with an error that waiting does not mend.
    """
    while True:
        try:
            return prepare()
        except KafkaException as error:
            reason = error.args[0]
            if not reason.retriable() and reason.code() >= 0:
                raise
            log.warning("kafka.unreachable", reason=reason.str(), retry_in_seconds=_RETRY_SECONDS)
            time.sleep(_RETRY_SECONDS)


def _partitions(admin: AdminClient) -> dict[str, int]:
    topics = admin.list_topics(timeout=_METADATA_SECONDS).topics
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

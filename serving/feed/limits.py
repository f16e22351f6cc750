"""How large a record may be, as the broker has it for each topic."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from serving.feed.settings import Properties

log = structlog.get_logger(__name__)


def read_limits(bootstrap: str, topics: Collection[str], properties: Properties) -> dict[str, int]:
    """`max.message.bytes` of each topic that exists and may be asked about. Blocks for up to ten seconds."""
    if not topics:
        return {}
    admin = AdminClient({"bootstrap.servers": bootstrap, **properties})
    answers: dict[Any, Any] = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, topic) for topic in topics], request_timeout=10
    )
    found = {}
    for resource, answer in answers.items():
        try:
            found[resource.name] = int(answer.result()["max.message.bytes"].value)
        except KafkaException as exception:
            log.info("limit.unknown", topic=resource.name, error=str(exception.args[0]))
    return found
